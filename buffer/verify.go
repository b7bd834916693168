package buffer

import (
	"errors"
	"fmt"
	"iter"
	"maps"
	"os"
	"path/filepath"
	"slices"

	bolt "go.etcd.io/bbolt"
)

// Checked is what a check found of one file.
type Checked struct {
	Name     string
	Records  uint64  // that can be read
	From, To int64   // unix ms: of those, the earliest and the latest
	Faults   []error // empty: all is as it was written
}

// Verify reads every file of the directory from end to end: pages, checksums, each record. A segment that should be there
// and is not comes as a file with that fault. Its error ends the check: the disk or the lock is in the way.
func (r *Reader) Verify() iter.Seq2[Checked, error] {
	return func(yield func(Checked, error) bool) {
		for _, f := range r.files {
			c, err := r.verify(f)
			if !yield(c, err) || err != nil {
				return
			}
		}
		for _, c := range r.missing() {
			if !yield(c, nil) {
				return
			}
		}
		copies := Checked{Name: copyNames[0] + ", " + copyNames[1]}
		for _, words := range r.copied {
			copies.Faults = append(copies.Faults, fmt.Errorf("%s: %w", words, ErrDamaged))
		}
		if !yield(copies, nil) {
			return
		}
		for _, name := range r.aside {
			if !yield(Checked{Name: name, Faults: []error{fmt.Errorf("it was put aside: %w", ErrDamaged)}}, nil) {
				return
			}
		}
	}
}

// verify checks one segment.
func (r *Reader) verify(f segmentFile) (Checked, error) {
	c := Checked{Name: f.name}
	bad := func(err error) { c.Faults = append(c.Faults, err) }
	whole, err := metaIsWhole(filepath.Join(r.dir, f.name))
	if err == nil && !whole {
		bad(fmt.Errorf("one of its two meta pages is damaged: %w", ErrDamaged))
	}
	err = r.view(f, func(tx *bolt.Tx) error {
		r.verifyContent(tx, f, &c, bad)
		return nil
	})
	if errors.Is(err, ErrDamaged) {
		bad(err)
		return c, nil
	}
	return c, err
}

func (r *Reader) verifyContent(tx *bolt.Tx, f segmentFile, c *Checked, bad func(error)) {
	told, err := readIdentity(tx)
	if err != nil {
		bad(err)
		return
	}
	if told.number != f.number {
		bad(fmt.Errorf("it calls itself segment %d: %w", told.number, ErrDamaged))
	}
	if !f.kept {
		full, err := readContent(tx)
		if err != nil {
			bad(err)
		} else {
			told = full
			r.verifyAside(tx, told, bad)
		}
		for _, words := range told.faults {
			bad(fmt.Errorf("%s: %w", words, ErrDamaged))
		}
		for _, key := range told.lost {
			bad(fmt.Errorf("the note %q has a wrong checksum: %w", key, ErrDamaged))
		}
	}
	good := map[uint16][]place{}
	all := blocks(tx, bucketBlocks, bad)
	for i := range all {
		p := &all[i]
		entries, err := r.records(tx, bucketBlocks, p, r.name(told, p.lane))
		for _, e := range entries {
			c.see(&e)
		}
		if err != nil {
			bad(err)
		}
		good[p.lane] = append(good[p.lane], *p)
	}
	for _, k := range told.state.Ranges {
		var count uint64
		for _, p := range good[k.Lane] {
			if p.first >= k.First && p.last() <= k.Last {
				count += uint64(p.count)
			}
		}
		if count < k.Count {
			bad(fmt.Errorf("lane %q, sequences %d to %d: %d of %d records are not there: %w", r.name(told, k.Lane), k.First, k.Last, k.Count-count, k.Count, ErrDamaged))
		}
	}
}

func (r *Reader) verifyAside(tx *bolt.Tx, told *content, bad func(error)) {
	for _, p := range blocks(tx, bucketAside, bad) {
		if _, err := r.records(tx, bucketAside, &p, r.name(told, p.lane)); err != nil {
			bad(fmt.Errorf("set aside: %w", err))
		}
	}
}

// see counts a record.
func (c *Checked) see(e *Entry) {
	if c.Records == 0 {
		c.From, c.To = e.At, e.At
	}
	c.Records++
	c.From, c.To = min(c.From, e.At), max(c.To, e.At)
}

// missing are the segments in which records waited and that are not there.
func (r *Reader) missing() []Checked {
	var gone []Checked
	if r.newest == nil {
		return nil
	}
	for _, number := range slices.Sorted(maps.Keys(r.newest.catalog)) {
		there := slices.ContainsFunc(r.files, func(f segmentFile) bool { return f.number == number })
		e := r.newest.catalog[number]
		for _, k := range e.ranges {
			if !there && int(k.Lane) < len(r.known.Lanes) && k.Last > r.known.Lanes[k.Lane].Cursor {
				gone = append(gone, Checked{Name: segmentName(number, e.kept), Faults: []error{
					fmt.Errorf("lane %q, up to sequence %d: it had records that waited: %w", r.names[k.Lane], k.Last, os.ErrNotExist)}})
				break
			}
		}
	}
	return gone
}
