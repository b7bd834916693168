package benchmarks

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"gacp-erp.internal/glasshouse/buffer"
	"gacp-erp.internal/glasshouse/gateway/contract"
)

// stock fills a data directory as an outage of Kafka leaves it: so many telemetry events that wait, in commits of a hundred.
func stock(tb testing.TB, events int) (dir string) {
	tb.Helper()
	dir = filepath.Join(workDir.get(tb), fmt.Sprint("stock-", events))
	if _, err := os.Stat(dir); err != nil {
		fill(tb, dir, events)
	}
	mine := tb.TempDir()
	if err := os.CopyFS(mine, os.DirFS(dir)); err != nil {
		tb.Fatal(err)
	}
	return mine
}

func fill(tb testing.TB, dir string, events int) {
	tb.Helper()
	var lanes []buffer.LaneSpec
	for _, t := range contract.Topics() {
		lanes = append(lanes, buffer.LaneSpec{Name: buffer.Lane(t.Name), Critical: t.Critical})
	}
	store, err := buffer.Open(buffer.Options{Dir: filepath.Join(dir, "buffer"), Lanes: lanes})
	if err != nil {
		tb.Fatal(err)
	}
	encoder, err := contract.NewEncoder(contract.Source{Gateway: gatewayID, Facility: facility, Build: "bench", ConfigHash: "bench"})
	if err != nil {
		tb.Fatal(err)
	}
	const batch = 100
	coded, records := make([]contract.Record, batch), make([]buffer.Record, batch)
	began := time.Now().Add(-time.Hour)
	for n := 0; n < events; n += batch {
		for i := range batch {
			at := began.Add(time.Duration(n+i) * time.Millisecond)
			r, device := &coded[i], sensor(i%sensors)
			if err := encoder.Telemetry(r, &contract.Telemetry{EventID: contract.NewID(), DeviceID: device, Received: at, Source: at.Add(-20 * time.Millisecond),
				Zone: "zone-1", MQTT: contract.MQTT{Topic: "devices/" + device + "/telemetry", QoS: 1}, Values: []contract.Value{
					{Name: "temperature", Quantity: "temperature", Unit: "°C", Value: 20 + float64((n+i)%500)/100, Quality: contract.Good},
					{Name: "humidity", Quantity: "humidity", Unit: "%", Value: 40 + float64((n+i)%3000)/100, Quality: contract.Good}}}); err != nil {
				tb.Fatal(err)
			}
			records[i] = buffer.Record{Lane: buffer.Lane(r.Topic), At: at.UnixMilli(), Key: r.Key, Head: r.Head, Body: r.Body}
		}
		if err := store.Commit(records, nil); err != nil {
			tb.Fatal(err)
		}
	}
	if err := store.Close(); err != nil {
		tb.Fatal(err)
	}
}
