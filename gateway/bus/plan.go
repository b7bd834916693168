package bus

import (
	"time"

	"gacp-erp.internal/glasshouse/drivers"
)

// backoff says when what fails may be tried again. The zero value of until is at once.
type backoff struct {
	after          int           // failures in a row that are borne
	first, longest time.Duration // waits after that; each is twice the one before
	failures       int           // in a row
	until          time.Time     // not before; zero: not backed off
}

func busBackoff() backoff {
	return backoff{after: 1, first: 500 * time.Millisecond, longest: 10 * time.Second}
}

// unitBackoff is of a unit, or of one request that a unit refuses while it answers others.
func unitBackoff() backoff {
	return backoff{after: 3, first: time.Second, longest: time.Minute}
}

// fail counts a failure. least is the shortest wait that is less often than usual.
func (b *backoff) fail(now time.Time, least time.Duration) {
	b.failures++
	if b.failures >= b.after {
		wait := min(b.first<<min(b.failures-b.after, 16), b.longest)
		b.until = now.Add(max(wait, least))
	}
}

func (b *backoff) clear() { b.failures, b.until = 0, time.Time{} }

// active says that it is backed off, be it that a try is due.
func (b *backoff) active() bool { return !b.until.IsZero() }

// waits says that a try is not due yet.
func (b *backoff) waits(now time.Time) bool { return now.Before(b.until) }

// request is one transaction of the plan with its place in time.
type request struct {
	drivers.Request
	unit   *unit
	anchor time.Time // it is due at anchor and every period after that
	due    time.Time
	soon   bool // one of its outputs was written: ask before what is merely due
	back   backoff
	silent bool // its points were told to be Bad
}

// unit is one device on the bus.
type unit struct {
	name     string
	requests []*request
	probe    int           // which of its requests is tried while it is backed off
	every    time.Duration // the shortest period of its requests
	back     backoff
	since    time.Time // of the first failure in a row
	mute     bool      // it did not answer the last write
	counts   unitCounts
}

// plan is what is asked when. It reads no clock.
type plan struct {
	requests []*request // in the driver's order
	units    []*unit    // in the order in which they occur
	of       map[drivers.PointID]*request
	hurried  bool // the last one was asked before what was due
}

func newPlan(requests []drivers.Request, every time.Duration) *plan {
	p := &plan{of: map[drivers.PointID]*request{}}
	units := map[string]*unit{}
	for _, d := range requests {
		r := &request{Request: d, back: unitBackoff()}
		if r.Every <= 0 {
			r.Every = every
		}
		u := units[d.Unit]
		if u == nil {
			u = &unit{name: d.Unit, every: r.Every, back: unitBackoff()}
			units[d.Unit] = u
			p.units = append(p.units, u)
		}
		r.unit, u.every = u, min(u.every, r.Every)
		u.requests = append(u.requests, r)
		p.requests = append(p.requests, r)
		for _, point := range d.Points {
			p.of[point] = r
		}
	}
	return p
}

// begin makes everything due once, in order, so that all is known soon after the start; from then on requests are spread
// over their periods.
func (p *plan) begin(now time.Time) {
	for i, r := range p.requests {
		r.anchor = now.Add(r.Every * time.Duration(i+1) / time.Duration(len(p.requests)))
		r.due = now
	}
}

// pick gives the request that has been due longest, or comes next, and when it is due; nil when there is none. What is
// wanted soon goes first, but not twice in a row past what is due: a switch that flaps must not blind the bus.
func (p *plan) pick(now time.Time) (next *request, due time.Time) {
	var soon *request
	for _, r := range p.requests {
		if !r.eligible() {
			continue
		}
		at := r.at()
		if next == nil || at.Before(due) {
			next, due = r, at
		}
		if r.soon && soon == nil && !r.back.waits(now) && !r.unit.back.active() {
			soon = r
		}
	}
	if soon != nil && (due.After(now) || !p.hurried) {
		return soon, now
	}
	return next, due
}

// eligible says whether a request is asked at all: of a backed off unit only one is.
func (r *request) eligible() bool {
	return !r.unit.back.active() || r == r.unit.requests[r.unit.probe]
}

// at is when a request is due, back-off considered.
func (r *request) at() time.Time {
	if r.unit.back.active() {
		return r.unit.back.until
	}
	if r.back.until.After(r.due) {
		return r.back.until
	}
	return r.due
}

// start notes that a request is asked now and gives how many of its periods have passed unused. They are not caught up.
func (p *plan) start(r *request, now time.Time) (late uint64) {
	if !r.unit.back.active() {
		if missed := now.Sub(r.at()) / r.Every; missed > 0 {
			late = uint64(missed)
		}
	}
	p.hurried, r.soon = r.soon, false
	r.due = r.anchor
	if past := now.Sub(r.anchor); past >= 0 {
		r.due = now.Add(r.Every - past%r.Every)
	}
	return late
}

// answered notes that a request brought its readings.
func (r *request) answered() {
	r.silent = false
	r.back.clear()
}

// heard notes that a unit answers, and says whether it was backed off until now; then all that it was not asked is due.
func (p *plan) heard(u *unit, now time.Time) (recovered bool) {
	recovered = u.back.active()
	u.back.clear()
	if recovered {
		u.hurry(now)
	}
	return recovered
}

func (u *unit) hurry(now time.Time) {
	for _, r := range u.requests {
		if r.due.Before(now) {
			r.due = now
		}
	}
}

// failed notes that a request was not answered, and says whether that made its unit backed off.
func (p *plan) failed(r *request, now time.Time) (backedOff bool) {
	u := r.unit
	was := u.back.active()
	if u.back.failures == 0 {
		u.since = now
	}
	if !was {
		r.back.fail(now, 0)
	}
	u.back.fail(now, u.every)
	u.probe = (u.probe + 1) % len(u.requests) // another one, in case that the unit refuses only this
	return !was && u.back.active()
}

// silent says that of several units none answers.
func (p *plan) silent() bool {
	for _, u := range p.units {
		if !u.back.active() {
			return false
		}
	}
	return len(p.units) > 1
}

// retry makes everything due that was held up while the bus was away.
func (p *plan) retry(now time.Time) {
	for _, u := range p.units {
		if u.back.waits(now) {
			u.back.until = now
		}
		u.hurry(now)
	}
}
