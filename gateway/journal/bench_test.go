package journal

import (
	"bytes"
	"testing"
	"time"

	"gacp-erp.internal/glasshouse/buffer"
)

// cycle is what a cycle of ten messages gives the journal: telemetry of the platform's size, and the rules' state.
func cycle() Entry {
	e := Entry{QoS1: 10, Done: func(bool) {}, Notes: buffer.Notes{"scan": bytes.Repeat([]byte("s"), 900), "boot": []byte("b")}}
	for range 10 {
		e.Records = append(e.Records, buffer.Record{Lane: "telemetry", Key: bytes.Repeat([]byte("k"), 36), Head: bytes.Repeat([]byte("h"), 180), Body: bytes.Repeat([]byte("x"), 534)})
	}
	return e
}

// round is a hundred cycles and the commit of them, without a store.
func round(j *Journal, jobs chan *batch, e Entry) {
	for range 100 {
		j.Add(e)
	}
	j.mu.Lock()
	j.launch(jobs, time.Now())
	j.mu.Unlock()
	<-jobs
	j.finish(result{})
}

func TestAddAllocatesNothing(t *testing.T) {
	j, jobs, e := New(Options{Memory: 64 << 20}), make(chan *batch, 1), cycle()
	for range 4 {
		round(j, jobs, e)
	}
	if n := testing.AllocsPerRun(20, func() { round(j, jobs, e) }); n != 0 {
		t.Errorf("%v allocations in a hundred entries and their commit", n)
	}
	if s := j.Stats(); s.InMemory != 0 || s.Records == 0 {
		t.Errorf("%+v", s)
	}
}

// BenchmarkAdd is the cost of a record from Add to the release of its memory; copy is the same bytes copied into one slice.
func BenchmarkAdd(b *testing.B) {
	e := cycle()
	b.Run("journal", func(b *testing.B) {
		j, jobs := New(Options{Memory: 64 << 20}), make(chan *batch, 1)
		b.ReportAllocs()
		for b.Loop() {
			round(j, jobs, e)
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/record")
	})
	b.Run("copy", func(b *testing.B) {
		var all []byte
		for b.Loop() {
			all = all[:0]
			for range 100 {
				for i := range e.Records {
					r := &e.Records[i]
					all = append(append(append(all, r.Key...), r.Head...), r.Body...)
				}
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/record")
	})
}
