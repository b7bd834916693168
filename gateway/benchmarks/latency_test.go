package benchmarks

import (
	"testing"
	"time"
)

// BenchmarkLatency is the time from a sensor's message to its actuator's command, over the broker both ways (row 12: at most
// 20 ms for 99 of 100, whatever the load, without Kafka, and on a slow disk). A hundred times a second a zone leaves its
// range or comes back, and its switch must follow; in the loaded cases other sensors send besides.
func BenchmarkLatency(b *testing.B) {
	for _, c := range []struct {
		name  string
		load  float64 // messages a second of others, QoS 1
		away  bool    // Kafka
		flush time.Duration
	}{
		{name: "100-a-second"},
		{name: "5000-a-second", load: 4900},
		{name: "5000-a-second/without-kafka", load: 4900, away: true},
		{name: "100-a-second/flush-50ms", flush: 50 * time.Millisecond},
		{name: "5000-a-second/flush-50ms", load: 4900, flush: 50 * time.Millisecond},
	} {
		b.Run(c.name, func(b *testing.B) {
			world, at := newWorld(b, Surroundings{})
			const zones, rate, warm, count = 20, 100, 300, 1000
			p := plan{broker: at.MQTT, kafka: at.Kafka, dir: b.TempDir(), actuators: zones}
			if c.away {
				p.kafka = nowhere
			}
			var s *subject
			if c.flush > 0 {
				s = startSlow(b, p, c.flush)
			} else {
				s = startProgram(b, p)
			}
			s.connected(!c.away)
			for b.Loop() {
				others := make(chan error, 1)
				go func() {
					if c.load == 0 {
						others <- nil
						return
					}
					others <- world.Call("World.Publish", Load{Messages: int(c.load * (warm + count) / rate), Rate: c.load, QoS: 1}, new(Loaded))
				}()
				var l Latencies
				call(b, world, "World.Flip", Flips{Zones: zones, Rate: rate, Warm: warm, Count: count}, &l)
				if err := <-others; err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(0, "ns/op")
				b.ReportMetric(l.P50, "p50-ms")
				b.ReportMetric(l.P99, "p99-ms")
				b.ReportMetric(20, "goal-p99-ms")
				b.ReportMetric(l.Max, "max-ms")
				b.ReportMetric(float64(l.Missing), "missing")
			}
		})
	}
	b.Run("yardstick=echo", func(b *testing.B) {
		world, _ := newWorld(b, Surroundings{})
		for b.Loop() {
			var l Latencies
			call(b, world, "World.Echo", Flips{Rate: 100, Warm: 100, Count: 1000}, &l)
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(l.P50, "p50-ms")
			b.ReportMetric(l.P99, "p99-ms")
		}
	})
}
