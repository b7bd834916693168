package demo

import (
	"bytes"
	"context"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"gacp-erp.internal/glasshouse/configs"
	"gacp-erp.internal/glasshouse/gateway"
	"gacp-erp.internal/glasshouse/gateway/api"
	"gacp-erp.internal/glasshouse/gateway/scan"
	"gacp-erp.internal/glasshouse/rules"
)

// A data directory may have any name, and the real constructors take the configuration.
func TestConfiguration(t *testing.T) {
	dir := filepath.Join(t.TempDir(), `a "b": c`)
	text, err := configuration(dir, "127.0.0.1:9092", "127.0.0.1:5020", "[::1]:1883")
	if err != nil {
		t.Fatal(err)
	}
	config, err := configs.Parse("glasshouse.yaml", text,
		func(string) (string, bool) { return "", false }, os.ReadFile)
	if err != nil {
		t.Fatal(err)
	}
	if config.Gateway.DataDir != dir {
		t.Errorf("data in %q", config.Gateway.DataDir)
	}
	if _, err := gateway.New(gateway.Options{Config: config}); err != nil {
		t.Error(err)
	}
}

func TestListenTakesAFreePortOnlyWhenNotTold(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	var tried []string
	open := func(address string) error {
		tried = append(tried, address)
		l, err := net.Listen("tcp", address)
		if err == nil {
			l.Close()
		}
		return err
	}
	if err := listen("", taken.Addr().String(), open); err != nil || len(tried) != 2 || tried[1] != "127.0.0.1:0" {
		t.Errorf("%v after %v", err, tried)
	}
	tried = nil
	if err := listen(taken.Addr().String(), "127.0.0.1:0", open); err == nil || len(tried) != 1 {
		t.Errorf("%v after %v", err, tried)
	}
}

// pages is a terminal that can be read while it is written to.
type pages struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (p *pages) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.Write(b)
}

func (p *pages) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.String()
}

func TestStoryInWords(t *testing.T) {
	at := time.Date(2026, 4, 15, 12, 0, 14, 0, time.Local)
	for name, c := range map[string]struct {
		event scan.Event
		want  string
	}{
		"above": {scan.Event{Kind: scan.AlertRaised, Zone: "veg-1", Quantity: "temperature", Unit: "°C", Value: 26.43, Min: 20, Max: 26, Above: true},
			"12:00:14  veg-1 is 26.4 °C, above 26 °C: alert raised\n"},
		"below": {scan.Event{Kind: scan.AlertRaised, Zone: "flower-1", Quantity: "co2", Unit: "ppm", Value: 588.7, Min: 600, Max: 1300},
			"12:00:14  flower-1 has 589 ppm CO2, below 600 ppm: alert raised\n"},
		"worse": {scan.Event{Kind: scan.AlertEscalated, Zone: "veg-1", Quantity: "humidity", Unit: "%", Value: 95, Severity: rules.Critical},
			"12:00:14  veg-1 has 95 % humidity: now critical\n"},
		"well again": {scan.Event{Kind: scan.AlertResolved, Zone: "veg-1", Quantity: "temperature", Unit: "°C", Value: 25.12, Since: at.Add(-31 * time.Second), Success: rules.Yes},
			"12:00:14  veg-1 is 25.1 °C again: resolved after 31 s, the correction worked\n"},
		"by itself": {scan.Event{Kind: scan.AlertResolved, Zone: "veg-1", Quantity: "temperature", Unit: "°C", Value: 25, Since: at.Add(-time.Minute)},
			"12:00:14  veg-1 is 25 °C again: resolved after 60 s\n"},
		"worked so far": {scan.Event{Kind: scan.AlertCorrected, Success: rules.Yes, Description: "x"}, ""},
		"online":        {scan.Event{Kind: scan.DeviceStatus, Device: "relays", Online: true}, ""},
		"fault":         {scan.Event{Kind: scan.FaultRaised, Title: "relays is offline", Description: "Look at it."}, "12:00:14  fault: relays is offline. Look at it.\n"},
	} {
		t.Run(name, func(t *testing.T) {
			out := &pages{}
			c.event.At = at
			newStory(out).event(c.event)
			if out.String() != c.want {
				t.Errorf("%q, want %q", out, c.want)
			}
		})
	}
}

