package benchmarks

import (
	"os"
	"slices"
	"testing"
	"time"
)

// BenchmarkStart is the time from the start of the process to its first record (row 15: at most 150 ms): durable means that
// the first message of a sensor is acknowledged, sent that Kafka has been given something.
func BenchmarkStart(b *testing.B) {
	for _, c := range []struct {
		name    string
		waiting int
		away    bool
	}{{name: "empty"}, {name: "empty/without-kafka", away: true}, {name: "1000000-waiting/without-kafka", waiting: 1_000_000, away: true}} {
		b.Run(c.name, func(b *testing.B) {
			world, at := newWorld(b, Surroundings{Own: true})
			dir := b.TempDir()
			if c.waiting > 0 {
				dir = stock(b, c.waiting)
			}
			p := plan{broker: at.MQTT, kafka: at.Kafka, dir: dir}
			if c.away {
				p.kafka = nowhere
			}
			program(b)
			var listened, durable, sent []float64
			for b.Loop() {
				listened, durable, sent = nil, nil, nil
				for range 9 {
					call(b, world, "World.Reset", 0, new(int))
					s := startProgram(b, p)
					var m Marks
					var k Counts
					for m.Acked == 0 || !c.away && k.First == 0 {
						time.Sleep(5 * time.Millisecond)
						call(b, world, "World.Marked", 0, &m)
						call(b, world, "World.Counted", 0, &k)
						if time.Since(s.began) > patience {
							b.Fatal("no record came")
						}
					}
					after := func(ns int64) float64 { return time.Unix(0, ns).Sub(s.began).Seconds() * 1000 }
					listened, durable, sent = append(listened, after(m.Subscribed)), append(durable, after(m.Acked)), append(sent, after(k.First))
					s.kill()
				}
				b.ReportMetric(0, "ns/op")
				b.ReportMetric(median(listened), "listens-ms")
				b.ReportMetric(median(durable), "durable-ms")
				if !c.away {
					b.ReportMetric(median(sent), "sent-ms")
				}
				b.ReportMetric(150, "goal-ms")
			}
		})
	}
}

func median(all []float64) float64 {
	slices.Sort(all)
	return all[len(all)/2]
}

// BenchmarkSize is the size of the program (row 16: at most 29 MB), static and stripped, with the demo's broker and Kafka.
func BenchmarkSize(b *testing.B) {
	for b.Loop() {
		info, err := os.Stat(program(b))
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(0, "ns/op")
		b.ReportMetric(float64(info.Size())/1e6, "MB")
		b.ReportMetric(29, "goal-MB")
	}
}
