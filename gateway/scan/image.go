package scan

import (
	"errors"
	"math"
	"time"

	"gacp-erp.internal/glasshouse/drivers"
	"gacp-erp.internal/glasshouse/rules"
)

type pointState struct {
	came    bool
	arrived time.Duration
	at      time.Time
	err     error
	output  int // -1: none
	faulted bool
	failed  time.Duration // when it was last Bad for another reason than silence
}

type deviceState struct {
	online   bool
	heard    time.Duration
	left     time.Duration // when it last said goodbye; 0: never
	spoke    bool          // since the start
	silenced bool          // its bus is at fault
	faulted  bool
}

// observe takes one reading into the image, unless the image is newer.
func (c *Core) observe(r *Observation) {
	if r.Point < 0 || r.Point >= len(c.points) {
		return
	}
	cfg, p, now := &c.cfg.Points[r.Point], &c.points[r.Point], c.cycle.Now
	if silence := errors.Is(r.Err, drivers.ErrUnit) || errors.Is(r.Err, drivers.ErrBus); silence && !errors.Is(r.Err, drivers.ErrDevice) {
		return // which age and silence judge; a device that refuses has spoken
	}
	if m := r.Message; m == nil || !m.Retained || r.Quality != drivers.Bad { // what the broker kept says not that somebody lives
		c.heard(cfg.Device)
	}
	stamped := r.Message != nil && r.Message.Stamped
	if p.came && stamped && r.At.Before(p.at) && !p.at.After(now.Wall) { // a stamp ahead of us came from a clock that was set since
		return
	}
	p.came, p.arrived, p.err = true, now.Steady, r.Err
	if stamped {
		p.at = r.At
	}
	q, err, late := quality(r.Quality), r.Err, false
	switch {
	case math.IsNaN(r.Value) || math.IsInf(r.Value, 0):
		q = rules.Bad
		if err == nil {
			err = drivers.ErrNotANumber
		}
	case q != rules.Bad && cfg.Min < cfg.Max && (r.Value < cfg.Min || r.Value > cfg.Max):
		q, err = rules.Bad, drivers.ErrOutOfRange
	case q == rules.Uncertain && !cfg.UseUncertain:
		q = rules.Bad
	case q != rules.Bad && stamped && cfg.MaxAge > 0 && now.Wall.Sub(r.At) > cfg.MaxAge:
		q, err, late = rules.Bad, drivers.ErrStale, true
	}
	p.err = err
	if q == rules.Bad && !late {
		r.Value, r.Quality, r.Err = 0, drivers.Bad, err
	}
	c.image.Samples[r.Point] = rules.Sample{Value: r.Value, Quality: q, Seen: now.Steady}
	c.sensor(r.Point, q)
	if p.output >= 0 && q != rules.Bad {
		c.readBack(p.output, r.Value)
	}
}

// sensor raises and resolves the fault of a point that is Bad for another reason than silence.
func (c *Core) sensor(i int, q rules.Quality) {
	cfg, p, now := &c.cfg.Points[i], &c.points[i], c.cycle.Now.Steady
	switch {
	case q != rules.Bad:
		if p.faulted && now-p.failed >= calm {
			p.faulted = false
			c.resolve("sensor:" + string(cfg.ID))
		}
	case errors.Is(p.err, drivers.ErrStale):
	case p.faulted:
		p.failed = now
	default:
		p.faulted, p.failed = true, now
		why := "its quality is not good"
		if p.err != nil {
			why = p.err.Error()
		}
		c.raise("sensor:"+string(cfg.ID), c.cfg.Devices[cfg.Device].ID, "error", rules.Warning, string(cfg.ID)+" gives no usable value", why)
	}
}

// age makes Bad what is older than its point allows.
func (c *Core) age() {
	now := c.cycle.Now.Steady
	for i := range c.points {
		p, s := &c.points[i], &c.image.Samples[i]
		if limit := c.cfg.Points[i].MaxAge; limit > 0 && s.Quality != rules.Bad && now-p.arrived > limit {
			s.Quality, s.Value, p.err = rules.Bad, 0, drivers.ErrStale
		}
	}
}

func (c *Core) heard(i int) {
	d := &c.devices[i]
	d.heard, d.spoke = c.cycle.Now.Steady, true
	if !d.online && !d.silenced && d.left == 0 {
		c.status(i, true)
	}
	if d.faulted {
		d.faulted = false
		c.resolve("offline:" + c.cfg.Devices[i].ID)
	}
}

// gone takes a device offline that has said goodbye. Its silence is told as a fault when it lasts.
func (c *Core) gone(i int) {
	if i < 0 || i >= len(c.devices) {
		return
	}
	c.devices[i].left = c.cycle.Now.Steady
	if c.devices[i].online {
		c.status(i, false)
	}
}

func (c *Core) status(i int, online bool) {
	c.devices[i].online = online
	c.emit(Event{Kind: DeviceStatus, Device: c.cfg.Devices[i].ID, Zone: c.cfg.Devices[i].Zone, Online: online})
}

// silence takes devices offline that have not been heard for too long.
func (c *Core) silence() {
	now := c.cycle.Now.Steady
	for i := range c.devices {
		d, limit := &c.devices[i], c.cfg.Devices[i].Offline
		if d.left > 0 && now-d.left >= calm {
			if back := d.heard > d.left; back && !d.online && !d.silenced {
				c.status(i, true)
			}
			d.left = 0
		}
		if limit <= 0 || d.silenced || now-d.heard < limit {
			continue
		}
		if d.online {
			c.status(i, false)
		}
		if !d.faulted {
			d.faulted = true
			id := c.cfg.Devices[i].ID
			c.raise("offline:"+id, id, "connectivity", rules.Critical, id+" is offline", "nothing heard for "+limit.String()+"; check its power and line")
		}
	}
}

// bus folds the alarms of a bus' devices into one of the bus, or ends it.
func (c *Core) bus(f *BusFault) {
	if c.buses[f.Bus] == (f.Err != nil) && (f.Err != nil) == (c.faults["bus:"+f.Bus] != nil) {
		return
	}
	c.buses[f.Bus] = f.Err != nil
	for _, i := range f.Devices {
		if i < 0 || i >= len(c.devices) {
			continue
		}
		d := &c.devices[i]
		d.silenced, d.heard = f.Err != nil, c.cycle.Now.Steady
		if f.Err == nil {
			continue
		}
		if d.online {
			c.status(i, false)
		}
		if d.faulted {
			d.faulted = false
			c.resolve("offline:" + c.cfg.Devices[i].ID)
		}
	}
	if f.Err == nil {
		c.resolve("bus:" + f.Bus)
		return
	}
	c.raise("bus:"+f.Bus, "", "connectivity", rules.Critical, "bus "+f.Bus+" cannot be reached", f.Err.Error())
}
