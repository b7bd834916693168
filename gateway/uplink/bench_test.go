package uplink

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"gacp-erp.internal/glasshouse/buffer"
	"gacp-erp.internal/glasshouse/gateway/contract"
)

// stock is a Source with many telemetry records that cost nothing to read, so that the uplink alone is measured.
type stock struct {
	entries []buffer.Entry
	mu      sync.Mutex
	acked   uint64
	done    chan struct{}
}

// newStock makes n records of 534 bytes from 50 devices, with the headers that the contract asks for.
func newStock(n int) *stock {
	s := &stock{done: make(chan struct{})}
	for i := range n {
		id := fmt.Sprintf("01932c6e-%04x-7000-8000-%012x", i&0xffff, i)
		r := record(fmt.Sprint("greenhouse-sensor-", i%50), id, 534)
		r.Head = head("event-id", id, "event-type", "device.telemetry.received", "correlation-id", id,
			"content-type", "application/json", "schema-version", "v1", "gateway-id", "gh-riga-01")
		s.entries = append(s.entries, buffer.Entry{Record: r, Sequence: uint64(i + 1)})
	}
	return s
}

func (s *stock) Peek(lane buffer.Lane, after uint64, maxBytes int) ([]buffer.Entry, error) {
	if lane != "telemetry" {
		return nil, nil
	}
	rest, n, bytes := s.entries[after:], 0, 0
	for n < len(rest) && bytes < maxBytes {
		bytes += len(rest[n].Key) + len(rest[n].Head) + len(rest[n].Body)
		n++
	}
	return rest[:n:n], nil
}

func (s *stock) Ack(_ buffer.Lane, upTo uint64, _ ...uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.acked = upTo; upTo == uint64(len(s.entries)) {
		close(s.done)
	}
}

func (s *stock) Wake(buffer.Lane) <-chan struct{} { return nil }
func (s *stock) Epoch() string                    { return "0e9f7c0e-0000-4000-8000-00000000e90c" }

// BenchmarkDrain sends what an outage left behind (goals, row 6), beside a bare client that sends the same records with the
// same headers in synchronous batches. Kafka is embedded and throws the records away; it shares the processors with them.
func BenchmarkDrain(b *testing.B) {
	for _, delay := range []time.Duration{0, 100 * time.Millisecond} {
		name := "latency=" + delay.String()
		n := 200_000
		s := newStock(n)
		b.Run(name+"/uplink", func(b *testing.B) {
			for b.Loop() {
				s.acked, s.done = 0, make(chan struct{})
				c := cluster(b, kfake.BlackholeProduce())
				o := options(nil, c.ListenAddrs()...)
				o.Source, o.Dial = s, late(delay)
				u, err := New(o)
				if err != nil {
					b.Fatal(err)
				}
				ctx, cancel := context.WithCancel(b.Context())
				ended := make(chan struct{})
				go func() { defer close(ended); _ = u.Run(ctx) }()
				<-s.done
				cancel()
				<-ended
			}
			b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "records/s")
		})
		b.Run(name+"/bare", func(b *testing.B) {
			for b.Loop() {
				c := cluster(b, kfake.BlackholeProduce())
				bare(b, c.ListenAddrs(), late(delay), s)
			}
			b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "records/s")
		})
	}
}

// bare sends all with ProduceSync, 4,000 records a batch.
func bare(b *testing.B, brokers []string, dial func(context.Context, string, string) (net.Conn, error), s *stock) {
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.Dialer(dial), kgo.ProducerBatchCompression(kgo.GzipCompression().WithLevel(1)),
		kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)), kgo.DisableClientMetrics())
	if err != nil {
		b.Fatal(err)
	}
	defer client.Close()
	for from := 0; from < len(s.entries); from += 4000 {
		var batch []*kgo.Record
		for _, e := range s.entries[from:min(from+4000, len(s.entries))] {
			r := &kgo.Record{Topic: "telemetry.v1", Key: e.Key, Value: e.Body}
			for key, value := range contract.Headers(e.Head) {
				r.Headers = append(r.Headers, kgo.RecordHeader{Key: key, Value: value})
			}
			r.Headers = append(r.Headers, kgo.RecordHeader{Key: "epoch", Value: []byte(s.Epoch())},
				kgo.RecordHeader{Key: "sequence", Value: strconv.AppendUint(nil, e.Sequence, 10)})
			batch = append(batch, r)
		}
		if err := client.ProduceSync(b.Context(), batch...).FirstErr(); err != nil {
			b.Fatal(err)
		}
	}
}

// late dials connections whose answers take their time, all of them alike: latency, not a narrow line.
func late(delay time.Duration) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, host string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, host)
		if err != nil || delay == 0 {
			return conn, err
		}
		near, far := net.Pipe()
		go relay(far, conn)
		go func() {
			defer conn.Close()
			defer far.Close()
			type piece struct {
				due time.Time
				b   []byte
			}
			queue := make(chan piece, 10_000)
			go func() {
				defer close(queue)
				for {
					b := make([]byte, 64<<10)
					n, err := far.Read(b)
					if err != nil {
						return
					}
					queue <- piece{time.Now().Add(delay), b[:n]}
				}
			}()
			for p := range queue {
				time.Sleep(time.Until(p.due))
				if _, err := conn.Write(p.b); err != nil {
					return
				}
			}
		}()
		return near, nil
	}
}
