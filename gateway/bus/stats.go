package bus

import "time"

// Stats is what is known of a bus; counts are since it was made.
type Stats struct {
	Name string

	Away  error     // why the bus cannot be reached; nil when it can, or was not tried yet
	Since time.Time // since when that is so; zero: from the start
	Next  time.Time // when a bus that does not answer is tried again; zero when it answers
	Hangs string    // what the driver has not returned from in time; "" when nothing

	Polls       uint64 // requests made
	Errors      uint64 // of those without an answer, and of a driver that speaks first while it has no connection
	Late        uint64 // periods in which a request was not made because the bus was busy
	Readings    uint64
	Writes      uint64
	WriteErrors uint64
	LastWrite   error // of the newest write that was not confirmed
	Waiting     int   // writes
	Panics      uint64

	Units []UnitStats // in the order of the driver's plan
}

// UnitStats is what is known of one unit.
type UnitStats struct {
	Name      string
	Polls     uint64
	Errors    uint64
	Late      uint64        // periods in which one of its requests was not made because the bus was busy
	Latency   time.Duration // of an answer: a moving mean over some eight
	Longest   time.Duration // answer so far
	LastError error         // stays after it answers again
	ErrorAt   time.Time     // of LastError
	Failures  int           // in a row, 0 while it answers
	BackOff   time.Time     // when it is asked next because it does not answer; zero when it is asked as planned
}

// counts are a bus' part of Stats.
type counts struct {
	polls, errors, late, readings, writes, writeErrors, panics uint64
	lastWrite                                                  error
}

// unitCounts are a unit's.
type unitCounts struct {
	polls, errors, late uint64
	latency, longest    time.Duration
	err                 error
	errAt               time.Time
}

// polled counts one request.
func (c *unitCounts) polled(took time.Duration, err error, now time.Time) {
	c.polls++
	switch {
	case err != nil:
		c.errors++
		c.err, c.errAt = err, now
	case c.latency == 0:
		c.latency = took
	default:
		c.latency += (took - c.latency) / 8
	}
	if err == nil {
		c.longest = max(c.longest, took)
	}
}

// Stats is what is known of the bus now.
func (b *Bus) Stats() Stats {
	b.mu.Lock()
	defer b.mu.Unlock()
	c := &b.counts
	s := Stats{Name: b.options.Name, Away: b.away, Since: b.since, Next: b.back.until, Polls: c.polls, Errors: c.errors, Late: c.late,
		Readings: c.readings, Writes: c.writes, WriteErrors: c.writeErrors, LastWrite: c.lastWrite, Panics: c.panics,
		Waiting: len(b.queue.waiting), Units: make([]UnitStats, 0, len(b.plan.units))}
	if b.call.verb != "" && time.Since(b.call.began) >= b.call.limit+hangWait {
		s.Hangs = b.call.verb + " " + b.call.object
	}
	for _, u := range b.plan.units {
		s.Units = append(s.Units, UnitStats{Name: u.name, Polls: u.counts.polls, Errors: u.counts.errors, Late: u.counts.late,
			Latency: u.counts.latency, Longest: u.counts.longest, LastError: u.counts.err, ErrorAt: u.counts.errAt,
			Failures: u.back.failures, BackOff: u.back.until})
	}
	return s
}
