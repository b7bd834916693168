package benchmarks

import (
	"bufio"
	"fmt"
	"net/rpc"
	"testing"
	"time"
)

// messages is how many a benchmark of the whole way sends.
const messages = 200_000

// startBare starts the yardstick.
func startBare(tb testing.TB, broker, kafka, dir string) *subject {
	tb.Helper()
	cmd, out := child(tb, "bare", broker, kafka, dir)
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		tb.Fatalf("the yardstick did not start: %v", err)
	}
	return &subject{tb: tb, cmd: cmd, dir: dir}
}

// arrive waits until Kafka has been given a number of telemetry records, or nothing more for a while; the wait is the
// caller's to judge.
func arrive(tb testing.TB, world *rpc.Client, records int) Counts {
	tb.Helper()
	var c Counts
	seen, since := 0, time.Now()
	for {
		call(tb, world, "World.Counted", 0, &c)
		if c.Telemetry != seen {
			seen, since = c.Telemetry, time.Now()
		}
		if c.Telemetry >= records || time.Since(since) > 20*time.Second {
			return c
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// through sends messages through a subject to Kafka, and returns the processor time that it took and the records a second.
func through(b *testing.B, world *rpc.Client, s *subject, l Load) (cpu time.Duration, rate float64) {
	b.Helper()
	call(b, world, "World.Reset", 0, new(int))
	before := s.cpu()
	var done Loaded
	call(b, world, "World.Publish", l, &done)
	c := arrive(b, world, l.Messages)
	if c.Telemetry < l.Messages {
		b.Errorf("%d of %d messages arrived", c.Telemetry, l.Messages)
	}
	return s.cpu() - before, float64(c.Telemetry) / time.Duration(c.Last-done.Began).Seconds()
}

// BenchmarkPipeline is what a million QoS 1 messages cost, from the broker through the rules and the disk to Kafka
// (row 1: at most 1.5 times the bare program), and how many a second become durable (row 2: 10,000 at QoS 1).
func BenchmarkPipeline(b *testing.B) {
	world, at := newWorld(b, Surroundings{})
	b.Logf("broker: %s", at.Broker)
	l := Load{Messages: messages, QoS: 1}
	var bareCPU time.Duration
	b.Run("bare", func(b *testing.B) {
		s := startBare(b, at.MQTT, at.Kafka, b.TempDir())
		for b.Loop() {
			var rate float64
			bareCPU, rate = through(b, world, s, l)
			report(b, bareCPU, rate)
		}
	})
	b.Run("gateway", func(b *testing.B) {
		s := startProgram(b, plan{broker: at.MQTT, kafka: at.Kafka, dir: b.TempDir()})
		s.connected(true)
		for b.Loop() {
			cpu, rate := through(b, world, s, l)
			report(b, cpu, rate)
			b.ReportMetric(cpu.Seconds()/bareCPU.Seconds(), "x-bare")
			b.ReportMetric(1.5, "goal-x-bare")
			b.ReportMetric(10_000, "goal-durable/s")
		}
	})
}

func report(b *testing.B, cpu time.Duration, rate float64) {
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(cpu.Seconds()*1e6/messages, "cpu-s/million")
	b.ReportMetric(rate, "durable/s")
}

// BenchmarkOverload offers more than can be taken. At QoS 1 the broker is held back and nothing is dropped; at QoS 0 each
// message that the gateway got is kept, refused or counted as dropped (row 17), and 25,000 a second become durable (row 2).
func BenchmarkOverload(b *testing.B) {
	for _, qos := range []byte{1, 0} {
		b.Run(fmt.Sprintf("QoS%d", qos), func(b *testing.B) {
			world, at := newWorld(b, Surroundings{})
			s := startProgram(b, plan{broker: at.MQTT, kafka: at.Kafka, dir: b.TempDir()})
			s.connected(true)
			for b.Loop() {
				overload(b, world, s, qos)
			}
		})
	}
}

func overload(b *testing.B, world *rpc.Client, s *subject, qos byte) {
	call(b, world, "World.Reset", 0, new(int))
	before, err := s.metrics()
	if err != nil {
		b.Fatal(err)
	}
	var done Loaded
	call(b, world, "World.Publish", Load{Messages: messages, QoS: qos, Window: 20_000}, &done)
	var m map[string]float64
	got := func(name string) float64 { return m[name] - before[name] }
	if qos > 0 {
		arrive(b, world, messages)
	}
	// What was published is now in the gateway, in the broker, or dropped by the broker: wait for the rest to come through.
	for last := -1.0; ; {
		m = s.until("the books to balance", func(now map[string]float64) bool {
			m = now
			return got("glasshouse_bus_messages_total") == got("glasshouse_heard_total")+got("glasshouse_bus_rejected_messages_total")+got("glasshouse_bus_dropped_messages_total")
		})
		if got("glasshouse_bus_messages_total") == last {
			break
		}
		last = got("glasshouse_bus_messages_total")
		time.Sleep(2 * time.Second)
	}
	c := arrive(b, world, int(got("glasshouse_told_total")-got("glasshouse_journal_dropped_total")))
	// The journal drops, and counts, what comes faster than a slow disk takes it.
	came, dropped := got("glasshouse_bus_messages_total"), got("glasshouse_bus_dropped_messages_total")+got("glasshouse_journal_dropped_total")
	goal := map[byte]float64{0: 25_000, 1: 10_000}[qos]
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(messages/done.Seconds, "offered/s")
	b.ReportMetric(float64(c.Telemetry)/time.Duration(c.Last-done.Began).Seconds(), "durable/s")
	b.ReportMetric(goal, "goal-durable/s")
	b.ReportMetric(messages-came, "never-came")
	b.ReportMetric(dropped, "dropped+counted")
	b.ReportMetric(max(0, came-dropped-got("glasshouse_bus_rejected_messages_total")-float64(c.Telemetry)), "unaccounted") // the gateway's own telemetry is one more
	b.ReportMetric(0, "goal-unaccounted")
}

// BenchmarkFlushes is how often the disk is flushed for 1,000 messages a second (row 5: at most 0.02 commits a message). One
// commit is two flushes: bbolt's pages, then the page that makes them count.
func BenchmarkFlushes(b *testing.B) {
	for _, qos := range []byte{1, 0} {
		b.Run(fmt.Sprintf("QoS%d", qos), func(b *testing.B) {
			world, at := newWorld(b, Surroundings{})
			s := startProgram(b, plan{broker: at.MQTT, kafka: at.Kafka, dir: b.TempDir()})
			s.connected(true)
			const n = 10_000
			for b.Loop() {
				call(b, world, "World.Reset", 0, new(int))
				before, err := s.metrics()
				if err != nil {
					b.Fatal(err)
				}
				call(b, world, "World.Publish", Load{Messages: n, Rate: 1000, QoS: qos}, new(Loaded))
				arrive(b, world, n)
				after, err := s.metrics()
				if err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(0, "ns/op")
				b.ReportMetric((after["glasshouse_journal_commits_total"]-before["glasshouse_journal_commits_total"])/n, "commits/message")
				b.ReportMetric(0.02, "goal-commits/message")
			}
		})
	}
}
