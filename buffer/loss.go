package buffer

import (
	"encoding/binary"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	bolt "go.etcd.io/bbolt"
)

// Gap tells of records that went before they were acknowledged.
type Gap struct {
	Number      uint64 // counts the gaps of an epoch from 1
	At          int64  // when it came about, unix ms
	Lane        Lane
	First, Last uint64 // sequences: of the records between them, only the lane's are meant
	Count       uint64 // records
	From, To    int64  // unix ms: no record that went is outside
	Damage      bool   // a file was damaged or missing; else the budget was spent
}

// maxGaps is how many gaps are remembered.
const maxGaps = 256

// Gaps are the gaps with numbers above after, the oldest first; at most the newest 256 are remembered. Who tells of them
// keeps the number it has told as a note, in the commit with the telling: so each is told once, whatever happens.
func (b *Buffer) Gaps(after uint64) []Gap {
	b.mu.Lock()
	defer b.mu.Unlock()
	var some []Gap
	for _, g := range b.gaps {
		if g.Number > after {
			some = append(some, g)
		}
	}
	return some
}

// addGap notes a gap; b.mu is held.
func (b *Buffer) addGap(l *lane, r laneRange, count uint64, damage bool) {
	if count == 0 {
		return
	}
	b.state.Gaps++
	g := Gap{Number: b.state.Gaps, At: time.Now().UnixMilli(), Lane: l.Name, First: max(r.First, l.Cursor+1), Last: r.Last, Count: count,
		From: r.From, To: r.To, Damage: damage}
	l.Dropped += count
	b.gaps = append(b.gaps, g)
	if len(b.gaps) > maxGaps {
		b.gaps = b.gaps[len(b.gaps)-maxGaps:]
	}
	b.changes.gaps = append(b.changes.gaps, g)
	level := b.opts.Log.Warn
	if l.Critical || damage {
		level = b.opts.Log.Error
	}
	level("buffer: records are lost before they were sent", "lane", l.Name, "count", count, "first", g.First, "last", g.Last, "damage", damage)
}

// forgetRanges takes ranges of a segment out of the count: those for which gone is true. b.mu is held.
func (b *Buffer) forgetRanges(s *segment, damage bool, gone func(laneRange) bool) {
	old := s.ranges
	s.ranges = nil
	for _, r := range old {
		if !gone(r) {
			s.ranges = append(s.ranges, r)
			continue
		}
		l := b.lanes[r.Lane]
		b.addGap(l, r, l.above(&r), damage)
	}
	for _, r := range old {
		l := b.lanes[r.Lane]
		l.waiting = b.count(l)
	}
	b.changed(s)
}

// changed notes that the catalog's entry of a segment must be written; b.mu is held.
func (b *Buffer) changed(s *segment) {
	b.revision++
	b.changes.catalog[s.number] = b.revision
	b.signal(b.dirty)
}

// lose takes what cannot be read above after out of a lane's range in s: one block if the file can still be read around
// it, else all that the file has.
func (b *Buffer) lose(l *lane, s *segment, in laneRange, after uint64, cause error) error {
	var h hole
	err := b.view(s, func(tx *bolt.Tx) error {
		h = survey(tx.Bucket(bucketBlocks).Cursor(), l.ID, in, after)
		return nil
	})
	if err != nil {
		return b.loseSegment(s, errors.Join(cause, err))
	}
	b.opts.Log.Error("buffer: a damaged block is skipped", "file", s.path, "lane", l.Name, "after", after, "error", cause)
	b.mu.Lock()
	defer b.mu.Unlock()
	if h.from == 0 && l.Cursor == after {
		h.from = l.Done + 1
	}
	h.from = max(h.from, in.Ordinal)
	if h.to <= h.from {
		h.to = in.last() + 1
	}
	waiting := l.waiting
	s.ranges = cut(s.ranges, l.ID, h.from, h.to, after, h.next)
	l.waiting = b.count(l)
	b.addGap(l, laneRange{First: after + 1, Last: min(h.next-1, in.Last), From: in.From, To: in.To}, waiting-min(waiting, l.waiting), true)
	b.changed(s)
	return nil
}

// hole is what a damaged block leaves: the ordinals from, if known, up to but not including to are lost, and next is the
// first sequence that may be there again.
type hole struct {
	from, to uint64
	next     uint64
}

