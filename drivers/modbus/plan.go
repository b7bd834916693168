package modbus

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"gacp-erp.internal/glasshouse/drivers"
)

// block is one request of the plan: addresses of one table of one unit, and the points that its answer holds.
type block struct {
	unit  *Unit
	table Table
	first uint16
	count int
	every time.Duration
	items []item
	parts []block // what it is read in: itself, or less since the device refused it whole; nil before the first time
}

// item is one point of a block; it begins that many addresses after the block's first.
type item struct {
	codec
	at int
}

// plan puts the points of all units into as few requests as the units allow: sorted by address, joined while the gap between
// them may be read over and the request stays within its limit. Each point is in one block, whole.
func plan(units []Unit) []block {
	var blocks []block
	for i := range units {
		u := &units[i]
		points := slices.Clone(u.Points)
		slices.SortStableFunc(points, func(a, b Point) int {
			return cmp.Or(cmp.Compare(a.place().Table, b.place().Table), cmp.Compare(a.Every, b.Every),
				cmp.Compare(a.place().Address, b.place().Address), cmp.Compare(b.size(), a.size()))
		})
		begin := len(blocks)
		for _, p := range points {
			if len(blocks) == begin || !blocks[len(blocks)-1].take(p) {
				r := p.place()
				blocks = append(blocks, block{unit: u, table: r.Table, first: r.Address, count: p.size(), every: p.Every,
					items: []item{{codec: newCodec(p)}}})
			}
		}
	}
	return blocks
}

// take adds a point that begins where the block does or later, and says whether it fits.
func (b *block) take(p Point) bool {
	r := p.place()
	if r.Table != b.table || p.Every != b.every {
		return false
	}
	limit := b.unit.MaxRegisters
	if b.table.bits() {
		limit = min(16*limit, maxBits)
	}
	at := int(r.Address) - int(b.first)
	count := max(b.count, at+p.size())
	if at-b.count > b.unit.Gap || count > limit {
		return false
	}
	b.count = count
	b.items = append(b.items, item{codec: newCodec(p), at: at})
	return true
}

// span is what a block asks for.
func (b *block) span() span { return span{b.unit, b.table, b.first, b.count} }

// request is the block as the bus' owner sees it.
func (b *block) request() drivers.Request {
	r := drivers.Request{Unit: fmt.Sprintf("unit %d", b.unit.Address), Every: b.every}
	for i := range b.items {
		r.Points = append(r.Points, b.items[i].ID)
	}
	return r
}

// span is a stretch of addresses of one table of one unit.
type span struct {
	unit  *Unit
	table Table
	first uint16
	count int
}

// function is the function code that reads it.
func (s span) function() byte {
	return [...]byte{Input: 4, Holding: 3, Coil: 1, Discrete: 2}[s.table]
}

// String names it: "input registers 0 to 9", "coil 3".
func (s span) String() string {
	names := [...]string{Input: "input register", Holding: "holding register", Coil: "coil", Discrete: "discrete input"}
	if s.count == 1 {
		return fmt.Sprintf("%s %d", names[s.table], s.first)
	}
	return fmt.Sprintf("%ss %d to %d", names[s.table], s.first, int(s.first)+s.count-1)
}

// PlanLine is one request of the plan, for people.
type PlanLine struct {
	Device   string // the unit's ID
	Unit     byte
	Function byte // 1 to 4
	Table    Table
	First    uint16 // first address
	Count    int    // addresses
	Over     int    // of these, addresses that are read over because nobody asked for them
	Every    time.Duration
	Points   []drivers.PointID
}

// String is the line in words.
func (l PlanLine) String() string {
	s := span{table: l.Table, first: l.First, count: l.Count}
	text := fmt.Sprintf("unit %d (%s): %s (function %d), %d points, every %s", l.Unit, l.Device, s, l.Function, len(l.Points), l.Every)
	if len(l.Points) == 1 {
		text = fmt.Sprintf("unit %d (%s): %s (function %d), 1 point, every %s", l.Unit, l.Device, s, l.Function, l.Every)
	}
	if l.Over > 0 {
		text += fmt.Sprintf(", %d read over", l.Over)
	}
	return text
}

// line describes a block.
func (b *block) line() PlanLine {
	l := PlanLine{Device: b.unit.ID, Unit: b.unit.Address, Function: b.span().function(), Table: b.table, First: b.first,
		Count: b.count, Every: b.every}
	asked := make([]bool, b.count)
	for i := range b.items {
		it := &b.items[i]
		l.Points = append(l.Points, it.ID)
		for j := range it.size() {
			asked[it.at+j] = true
		}
	}
	for _, a := range asked {
		if !a {
			l.Over++
		}
	}
	return l
}
