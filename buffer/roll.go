package buffer

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	bolt "go.etcd.io/bbolt"
)

// makeRoom starts the next segment when the head would grow beyond its size or must be left. The write lock is held.
func (b *Buffer) makeRoom(need int64) error {
	head := b.head()
	b.mu.Lock()
	b.leaveHead = b.leaveHead || b.condemnHead
	b.mu.Unlock()
	if !b.leaveHead && (head.bytes+need <= b.opts.SegmentBytes || len(head.ranges) == 0) {
		return nil
	}
	err := b.startSegment()
	if err != nil && !b.leaveHead {
		// A head that is a bit too large is better than a commit that fails.
		b.opts.Log.Warn("buffer: start the next segment; going on in the old one", "file", head.path, "error", err)
		return nil
	}
	return err
}

// startSegment makes the next segment, with everything copied on that is not records, and makes it the head.
func (b *Buffer) startSegment() error {
	path := filepath.Join(b.opts.Dir, segmentName(b.number+1, false))
	fresh := path + newSuffix
	if err := discard(fresh); err != nil {
		return fmt.Errorf("buffer: clear the way for a new segment: %w", err)
	}
	t := b.prepare(nil, nil)
	t.state.Ranges = nil
	aside := b.copyAside()
	db, err := makeHead(fresh, b.opts.SegmentBytes)
	if err != nil {
		return errors.Join(fmt.Errorf("buffer: %w", err), discard(fresh))
	}
	fail := func(err error, made string) error {
		return errors.Join(fmt.Errorf("buffer: make the new segment %s: %w", made, err), db.Close(), os.Remove(made))
	}
	next := &segment{number: b.number + 1, path: path, trusted: true}
	next.opened(db)
	if err := guarded("fill "+fresh, func() error { return db.Update(b.filler(&t, next.number, aside)) }); err != nil {
		return fail(err, fresh)
	}
	size, err := highWater(db)
	if err != nil {
		return fail(err, fresh)
	}
	if err := os.Rename(fresh, path); err != nil {
		return fail(err, fresh)
	}
	if err := syncDir(b.opts.Dir); err != nil {
		return fail(err, path)
	}
	b.mu.Lock()
	b.segments = append(b.segments, next)
	b.condemnHead = false
	b.mu.Unlock()
	b.number, b.leaveHead = next.number, false
	b.apply(&t, next, size)
	b.signal(b.tidy)
	return nil
}

// filler writes the first transaction of a segment.
func (b *Buffer) filler(t *transaction, number uint32, aside []pair) func(*bolt.Tx) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	notes := make(Notes, len(b.notes))
	for k, v := range b.notes {
		notes[k] = v
	}
	t.notes = nil // they are in memory already; only the file needs them
	for _, s := range b.segments {
		t.catalog[s.number] = s.entry()
	}
	gaps := append([]Gap(nil), b.gaps...)
	epoch := b.epoch
	return func(tx *bolt.Tx) error {
		for _, name := range [][]byte{bucketBlocks, bucketNotes, bucketAside, bucketCatalog, bucketGaps, bucketSegment} {
			if _, err := tx.CreateBucket(name); err != nil {
				return err
			}
		}
		if err := tx.Bucket(bucketSegment).Put(keyIdentity, seal(keyIdentity, identity(epoch, number, nil))); err != nil {
			return err
		}
		for _, p := range aside {
			if err := tx.Bucket(bucketAside).Put(p.key, p.value); err != nil {
				return err
			}
		}
		if err := putGaps(tx.Bucket(bucketGaps), gaps, 0); err != nil {
			return err
		}
		if err := putNotes(tx.Bucket(bucketNotes), notes); err != nil {
			return err
		}
		return t.write(tx)
	}
}

// pair is a key and its value, copied out of a file.
type pair struct{ key, value []byte }

// copyAside reads what the head keeps of records that were set aside.
func (b *Buffer) copyAside() []pair {
	b.mu.Lock()
	var head *segment
	if len(b.segments) > 0 {
		head = b.segments[len(b.segments)-1]
	}
	none := len(b.aside.kept) == 0
	b.mu.Unlock()
	if none || head == nil {
		return nil
	}
	var pairs []pair
	err := b.view(head, func(tx *bolt.Tx) error {
		pairs = nil
		return tx.Bucket(bucketAside).ForEach(func(k, v []byte) error {
			pairs = append(pairs, pair{append([]byte(nil), k...), append([]byte(nil), v...)})
			return nil
		})
	})
	if err != nil {
		b.opts.Log.Error("buffer: records that were set aside are lost with their segment", "file", head.path, "error", err)
		return nil
	}
	return pairs
}

// identityVersion is the layout of the files; another one is not read.
const identityVersion = 1

// identity says which segment a file is; a kept one says besides which records it has.
func identity(epoch string, number uint32, ranges []laneRange) []byte {
	b := []byte{identityVersion}
	b = appendText(b, epoch)
	b = binary.AppendUvarint(b, uint64(number))
	return appendRanges(b, ranges)
}

func parseIdentity(b []byte) (epoch string, number uint32, ranges []laneRange, err error) {
	d := decoder{rest: b}
	version := d.byte()
	epoch, number, ranges = d.text(), uint32(d.uint()), d.ranges()
	if d.bad || version != identityVersion {
		return "", 0, nil, fmt.Errorf("the segment's identity (layout %d) is not one that this program knows: %w", version, ErrDamaged)
	}
	return epoch, number, ranges, nil
}

// entry is what later segments know of this one; Buffer.mu is held.
func (s *segment) entry() []byte {
	b := []byte{flag(s.kept)}
	b = binary.AppendUvarint(b, uint64(s.bytes))
	return appendRanges(b, s.ranges)
}

// entry is that, read back.
type entry struct {
	kept   bool
	bytes  int64
	ranges []laneRange
}

func parseEntry(b []byte) (e entry, ok bool) {
	d := decoder{rest: b}
	e.kept, e.bytes, e.ranges = d.byte() != 0, int64(d.uint()), d.ranges()
	return e, !d.bad
}

func catalogKey(number uint32) []byte { return binary.BigEndian.AppendUint32(nil, number) }

func putCatalog(bucket *bolt.Bucket, entries map[uint32][]byte) error {
	for number, entry := range entries {
		key := catalogKey(number)
		var err error
		if entry == nil {
			err = bucket.Delete(key)
		} else {
			err = bucket.Put(key, seal(key, entry))
		}
		if err != nil {
			return fmt.Errorf("catalog of segment %d: %w", number, err)
		}
	}
	return nil
}
