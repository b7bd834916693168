package buffer

import (
	"syscall"
	"time"
)

// The growth of the files is measured once a minute and over the last hour. Where little is written an hour sees too few
// pages come to tell a rate from, so it reaches back until a whole segment's worth has come, at most a day.
const (
	growthEvery  = copyEvery
	growthWindow = time.Hour
	growthLimit  = 24 * time.Hour
)

// Below forecastSoon it is logged that telemetry will be dropped, above forecastEased that it is not so near any more, once
// the measuring has lasted for forecastSure.
const (
	forecastSoon  = 24 * time.Hour
	forecastEased = 26 * time.Hour
	forecastSure  = 10 * time.Minute
	forecastFar   = 100 * 365 * 24 * time.Hour // no forecast is further
)

// growth is how fast the files grow; guarded by Buffer.mu.
type growth struct {
	grown   int64    // bytes appended since Open
	samples []sample // the oldest first
	enough  int64    // bytes to tell a rate from
	near    bool     // it was logged that the forecast is near

	free   int64 // bytes that the disk had left, -1: it did not say
	freeAt int64 // grown, at that time
}

type sample struct {
	at    time.Time
	grown int64
}

// take adds a sample, with what the disk has left, and forgets those that are not needed any more.
func (g *growth) take(now time.Time, free int64) {
	g.free, g.freeAt = free, g.grown
	g.samples = append(g.samples, sample{now, g.grown})
	spare := func(s sample) bool {
		age := now.Sub(s.at)
		return age >= growthLimit || age >= growthWindow && g.grown-s.grown >= g.enough
	}
	for len(g.samples) > 1 && spare(g.samples[1]) {
		g.samples = g.samples[1:]
	}
}

// rate is in bytes per second, 0 before anything can be said.
func (g *growth) rate(now time.Time) float64 {
	if len(g.samples) == 0 {
		return 0
	}
	since := now.Sub(g.samples[0].at)
	if since < growthEvery {
		return 0
	}
	return float64(g.grown-g.samples[0].grown) / since.Seconds()
}

// freeBytes is what the disk under a directory has left for us, -1 when it does not say.
func freeBytes(dir string) int64 {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return -1
	}
	return int64(s.Bavail) * int64(s.Bsize) //nolint:unconvert // Bsize has 32 bits on 32-bit machines
}

// room is how many bytes may still be appended before telemetry is dropped or the disk is full, if nothing is acknowledged
// meanwhile; b.mu is held. It looks ahead as nextMeasure will: the budget is looked at when a segment is full, and counts
// whole segments.
func (b *Buffer) room() int64 {
	n := len(b.segments)
	if n == 0 {
		return 0
	}
	var mixed, kept, sealed, archive int64
	for _, s := range b.segments[:n-1] {
		switch {
		case !b.waits(s, false): // it gives way
			archive += s.bytes
		case s.kept:
			kept += s.bytes
		default:
			mixed += s.bytes
			sealed++
		}
	}
	left := b.opts.MaxBytes - max(b.opts.Reserve, kept) - b.opts.SegmentBytes - mixed
	if left < 0 {
		return 0
	}
	full := b.opts.SegmentBytes - commitSpare
	if sealed > 0 {
		full = max(mixed/sealed, b.opts.SegmentBytes/2) // what they were full at
	}
	room := (left/full+1)*full - b.segments[n-1].bytes
	if g := &b.growth; g.free >= 0 {
		room = min(room, g.free-(g.grown-g.freeAt)+archive)
	}
	return max(0, room)
}

// Forecast is how long it takes at this rate until telemetry is dropped, if nothing is acknowledged meanwhile; at most a
// hundred years. It is false in the first minute after Open and while nothing grows.
func (s *Stats) Forecast() (time.Duration, bool) {
	if s.Growth <= 0 {
		return 0, false
	}
	seconds := min(float64(s.Room)/s.Growth, forecastFar.Seconds())
	return time.Duration(seconds * float64(time.Second)), true
}

// measure takes a sample, and logs when the forecast falls below a day and when it has risen again.
func (b *Buffer) measure() {
	free := freeBytes(b.opts.Dir)
	b.mu.Lock()
	now := time.Now()
	b.growth.take(now, free)
	sure := now.Sub(b.growth.samples[0].at)
	b.mu.Unlock()
	s := b.Stats()
	left, known := s.Forecast()
	if !known || sure < forecastSure {
		return
	}
	var waiting uint64
	for _, l := range s.Lanes {
		waiting += l.Waiting
	}
	b.mu.Lock()
	was := b.growth.near
	switch {
	case left < forecastSoon:
		b.growth.near = true
	case left > forecastEased:
		b.growth.near = false
	}
	near := b.growth.near
	b.mu.Unlock()
	hours := float64(int(left.Hours()*10)) / 10
	switch {
	case near && !was:
		b.opts.Log.Warn("buffer: at this rate raw telemetry is dropped within a day if nothing is acknowledged", "hours", hours, "waiting", waiting)
	case was && !near:
		b.opts.Log.Info("buffer: raw telemetry has more than a day again", "hours", hours, "waiting", waiting)
	}
}
