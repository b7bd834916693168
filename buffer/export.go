package buffer

import (
	"errors"
	"fmt"
	"iter"

	bolt "go.etcd.io/bbolt"
)

// Selection says which records are meant. The zero value means all.
type Selection struct {
	Lane        Lane   // empty: every lane
	From, To    int64  // unix ms: From <= At < To; 0: open
	First, Last uint64 // sequences; 0: open
}

// Fate is what has become of a record.
type Fate uint8

// The fates.
const (
	Unknown  Fate = iota // nothing tells how far the lane was done with
	Waiting              // neither acknowledged nor dropped
	Done                 // acknowledged; the archive
	SetAside             // could not be delivered
)

// Stored is a record as a directory holds it.
type Stored struct {
	Entry
	Epoch string // under which its sequence counts
	Fate  Fate
}

// Records goes through the records of the directory, acknowledged ones too as far as they are still there: first those that
// were set aside, then all others in the order of their sequences. What cannot be read comes as an error in its place; those
// that wrap ErrDamaged are followed by what is behind the damage, any other ends it.
func (r *Reader) Records(s Selection) iter.Seq2[Stored, error] {
	return func(yield func(Stored, error) bool) {
		w := walk{r: r, s: s, yield: yield, seen: map[uint64]bool{}}
		if r.newest != nil && !w.file(segmentFile{number: r.head, name: segmentName(r.head, false)}, bucketAside) {
			return
		}
		for _, f := range r.files {
			if !r.mayHold(f, s) {
				continue
			}
			if !w.file(f, bucketBlocks) {
				return
			}
		}
	}
}

// walk is one pass of Records.
type walk struct {
	r     *Reader
	s     Selection
	yield func(Stored, error) bool
	seen  map[uint64]bool // sequences of what was set aside, of the newest epoch
}

// file goes through a bucket of one segment and tells whether to go on.
func (w *walk) file(f segmentFile, bucket []byte) bool {
	b, err := w.r.open(f)
	if err != nil {
		return w.fault(err)
	}
	more := w.segment(b, f, bucket)
	if err := b.close(); err != nil {
		return more && w.fault(err)
	}
	return more
}

// fault tells of an error, and whether to go on behind it.
func (w *walk) fault(err error) bool {
	return w.yield(Stored{}, err) && errors.Is(err, ErrDamaged)
}

// segment goes through a bucket of an open segment. Nothing is told from within a transaction: who listens may do as he likes.
func (w *walk) segment(b *borrowed, f segmentFile, bucket []byte) bool {
	var c *content
	var all []place
	var faults []error
	err := b.view(func(tx *bolt.Tx) (err error) {
		if !f.kept {
			if c, err = readContent(tx); err != nil { // then its identity is enough
				faults = append(faults, err)
			}
		}
		if c == nil {
			if c, err = readIdentity(tx); err != nil {
				return err
			}
		}
		all = blocks(tx, bucket, func(err error) { faults = append(faults, err) })
		return nil
	})
	if err != nil {
		faults = append(faults, err)
	}
	for _, err := range faults {
		if !w.fault(fmt.Errorf("%s: %w", f.name, err)) {
			return false
		}
	}
	for i := range all {
		if lane := w.r.name(c, all[i].lane); w.s.wants(lane, &all[i]) && !w.block(b, c, bucket, &all[i], lane) {
			return false
		}
	}
	return true
}

// block tells of one block's records and whether to go on.
func (w *walk) block(b *borrowed, c *content, bucket []byte, p *place, lane Lane) bool {
	var entries []Entry
	err := b.view(func(tx *bolt.Tx) (err error) {
		entries, err = w.r.records(tx, bucket, p, lane)
		return err
	})
	aside := string(bucket) == string(bucketAside)
	for _, e := range entries {
		switch {
		case aside:
			w.seen[e.Sequence] = true
		case c.epoch == w.r.epoch && w.seen[e.Sequence]:
			continue
		}
		if !w.s.has(&e) {
			continue
		}
		if !w.yield(Stored{Entry: e, Epoch: c.epoch, Fate: w.r.fate(c, p.lane, e.Sequence, aside)}, nil) {
			return false
		}
	}
	return err == nil || w.fault(fmt.Errorf("%s: %w", b.name, err))
}

// fate is what the newest state says of a record.
func (r *Reader) fate(c *content, id uint16, sequence uint64, aside bool) Fate {
	switch {
	case aside:
		return SetAside
	case r.known == nil || c.epoch != r.epoch || int(id) >= len(r.known.Lanes):
		return Unknown
	case sequence <= r.known.Lanes[id].Cursor:
		return Done
	}
	return Waiting
}

// wants tells whether a block can have a record that is meant.
func (s *Selection) wants(lane Lane, p *place) bool {
	return (s.Lane == "" || s.Lane == lane) && s.overlaps(p.first, p.last(), p.from, p.to)
}

func (s *Selection) overlaps(first, last uint64, from, to int64) bool {
	return (s.First == 0 || last >= s.First) && (s.Last == 0 || first <= s.Last) && (s.From == 0 || to >= s.From) && (s.To == 0 || from < s.To)
}

// has tells whether a record of the right lane is meant.
func (s *Selection) has(e *Entry) bool { return s.overlaps(e.Sequence, e.Sequence, e.At, e.At) }

// mayHold tells whether a segment can have a record that is meant, as far as the newest segment knows.
func (r *Reader) mayHold(f segmentFile, s Selection) bool {
	if r.newest == nil || f.number == r.head {
		return true
	}
	e, known := r.newest.catalog[f.number]
	if !known || e.kept != f.kept {
		return true
	}
	for _, k := range e.ranges {
		if (s.Lane == "" || r.names[k.Lane] == s.Lane) && s.overlaps(k.First, k.Last, k.From, k.To) {
			return true
		}
	}
	return false
}
