package buffer

import (
	"encoding/binary"
	"fmt"

	bolt "go.etcd.io/bbolt"
)

// content is what a segment says besides its records.
type content struct {
	epoch   string
	number  uint32
	state   state
	catalog map[uint32]entry
	notes   map[string][]byte
	gaps    []Gap
	aside   []asideKey
	bytes   int64
	faults  []string // values that were damaged, in words
	lost    []string // keys of notes that were damaged
}

func readIdentity(tx *bolt.Tx) (c *content, err error) {
	bucket := tx.Bucket(bucketSegment)
	if bucket == nil || tx.Bucket(bucketBlocks) == nil {
		return nil, fmt.Errorf("it is no segment: %w", ErrDamaged)
	}
	b, ok := unseal(keyIdentity, bucket.Get(keyIdentity))
	if !ok {
		return nil, fmt.Errorf("its identity has a wrong checksum: %w", ErrDamaged)
	}
	c = &content{bytes: tx.Size()}
	if c.epoch, c.number, c.state.Ranges, err = parseIdentity(b); err != nil {
		return nil, err
	}
	return c, nil
}

// readContent reads a segment that was a head.
func readContent(tx *bolt.Tx) (*content, error) {
	c, err := readIdentity(tx)
	if err != nil {
		return nil, err
	}
	b, ok := unseal(keyState, tx.Bucket(bucketSegment).Get(keyState))
	if !ok {
		return nil, fmt.Errorf("its state has a wrong checksum: %w", ErrDamaged)
	}
	if c.state, err = parseState(b); err != nil {
		return nil, err
	}
	for id := range c.state.Lanes {
		if int(c.state.Lanes[id].ID) != id {
			return nil, fmt.Errorf("lane %d stands in place %d: %w", c.state.Lanes[id].ID, id, ErrDamaged)
		}
	}
	for _, read := range []func(*bolt.Tx) error{c.readNotes, c.readCatalog, c.readGaps, c.readAside} {
		if err := read(tx); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// each goes through a bucket of sealed values.
func (c *content) each(tx *bolt.Tx, name []byte, f func(k, v []byte) error, bad func(k []byte)) error {
	bucket := tx.Bucket(name)
	if bucket == nil {
		return fmt.Errorf("bucket %q is missing: %w", name, ErrDamaged)
	}
	return bucket.ForEach(func(k, sealed []byte) error {
		v, ok := unseal(k, sealed)
		if !ok {
			bad(k)
			return nil
		}
		return f(k, v)
	})
}

func (c *content) readNotes(tx *bolt.Tx) error {
	c.notes = map[string][]byte{}
	return c.each(tx, bucketNotes, func(k, v []byte) error {
		c.notes[string(k)] = v
		return nil
	}, func(k []byte) { c.lost = append(c.lost, string(k)) })
}

func (c *content) readCatalog(tx *bolt.Tx) error {
	c.catalog = map[uint32]entry{}
	bad := func(k []byte) {
		c.faults = append(c.faults, fmt.Sprintf("the catalog's entry of segment %x was damaged", k))
	}
	return c.each(tx, bucketCatalog, func(k, v []byte) error {
		e, ok := parseEntry(v)
		for _, r := range e.ranges {
			ok = ok && int(r.Lane) < len(c.state.Lanes)
		}
		if !ok || len(k) != 4 {
			bad(k) // the segment itself will say what it has
			return nil
		}
		c.catalog[binary.BigEndian.Uint32(k)] = e
		return nil
	}, bad)
}

func (c *content) readGaps(tx *bolt.Tx) error {
	bad := func(k []byte) { c.faults = append(c.faults, fmt.Sprintf("gap %x was damaged", k)) }
	return c.each(tx, bucketGaps, func(k, v []byte) error {
		d := decoder{rest: v}
		g := d.gap()
		if d.bad {
			bad(k)
			return nil
		}
		c.gaps = append(c.gaps, g)
		return nil
	}, bad)
}

func (c *content) readAside(tx *bolt.Tx) error {
	bucket := tx.Bucket(bucketAside)
	if bucket == nil {
		return fmt.Errorf("bucket %q is missing: %w", bucketAside, ErrDamaged)
	}
	return bucket.ForEach(func(k, v []byte) error {
		id, first, part, ok := splitKey(k)
		if !ok || int(id) >= len(c.state.Lanes) {
			return fmt.Errorf("key %x among what is set aside: %w", k, ErrDamaged)
		}
		if part == 0 {
			c.aside = append(c.aside, asideKey{lane: id, sequence: first})
		}
		if n := len(c.aside); n > 0 {
			c.aside[n-1].size += len(v)
		}
		return nil
	})
}
