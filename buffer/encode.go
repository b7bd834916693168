package buffer

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

// state is what a commit leaves behind besides records and notes. It is small: it is written with each commit.
type state struct {
	Commits  uint64 // transactions of the epoch: of two states the one with more is the newer
	Sequence uint64 // the last one given
	Gaps     uint64 // the last gap's number
	Lanes    []laneState
	Ranges   []laneRange // of the segment that the state lies in
}

const stateVersion = 1

func (s *state) append(dst []byte) []byte {
	dst = append(dst, stateVersion)
	dst = binary.AppendUvarint(dst, s.Commits)
	dst = binary.AppendUvarint(dst, s.Sequence)
	dst = binary.AppendUvarint(dst, s.Gaps)
	dst = binary.AppendUvarint(dst, uint64(len(s.Lanes)))
	for i := range s.Lanes {
		l := &s.Lanes[i]
		dst = binary.AppendUvarint(dst, uint64(l.ID))
		dst = appendText(dst, string(l.Name))
		dst = append(dst, flag(l.Critical))
		for _, v := range []uint64{l.Last, l.Added, l.Cursor, l.Done, l.Sent, l.Dropped, l.SetAside} {
			dst = binary.AppendUvarint(dst, v)
		}
	}
	return appendRanges(dst, s.Ranges)
}

func parseState(b []byte) (state, error) {
	d := decoder{rest: b}
	if v := d.byte(); v != stateVersion {
		return state{}, fmt.Errorf("state of version %d: %w", v, ErrDamaged)
	}
	s := state{Commits: d.uint(), Sequence: d.uint(), Gaps: d.uint()}
	for n := d.count(); n > 0 && !d.bad; n-- {
		l := laneState{ID: uint16(d.uint()), Name: Lane(d.text()), Critical: d.byte() != 0}
		for _, v := range []*uint64{&l.Last, &l.Added, &l.Cursor, &l.Done, &l.Sent, &l.Dropped, &l.SetAside} {
			*v = d.uint()
		}
		s.Lanes = append(s.Lanes, l)
	}
	s.Ranges = d.ranges()
	if d.bad {
		return state{}, fmt.Errorf("state is cut short: %w", ErrDamaged)
	}
	return s, nil
}

func appendRanges(dst []byte, ranges []laneRange) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(ranges)))
	for i := range ranges {
		r := &ranges[i]
		dst = binary.AppendUvarint(dst, uint64(r.Lane))
		for _, v := range []uint64{r.First, r.Last - r.First, r.Ordinal, r.Count} {
			dst = binary.AppendUvarint(dst, v)
		}
		dst = binary.AppendVarint(dst, r.From)
		dst = binary.AppendVarint(dst, r.To-r.From)
	}
	return dst
}

func appendText(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

func flag(b bool) byte {
	if b {
		return 1
	}
	return 0
}

// decoder reads what the functions above append. After the first fault it only gives zeros; bad tells.
type decoder struct {
	rest []byte
	bad  bool
}

func (d *decoder) fail() { d.bad, d.rest = true, nil }

func (d *decoder) byte() byte {
	if len(d.rest) == 0 {
		d.fail()
		return 0
	}
	v := d.rest[0]
	d.rest = d.rest[1:]
	return v
}

func (d *decoder) uint() uint64 {
	v, n := binary.Uvarint(d.rest)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.rest = d.rest[n:]
	return v
}

func (d *decoder) int() int64 {
	v, n := binary.Varint(d.rest)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.rest = d.rest[n:]
	return v
}

// count reads a number of things that take at least a byte each.
func (d *decoder) count() int {
	v := d.uint()
	if v > uint64(len(d.rest)) {
		d.fail()
		return 0
	}
	return int(v)
}

func (d *decoder) text() string { return string(d.bytes()) }

func (d *decoder) bytes() []byte {
	n := d.count()
	v := d.rest[:n:n]
	d.rest = d.rest[n:]
	return v
}

func (d *decoder) ranges() []laneRange {
	var ranges []laneRange
	for n := d.count(); n > 0 && !d.bad; n-- {
		r := laneRange{Lane: uint16(d.uint()), First: d.uint()}
		r.Last = r.First + d.uint()
		r.Ordinal, r.Count = d.uint(), d.uint()
		r.From = d.int()
		r.To = r.From + d.int()
		ranges = append(ranges, r)
	}
	return ranges
}

// seal puts a checksum before a value: bbolt has none. The key is part of it, so that a value under a wrong key shows.
func seal(key, value []byte) []byte {
	sealed := make([]byte, 4, 4+len(value))
	binary.BigEndian.PutUint32(sealed, crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, value))
	return append(sealed, value...)
}

// unseal gives a sealed value, a copy, or false when it is not what was sealed under the key.
func unseal(key, sealed []byte) ([]byte, bool) {
	if len(sealed) < 4 || binary.BigEndian.Uint32(sealed) != crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, sealed[4:]) {
		return nil, false
	}
	return append([]byte{}, sealed[4:]...), true
}
