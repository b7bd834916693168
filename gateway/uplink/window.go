package uplink

import (
	"strconv"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kgo"

	"gacp-erp.internal/glasshouse/buffer"
	"gacp-erp.internal/glasshouse/gateway/contract"
)

// fate is how far a record of a window has come.
type fate uint8

const (
	waiting  fate = iota
	sent          // Kafka has acknowledged it
	rejected      // Kafka will never take it
)

// window is the part of a lane that a pump works on: consecutive records in memory, oldest first. Its arrays are used
// again for later windows.
type window struct {
	entries []buffer.Entry
	records []kgo.Record
	headers []kgo.RecordHeader // of all records
	text    []byte             // sequences as text, of all records
	fates   []fate
	tried   []bool  // handed to Kafka at least once
	errs    []error // of the last try
	promise []func(*kgo.Record, error)
	acked   int // entries that the buffer has been told about

	under atomic.Pointer[attempt] // the try that the promises report to
}

// load fills the window with the entries of a lane as records for Kafka.
func (w *window) load(entries []buffer.Entry, topic string, epoch []byte) {
	w.entries, w.acked = entries, 0
	n := len(entries)
	w.records = resize(w.records, n)
	w.fates = resize(w.fates, n)
	w.tried = resize(w.tried, n)
	w.errs = resize(w.errs, n)
	for i := len(w.promise); i < n; i++ {
		w.promise = append(w.promise, func(_ *kgo.Record, err error) { w.settle(i, err) })
	}
	w.headers, w.text = w.headers[:0], w.text[:0]
	for i := range entries {
		e := &entries[i]
		first := len(w.headers)
		for key, value := range contract.Headers(e.Head) {
			w.headers = append(w.headers, kgo.RecordHeader{Key: key, Value: value})
		}
		digits := len(w.text)
		w.text = strconv.AppendUint(w.text, e.Sequence, 10)
		w.headers = append(w.headers,
			kgo.RecordHeader{Key: contract.HeaderEpoch, Value: epoch},
			kgo.RecordHeader{Key: contract.HeaderSequence, Value: w.text[digits:len(w.text):len(w.text)]})
		// Growing moves what comes next to another array; what is already cut out stays valid where it is.
		w.records[i] = kgo.Record{Topic: topic, Key: e.Key, Value: e.Body, Headers: w.headers[first:len(w.headers):len(w.headers)]}
	}
}

// resize returns n zero elements, in the same array if it is large enough.
func resize[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	s = s[:n]
	clear(s)
	return s
}

// forget drops the entries and keeps the arrays.
func (w *window) forget() {
	w.entries, w.acked = nil, 0
	clear(w.records)
	clear(w.headers)
}

// done says that nothing of the window waits.
func (w *window) done() bool { return w.acked == len(w.entries) }

// size is what an entry counts, in bytes; the source is expected to count likewise.
func size(e *buffer.Entry) int { return len(e.Key) + len(e.Head) + len(e.Body) }

// choose returns the oldest waiting entries, in order: about limit bytes, at most count (0: any number) and at least one. What may
// be too large for a batch travels alone, so that its refusal concerns nothing else.
func (w *window) choose(dst []int, limit, count int) (chosen []int, bytes int) {
	chosen = dst[:0]
	for i := w.acked; i < len(w.entries); i++ {
		if w.fates[i] != waiting {
			continue
		}
		b := size(&w.entries[i])
		alone := b > largest*9/10
		if len(chosen) > 0 && (bytes >= limit || alone) {
			break
		}
		chosen = append(chosen, i)
		bytes += b
		if len(chosen) == count || alone {
			break
		}
	}
	return chosen, bytes
}

// settle is the promise of record i.
func (w *window) settle(i int, err error) {
	w.errs[i] = err
	w.under.Load().settled()
}

// ack tells the buffer about the head of the window that is done, and returns how many entries that were.
func (w *window) ack(source Source, lane buffer.Lane) {
	var poisoned []uint64
	from := w.acked
	for w.acked < len(w.entries) && w.fates[w.acked] != waiting {
		if w.fates[w.acked] == rejected {
			poisoned = append(poisoned, w.entries[w.acked].Sequence)
		}
		w.acked++
	}
	if w.acked > from {
		source.Ack(lane, w.entries[w.acked-1].Sequence, poisoned...)
	}
}
