package bus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"gacp-erp.internal/glasshouse/drivers"
)

const (
	longTime   = time.Hour   // to sleep when nothing is due
	safetyTime = time.Second // for a device that speaks first to confirm while a safety write waits behind it
)

// own is the owner's goroutine: writes, then one request, then writes again.
func (b *Bus) own(ctx context.Context) {
	b.mu.Lock()
	b.plan.begin(time.Now())
	b.mu.Unlock()
	pause := time.NewTimer(longTime)
	defer pause.Stop()
	for ctx.Err() == nil {
		b.writeAll(ctx)
		r, wait := b.next()
		if r != nil {
			b.poll(ctx, r)
			continue
		}
		pause.Reset(wait)
		select {
		case <-pause.C:
		case <-b.wake:
		case <-ctx.Done():
		}
	}
}

// next gives the request that is due, or how long nothing is.
func (b *Bus) next() (*request, time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	if b.back.waits(now) {
		return nil, b.back.until.Sub(now)
	}
	r, due := b.plan.pick(now)
	switch {
	case r == nil:
		return nil, longTime
	case due.After(now) && !b.back.active(): // a bus that is away is tried with what comes next
		return nil, due.Sub(now)
	}
	return r, 0
}

// writeAll writes what waits and may go, but no more than wait when it begins: requests must not starve.
func (b *Bus) writeAll(ctx context.Context) {
	b.mu.Lock()
	n := len(b.queue.waiting)
	b.mu.Unlock()
	for ; n > 0 && ctx.Err() == nil; n-- {
		b.mu.Lock()
		w, ok := b.queue.take(b.answers, b.may)
		b.mu.Unlock()
		if !ok {
			return
		}
		b.write(ctx, w)
	}
}

// may says whether a write that is not for safety may be tried now. The mutex is held.
func (b *Bus) may(w Write) bool {
	if b.back.waits(time.Now()) {
		return false
	}
	r := b.plan.of[w.Point]
	return r == nil || !r.unit.back.active()
}

// answers says whether the unit of a write answered when it was last asked or written to; of a device that nobody asks,
// whether it confirmed. The mutex is held.
func (b *Bus) answers(w Write) bool {
	r := b.plan.of[w.Point]
	if r == nil {
		return !b.mute[w.Point]
	}
	return r.unit.back.failures == 0 && !r.unit.mute
}

// write tries one and confirms it.
func (b *Bus) write(ctx context.Context, w Write) {
	trying, giveUp := context.WithCancel(ctx)
	defer giveUp()
	b.mu.Lock()
	if b.pusher != nil {
		b.hurry = func() {
			wait := safetyTime
			if !w.Safety {
				wait = 0
			}
			time.AfterFunc(wait, giveUp)
		}
		if b.queue.safety() {
			time.AfterFunc(safetyTime, giveUp)
		}
	}
	b.mu.Unlock()
	err := b.limited(trying, b.options.WriteTimeout, "writing", string(w.Point), func(ctx context.Context) error {
		return b.driver.Write(ctx, w.Point, w.Value)
	})
	b.mu.Lock()
	b.hurry = nil
	b.mu.Unlock()
	if ctx.Err() == nil {
		b.wrote(w, err)
	}
	b.sink.Confirm(Confirmation{w.Output, w.ID, w.Value, err})
}

// wrote judges what the outcome of a write says about the unit and the bus, and has the output read.
func (b *Bus) wrote(w Write, err error) {
	b.mu.Lock()
	now, r := time.Now(), b.plan.of[w.Point]
	var silenced []drivers.Reading
	b.counts.writes++
	if r != nil {
		r.unit.mute = errors.Is(err, drivers.ErrUnit)
	} else {
		b.mute[w.Point] = err != nil
	}
	if err != nil {
		b.counts.writeErrors++
		b.counts.lastWrite = err
	}
	switch {
	case err == nil, errors.Is(err, drivers.ErrNotConfirmed):
		if r != nil {
			r.soon = true
			b.revived(r.unit, now)
		}
		if err == nil {
			b.found(now)
		}
	case errors.Is(err, drivers.ErrBus):
		silenced = b.lost(err, now)
	} // that a unit does not answer, its requests tell: one that refuses writes is still read
	b.mu.Unlock()
	b.hand(silenced)
}

// poll asks one request and hands over what it brought.
func (b *Bus) poll(ctx context.Context, r *request) {
	began := time.Now()
	b.mu.Lock()
	if late := b.plan.start(r, began); !b.back.active() { // else it was the bus' absence that made it late
		b.counts.late += late
		r.unit.counts.late += late
	}
	b.mu.Unlock()
	rs := b.readings[:0]
	err := b.limited(ctx, b.options.ReadTimeout, "reading", r.Unit, func(ctx context.Context) (err error) {
		rs, err = b.driver.Read(ctx, r.Request, rs)
		return err
	})
	if ctx.Err() != nil {
		return
	}
	if err != nil {
		if !errors.Is(err, drivers.ErrBus) && !errors.Is(err, drivers.ErrUnit) {
			err = fmt.Errorf("%w: %w", err, drivers.ErrUnit)
		}
		rs = nil
	}
	b.mu.Lock()
	silenced := b.polled(r, began, err)
	b.counts.readings += uint64(len(rs))
	b.mu.Unlock()
	b.hand(silenced)
	b.hand(rs)
	if err == nil {
		b.readings = rs[:0]
	}
}

// polled judges what a read says about the unit and the bus. It gives Bad readings of what has just fallen silent.
func (b *Bus) polled(r *request, began time.Time, err error) (silenced []drivers.Reading) {
	now := time.Now()
	b.counts.polls++
	r.unit.counts.polled(now.Sub(began), err, now)
	switch {
	case err == nil:
		r.answered()
		b.revived(r.unit, now)
		b.found(now)
		return nil
	case errors.Is(err, drivers.ErrBus):
		b.counts.errors++
		return b.lost(err, now)
	}
	b.counts.errors++
	return b.missed(r, err, now)
}

// hand gives readings to the sink. The mutex is not held: the sink may wait.
func (b *Bus) hand(rs []drivers.Reading) {
	if len(rs) > 0 {
		b.sink.Readings(b.options.Index, rs, 0)
	}
}
