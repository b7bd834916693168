package journal

import (
	"errors"
	"time"
)

// errSlow is why a journal is degraded when a commit that does not even hang is too slow for what comes.
var errSlow = errors.New("commits are slower than what is to be kept; look at the disk")

// kind says in which order records are dropped.
type kind uint8

const (
	telemetry kind = iota
	critical
	kinds
)

// Dropped counts records that were not kept.
type Dropped struct{ Critical, Telemetry uint64 }

func (d *Dropped) count(k kind) {
	if k == critical {
		d.Critical++
	} else {
		d.Telemetry++
	}
}

// State tells of the newest time in which the store could not be written: degraded, or what was lost until it was well.
type State struct {
	Degraded bool
	Err      error     // why; the newest reason
	Since    time.Time // wall time of its begin
	Until    time.Time // wall time of its end; zero while degraded
	Dropped  Dropped   // in that time
	First    time.Time // wall time (Record.At) of the earliest dropped record; zero when none was
	Last     time.Time // and of the latest
}

// drop counts a record of the present spell.
func (s *State) drop(k kind, at int64) {
	s.Dropped.count(k)
	t := time.UnixMilli(at)
	if s.First.IsZero() || t.Before(s.First) {
		s.First = t
	}
	if t.After(s.Last) {
		s.Last = t
	}
}

// degrade notes that the store cannot be written; from now on what waits must fit into memory. The mutex is held.
func (j *Journal) degrade(err error, now time.Time) {
	if j.state.Degraded {
		j.state.Err = err
	} else {
		j.state = State{Degraded: true, Err: err, Since: now}
		j.news = append(j.news, j.state)
	}
	j.trim()
}

// recover notes that it can be written again. The mutex is held.
func (j *Journal) recover(now time.Time) {
	if !j.state.Degraded {
		return
	}
	j.state.Degraded, j.state.Until = false, now
	j.news = append(j.news, j.state)
}

// trim drops what does not fit into memory, only while degraded: telemetry first, the oldest first. The mutex is held.
func (j *Journal) trim() {
	limit := j.options.Memory
	if !j.state.Degraded || j.waiting.bytes <= limit {
		return
	}
	limit -= limit / trimShare // not for each record again
	for k := range kinds {
		j.waiting.drop(k, j.waiting.bytes-limit, &j.pool, func(at int64) {
			j.counts.dropped.count(k)
			j.state.drop(k, at)
		})
	}
}

// tell tells of changes, and those who wait in vain. Called by Run's goroutine without the mutex.
func (j *Journal) tell() {
	j.mu.Lock()
	news := j.news
	j.news = nil
	vain := j.vain[:0]
	if j.state.Degraded {
		if j.flight != nil {
			vain = append(vain, j.flight.forget()...)
		}
		vain = append(vain, j.waiting.forget()...)
	}
	j.vain = vain
	j.mu.Unlock()
	for i := range news {
		j.changed(&news[i])
	}
	for _, f := range vain {
		f(false)
	}
	clear(vain)
}

func (j *Journal) changed(s *State) {
	if s.Degraded {
		j.log.Warn("the journal cannot write; what comes waits in memory, the oldest telemetry is dropped first", "error", s.Err, "bytes", j.options.Memory)
	} else {
		j.log.Info("the journal writes again", "after", s.Until.Sub(s.Since), "droppedCritical", s.Dropped.Critical, "droppedTelemetry", s.Dropped.Telemetry)
	}
	j.options.Changed(*s)
}

// counts are since New.
type counts struct {
	commits, failed, records uint64
	took, longest            time.Duration
	dropped                  Dropped
}

// Stats is what is known of a journal; counts are since New.
type Stats struct {
	Commits        uint64
	FailedCommits  uint64  // ended in an error; what they held is tried again
	Records        uint64  // committed
	CommitSeconds  float64 // total of all Commits
	LongestSeconds float64 // the slowest of them
	HangsSeconds   float64 // for how long the commit in progress has been hanging; 0: it does not
	InMemory       int     // records not known to be kept
	InMemoryBytes  int64   // of them
	Dropped        Dropped // records that were not kept
	DegradedSince  time.Time
	Error          error // why it is degraded; nil when well
	Last           State // the newest time it was degraded
}

// MeanSeconds is how long a commit takes.
func (s *Stats) MeanSeconds() float64 {
	if s.Commits == 0 {
		return 0
	}
	return s.CommitSeconds / float64(s.Commits)
}

// Stats is what is known now.
func (j *Journal) Stats() Stats {
	j.mu.Lock()
	defer j.mu.Unlock()
	c := &j.counts
	s := Stats{Commits: c.commits, FailedCommits: c.failed, Records: c.records, CommitSeconds: c.took.Seconds(), LongestSeconds: c.longest.Seconds(),
		InMemory: len(j.waiting.records), InMemoryBytes: j.waiting.bytes, Dropped: c.dropped, Last: j.state}
	if b := j.flight; b != nil {
		s.InMemory += len(b.records)
		s.InMemoryBytes += b.bytes
		if j.hung {
			s.HangsSeconds = time.Since(j.began).Seconds()
		}
	}
	if j.state.Degraded {
		s.DegradedSince, s.Error = j.state.Since, j.state.Err
	}
	return s
}

// Degraded says whether commits fail or hang, and why.
func (j *Journal) Degraded() (bool, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if !j.state.Degraded {
		return false, nil
	}
	return true, j.state.Err
}
