package gateway

import (
	"slices"
	"strings"
	"testing"
	"time"

	"gacp-erp.internal/glasshouse/gateway/contract"
)

// A bus that comes back while the gateway is down tells no transition: it was never away in the run that finds it well.
func TestABusThatCameBackDuringARestart(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t)
		w.start()
		time.Sleep(time.Minute)
		dead := func(on bool) {
			w.slave.Mute(1, on)
			w.slave.Mute(10, on)
		}
		dead(true)
		time.Sleep(5 * time.Minute)
		w.halt()
		dead(false)
		time.Sleep(time.Minute)
		w.start()
		time.Sleep(5 * time.Minute)
		w.halt()
		open := map[string]string{}
		for _, r := range w.records(contract.TopicDeviceAlerts) {
			id := r.event.Payload["alertId"].(string)
			if title, _ := r.event.Payload["title"].(string); r.state == "raised" {
				open[id] = title
			} else {
				delete(open, id)
			}
		}
		if len(open) > 0 {
			t.Errorf("everything works, and these faults stand: %v", open)
		}
		if raised := slices.DeleteFunc(w.faults(), func(line string) bool { return !strings.Contains(line, "bus north cannot") }); len(raised) != 1 {
			t.Errorf("the bus was away once and told as %q", raised)
		}
	})
}