func TestConfirmationsAreWaitedFor(t *testing.T) {
	out := &pages{}
	s := newStory(out)
	s.event(scan.Event{Kind: scan.OutputSwitched, Output: 1, Value: 1})
	status := api.Status{Outputs: []api.Output{{}, {Name: "fan", Desired: 1}}}
	s.confirmations(status)
	if out.String() != "" {
		t.Errorf("told before it is confirmed: %s", out)
	}
	status.Outputs[1].Confirmed = true
	s.confirmations(status)
	s.confirmations(status)
	if strings.Count(out.String(), "fan on over Modbus, confirmed by the relay board\n") != 1 {
		t.Errorf("%q", out)
	}
	s.event(scan.Event{Kind: scan.OutputSwitched, Output: 1, Value: 0})
	s.pending[0].until = time.Now()
	s.confirmations(api.Status{Outputs: []api.Output{{}, {Name: "fan"}}})
	if !strings.HasSuffix(out.String(), "fan does not confirm that it is off; the gateway goes on trying\n") || len(s.pending) != 0 {
		t.Errorf("%q", out)
	}
}

func TestOneGatewayInADirectory(t *testing.T) {
	dir := t.TempDir()
	door, err := net.Listen("unix", filepath.Join(dir, "glasshouse.sock"))
	if err != nil {
		t.Fatal(err)
	}
	defer door.Close()
	free := "127.0.0.1:0"
	err = Run(t.Context(), Options{DataDir: dir, Kafka: free, MQTT: free, Modbus: free, Out: &pages{}})
	if err == nil || !strings.Contains(err.Error(), "--data") {
		t.Errorf("%v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "glasshouse.yaml")); err == nil {
		t.Error("the other one's configuration was written over")
	}
}

// The whole demo, sped up: it is told in order, ends cleanly, and the books balance.
func TestDemo(t *testing.T) {
	out := &pages{}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	dir := t.TempDir()
	free := "127.0.0.1:0"
	ended := make(chan error, 1)
	go func() {
		ended <- Run(ctx, Options{Version: "test", DataDir: dir, Kafka: free, MQTT: free, Modbus: free, Speed: 240, Out: out})
	}()
	for !strings.Contains(out.String(), "resolved after") && ctx.Err() == nil {
		select {
		case err := <-ended:
			t.Fatalf("%v\n%s", err, out)
		case <-time.After(20 * time.Millisecond):
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	story := out.String()
	for _, line := range []string{
		`mosquitto_sub -p \d+`,
		`kcat -C -b 127.0.0.1:\d+`,
		`veg-1 is [\d.]+ °C, above 26 °C: alert raised\n`,
		`exhaust-fan on over Modbus, confirmed by the relay board\n`,
		`veg-1 is 2[0-5][\d.]* °C again: resolved after \d+ s, the correction worked\n`,
		`stopped: the outputs are at their safe values`,
		`read back from Kafka: [1-9]\d* telemetry records, [1-9]\d* alerts? raised and [1-9]\d* resolved, [1-9]\d* device events; none of them twice\n$`,
	} {
		place := regexp.MustCompile(line).FindStringIndex(story)
		if place == nil {
			t.Errorf("no (further) line %s in\n%s", line, out)
			continue
		}
		story = story[place[1]:]
	}
	if n := strings.Count(out.String(), "\n"); n > 40 {
		t.Errorf("%d lines are no story:\n%s", n, out)
	}
	if _, err := configs.Load(filepath.Join(dir, "glasshouse.yaml")); err != nil {
		t.Error(err)
	}
}

func TestTakenPortIsSaid(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for flag, o := range map[string]Options{
		"--kafka-listen":  {Kafka: taken.Addr().String(), MQTT: "127.0.0.1:0", Modbus: "127.0.0.1:0"},
		"--mqtt-listen":   {MQTT: taken.Addr().String(), Kafka: "127.0.0.1:0", Modbus: "127.0.0.1:0"},
		"--modbus-listen": {Modbus: taken.Addr().String(), Kafka: "127.0.0.1:0", MQTT: "127.0.0.1:0"},
	} {
		o.DataDir, o.Out = t.TempDir(), &pages{}
		if err := Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), flag) {
			t.Errorf("%s: %v", flag, err)
		}
	}
}
