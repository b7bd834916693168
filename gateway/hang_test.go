package gateway

import (
	"context"
	"log/slog"
	"os"
	"testing"
	"time"

	"gacp-erp.internal/glasshouse/configs"
	"gacp-erp.internal/glasshouse/drivers"
)

// A cycle that hangs takes nothing, so the inbox fills and the buses wait for room.
func TestAnEmergencyStopReachesABusThatWaitsForTheCycle(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t)
		config, err := configs.Parse("test.yaml", []byte(w.config), os.LookupEnv, os.ReadFile)
		if err != nil {
			t.Fatal(err)
		}
		g, err := New(Options{Config: config, Log: slog.New(slog.DiscardHandler), World: World{Bus: w.dialBus}})
		if err != nil {
			t.Fatal(err)
		}
		w.slave.SetCoil(10, 0, true, true)
		g.inbox.Readings(0, make([]drivers.Reading, maxInbox+1), 0)
		ctx, cancel := context.WithCancel(t.Context())
		buses := start(ctx, g.runBuses)
		time.Sleep(time.Minute)
		if err := g.emergencyStop(); err == nil {
			t.Error("nobody has seen the outputs confirmed, and nothing is said")
		}
		if w.coil(0) || w.coil(1) {
			t.Error("an output is on after the emergency stop")
		}
		cancel()
		buses.end(10*time.Second, nil)
	})
}
