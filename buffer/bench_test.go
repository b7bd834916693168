package buffer

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"
)

// The yardstick of the benchmarks below is bbolt alone, one key for each event with the same bytes, settings as good as
// they get: FillPercent 1, map freelist, freelist not synced. events/s is what was made durable, B/event what the kernel
// was asked to write to the disk (/proc/self/io). Rates depend on the machine, ratios do not.

// telemetryEvents are events as the gateway makes them: 534 bytes of JSON with values that wander, an id that is as random
// as a uuid of version 7, and the headers that go with it.
func telemetryEvents(n int) []Record {
	rng := rand.New(rand.NewPCG(1, 2))
	value := [3]float64{23.4, 61.2, 1013.25}
	recs := make([]Record, n)
	for i := range recs {
		for j := range value {
			value[j] += rng.NormFloat64() * 0.05
		}
		at := int64(1_764_000_000_000) + int64(i)*7
		id := fmt.Sprintf("%08x-%04x-7%03x-%04x-%012x", at>>16, at&0xffff, i&0xfff, 0x8000|rng.IntN(0x4000), rng.Uint64()>>16)
		stamp := fmt.Sprintf("2026-03-01T12:%02d:%02d.%03dZ", i/60_000%60, i/1000%60, i%1000)
		device := fmt.Sprintf("veg%d-climate-%02d", i%3+1, i%17)
		body := fmt.Appendf(nil, `{"eventType":"device.telemetry.received","correlationId":%q,"timestamp":%q,"source":{"type":"device","id":%q},"__version":"v1",`+
			`"payload":{"deviceId":%q,"receivedAt":%q,"telemetryType":"sensors","data":{"temperature":%.2f,"humidity":%.2f,"pressure":%.2f,`+
			`"custom":{"protocol":"mqtt","facilityId":"7c1e0b1a-3c1e-4c52-9d2f-0d6a6b9d3c14","zone":"veg-%d","pad":""}}}}`,
			id, stamp, device, device, stamp, value[0], value[1], value[2], i%3+1)
		if n := 534 - len(body); n > 0 {
			body = []byte(strings.Replace(string(body), `"pad":""`, `"pad":"`+strings.Repeat("-", n)+`"`, 1))
		}
		head := fmt.Appendf(nil, "event-id:%s correlation-id:%s event-type:device.telemetry.received content-type:application/json schema-version:v1 gateway-id:gh-riga-01", id, id)
		recs[i] = Record{Lane: telemetry, At: at, Key: []byte(device), Head: head, Body: body}
	}
	return recs
}

// events is what a benchmark cycles through: enough that nothing is compressed against its own repetition.
const events = 50_000

// BenchmarkCommit makes batches durable, 50 commits here and 50 with bare bbolt in turn, so that whatever else the disk has
// to do weighs on both. "x" is our rate by bbolt's.
func BenchmarkCommit(b *testing.B) {
	recs := telemetryEvents(events)
	for _, batch := range []int{100, 1000} {
		b.Run(strconv.Itoa(batch), func(b *testing.B) {
			buf := open(b, Options{Dir: b.TempDir(), Lanes: []LaneSpec{{Name: telemetry}}})
			raw, done := rawBolt(b)
			defer done()
			ours := &side{put: func(recs []Record) error { return buf.Commit(recs, nil) }}
			bare := &side{put: raw}
			for b.Loop() {
				ours.turn(b, recs, batch)
				bare.turn(b, recs, batch)
			}
			b.ReportMetric(ours.rate(), "events/s")
			b.ReportMetric(bare.rate(), "bbolt-events/s")
			b.ReportMetric(ours.rate()/bare.rate(), "x")
			b.ReportMetric(float64(ours.bytes)/float64(ours.n), "B/event")
			b.ReportMetric(float64(bare.bytes)/float64(bare.n), "bbolt-B/event")
		})
	}
}

// side is one of the two that are compared.
type side struct {
	put   func([]Record) error
	n     int // events so far
	took  time.Duration
	bytes int64
}

func (s *side) turn(b *testing.B, recs []Record, batch int) {
	before, start := written(b), time.Now()
	for range 50 {
		at := s.n % (len(recs) - batch + 1)
		if err := s.put(recs[at : at+batch]); err != nil {
			b.Fatal(err)
		}
		s.n += batch
	}
	s.took += time.Since(start)
	s.bytes += written(b) - before
}

func (s *side) rate() float64 { return float64(s.n) / s.took.Seconds() }

