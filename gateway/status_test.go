package gateway

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"gacp-erp.internal/glasshouse/drivers/sim/slave"
	"gacp-erp.internal/glasshouse/gateway/api"
	"gacp-erp.internal/glasshouse/gateway/contract"
)

func TestStatusAndMetricsTellWhatIs(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t)
		w.start()
		time.Sleep(time.Minute)
		w.climate(31, 65)
		w.expect("the fan comes on", time.Minute, func() bool { return w.coil(0) })
		time.Sleep(20 * time.Second)
		s := w.gateway.Status()
		r := s.Zones[0].Ranges[0]
		if s.Mode != "control" || r.Phase != "firing" || r.Severity != "critical" || r.Value == nil || *r.Value != 31 || *r.Max != 26 || r.AlertID == "" {
			t.Errorf("the zone is told as %+v", r)
		}
		fan := s.Outputs[0]
		if fan.Name != "exhaust-fan" || fan.Desired != 1 || *fan.Actual != 1 || !fan.Confirmed || fan.Holder != "correction" || !fan.Switch {
			t.Errorf("the fan is told as %+v", fan)
		}
		if d := s.Devices[0]; d.Status != "online" || d.LastSeen == nil {
			t.Errorf("the transmitter is told as %+v", d)
		}
		if b := s.Buses[0]; !b.Healthy || len(b.Units) != 2 || b.Units[0].Requests == 0 {
			t.Errorf("the bus is told as %+v", b)
		}
		if !s.Uplink.Connected || len(s.Faults) != 0 {
			t.Errorf("the uplink is told as %+v, the faults as %+v", s.Uplink, s.Faults)
		}
		beats := 0
		for _, r := range w.records(contract.TopicTelemetry) {
			if r.key == "gh-test-01" && r.event.Payload["telemetryType"] == "status" {
				beats++
			}
		}
		if beats != 2 {
			t.Errorf("%d heartbeats in a minute and a half, want 2", beats)
		}
		var page strings.Builder
		if err := w.gateway.Metrics(&page); err != nil {
			t.Fatal(err)
		}
		families, err := (&expfmt.TextParser{}).TextToMetricFamilies(strings.NewReader(page.String()))
		if err != nil {
			t.Fatalf("the metrics are no Prometheus text: %v", err)
		}
		for name, want := range map[string]float64{"glasshouse_uplink_connected": 1, "glasshouse_journal_degraded": 0, "glasshouse_faults": 0} {
			if m := families[name]; m == nil || m.Metric[0].GetGauge().GetValue() != want {
				t.Errorf("%s is %v, want %g", name, m, want)
			}
		}
		if n := len(families["glasshouse_point_value"].Metric); n != 4 {
			t.Errorf("%d points have a value, want 4", n)
		}
		w.halt()
	})
}

func TestAHoldByHand(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t)
		w.start()
		time.Sleep(time.Minute)
		hold := func(wish api.Write) api.Receipt {
			t.Helper()
			r, err := w.gateway.Submit(t.Context(), wish)
			if err != nil {
				t.Fatal(err)
			}
			return r
		}
		if r := hold(api.Write{Output: "heater", Value: 1, For: 10 * time.Minute, By: "ann", Reason: "test"}); !r.Accepted || !r.Durable || r.Until == nil {
			t.Errorf("the receipt is %+v", r)
		}
		w.expect("the heater is on", 10*time.Second, func() bool { return w.coil(1) })
		w.halt()
		if w.coil(1) {
			t.Error("the heater is on after the stop")
		}
		w.start() // the same boot: the hold goes on
		w.expect("the hold goes on after a restart", 10*time.Second, func() bool { return w.coil(1) })
		w.expect("the hold ends by itself", 11*time.Minute, func() bool { return !w.coil(1) })
		if _, err := w.gateway.Submit(t.Context(), api.Write{Output: "heatr", Value: 1, For: time.Minute}); err == nil || !strings.Contains(err.Error(), `did you mean "heater"`) {
			t.Errorf("an unknown output gave %v", err)
		}
		for _, wish := range []api.Write{{Output: "heater", Value: 1}, {Output: "heater", Value: 1, For: 25 * time.Hour}, {Output: "heater", Value: 0.5, For: time.Minute}} {
			if _, err := w.gateway.Submit(t.Context(), wish); err == nil {
				t.Errorf("%+v was taken", wish)
			}
		}
		w.halt()
	})
}

func TestAnObserverSwitchesNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t)
		w.config = strings.Replace(w.config, "mode: control", "mode: observe", 1)
		w.slave.SetCoil(10, 1, true)
		writes := 0
		w.slave.OnWrite(func(byte, slave.Table, uint16, uint16) { writes++ })
		w.start()
		time.Sleep(time.Minute)
		w.climate(31, 65)
		time.Sleep(time.Minute)
		if s := w.gateway.Status(); s.Outputs[0].Desired != 1 {
			t.Error("an observer decides nothing")
		}
		w.climate(24, 65)
		time.Sleep(time.Minute)
		w.halt()
		if writes != 0 || !w.coil(1) {
			t.Errorf("an observer wrote %d times", writes)
		}
		if got := w.alerts(); len(got) < 2 || got[0] != "raised temperature 31" || got[len(got)-1] != "resolved temperature 24" {
			t.Errorf("the alerts are %q", got)
		}
		for _, r := range w.records(contract.TopicEnvironment) {
			if c := r.event.Payload["autoCorrection"].(map[string]any); c["attempted"] != false {
				t.Errorf("an observer tells of a correction: %v", c)
			}
		}
	})
}

func TestAMissingTopicBlocksItselfAlone(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, contract.TopicTelemetry)
		w.start()
		time.Sleep(3 * time.Minute)
		w.climate(31, 65)
		w.expect("the fan comes on", time.Minute, func() bool { return w.coil(0) })
		time.Sleep(time.Minute)
		if got := w.alerts(); len(got) == 0 {
			t.Error("the alert waits behind a topic that is missing")
		}
		if got := strings.Join(w.faults(), "\n"); !strings.Contains(got, "raised gh-test-01 Kafka does not take device.telemetry.v1") {
			t.Errorf("the device alerts are\n%s", got)
		}
		blocked := ""
		for _, l := range w.gateway.Status().Buffer.Lanes {
			blocked += l.Blocked
		}
		if !strings.Contains(blocked, "device.telemetry.v1") {
			t.Errorf("blocked: %q", blocked)
		}
		client, err := kgo.NewClient(kgo.SeedBrokers("localhost:9092"), kgo.Dialer(w.network.DialContext))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := kadm.NewClient(client).CreateTopic(context.WithoutCancel(t.Context()), 3, 1, nil, contract.TopicTelemetry); err != nil {
			t.Fatal(err)
		}
		client.Close()
		w.expect("what waited is sent", 3*time.Minute, func() bool { return len(w.records(contract.TopicTelemetry)) > 30 })
		time.Sleep(5 * time.Second)
		if got := strings.Join(w.faults(), "\n"); !strings.Contains(got, "resolved gh-test-01") {
			t.Errorf("the device alerts are\n%s", got)
		}
		w.halt()
	})
}
