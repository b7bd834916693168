package buffer

import (
	"fmt"

	bolt "go.etcd.io/bbolt"
)

// place is a block in a file.
type place struct {
	header
	lane  uint16
	first uint64
}

// last is the block's last sequence.
func (p *place) last() uint64 { return p.first + uint64(p.count) - 1 }

// locate finds the lane's block with the first record above after, nil when there is none.
func locate(c *bolt.Cursor, id uint16, after uint64) (*place, error) {
	want := after + 1
	k, v := c.Seek(partKey(nil, id, want, 0))
	lane, first, part, ok := splitKey(k)
	if ok && lane == id && first == want && part == 0 {
		return placeAt(v, id, first)
	}
	if before, err := blockBefore(c, id, want); err != nil || before != nil && before.last() > after {
		return before, err
	}
	if !ok || lane != id {
		return nil, nil
	}
	if part != 0 {
		return nil, fmt.Errorf("block %d of lane %d has no start: %w", first, id, ErrDamaged)
	}
	_, v = c.Seek(partKey(nil, id, first, 0))
	return placeAt(v, id, first)
}

// blockBefore is the lane's last block that starts before want.
func blockBefore(c *bolt.Cursor, id uint16, want uint64) (*place, error) {
	k, _ := c.Seek(partKey(nil, id, want, 0))
	if k == nil {
		k, _ = c.Last()
	} else {
		k, _ = c.Prev()
	}
	lane, first, _, ok := splitKey(k)
	if !ok || lane != id {
		return nil, nil
	}
	start := partKey(nil, id, first, 0)
	k, v := c.Seek(start)
	if string(k) != string(start) {
		return nil, fmt.Errorf("block %d of lane %d has no start: %w", first, id, ErrDamaged)
	}
	return placeAt(v, id, first)
}

func placeAt(v []byte, id uint16, first uint64) (*place, error) {
	h, err := parseHeader(v, id, first)
	if err != nil {
		return nil, err
	}
	return &place{header: h, lane: id, first: first}, nil
}

// read copies the compressed payload out, part by part.
func (p *place) read(c *bolt.Cursor, dst []byte) ([]byte, error) {
	want := blockHeader + int(p.stored)
	have := 0
	k, v := c.Seek(partKey(nil, p.lane, p.first, 0))
	for part := 0; have < want; part++ {
		lane, first, at, ok := splitKey(k)
		if !ok || lane != p.lane || first != p.first || at != part || len(v) == 0 {
			return dst, fmt.Errorf("part %d of block %d of lane %d is missing: %w", part, p.first, p.lane, ErrDamaged)
		}
		if have += len(v); part == 0 {
			v = v[min(blockHeader, len(v)):]
		}
		dst = append(dst, v...)
		k, v = c.Next()
	}
	return dst, nil
}
