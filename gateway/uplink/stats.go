package uplink

import (
	"sync"
	"sync/atomic"
	"time"

	"gacp-erp.internal/glasshouse/buffer"
)

// Stats is what the uplink does at one instant.
type Stats struct {
	Connected bool   // Kafka answers at least one lane
	Error     string // why not, and what to do; empty while connected and before the first answer
	Lanes     []LaneStats
}

// LaneStats is what one lane does. Counts are since the start of the process.
type LaneStats struct {
	Name     buffer.Lane
	Topic    string
	Critical bool
	Sent     uint64    // records that Kafka has acknowledged
	Retried  uint64    // times a record was handed to Kafka again
	Poisoned uint64    // records that were set aside since Kafka will never take them
	InFlight int       // records handed to Kafka and not answered yet
	LastSent time.Time // the last acknowledgement; zero: none yet
	Blocked  string    // somebody has to do something: what is wrong and what to do; empty: nothing
	Error    string    // what is wrong and may pass by itself; empty: nothing
}

// state is what Stats tells of a pump.
type state struct {
	lane     Lane
	sent     atomic.Uint64
	retried  atomic.Uint64
	poisoned atomic.Uint64
	lastSent atomic.Int64 // unix ns
	under    atomic.Pointer[attempt]

	mu    sync.Mutex
	up    bool      // Kafka answered the last time
	fault verdict   // words empty: none
	told  time.Time // when fault was logged
}

func (s *state) delivered(n int) {
	if n > 0 {
		s.sent.Add(uint64(n))
		s.lastSent.Store(time.Now().UnixNano())
	}
}

// stats reads the state.
func (s *state) stats() LaneStats {
	t := LaneStats{
		Name: s.lane.Name, Topic: s.lane.Topic, Critical: s.lane.Critical,
		Sent: s.sent.Load(), Retried: s.retried.Load(), Poisoned: s.poisoned.Load(),
	}
	if at := s.lastSent.Load(); at != 0 {
		t.LastSent = time.Unix(0, at)
	}
	if try := s.under.Load(); try != nil {
		t.InFlight = int(try.left.Load())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fault.class == blocked {
		t.Blocked = s.fault.words
	} else {
		t.Error = s.fault.words
	}
	return t
}

// Stats returns a snapshot. It is cheap and safe for any goroutine, before, during and after Run.
func (u *Uplink) Stats() Stats {
	var s Stats
	for _, p := range u.pumps {
		s.Lanes = append(s.Lanes, p.state.stats())
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	s.Connected = u.up > 0
	if !s.Connected {
		s.Error = u.away
	}
	return s
}

// repeat is how often a fault that only changes its words is logged again.
const repeat = 10 * time.Minute

// reached notes that Kafka answers a lane.
func (u *Uplink) reached(p *pump) {
	s := &p.state
	s.mu.Lock()
	news := !s.up
	s.up = true
	s.mu.Unlock()
	if !news {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.up++
	if u.up == 1 {
		if u.since.IsZero() {
			u.log.Info("connected to Kafka", "brokers", u.o.Brokers)
		} else {
			u.log.Info("Kafka answers again", "after", time.Since(u.since).Round(time.Millisecond))
		}
		u.since, u.away = time.Time{}, ""
	}
}

// lost notes that Kafka does not answer a lane.
func (u *Uplink) lost(p *pump, v verdict) {
	s := &p.state
	s.mu.Lock()
	was := s.up
	s.up = false
	s.mu.Unlock()
	u.mu.Lock()
	defer u.mu.Unlock()
	u.away = v.words
	if was {
		u.up--
		for _, other := range u.pumps {
			select {
			case other.doubt <- struct{}{}:
			default:
			}
		}
	}
	if u.up == 0 && u.since.IsZero() {
		u.since = time.Now()
		u.log.Warn("Kafka is away; events wait in the buffer", "error", v.words)
	}
}

// fine notes that a lane works, and logs it if it did not.
func (u *Uplink) fine(p *pump) {
	u.reached(p)
	s := &p.state
	s.mu.Lock()
	was := s.fault
	s.fault = verdict{}
	s.mu.Unlock()
	if was.words != "" && !was.link {
		u.log.Info("lane goes on", "lane", p.lane.Name, "topic", p.lane.Topic)
	}
}

// faulty notes what is wrong with a lane, and logs it if that is news. Faults of the link are logged once for all lanes.
func (u *Uplink) faulty(p *pump, v verdict) {
	s := &p.state
	s.mu.Lock()
	was := s.fault
	news := was.words == "" || was.class != v.class || was.link != v.link || was.words != v.words && time.Since(s.told) > repeat
	s.fault = v
	if news {
		s.told = time.Now()
	}
	s.mu.Unlock()
	if v.link {
		u.lost(p, v)
	} else if news {
		u.log.Warn("lane waits", "lane", p.lane.Name, "topic", p.lane.Topic, "blocked", v.class == blocked, "error", v.words)
	}
}

// gone notes that a pump has ended.
func (u *Uplink) gone(p *pump) {
	s := &p.state
	s.mu.Lock()
	was := s.up
	s.up = false
	s.mu.Unlock()
	u.mu.Lock()
	defer u.mu.Unlock()
	if was {
		u.up--
	}
}
