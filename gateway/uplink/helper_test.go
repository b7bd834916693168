package uplink

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gacp-erp.internal/glasshouse/buffer"
	"gacp-erp.internal/glasshouse/gateway/contract"
)

// memory is a Source in memory. It counts what the uplink holds.
type memory struct {
	mu      sync.Mutex
	next    uint64
	lanes   map[buffer.Lane]*memoryLane
	endless uint64 // so many records wait in every lane although none is stored
}

type memoryLane struct {
	waiting []buffer.Entry
	acked   uint64
	poison  []uint64
	wake    chan struct{}
	read    uint64 // highest sequence that was peeked
	held    int    // most records that were peeked and not acknowledged
	bytes   int    // most bytes that one Peek was asked for
	err     error
}

func newMemory() *memory { return &memory{lanes: map[buffer.Lane]*memoryLane{}} }

func (m *memory) lane(name buffer.Lane) *memoryLane {
	l := m.lanes[name]
	if l == nil {
		l = &memoryLane{wake: make(chan struct{}, 1)}
		m.lanes[name] = l
	}
	return l
}

// add stores records of a lane: keys in turn.
func (m *memory) add(lane buffer.Lane, bodies ...buffer.Record) {
	m.mu.Lock()
	defer m.mu.Unlock()
	l := m.lane(lane)
	for _, b := range bodies {
		m.next++
		b.Lane = lane
		l.waiting = append(l.waiting, buffer.Entry{Record: b, Sequence: m.next})
	}
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

func (m *memory) Peek(lane buffer.Lane, after uint64, maxBytes int) ([]buffer.Entry, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	l := m.lane(lane)
	if l.err != nil {
		return nil, l.err
	}
	l.bytes = max(l.bytes, maxBytes)
	var got []buffer.Entry
	total := 0
	for seq := max(after, l.acked) + 1; seq <= m.endless && total < maxBytes; seq++ {
		e := buffer.Entry{Record: record(fmt.Sprint("key-", seq%16), fmt.Sprint("id-", seq), 400), Sequence: seq}
		got = append(got, e)
		total += len(e.Body) + len(e.Head)
	}
	for _, e := range l.waiting {
		if e.Sequence <= after {
			continue
		}
		if len(got) > 0 && total+len(e.Body)+len(e.Head) > maxBytes {
			break
		}
		got = append(got, e)
		total += len(e.Body) + len(e.Head)
	}
	if n := len(got); n > 0 {
		l.read = max(l.read, got[n-1].Sequence)
		if m.endless > 0 {
			l.held = max(l.held, int(l.read-l.acked))
		}
	}
	return got, nil
}

func (m *memory) Ack(lane buffer.Lane, upTo uint64, poison ...uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	l := m.lane(lane)
	if upTo <= l.acked {
		panic(fmt.Sprintf("ack of %d after %d", upTo, l.acked))
	}
	l.acked = upTo
	l.poison = append(l.poison, poison...)
	for len(l.waiting) > 0 && l.waiting[0].Sequence <= upTo {
		l.waiting = l.waiting[1:]
	}
}

func (m *memory) Wake(lane buffer.Lane) <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.lane(lane).wake
}

func (m *memory) Epoch() string { return "0e9f7c0e-0000-4000-8000-00000000e90c" }

func (m *memory) left(lane buffer.Lane) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.lane(lane).waiting)
}

func (m *memory) aside(lane buffer.Lane) []uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.lane(lane).poison
}

// record makes a record with an event id in its stored headers.
func record(key, id string, size int) buffer.Record {
	body := []byte(fmt.Sprintf(`{"id":%q,"fill":"`, id))
	for len(body) < size {
		body = append(body, byte('a'+len(body)*7%23))
	}
	return buffer.Record{Key: []byte(key), Head: head("event-id", id, "content-type", "application/json"), Body: append(body, `"}`...)}
}

// head encodes headers as they are stored.
func head(pairs ...string) []byte {
	var b []byte
	for i := 0; i < len(pairs); i += 2 {
		b = contract.AppendHeader(b, pairs[i], pairs[i+1])
	}
	return b
}

// fill adds n records of a few keys and returns their ids in order.
func (m *memory) fill(lane buffer.Lane, prefix string, n, keys int) []string {
	var ids []string
	var rs []buffer.Record
	for i := range n {
		id := fmt.Sprintf("%s-%d", prefix, i)
		ids = append(ids, id)
		rs = append(rs, record(fmt.Sprint("key-", i%keys), id, 120))
	}
	m.add(lane, rs...)
	return ids
}

// lines collects a log.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// options are those of two lanes.
func options(m *memory, brokers ...string) Options {
	return Options{
		Brokers: brokers, ClientID: "glasshouse-test", Source: m,
		Lanes: []Lane{{"alerts", "alerts.v1", true}, {"telemetry", "telemetry.v1", false}},
	}
}

