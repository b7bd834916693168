package modbus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"time"

	"gacp-erp.internal/glasshouse/drivers"
)

// Config is one bus: a serial line, a TCP device, or a gateway with units behind it.
type Config struct {
	Name     string                                      // the bus, as operators know it
	Endpoint string                                      // tcp://host:502 (the port may be left out), rtu+tcp://host:port?baud=9600, or rtu:///dev/…?baud=9600&parity=none
	Timeout  time.Duration                               // of one transaction, from sending the request to the end of its answer, without the time on a serial line; 0: 1 s
	Every    time.Duration                               // how often points are read that do not say it themselves; 0: 5 s
	Dial     func(ctx context.Context) (net.Conn, error) // replaces the network, for tests
	Units    []Unit
	Log      *slog.Logger // nil: silent
}

// Unit is one device address on the bus.
type Unit struct {
	ID           string // the device, as operators know it
	Address      byte   // 1 to 247; 0 and 255 only over TCP, for devices that have no other
	Points       []Point
	Gap          int           // addresses nobody asked for that a request may read over to join two points; only what the device allows
	MaxRegisters int           // registers in one request; 0: 125. Bits: 16 times as many
	TurnAround   time.Duration // the longest it may take to begin an answer; 0: twice the timeout. An RTU line stays quiet for as long after an error
	InterFrame   time.Duration // least pause before a request to it
	AfterConnect time.Duration // pause between connecting and the first request
}

// Table is one of the four kinds of value that a unit has.
type Table uint8

// Tables.
const (
	Input    Table = iota // 16-bit registers that can be read: function 4
	Holding               // 16-bit registers that can be read and written: functions 3, 6, 16, 22
	Coil                  // bits that can be read and written: functions 1, 5
	Discrete              // bits that can be read: function 2
)

var tableNames = [...]string{"input", "holding", "coil", "discrete"}

// String is the word for it in profiles.
func (t Table) String() string { return word(tableNames[:], int(t)) }

// ParseTable takes the word for it in profiles: input, holding, coil, discrete.
func ParseTable(s string) (Table, error) {
	i, err := parse("table", tableNames[:], s)
	return Table(i), err
}

// bits says whether its values are single bits.
func (t Table) bits() bool { return t == Coil || t == Discrete }

// Type is how registers make a number.
type Type uint8

// Types. Those of more than one register have the most significant word first unless WordSwap says otherwise.
const (
	U16  Type = iota // 0 to 65535
	S16              // two's complement
	U32              //
	S32              //
	U64              // beyond 2^53 the nearest float64
	S64              //
	F32              // IEEE 754
	F64              //
	Bool             // 0 or 1: one bit of a register, a register that is not 0, a coil, a discrete input
)

var typeNames = [...]string{"u16", "s16", "u32", "s32", "u64", "s64", "f32", "f64", "bool"}

// String is the word for it in profiles.
func (t Type) String() string { return word(typeNames[:], int(t)) }

// ParseType takes the word for it in profiles: u16 s16 u32 s32 u64 s64 f32 f64 bool.
func ParseType(s string) (Type, error) {
	i, err := parse("type", typeNames[:], s)
	return Type(i), err
}

// registers is how many it takes.
func (t Type) registers() int {
	switch t {
	case U32, S32, F32:
		return 2
	case U64, S64, F64:
		return 4
	}
	return 1
}

// Point is one value of a unit. Value = raw × Scale + Offset.
type Point struct {
	ID       drivers.PointID
	Table    Table
	Address  uint16 // as in the protocol, from 0
	Type     Type   // Coil and Discrete are Bool, whatever stands here
	WordSwap bool   // the least significant word comes first
	ByteSwap bool   // the least significant byte of each word comes first
	Bit      int    // with Bool in a register: 0 (least significant) to 15; -1: the whole register. Other types have none
	Scale    float64
	Offset   float64 // added after scaling; a Scale of 0 is 1
	// Min and Max are what the sensor can physically measure, or the output be set to, after scaling; in force when Min < Max.
	Min, Max float64
	Every    time.Duration // 0: as the bus
	Writable bool
	Invalid  []uint64  // raw values (as the type's bits, unsigned) by which the device says that it has none
	ReadBack *Register // where the state of a Writable point is read; nil: where it is written
}

// Register is a place in a unit.
type Register struct {
	Table   Table
	Address uint16
}

// place is where the point is read.
func (p *Point) place() Register {
	if p.ReadBack != nil {
		return *p.ReadBack
	}
	return Register{p.Table, p.Address}
}

// size is how many addresses it takes in the table where it is read.
func (p *Point) size() int {
	if p.place().Table.bits() {
		return 1
	}
	return p.Type.registers()
}

const (
	maxRegisters = 125  // in a read request, by the specification
	maxBits      = 2000 //
	defaultPort  = "502"
)

