package uplink

import (
	"context"
	"sync/atomic"
	"time"
)

// attempt is one try to send some records of a window over one client.
type attempt struct {
	window *window
	chosen []int // indexes into the window
	bytes  int
	began  time.Time

	left atomic.Int64
	all  chan struct{} // closed when Kafka, or the end of the client, has settled all of them
	done chan struct{} // closed when also the client is at rest
}

// start hands the chosen records to the client and lets it send them.
//
// The client sends nothing before Flush. So when Kafka refuses a batch, all later records of its partition are already in
// the client and fail with it; if they were still being handed over, they would overtake what has to be sent again.
// For the same reason nothing is flushed when the client has not taken every record: then the whole try fails.
func (l *link) start(w *window, chosen []int, bytes int) *attempt {
	a := &attempt{window: w, chosen: chosen, bytes: bytes, began: time.Now(), done: make(chan struct{}), all: make(chan struct{})}
	a.left.Store(int64(len(chosen)))
	w.under.Store(a)
	before := l.taken.Load()
	for _, i := range chosen {
		w.tried[i] = true
		r := &w.records[i]
		r.Context, r.Timestamp = nil, a.began
		l.client.Produce(context.Background(), r, w.promise[i])
	}
	l.tried = true
	// A single record cannot overtake anything, and a new client's first one waits for its topic, so it is flushed anyway.
	whole := len(chosen) == 1 || l.taken.Load()-before == int64(len(chosen))
	go func() {
		defer close(a.done)
		if whole {
			// Ends with its last record, by Close at the latest.
			_ = l.client.Flush(context.Background())
		} else {
			l.client.Close()
		}
		<-a.all
	}()
	return a
}

// settled counts down; promises are called one after the other.
func (a *attempt) settled() {
	if a.left.Add(-1) == 0 {
		close(a.all)
	}
}
