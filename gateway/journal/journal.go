// Package journal makes what the cycles decided durable: it merges cycles into few commits, says when each is kept, and
// goes on in memory while the disk cannot be written. Neither a full nor a hanging disk makes a cycle wait.
//
// It does not know what a record means and does not read back what it wrote; the store does the keeping.
package journal

import (
	"log/slog"
	"sync"
	"time"

	"gacp-erp.internal/glasshouse/buffer"
)

// When a commit is due, counted from the first entry that wants it.
const (
	anyWait    = time.Second           // anything
	qos1Wait   = 50 * time.Millisecond // a message that waits for its acknowledgement
	urgentPace = 10 * time.Millisecond // between the starts of two urgent commits
	batchShare = 8                     // of Memory: that much waiting is committed at once
	firstRetry = time.Second           // after a commit that ended in an error
	lastRetry  = 30 * time.Second      // each wait is twice the one before, up to this
	never      = 24 * 365 * time.Hour  // nothing is due
	maxMemory  = 8 << 20               // Memory's default, bytes
	maxStall   = 2 * time.Second       // Stall's default
)

// Store keeps records and notes. *buffer.Buffer is one.
type Store interface {
	// Commit keeps all of it or nothing, durably, and keeps no reference to it. It is called by one goroutine.
	Commit([]buffer.Record, buffer.Notes) error
}

// Options say what a Journal is made of.
type Options struct {
	Store    Store
	Memory   int64                  // bytes of records that may wait in memory while the store cannot be written; 0: 8 MiB
	Stall    time.Duration          // a commit that takes longer counts as hanging; 0: 2 s
	Critical func(buffer.Lane) bool // whose records are dropped last; nil: none. Called by Add
	Changed  func(State)            // told when the journal becomes degraded and when it is well again; from Run's goroutine, must not block; nil: nobody
	Log      *slog.Logger           // nil: silent
}

// Entry is what one cycle wants kept.
type Entry struct {
	Records []buffer.Record
	Notes   buffer.Notes       // the newest value of a key counts; nil deletes it
	Urgent  bool               // commit at once, at most every 10 ms
	QoS1    int                // messages that wait for it: commit within 50 ms
	Half    bool               // half of what a broker sends without an acknowledgement waits: commit at once
	Done    func(durable bool) // called once, in the order of Add: after the commit, or with false as soon as it is known that it must not be waited for; must not block; nil: nobody waits
}

// Journal merges entries into commits. Add is for one goroutine at a time, the other methods for any; Run is called once.
type Journal struct {
	options Options
	log     *slog.Logger
	wake    chan struct{} // has a value when due came nearer, or somebody waits in vain

	mu       sync.Mutex
	waiting  *batch
	flight   *batch // in the store's hands; nil when it has nothing to do
	spare    *batch // empty
	pool     pool
	due      time.Time // when waiting is to be committed; zero: nothing waits
	began    time.Time // of the newest commit
	hung     bool      // the commit in the store's hands was told to hang
	retry    time.Time // not before; zero while commits work
	failures int       // in a row
	state    State
	news     []State // changes that Changed has not been told
	ended    bool
	counts   counts

	vain []func(bool) // Run's: those who are told that they wait in vain
}

// New makes a journal; Run makes it work.
func New(o Options) *Journal {
	if o.Memory <= 0 {
		o.Memory = maxMemory
	}
	if o.Stall <= 0 {
		o.Stall = maxStall
	}
	if o.Critical == nil {
		o.Critical = func(buffer.Lane) bool { return false }
	}
	if o.Changed == nil {
		o.Changed = func(State) {}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Journal{options: o, log: o.Log, wake: make(chan struct{}, 1), waiting: newBatch(), spare: newBatch()}
}

// Add takes an entry, copying its records and notes, and never blocks. Once Run has ended an entry is counted as dropped
// and Done is called at once.
func (j *Journal) Add(e Entry) {
	j.mu.Lock()
	if j.ended {
		for i := range e.Records {
			j.counts.dropped.count(j.kind(&e.Records[i]))
		}
		j.mu.Unlock()
		if e.Done != nil {
			e.Done(false)
		}
		return
	}
	full := j.waiting.bytes > j.options.Memory
	for i := range e.Records {
		j.waiting.add(&e.Records[i], j.kind(&e.Records[i]), &j.pool)
	}
	for k, v := range e.Notes {
		j.waiting.note(k, v)
	}
	j.waiting.entries++
	if e.Done != nil {
		j.waiting.done = append(j.waiting.done, e.Done)
	}
	if full && j.flight != nil && !j.state.Degraded {
		j.degrade(errSlow, time.Now())
	}
	j.trim()
	ring := j.schedule(&e, time.Now()) || len(j.news) > 0 || j.state.Degraded && e.Done != nil
	j.mu.Unlock()
	if ring {
		select {
		case j.wake <- struct{}{}:
		default: // it will look anyway
		}
	}
}

func (j *Journal) kind(r *buffer.Record) kind {
	if j.options.Critical(r.Lane) {
		return critical
	}
	return telemetry
}

// schedule brings the next commit as near as an entry wants it, and says whether it came nearer. The mutex is held.
func (j *Journal) schedule(e *Entry, now time.Time) (nearer bool) {
	at := now.Add(anyWait)
	switch {
	case e.Half || j.waiting.bytes >= j.options.Memory/batchShare:
		at = now
	case e.Urgent:
		at = now
		if pace := j.began.Add(urgentPace); pace.After(at) {
			at = pace
		}
	case e.QoS1 > 0:
		at = now.Add(qos1Wait)
	}
	if j.due.IsZero() || at.Before(j.due) {
		j.due = at
		return true
	}
	return false
}