// defaults fills in what is left out, in copies of what the caller holds.
func (c *Config) defaults() {
	if c.Timeout <= 0 {
		c.Timeout = time.Second
	}
	if c.Every <= 0 {
		c.Every = 5 * time.Second
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	units := make([]Unit, len(c.Units))
	for i, u := range c.Units {
		if u.MaxRegisters == 0 {
			u.MaxRegisters = maxRegisters
		}
		points := make([]Point, len(u.Points))
		for j, p := range u.Points {
			if p.Table.bits() {
				p.Type = Bool
			}
			if p.Scale == 0 {
				p.Scale = 1
			}
			if p.Every <= 0 {
				p.Every = c.Every
			}
			points[j] = p
		}
		u.Points = points
		units[i] = u
	}
	c.Units = units
}

// validate reports all faults at once.
func (c *Config) validate(framed framing) error {
	var faults []error
	addresses := map[byte]string{}
	points := map[drivers.PointID]bool{}
	for i := range c.Units {
		u := &c.Units[i]
		if other, ok := addresses[u.Address]; ok {
			faults = append(faults, fmt.Errorf("unit %d is there twice: %s and %s", u.Address, other, u.ID))
		}
		addresses[u.Address] = u.ID
		if framed != tcp && (u.Address == 0 || u.Address > 247) {
			faults = append(faults, fmt.Errorf("%s: unit %d: on a serial line addresses are 1 to 247", u.ID, u.Address))
		}
		for _, err := range u.faults(points) {
			faults = append(faults, fmt.Errorf("%s: %w", u.ID, err))
		}
	}
	return errors.Join(faults...)
}

// faults are those of one unit; points collects the ids of the whole bus.
func (u *Unit) faults(points map[drivers.PointID]bool) []error {
	var faults []error
	if u.Gap < 0 || u.Gap >= maxRegisters {
		faults = append(faults, fmt.Errorf("gap %d: it must be 0 to %d", u.Gap, maxRegisters-1))
	}
	if u.MaxRegisters < 1 || u.MaxRegisters > maxRegisters {
		faults = append(faults, fmt.Errorf("max registers %d: it must be 1 to %d", u.MaxRegisters, maxRegisters))
	}
	if u.TurnAround < 0 || u.InterFrame < 0 || u.AfterConnect < 0 {
		faults = append(faults, errors.New("a pause is negative"))
	}
	for i := range u.Points {
		p := &u.Points[i]
		if p.ID == "" || points[p.ID] {
			faults = append(faults, fmt.Errorf("point id %q is empty or there twice", p.ID))
		}
		points[p.ID] = true
		if n := p.size(); n > u.MaxRegisters {
			faults = append(faults, fmt.Errorf("point %q: %s takes %d registers, a request to this unit may have %d", p.ID, p.Type, n, u.MaxRegisters))
		}
		for _, err := range p.faults() {
			faults = append(faults, fmt.Errorf("point %q: %w", p.ID, err))
		}
	}
	return faults
}

// faults are those of one point.
func (p *Point) faults() []error {
	var faults []error
	fault := func(format string, a ...any) { faults = append(faults, fmt.Errorf(format, a...)) }
	read := p.place()
	if p.Table > Discrete || read.Table > Discrete || p.Type > Bool {
		fault("unknown table or type")
		return faults
	}
	if int(read.Address)+p.size() > 1<<16 || int(p.Address)+p.Type.registers() > 1<<16 {
		fault("%s at %d ends beyond address 65535", p.Type, p.Address)
	}
	switch {
	case p.Type != Bool && p.Bit > 0:
		fault("bit %d of %s: a bit is of type bool", p.Bit, p.Type)
	case p.Type == Bool && (p.Bit < -1 || p.Bit > 15):
		fault("bit %d: it must be 0 to 15, or -1 for the whole register", p.Bit)
	}
	for _, f := range []float64{p.Scale, p.Offset, p.Min, p.Max} {
		if math.IsNaN(f) || math.IsInf(f, 0) {
			fault("scale, offset, min and max must be finite")
			break
		}
	}
	if p.Min > p.Max {
		fault("min %g is above max %g", p.Min, p.Max)
	}
	if p.Writable && (p.Table == Input || p.Table == Discrete) {
		fault("the %s table cannot be written", p.Table)
	}
	if p.ReadBack != nil && !p.Writable {
		fault("read-back is for what is written; give the address of the point itself")
	}
	if p.ReadBack != nil && read.Table.bits() && p.Type != Bool {
		fault("a %s cannot be read back from the %s table", p.Type, read.Table)
	}
	return faults
}

// word is the name of a value, or the number of an unknown one.
func word(names []string, i int) string {
	if i < len(names) {
		return names[i]
	}
	return fmt.Sprintf("unknown(%d)", i)
}

// parse is the value of a name.
func parse(what string, names []string, s string) (int, error) {
	for i, n := range names {
		if n == s {
			return i, nil
		}
	}
	return 0, fmt.Errorf("unknown %s %q; it is one of %v", what, s, names)
}
