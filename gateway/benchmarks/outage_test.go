package benchmarks

import (
	"fmt"
	"net/rpc"
	"testing"
	"time"
)

// BenchmarkDrain sends what an outage left, from the disk to Kafka (row 6: 100,000 records a second, 20,000 when Kafka is
// 100 ms away). What the uplink alone does beside a bare client is in gateway/uplink.
func BenchmarkDrain(b *testing.B) {
	for _, c := range []struct {
		delay time.Duration
		goal  float64
	}{{0, 100_000}, {100 * time.Millisecond, 20_000}} {
		b.Run("latency="+c.delay.String(), func(b *testing.B) {
			const events = 1_000_000
			for b.Loop() {
				world, at := newWorld(b, Surroundings{Delay: c.delay})
				s := startProgram(b, plan{broker: at.MQTT, kafka: at.Kafka, dir: stock(b, events)})
				k := arrive(b, world, events)
				if k.Telemetry < events {
					b.Errorf("%d of %d records arrived", k.Telemetry, events)
				}
				b.ReportMetric(0, "ns/op")
				b.ReportMetric(float64(k.Telemetry)/time.Duration(k.Last-k.First).Seconds(), "records/s")
				b.ReportMetric(c.goal, "goal-records/s")
				b.ReportMetric(time.Unix(0, k.First).Sub(s.began).Seconds()*1000, "first-ms")
				b.ReportMetric(s.memory(), "after-MB")
				s.kill()
			}
		})
	}
}

// BenchmarkMemory is the anonymous memory of the whole gateway (row 7: 20 MB idle, 48 under load, 48 with 100,000 and 64
// with 1,000,000 records waiting for a Kafka that is away).
func BenchmarkMemory(b *testing.B) {
	b.Run("idle", func(b *testing.B) {
		for b.Loop() {
			world, at := newWorld(b, Surroundings{})
			_ = world
			s := startProgram(b, plan{broker: at.MQTT, kafka: at.Kafka, dir: b.TempDir()})
			s.connected(true)
			time.Sleep(3 * time.Second)
			reportMemory(b, s.memory(), 20)
		}
	})
	b.Run("loaded", func(b *testing.B) {
		for b.Loop() {
			world, at := newWorld(b, Surroundings{})
			s := startProgram(b, plan{broker: at.MQTT, kafka: at.Kafka, dir: b.TempDir()})
			s.connected(true)
			reportMemory(b, underLoad(b, world, s), 48)
		}
	})
	b.Run("loaded/yardstick=bare", func(b *testing.B) {
		for b.Loop() {
			world, at := newWorld(b, Surroundings{})
			reportMemory(b, underLoad(b, world, startBare(b, at.MQTT, at.Kafka, b.TempDir())), 0)
		}
	})
	for _, c := range []struct {
		waiting int
		goal    float64
	}{{100_000, 48}, {1_000_000, 64}} {
		b.Run(fmt.Sprint(c.waiting, "-waiting"), func(b *testing.B) {
			for b.Loop() {
				world, at := newWorld(b, Surroundings{})
				s := startProgram(b, plan{broker: at.MQTT, kafka: nowhere, dir: stock(b, c.waiting)})
				s.connected(false)
				call(b, world, "World.Publish", Load{Messages: 20_000, Rate: 5000, QoS: 1}, new(Loaded))
				reportMemory(b, s.memory(), c.goal)
			}
		})
	}
}

// underLoad is the most that a subject held while it was given all that it could take.
func underLoad(b *testing.B, world *rpc.Client, s *subject) (most float64) {
	b.Helper()
	done := world.Go("World.Publish", Load{Messages: messages, QoS: 1}, new(Loaded), nil).Done
	for published := false; !published; {
		select {
		case <-done:
			published = true
		case <-time.After(50 * time.Millisecond):
			most = max(most, s.memory())
		}
	}
	arrive(b, world, messages)
	return max(most, s.memory())
}

func reportMemory(b *testing.B, mb, goal float64) {
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(mb, "MB")
	if goal > 0 {
		b.ReportMetric(goal, "goal-MB")
	}
}
