package journal

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"
)

// result is how a commit ended.
type result struct {
	err  error
	took time.Duration
}

// Run commits until ctx ends, then commits what waits. That end takes at most Stall; the error says what could not be kept.
// A commit that hangs even then is left behind in its goroutine.
func (j *Journal) Run(ctx context.Context) error {
	jobs, results, stored := make(chan *batch, 1), make(chan result, 1), make(chan struct{})
	go func() {
		defer close(stored)
		j.store(jobs, results)
	}()
	err := j.work(ctx, jobs, results)
	close(jobs)
	if !j.busy() {
		<-stored
	}
	return err
}

// work is Run without its goroutine.
func (j *Journal) work(ctx context.Context, jobs chan<- *batch, results <-chan result) error {
	pause := time.NewTimer(never)
	defer pause.Stop()
	for {
		pause.Reset(j.step(jobs))
		select {
		case <-j.wake:
		case <-pause.C:
		case r := <-results:
			j.finish(r)
		case <-ctx.Done():
			return j.end(jobs, results)
		}
	}
}

// busy says that the store has a batch in its hands.
func (j *Journal) busy() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.flight != nil
}

// store is the goroutine that commits, so that a disk that hangs holds up nobody else.
func (j *Journal) store(jobs <-chan *batch, results chan<- result) {
	debug.SetPanicOnFault(true) // a mapped file that cannot be read is an error of the disk, not the end of the process
	for b := range jobs {
		began := time.Now()
		err := j.commit(b)
		results <- result{err, time.Since(began)}
	}
}

func (j *Journal) commit(b *batch) (err error) {
	if b.idle() {
		return nil
	}
	defer func() {
		if p := recover(); p != nil {
			if degraded, _ := j.Degraded(); !degraded { // once, not at each try
				j.log.Error("the store panicked in a commit; please report it", "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			}
			err = fmt.Errorf("the store panicked: %v", p)
		}
	}()
	return j.options.Store.Commit(b.records, b.notes)
}

// step does what is due now and says for how long nothing will be.
func (j *Journal) step(jobs chan<- *batch) time.Duration {
	now := time.Now()
	j.mu.Lock()
	wait := never
	switch {
	case j.flight != nil && !j.hung:
		if wait = j.began.Add(j.options.Stall).Sub(now); wait <= 0 {
			j.hung, wait = true, never
			j.degrade(fmt.Errorf("a commit has not ended after %s; look at the disk", j.options.Stall), now)
		}
	case j.flight == nil && !j.due.IsZero():
		if wait = later(j.due, j.retry).Sub(now); wait <= 0 {
			j.launch(jobs, now)
			wait = j.options.Stall
		}
	}
	j.mu.Unlock()
	j.tell()
	return wait
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// launch gives what waits to the store. The mutex is held.
func (j *Journal) launch(jobs chan<- *batch, now time.Time) {
	j.flight, j.waiting, j.spare = j.waiting, j.spare, nil
	j.began, j.hung, j.due = now, false, time.Time{}
	jobs <- j.flight
}

// finish takes how a commit ended.
func (j *Journal) finish(r result) {
	j.mu.Lock()
	b, now := j.flight, time.Now()
	var done []func(bool)
	j.flight = nil
	if r.err == nil {
		done = b.done
		j.kept(b, r.took, now)
	} else {
		j.refused(b, r.err, now)
	}
	j.mu.Unlock()
	for _, f := range done {
		f(true)
	}
	clear(done)
	j.tell()
}

// kept notes that a batch is durable. The mutex is held, here and below.
func (j *Journal) kept(b *batch, took time.Duration, now time.Time) {
	if !b.idle() {
		j.counts.commits++
		j.counts.records += uint64(len(b.records))
		j.counts.took += took
		j.counts.longest = max(j.counts.longest, took)
	}
	b.empty(&j.pool)
	j.spare, j.failures, j.retry = b, 0, time.Time{}
	if took < j.options.Stall || j.waiting.entries == 0 {
		j.recover(now)
		return
	}
	j.due = now // a commit that was late proves little: the next one will
}

// refused puts a batch back in front of what waits.
func (j *Journal) refused(b *batch, err error, now time.Time) {
	j.counts.failed++
	b.join(j.waiting)
	j.spare, j.waiting = j.waiting, b
	j.due, j.retry = now, now.Add(min(firstRetry<<min(j.failures, 8), lastRetry))
	j.failures++
	j.degrade(err, now)
}

// end commits what waits, for at most Stall, and says what was not kept.
func (j *Journal) end(jobs chan<- *batch, results <-chan result) error {
	limit := time.NewTimer(j.options.Stall)
	defer limit.Stop()
	for tries := 0; ; {
		j.mu.Lock()
		if j.flight == nil {
			if j.waiting.entries == 0 || tries > 0 && j.failures > 0 {
				return j.close()
			}
			tries++
			j.launch(jobs, time.Now())
		}
		j.mu.Unlock()
		select {
		case r := <-results:
			j.finish(r)
		case <-limit.C:
			j.mu.Lock()
			return j.close()
		}
	}
}

// close takes no more entries and gives up those that are left. It releases the mutex, which is held.
func (j *Journal) close() error {
	var faults []error
	var vain []func(bool)
	j.ended = true
	if b := j.flight; b != nil {
		vain = append(vain, b.done...)
		b.done = nil
		faults = append(faults, fmt.Errorf("the last commit hangs: whether its %d records are kept shows at the next start", len(b.records)))
	}
	if b := j.waiting; b.entries > 0 {
		vain = append(vain, b.done...)
		b.done = nil
		for _, k := range b.kinds {
			j.counts.dropped.count(k)
		}
		if err := j.state.Err; err != nil && j.state.Degraded {
			faults = append(faults, fmt.Errorf("%d records and %d notes were not kept: %w", len(b.records), len(b.notes), err))
		} else {
			faults = append(faults, fmt.Errorf("%d records and %d notes were not kept", len(b.records), len(b.notes)))
		}
		b.empty(&j.pool)
	}
	j.mu.Unlock()
	for _, f := range vain {
		f(false)
	}
	if len(faults) > 0 {
		return fmt.Errorf("journal: stopping: %w", errors.Join(faults...))
	}
	return nil
}
