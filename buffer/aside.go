package buffer

import (
	"fmt"
	"slices"

	bolt "go.etcd.io/bbolt"
)

// What may be set aside at a time. They are copied on with every segment, so they must stay few.
const (
	maxAside      = 1000
	maxAsideBytes = 4 << 20
)

// asideKey names a record that was set aside.
type asideKey struct {
	lane     uint16
	sequence uint64
	size     int
}

// asideEntry is such a record, as a block of its own.
type asideEntry struct {
	asideKey
	block []byte
}

// asideLog knows which records are set aside. The records themselves are in the head.
type asideLog struct {
	kept  []asideKey   // durable, the oldest first
	fresh []asideEntry // not yet durable
	trim  []asideKey   // to be deleted
	bytes int
}

// add sets a record aside. It returns those that had to go for it: the oldest, or, when nothing becomes durable because
// the disk fails, the record itself.
func (a *asideLog) add(e asideEntry) (gone []asideKey) {
	if len(a.fresh) >= maxAside || e.size > maxAsideBytes {
		return []asideKey{e.asideKey}
	}
	a.fresh = append(a.fresh, e)
	a.bytes += e.size
	for len(a.kept) > 0 && (len(a.kept)+len(a.fresh) > maxAside || a.bytes > maxAsideBytes) {
		gone = append(gone, a.kept[0])
		a.bytes -= a.kept[0].size
		a.trim = append(a.trim, a.kept[0])
		a.kept = a.kept[1:]
	}
	return gone
}

// pending is what the next transaction has to write and to delete.
func (a *asideLog) pending() ([]asideEntry, []asideKey) {
	return slices.Clone(a.fresh), slices.Clone(a.trim)
}

// written takes note that a transaction did so.
func (a *asideLog) written(fresh []asideEntry, trim []asideKey) {
	for _, e := range fresh {
		a.kept = append(a.kept, e.asideKey)
	}
	a.fresh = slices.Delete(a.fresh, 0, len(fresh))
	a.trim = slices.Delete(a.trim, 0, len(trim))
}

func (t *transaction) writeAside(bucket *bolt.Bucket) error {
	for _, k := range t.trim {
		var keys [][]byte
		prefix := partKey(nil, k.lane, k.sequence, 0)[:keyBytes-2]
		c := bucket.Cursor()
		for found, _ := c.Seek(prefix); found != nil && string(found[:min(len(found), keyBytes-2)]) == string(prefix); found, _ = c.Next() {
			keys = append(keys, slices.Clone(found))
		}
		for _, key := range keys {
			if err := bucket.Delete(key); err != nil {
				return fmt.Errorf("forget a record that was set aside: %w", err)
			}
		}
	}
	for _, e := range t.aside {
		if err := putBlock(bucket, e.lane, e.sequence, e.block); err != nil {
			return fmt.Errorf("set a record aside: %w", err)
		}
	}
	return nil
}

// SetAside shows the records of a lane that Ack set aside, the oldest first. At most 1,000 records and 4 MiB of all lanes
// are kept; older ones go and are counted as dropped.
func (b *Buffer) SetAside(name Lane) ([]Entry, error) {
	l, err := b.lane(name)
	if err != nil {
		return nil, err
	}
	var entries []Entry
	err = b.view(b.newest(), func(tx *bolt.Tx) error {
		entries = nil
		for c, after := tx.Bucket(bucketAside).Cursor(), uint64(0); ; {
			found, err := locate(c, l.ID, after)
			if err != nil || found == nil {
				return err
			}
			stored, err := found.read(c, nil)
			if err != nil {
				return err
			}
			raw, err := b.codec.payload(found.header, stored)
			if err != nil {
				return err
			}
			w := walker{rest: raw}
			e := Entry{Record: Record{Lane: l.Name}, Sequence: found.first}
			if err := w.next(&e.Record); err != nil {
				return err
			}
			entries = append(entries, e)
			after = found.first
		}
	})
	if err != nil {
		return nil, fmt.Errorf("buffer: read what lane %q has set aside: %w", name, err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return append(entries, b.freshAside(l)...), nil
}

// freshAside decodes what is set aside and not yet durable; b.mu is held.
func (b *Buffer) freshAside(l *lane) []Entry {
	var entries []Entry
	for _, f := range b.aside.fresh {
		if f.lane != l.ID {
			continue
		}
		h, err := parseHeader(f.block, f.lane, f.sequence)
		if err != nil {
			continue // it was encoded a moment ago
		}
		raw, err := b.codec.payload(h, f.block[blockHeader:])
		if err != nil {
			continue
		}
		w := walker{rest: raw}
		e := Entry{Record: Record{Lane: l.Name}, Sequence: f.sequence}
		if w.next(&e.Record) == nil {
			entries = append(entries, e)
		}
	}
	return entries
}

// newest is the head, for readers.
func (b *Buffer) newest() *segment {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.segments) == 0 {
		return &segment{gone: true}
	}
	return b.segments[len(b.segments)-1]
}