// running is an uplink that runs.
type running struct {
	*Uplink
	t    testing.TB
	log  *lines
	stop func() time.Duration // ends it and returns how long that took
}

// run starts an uplink; it ends with the test.
func run(t testing.TB, o Options, hurry func(*pace)) *running {
	t.Helper()
	log := new(lines)
	o.Log = slog.New(slog.NewTextHandler(log, nil))
	u, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	if hurry != nil {
		hurry(&u.pace)
		if err := u.prepare(); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := u.Run(ctx); err != nil {
			t.Errorf("Run: %v", err)
		}
	}()
	r := &running{Uplink: u, t: t, log: log}
	r.stop = sync.OnceValue(func() time.Duration {
		began := time.Now()
		cancel()
		<-done
		return time.Since(began)
	})
	t.Cleanup(func() {
		r.stop()
		if t.Failed() {
			t.Logf("log:\n%s", log)
		}
	})
	return r
}

// quick shortens the pauses for tests in real time.
func quick(p *pace) {
	p.retry = [2]time.Duration{20 * time.Millisecond, 100 * time.Millisecond}
	p.blocked = [2]time.Duration{20 * time.Millisecond, 100 * time.Millisecond}
	p.refresh, p.drain = 20*time.Millisecond, time.Second
	p.probe = [2]time.Duration{100 * time.Millisecond, 200 * time.Millisecond}
}

// until waits for something that must happen.
func (r *running) until(what string, ok func() bool) {
	r.t.Helper()
	until(r.t, what, ok)
}

func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !ok(); {
		if time.Now().After(end) {
			t.Fatalf("%s: did not happen", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func (r *running) lane(name buffer.Lane) LaneStats {
	for _, l := range r.Stats().Lanes {
		if l.Name == name {
			return l
		}
	}
	r.t.Fatalf("no lane %s", name)
	return LaneStats{}
}

// cluster starts a Kafka with the topics of options.
func cluster(t testing.TB, more ...kfake.Opt) *kfake.Cluster {
	t.Helper()
	c, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1), kfake.SeedTopics(3, "alerts.v1", "telemetry.v1")}, more...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// all reads a topic from start to end.
func all(t testing.TB, topic string, opts ...kgo.Opt) []*kgo.Record {
	t.Helper()
	client, err := kgo.NewClient(append([]kgo.Opt{kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.DisableClientMetrics()}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	ends, err := kadm.NewClient(client).ListEndOffsets(ctx, topic)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		t.Fatal(err)
	}
	left := int64(0)
	ends.Each(func(o kadm.ListedOffset) { left += o.Offset })
	var got []*kgo.Record
	for int64(len(got)) < left {
		f := client.PollFetches(ctx)
		if err := f.Err(); err != nil {
			t.Fatal(err)
		}
		got = append(got, f.Records()...)
	}
	return got
}

func header(r *kgo.Record, key string) string {
	for _, h := range r.Headers {
		if h.Key == key {
			return string(h.Value)
		}
	}
	return ""
}

// complete checks that every id is there once, and that sequences of one key rise.
func complete(t testing.TB, got []*kgo.Record, ids []string) {
	t.Helper()
	seen := map[string]int{}
	last := map[string]uint64{}
	for _, r := range got {
		id := header(r, "event-id")
		seen[id]++
		var seq uint64
		if _, err := fmt.Sscan(header(r, "sequence"), &seq); err != nil {
			t.Fatalf("record %s: sequence %q", id, header(r, "sequence"))
		}
		if key := string(r.Key); seq <= last[key] {
			t.Errorf("key %s: %d after %d", key, seq, last[key])
		} else {
			last[key] = seq
		}
	}
	for _, id := range ids {
		if seen[id] != 1 {
			t.Errorf("%s arrived %d times", id, seen[id])
		}
		delete(seen, id)
	}
	for id := range seen {
		t.Errorf("%s was not to arrive", id)
	}
}

func portOf(t testing.TB, address string) int {
	t.Helper()
	a, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	return a.Port
}

// idsOf reads the event ids of a produce request.
func idsOf(t testing.TB, r *kmsg.ProduceRequest) []string {
	t.Helper()
	decompress := kgo.DefaultDecompressor()
	var ids []string
	for _, topic := range r.Topics {
		for _, p := range topic.Partitions {
			var batch kmsg.RecordBatch
			if err := batch.ReadFrom(p.Records); err != nil {
				t.Error(err)
				return nil
			}
			raw := batch.Records
			if codec := kgo.CompressionCodecType(batch.Attributes & 7); codec != kgo.CodecNone {
				var err error
				if raw, err = decompress.Decompress(raw, codec); err != nil {
					t.Error(err)
					return nil
				}
			}
			for i := 0; i+9 < len(raw); i++ {
				if string(raw[i:i+8]) == "event-id" {
					n := int(raw[i+8]) / 2 // a short varint
					ids = append(ids, string(raw[i+9:i+9+n]))
				}
			}
		}
	}
	return ids
}
