package slave

// Table is one of the four kinds of value that a unit has.
type Table uint8

// Tables.
const (
	Input    Table = iota // 16-bit registers that can be read
	Holding               // 16-bit registers that can be read and written
	Coil                  // bits that can be read and written
	Discrete              // bits that can be read
	tables
)

// String is the table's name in the configuration's words.
func (t Table) String() string {
	switch t {
	case Input:
		return "input"
	case Holding:
		return "holding"
	case Coil:
		return "coil"
	case Discrete:
		return "discrete"
	}
	return "unknown"
}

const pageSize = 256

// page is a stretch of addresses of one table. An address exists once it has been set.
type page struct {
	values [pageSize]uint16
	mapped [pageSize]bool
}

type bank [1 << 16 / pageSize]*page

func (b *bank) set(address, value uint16) {
	p := b[address/pageSize]
	if p == nil {
		p = new(page)
		b[address/pageSize] = p
	}
	p.values[address%pageSize], p.mapped[address%pageSize] = value, true
}

// get says also whether the address exists.
func (b *bank) get(address uint16) (uint16, bool) {
	p := b[address/pageSize]
	if p == nil {
		return 0, false
	}
	return p.values[address%pageSize], p.mapped[address%pageSize]
}

// has says whether count addresses from the first on exist.
func (b *bank) has(address uint16, count int) bool {
	if int(address)+count > 1<<16 {
		return false
	}
	for i := range count {
		if _, ok := b.get(address + uint16(i)); !ok {
			return false
		}
	}
	return true
}

// unit is one device address.
type unit struct {
	banks [tables]bank
	mute  bool
}

// SetInput sets input registers of a unit from an address on; they exist from then on.
func (s *Slave) SetInput(unit byte, address uint16, values ...uint16) {
	s.set(unit, Input, address, values)
}

// SetHolding sets holding registers of a unit from an address on; they exist from then on.
func (s *Slave) SetHolding(unit byte, address uint16, values ...uint16) {
	s.set(unit, Holding, address, values)
}

// SetCoil sets coils of a unit from an address on; they exist from then on.
func (s *Slave) SetCoil(unit byte, address uint16, on ...bool) { s.set(unit, Coil, address, bits(on)) }

// SetDiscrete sets discrete inputs of a unit from an address on; they exist from then on.
func (s *Slave) SetDiscrete(unit byte, address uint16, on ...bool) {
	s.set(unit, Discrete, address, bits(on))
}

// Coils are n coils of a unit from an address on; what does not exist is off.
func (s *Slave) Coils(unit byte, address uint16, n int) []bool {
	on := make([]bool, n)
	for i, v := range s.values(unit, Coil, address, n) {
		on[i] = v != 0
	}
	return on
}

// Holding are n holding registers of a unit from an address on; what does not exist is 0.
func (s *Slave) Holding(unit byte, address uint16, n int) []uint16 {
	return s.values(unit, Holding, address, n)
}

// Mute takes a unit off the line, or puts it back: it keeps its values and does not answer.
func (s *Slave) Mute(unit byte, mute bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unit(unit).mute = mute
}

func (s *Slave) set(unit byte, table Table, address uint16, values []uint16) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := &s.unit(unit).banks[table]
	for i, v := range values {
		b.set(address+uint16(i), v)
	}
}

func (s *Slave) values(unit byte, table Table, address uint16, n int) []uint16 {
	s.mu.Lock()
	defer s.mu.Unlock()
	values := make([]uint16, n)
	if u := s.units[unit]; u != nil {
		for i := range values {
			values[i], _ = u.banks[table].get(address + uint16(i))
		}
	}
	return values
}

// unit is the one of that address, made if need be. The lock is held.
func (s *Slave) unit(address byte) *unit {
	u := s.units[address]
	if u == nil {
		u = new(unit)
		s.units[address] = u
	}
	return u
}

func bits(on []bool) []uint16 {
	values := make([]uint16, len(on))
	for i, o := range on {
		if o {
			values[i] = 1
		}
	}
	return values
}
