package buffer

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	bolt "go.etcd.io/bbolt"
)

// The yardstick of the benchmarks below is bbolt alone, one key for each event with the same bytes, settings as good as
// they get: FillPercent 1, map freelist, freelist not synced. Run both in one sitting and compare ratios:
//
//	go test ./buffer -run '^$' -bench 'Commit|Drain'
//
// events/s is what was made durable, B/event what the kernel was asked to write to the disk (/proc/self/io).

// telemetryEvents are events as the gateway makes them: 534 bytes of JSON with values that wander, an id that is as random
// as a uuid of version 7, and the headers that go with it.
func telemetryEvents(n int) []Record {
	rng := rand.New(rand.NewPCG(1, 2))
	value := [3]float64{23.4, 61.2, 1013.25}
	recs := make([]Record, n)
	for i := range recs {
		for j := range value {
			value[j] += rng.NormFloat64() * 0.05
		}
		at := int64(1_764_000_000_000) + int64(i)*7
		id := fmt.Sprintf("%08x-%04x-7%03x-%04x-%012x", at>>16, at&0xffff, i&0xfff, 0x8000|rng.IntN(0x4000), rng.Uint64()>>16)
		stamp := fmt.Sprintf("2026-03-01T12:%02d:%02d.%03dZ", i/60_000%60, i/1000%60, i%1000)
		device := fmt.Sprintf("veg%d-climate-%02d", i%3+1, i%17)
		body := fmt.Appendf(nil, `{"eventType":"device.telemetry.received","correlationId":%q,"timestamp":%q,"source":{"type":"device","id":%q},"__version":"v1",`+
			`"payload":{"deviceId":%q,"receivedAt":%q,"telemetryType":"sensors","data":{"temperature":%.2f,"humidity":%.2f,"pressure":%.2f,`+
			`"custom":{"protocol":"mqtt","facilityId":"7c1e0b1a-3c1e-4c52-9d2f-0d6a6b9d3c14","zone":"veg-%d","pad":""}}}}`,
			id, stamp, device, device, stamp, value[0], value[1], value[2], i%3+1)
		if n := 534 - len(body); n > 0 {
			body = []byte(strings.Replace(string(body), `"pad":""`, `"pad":"`+strings.Repeat("-", n)+`"`, 1))
		}
		head := fmt.Appendf(nil, "event-id:%s correlation-id:%s event-type:device.telemetry.received content-type:application/json schema-version:v1 gateway-id:gh-riga-01", id, id)
		recs[i] = Record{Lane: telemetry, At: at, Key: []byte(device), Head: head, Body: body}
	}
	return recs
}

// events is what a benchmark cycles through: enough that nothing is compressed against its own repetition.
const events = 50_000

func BenchmarkCommit(b *testing.B) {
	recs := telemetryEvents(events)
	for _, batch := range []int{100, 1000} {
		b.Run(fmt.Sprintf("glasshouse/%d", batch), func(b *testing.B) {
			o := Options{Dir: b.TempDir(), Lanes: []LaneSpec{{Name: telemetry}}}
			buf := open(b, o)
			benchCommits(b, batch, recs, func(recs []Record) error { return buf.Commit(recs, nil) })
		})
		b.Run(fmt.Sprintf("bbolt/%d", batch), func(b *testing.B) {
			put, done := rawBolt(b)
			defer done()
			benchCommits(b, batch, recs, put)
		})
	}
}

// benchCommits commits batches and reports rate and bytes an event. Every iteration is 50 commits, so that growing a file
// weighs the same however long the benchmark runs.
func benchCommits(b *testing.B, batch int, recs []Record, put func([]Record) error) {
	syscall.Sync()
	before, n := written(b), 0
	for b.Loop() {
		for range 50 {
			at := n % (len(recs) - batch + 1)
			if err := put(recs[at : at+batch]); err != nil {
				b.Fatal(err)
			}
			n += batch
		}
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "events/s")
	syscall.Sync()
	b.ReportMetric(float64(written(b)-before)/float64(n), "B/event")
}

// rawBolt is the yardstick: one key for each event.
func rawBolt(b *testing.B) (put func([]Record) error, done func()) {
	db, err := bolt.Open(filepath.Join(b.TempDir(), "raw.bolt"), 0o600, &bolt.Options{NoFreelistSync: true, FreelistType: bolt.FreelistMapType})
	if err != nil {
		b.Fatal(err)
	}
	bucket := []byte("e")
	if err := db.Update(func(tx *bolt.Tx) error { _, err := tx.CreateBucket(bucket); return err }); err != nil {
		b.Fatal(err)
	}
	var next uint64
	put = func(recs []Record) error {
		return db.Update(func(tx *bolt.Tx) error {
			bk := tx.Bucket(bucket)
			bk.FillPercent = 1
			for i := range recs {
				next++
				r := &recs[i]
				value := make([]byte, 0, len(r.Key)+len(r.Head)+len(r.Body)+16)
				value = appendRecord(value, r, 0)
				if err := bk.Put(binary.BigEndian.AppendUint64(nil, next), value); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return put, func() { db.Close() }
}

// written is how many bytes this process has made the kernel write to a disk.
func written(b *testing.B) int64 {
	io, err := os.ReadFile("/proc/self/io")
	if err != nil {
		b.Skip("no /proc/self/io: ", err)
	}
	for line := range strings.Lines(string(io)) {
		if v, ok := strings.CutPrefix(line, "write_bytes: "); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(v), 10, 64)
			if err != nil {
				b.Fatal(err)
			}
			return n
		}
	}
	b.Skip("no write_bytes in /proc/self/io")
	return 0
}

// BenchmarkDrain peeks and acknowledges an outage of 300,000 events, without sending them anywhere.
func BenchmarkDrain(b *testing.B) {
	const backlog = 300_000
	recs := telemetryEvents(events)
	for _, batch := range []int{100, 1000} {
		b.Run(strconv.Itoa(batch), func(b *testing.B) {
			drained := 0
			for b.Loop() {
				b.StopTimer()
				buf := open(b, Options{Dir: b.TempDir(), Lanes: []LaneSpec{{Name: telemetry}}})
				for n := 0; n < backlog; n += batch {
					at := n % (len(recs) - batch + 1)
					commit(b, buf, recs[at:at+batch], nil)
				}
				b.StartTimer()
				var after uint64
				for {
					es := peek(b, buf, telemetry, after, 1<<20)
					if len(es) == 0 {
						break
					}
					drained += len(es)
					after = es[len(es)-1].Sequence
					buf.Ack(telemetry, after)
				}
				b.StopTimer()
				if n := stats(b, buf, telemetry).Waiting; n != 0 {
					b.Fatalf("%d still wait", n)
				}
				buf.Close()
				b.StartTimer()
			}
			b.ReportMetric(float64(drained)/b.Elapsed().Seconds(), "events/s")
		})
	}
}