// survey looks around the damage that hides the first record above after.
func survey(c *bolt.Cursor, id uint16, in laneRange, after uint64) hole {
	h := hole{to: in.last() + 1, next: in.Last + 1}
	if p, err := blockBefore(c, id, after+1); err == nil && p != nil {
		h.from = p.ordinal + min(uint64(p.count), after+1-p.first)
	} else if after < in.First {
		h.from = in.Ordinal
	}
	beyond := after + 1
	if p, err := locate(c, id, after); err == nil {
		if p == nil || p.first > in.Last {
			return h // nothing follows
		}
		// The header is right, so what follows it is not.
		beyond = p.last() + 1
		h.to, h.next = p.ordinal+uint64(p.count), beyond
	}
	for k, v := c.Seek(partKey(nil, id, beyond, 0)); ; k, v = c.Next() {
		lane, first, part, ok := splitKey(k)
		if !ok || lane != id || first > in.Last {
			return h
		}
		if part != 0 {
			continue
		}
		if p, err := placeAt(v, id, first); err == nil && first > after {
			h.to, h.next = p.ordinal, first
			return h
		}
	}
}

// loseSegment puts a segment aside that cannot be read. The head is only left: commits know best whether it can be written.
func (b *Buffer) loseSegment(s *segment, cause error) error {
	if s == b.newest() {
		b.mu.Lock()
		b.condemnHead = true
		b.forgetRanges(s, true, func(laneRange) bool { return true })
		b.mu.Unlock()
		b.opts.Log.Error("buffer: the newest segment cannot be read; the next commit starts another", "file", s.path, "error", cause)
		return nil
	}
	b.mu.Lock()
	b.dropSegment(s, true)
	b.mu.Unlock()
	s.file.Lock()
	defer s.file.Unlock()
	if s.gone {
		return nil
	}
	s.gone = true
	to, err := quarantine(s.path)
	if err != nil {
		return fmt.Errorf("buffer: %s is damaged: %w", s.path, errors.Join(cause, err))
	}
	b.opts.Log.Error("buffer: a damaged segment is put aside; what waited in it is lost", "file", to, "error", cause)
	b.mu.Lock()
	b.condemned = append(b.condemned, filepath.Base(to))
	b.mu.Unlock()
	if s.users > 0 {
		return nil // release closes it
	}
	return guarded("close "+to, s.close)
}

// dropSegment takes a segment whose file is gone out of the list; b.mu is held.
func (b *Buffer) dropSegment(s *segment, damage bool) {
	b.forgetRanges(s, damage, func(laneRange) bool { return true })
	for i, have := range b.segments {
		if have == s {
			b.segments = append(b.segments[:i:i], b.segments[i+1:]...)
			break
		}
	}
}

func gapKey(number uint64) []byte { return binary.BigEndian.AppendUint64(nil, number) }

// putGaps writes new gaps and forgets those up to old.
func putGaps(bucket *bolt.Bucket, gaps []Gap, old uint64) error {
	for i := range gaps {
		key := gapKey(gaps[i].Number)
		if err := bucket.Put(key, seal(key, gaps[i].append(nil))); err != nil {
			return fmt.Errorf("gap %d: %w", gaps[i].Number, err)
		}
	}
	var forget [][]byte
	c := bucket.Cursor()
	for k, _ := c.First(); len(k) == 8 && binary.BigEndian.Uint64(k) <= old; k, _ = c.Next() {
		forget = append(forget, append([]byte(nil), k...))
	}
	for _, k := range forget {
		if err := bucket.Delete(k); err != nil {
			return fmt.Errorf("forget a gap: %w", err)
		}
	}
	return nil
}

func (g *Gap) append(dst []byte) []byte {
	dst = appendText(dst, string(g.Lane))
	for _, v := range []uint64{g.Number, g.First, g.Last, g.Count} {
		dst = binary.AppendUvarint(dst, v)
	}
	for _, v := range []int64{g.At, g.From, g.To} {
		dst = binary.AppendVarint(dst, v)
	}
	return append(dst, flag(g.Damage))
}

func (d *decoder) gap() Gap {
	g := Gap{Lane: Lane(d.text())}
	for _, v := range []*uint64{&g.Number, &g.First, &g.Last, &g.Count} {
		*v = d.uint()
	}
	for _, v := range []*int64{&g.At, &g.From, &g.To} {
		*v = d.int()
	}
	g.Damage = d.byte() != 0
	return g
}
