package uplink

import (
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/twmb/franz-go/pkg/kgo"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestEverythingArrivesOnceInOrder(t *testing.T) {
	c := cluster(t)
	m := newMemory()
	before := m.fill("telemetry", "before", 5000, 7)
	u := run(t, options(m, c.ListenAddrs()...), nil)
	alerts := m.fill("alerts", "alert", 10, 1)
	after := m.fill("telemetry", "after", 5000, 7)
	u.until("drained", func() bool { return m.left("telemetry")+m.left("alerts") == 0 })

	got := all(t, "telemetry.v1", kgo.SeedBrokers(c.ListenAddrs()...))
	complete(t, got, append(before, after...))
	complete(t, all(t, "alerts.v1", kgo.SeedBrokers(c.ListenAddrs()...)), alerts)
	for _, r := range got[:10] {
		if header(r, "epoch") != m.Epoch() || header(r, "content-type") != "application/json" {
			t.Errorf("headers %v", r.Headers)
		}
		if !strings.HasPrefix(string(r.Value), `{"id":"`+header(r, "event-id")) {
			t.Errorf("record %s has the body %s", header(r, "event-id"), r.Value)
		}
		if age := time.Since(r.Timestamp); age < 0 || age > time.Minute {
			t.Errorf("record is %v old: the timestamp is the time of sending", age)
		}
		if codec := r.Attrs.CompressionType(); codec > uint8(kgo.CodecGzip) {
			t.Errorf("record packed with codec %d: kafkajs unpacks only gzip", codec)
		}
		// Java's murmur2 of the key, three partitions.
		if want := kgo.KafkaHasher(murmur2)(r.Key, 3); int(r.Partition) != want {
			t.Errorf("key %s is in partition %d, want %d", r.Key, r.Partition, want)
		}
	}
	s := u.lane("telemetry")
	if s.Sent != 10000 || s.Retried != 0 || s.InFlight != 0 || s.Blocked+s.Error != "" || time.Since(s.LastSent) > time.Minute {
		t.Errorf("stats %+v", s)
	}
	if st := u.Stats(); !st.Connected || st.Error != "" {
		t.Errorf("stats %+v", st)
	}
	u.stop()
	if u.Stats().Connected {
		t.Error("connected after the end")
	}
}

// murmur2 is Java's, written after its published form, to check the partitioner against something else.
func murmur2(data []byte) uint32 {
	const m = 0x5bd1e995
	h := uint32(0x9747b28c) ^ uint32(len(data))
	for ; len(data) >= 4; data = data[4:] {
		k := uint32(data[0]) | uint32(data[1])<<8 | uint32(data[2])<<16 | uint32(data[3])<<24
		k *= m
		k ^= k >> 24
		k *= m
		h = h*m ^ k
	}
	switch len(data) {
	case 3:
		h ^= uint32(data[2]) << 16
		fallthrough
	case 2:
		h ^= uint32(data[1]) << 8
		fallthrough
	case 1:
		h ^= uint32(data[0])
		h *= m
	}
	h ^= h >> 13
	h *= m
	return h ^ h>>15
}
