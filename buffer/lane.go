package buffer

import (
	"cmp"
	"slices"
	"sync"
)

// laneRange says which of a lane's records one segment holds. A lane has several in one segment only when a damaged block
// had to be cut out.
type laneRange struct {
	Lane        uint16
	First, Last uint64 // sequences
	Ordinal     uint64 // of First: counts the lane's own records from 1
	Count       uint64
	From, To    int64 // the earliest and the latest At, unix ms
}

// last is the ordinal of the range's last record.
func (r *laneRange) last() uint64 { return r.Ordinal + r.Count - 1 }

// laneState is what is durable of a lane.
type laneState struct {
	ID       uint16
	Name     Lane
	Critical bool
	Last     uint64 // sequence of the newest record
	Added    uint64 // records ever committed: the ordinal of Last
	Cursor   uint64 // everything up to this sequence is done with
	Done     uint64 // the ordinal of the newest record that is not above Cursor
	Sent     uint64 // acknowledged and not set aside
	Dropped  uint64 // lost before they were acknowledged
	SetAside uint64 // kept apart now
}

// lane is a lane at work.
type lane struct {
	laneState        // guarded by Buffer.mu
	named     bool   // among Options.Lanes
	waiting   uint64 // records above Cursor in all segments; guarded by Buffer.mu
	moved     uint64 // the revision in which Cursor moved last; guarded by Buffer.mu
	unsaved   uint64 // records that Cursor passed since it was last known to be durable; guarded by Buffer.mu
	wake      chan struct{}
	acking    sync.Mutex // one Ack at a time
	reader    reader
}

func newLane(s laneState) *lane {
	return &lane{laneState: s, wake: make(chan struct{}, 1)}
}

// above counts the records of r that are above the lane's cursor.
func (l *lane) above(r *laneRange) uint64 {
	switch {
	case r.Last <= l.Cursor:
		return 0
	case r.First > l.Cursor:
		return r.Count
	default:
		return r.last() - l.Done
	}
}

// extend adds a block's records to the ranges. The block follows everything that the lane has.
func extend(ranges []laneRange, add laneRange) []laneRange {
	for i := len(ranges) - 1; i >= 0; i-- {
		r := &ranges[i]
		if r.Lane != add.Lane {
			continue
		}
		if r.last()+1 != add.Ordinal {
			break
		}
		r.Last, r.Count = add.Last, r.Count+add.Count
		r.From, r.To = min(r.From, add.From), max(r.To, add.To)
		return ranges
	}
	return append(ranges, add)
}

// cut takes the records with ordinals from and up to, but not including, to out of the lane's ranges. before is the last
// sequence that stays below the cut, after the first that stays above it.
func cut(ranges []laneRange, id uint16, from, to, before, after uint64) []laneRange {
	var rest []laneRange
	for _, r := range ranges {
		if r.Lane != id || r.last() < from || r.Ordinal >= to {
			rest = append(rest, r)
			continue
		}
		if low := r; r.Ordinal < from {
			low.Last, low.Count = before, from-r.Ordinal
			rest = append(rest, low)
		}
		if high := r; r.last() >= to {
			high.First, high.Ordinal, high.Count = after, to, r.last()-to+1
			rest = append(rest, high)
		}
	}
	return rest
}

// sortRanges brings ranges into the order in which readers look through them.
func sortRanges(ranges []laneRange) {
	slices.SortFunc(ranges, func(a, b laneRange) int {
		return cmp.Or(cmp.Compare(a.Lane, b.Lane), cmp.Compare(a.First, b.First))
	})
}