// rawBolt is the yardstick: one key for each event.
func rawBolt(b *testing.B) (put func([]Record) error, done func()) {
	db, err := bolt.Open(filepath.Join(b.TempDir(), "raw.bolt"), 0o600, &bolt.Options{NoFreelistSync: true, FreelistType: bolt.FreelistMapType})
	if err != nil {
		b.Fatal(err)
	}
	bucket := []byte("e")
	if err := db.Update(func(tx *bolt.Tx) error { _, err := tx.CreateBucket(bucket); return err }); err != nil {
		b.Fatal(err)
	}
	var next uint64
	var values []byte // reused: bbolt needs them until the commit alone
	put = func(recs []Record) error {
		size := 0
		for i := range recs {
			size += len(recs[i].Key) + len(recs[i].Head) + len(recs[i].Body) + 32
		}
		values = slices.Grow(values[:0], size)
		return db.Update(func(tx *bolt.Tx) error {
			bk := tx.Bucket(bucket)
			bk.FillPercent = 1
			for i := range recs {
				next++
				at := len(values)
				values = appendRecord(values, &recs[i], 0)
				if err := bk.Put(binary.BigEndian.AppendUint64(nil, next), values[at:]); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return put, func() { db.Close() }
}

// written is how many bytes this process has made the kernel write to a disk.
func written(b *testing.B) int64 {
	io, err := os.ReadFile("/proc/self/io")
	if err != nil {
		b.Skip("no /proc/self/io: ", err)
	}
	for line := range strings.Lines(string(io)) {
		if v, ok := strings.CutPrefix(line, "write_bytes: "); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(v), 10, 64)
			if err != nil {
				b.Fatal(err)
			}
			return n
		}
	}
	b.Skip("no write_bytes in /proc/self/io")
	return 0
}

// BenchmarkDrain peeks and acknowledges an outage of 300,000 events, without sending them anywhere.
func BenchmarkDrain(b *testing.B) {
	const backlog = 300_000
	recs := telemetryEvents(events)
	for _, batch := range []int{100, 1000} {
		b.Run(strconv.Itoa(batch), func(b *testing.B) {
			drained := 0
			for b.Loop() {
				b.StopTimer()
				buf := open(b, Options{Dir: b.TempDir(), Lanes: []LaneSpec{{Name: telemetry}}})
				for n := 0; n < backlog; n += batch {
					at := n % (len(recs) - batch + 1)
					commit(b, buf, recs[at:at+batch], nil)
				}
				b.StartTimer()
				var after uint64
				for {
					es := peek(b, buf, telemetry, after, 1<<20)
					if len(es) == 0 {
						break
					}
					drained += len(es)
					after = es[len(es)-1].Sequence
					buf.Ack(telemetry, after)
				}
				b.StopTimer()
				if n := stats(b, buf, telemetry).Waiting; n != 0 {
					b.Fatalf("%d still wait", n)
				}
				buf.Close()
				b.StartTimer()
			}
			b.ReportMetric(float64(drained)/b.Elapsed().Seconds(), "events/s")
		})
	}
}

// BenchmarkMillionWaiting has a million events wait, and reports what that costs in memory and at the next start.
func BenchmarkMillionWaiting(b *testing.B) {
	recs := telemetryEvents(events)
	o := Options{Dir: b.TempDir(), Lanes: []LaneSpec{{Name: telemetry}}}
	buf := open(b, o)
	before := anonymous(b)
	for n := 0; n < 1_000_000; n += 1000 {
		at := n % (len(recs) - 1000 + 1)
		commit(b, buf, recs[at:at+1000], nil)
	}
	peek(b, buf, telemetry, 0, 1<<20)
	grown := anonymous(b) - before
	runtime.KeepAlive(recs)
	if err := buf.Close(); err != nil {
		b.Fatal(err)
	}
	if err := os.Remove(filepath.Join(o.Dir, cleanName)); err != nil {
		b.Fatal(err) // as after a power cut: the newest segment is probed
	}
	for b.Loop() {
		buf = open(b, o)
		if len(peek(b, buf, telemetry, 0, 1)) != 1 {
			b.Fatal("nothing waits")
		}
		b.StopTimer()
		if err := buf.Close(); err != nil {
			b.Fatal(err)
		}
		if err := os.Remove(filepath.Join(o.Dir, cleanName)); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
	b.ReportMetric(float64(grown)/1e6, "MB-grown")
	b.ReportMetric(b.Elapsed().Seconds()*1000/float64(b.N), "ms-to-open-and-peek")
}

// anonymous is this process' anonymous resident memory after a garbage collection, in bytes.
func anonymous(b *testing.B) int64 {
	debug.FreeOSMemory()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		b.Skip("no /proc/self/status: ", err)
	}
	for line := range strings.Lines(string(status)) {
		if v, ok := strings.CutPrefix(line, "RssAnon:"); ok {
			n, err := strconv.ParseInt(strings.Fields(v)[0], 10, 64)
			if err != nil {
				b.Fatal(err)
			}
			return n << 10
		}
	}
	b.Skip("no RssAnon in /proc/self/status")
	return 0
}
