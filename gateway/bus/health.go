package bus

import (
	"context"
	"fmt"
	"runtime/debug"
	"time"

	"gacp-erp.internal/glasshouse/drivers"
)

const (
	lostAfter  = 2           // failures of the bus in a row until it counts as away: a connection closed while idle is no outage
	panicQuiet = time.Minute // between two panics in the log
)

// limited calls the driver for the owner, for at most limit; a call that does not return shortly after that is told.
func (b *Bus) limited(ctx context.Context, limit time.Duration, verb, object string, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	b.mu.Lock()
	b.call = call{verb, object, time.Now(), limit}
	b.mu.Unlock()
	b.watch.Reset(limit + hangWait)
	err := b.guard(verb, object, func() error { return f(ctx) })
	b.watch.Stop()
	b.mu.Lock()
	b.call = call{}
	b.mu.Unlock()
	return err
}

// guard calls the driver and makes a panic an error of the bus.
func (b *Bus) guard(verb, object string, f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = b.panicked(verb, object, p, debug.Stack())
		}
	}()
	return f()
}

func (b *Bus) panicked(verb, object string, p any, stack []byte) error {
	b.mu.Lock()
	b.counts.panics++
	now := time.Now()
	tell := b.panicAt.IsZero() || now.Sub(b.panicAt) >= panicQuiet
	if tell {
		b.panicAt = now
	}
	b.mu.Unlock()
	if tell {
		b.log.Error("the driver panicked; please report it", "while", verb, "object", object, "panic", fmt.Sprint(p), "stack", string(stack))
	}
	return fmt.Errorf("bus %s: the driver panicked while %s %s: %v: %w", b.options.Name, verb, object, p, drivers.ErrBus)
}

// hanging tells that the driver does not return from a call. It runs when the watch fires.
func (b *Bus) hanging() {
	b.mu.Lock()
	defer b.mu.Unlock()
	c := b.call
	if c.verb == "" || time.Since(c.began) < c.limit+hangWait || b.away != nil {
		return
	}
	b.lose(fmt.Errorf("bus %s: the driver has not returned from %s %s, which may take %s; restart the gateway if this stays: %w",
		b.options.Name, c.verb, c.object, c.limit, drivers.ErrBus), time.Now())
}

// lost counts a failure of the bus itself. When that makes it away it gives a Bad reading of each of its points. The mutex
// is held, here and below.
func (b *Bus) lost(err error, now time.Time) []drivers.Reading {
	b.back.fail(now, 0)
	if b.away != nil || b.back.failures < lostAfter {
		return nil
	}
	b.lose(err, now)
	return silence(nil, b.plan.requests, err, now)
}

// lose tells that the bus cannot be reached.
func (b *Bus) lose(err error, now time.Time) {
	b.away, b.since = err, now
	if b.ended {
		return
	}
	b.log.Warn("the bus cannot be reached", "error", err)
	b.sink.Health(b.options.Index, err)
}

// found notes that somebody on the bus answered, and tells it when the bus was away.
func (b *Bus) found(now time.Time) {
	if b.back.active() {
		b.back.clear()
		b.ring() // the owner may sleep until the next try
	}
	if b.away == nil {
		return
	}
	gone := now.Sub(b.since)
	b.away, b.since = nil, now
	b.plan.retry(now)
	if b.ended {
		return
	}
	b.log.Info("the bus can be reached again", "after", gone)
	b.sink.Health(b.options.Index, nil)
}

// missed counts that a request was not answered. When nobody on the bus answers, the bus is away. It gives Bad readings of
// what has just fallen silent.
func (b *Bus) missed(r *request, err error, now time.Time) (silenced []drivers.Reading) {
	u, refused := r.unit, r.back.active()
	if b.plan.failed(r, now) {
		b.log.Warn("a unit does not answer and is asked less often", "unit", u.name, "error", err)
		silenced = silence(nil, u.requests, err, now)
	} else {
		if !refused && r.back.active() {
			b.log.Warn("a unit does not answer this request, which is made less often", "unit", u.name, "points", r.Points, "error", err)
		}
		silenced = silence(nil, []*request{r}, err, now)
	}
	if !b.plan.silent() {
		b.back.clear() // the connection is there; the other units go on
		return silenced
	}
	b.back.fail(now, 0)
	if b.away == nil {
		err = fmt.Errorf("bus %s: none of its %d units answers; look at the line and its power; the last error: %s: %w",
			b.options.Name, len(b.plan.units), err.Error(), drivers.ErrBus)
		b.lose(err, now)
	}
	return silenced
}

// revived notes that a unit answers.
func (b *Bus) revived(u *unit, now time.Time) {
	failures := u.back.failures
	if b.plan.heard(u, now) {
		b.log.Info("a unit answers again", "unit", u.name, "after", now.Sub(u.since), "attempts", failures)
	}
}

// silence appends a Bad reading for each point of requests of which none was told yet. Not at each attempt: that a point is
// silent, its age tells.
func silence(dst []drivers.Reading, requests []*request, err error, now time.Time) []drivers.Reading {
	for _, r := range requests {
		if r.silent {
			continue
		}
		r.silent = true
		for _, p := range r.Points {
			dst = append(dst, drivers.Reading{Point: p, At: now, Err: err})
		}
	}
	return dst
}
