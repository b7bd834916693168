package buffer

import (
	"errors"
	"fmt"
	"os"
	"sync"

	bolt "go.etcd.io/bbolt"
)

// reader is a lane's place in what was decoded last, so that peeks that go on where the last one ended decode no block
// twice.
type reader struct {
	mu      sync.Mutex
	stored  []byte // scratch for a block's bytes
	first   uint64 // of the decoded block; 0: there is none
	count   uint64
	payload []byte
	next    uint64 // index of the record at which at stands
	at      walker
}

// forget lets go of the decoded block.
func (r *reader) forget() { r.first, r.count, r.payload, r.at = 0, 0, nil, walker{} }

// holds tells whether the decoded block has the record that follows after, given that no other block does.
func (r *reader) holds(after uint64) bool {
	return r.first != 0 && r.first <= after+1 && r.first+r.count-1 > after
}

// Peek shows the lane's oldest waiting records whose sequence is above after, in order, until their keys, heads and
// bodies make maxBytes; at least one if there is one. Zero for after means from the start. Nothing is removed: the same
// call gives the same records until they are acknowledged. An empty answer with a nil error means that none waits.
//
// A damaged block is skipped, counted as dropped, and told as a Gap.
func (b *Buffer) Peek(name Lane, after uint64, maxBytes int) ([]Entry, error) {
	l, err := b.lane(name)
	if err != nil {
		return nil, err
	}
	l.reader.mu.Lock()
	defer l.reader.mu.Unlock()
	b.mu.Lock()
	after = max(after, l.Cursor)
	b.mu.Unlock()
	var entries []Entry
	for size := 0; size < maxBytes || len(entries) == 0; {
		found, err := b.decode(l, after)
		if err != nil {
			if len(entries) > 0 {
				return entries, nil // what there is, is right; the next call meets the error again
			}
			return nil, err
		}
		if !found {
			break
		}
		if entries, err = l.reader.take(entries, l.Name, after, maxBytes, &size); err != nil {
			return nil, fmt.Errorf("buffer: lane %q: %w", name, err)
		}
		after = entries[len(entries)-1].Sequence
	}
	if len(entries) == 0 {
		l.reader.forget()
	}
	return entries, nil
}

// take appends records above after from the decoded block, at least one, until size reaches maxBytes.
func (r *reader) take(entries []Entry, name Lane, after uint64, maxBytes int, size *int) ([]Entry, error) {
	skip := uint64(0)
	if after >= r.first {
		skip = after - r.first + 1
	}
	if skip < r.next {
		r.next, r.at = 0, walker{rest: r.payload}
	}
	var rec Record
	for ; r.next < skip; r.next++ {
		if err := r.at.next(&rec); err != nil {
			return entries, err
		}
	}
	if entries == nil {
		entries = make([]Entry, 0, r.guess(maxBytes))
	}
	for r.next < r.count {
		if err := r.at.next(&rec); err != nil {
			return entries, err
		}
		rec.Lane = name
		entries = append(entries, Entry{Record: rec, Sequence: r.first + r.next})
		r.next++
		if *size += len(rec.Key) + len(rec.Head) + len(rec.Body); *size >= maxBytes {
			break
		}
	}
	return entries, nil
}

// guess is how many records maxBytes will probably hold.
func (r *reader) guess(maxBytes int) int {
	each := max(1, len(r.payload)/int(r.count))
	return max(1, min(maxBytes/each+1, 4096))
}

// decode makes the reader hold the block with the lane's first record above after; false when there is none.
func (b *Buffer) decode(l *lane, after uint64) (bool, error) {
	r := &l.reader
	for {
		s, in, ok := b.rangeAbove(l, after)
		if !ok {
			return false, nil
		}
		after = max(after, in.First-1)
		if r.holds(after) {
			return true, nil
		}
		err := b.load(l, s, in, after)
		switch {
		case err == nil:
			return true, nil
		case errors.Is(err, os.ErrNotExist) && b.removed(s):
			continue // the budget took it in the meantime, and its ranges with it
		case errors.Is(err, ErrDamaged):
			if err := b.lose(l, s, in, after, err); err != nil {
				return false, err
			}
		default:
			return false, fmt.Errorf("buffer: read lane %q: %w", l.Name, err)
		}
	}
}

// rangeAbove is the first range of the lane that has records above after, and its segment.
func (b *Buffer) rangeAbove(l *lane, after uint64) (*segment, laneRange, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if after >= l.Last {
		return nil, laneRange{}, false
	}
	for _, s := range b.segments {
		for _, r := range s.ranges {
			if r.Lane == l.ID && r.Last > after {
				return s, r, true
			}
		}
	}
	return nil, laneRange{}, false
}

// removed tells whether a segment has gone since it was looked up.
func (b *Buffer) removed(s *segment) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, have := range b.segments {
		if have == s {
			return false
		}
	}
	return true
}

// load decodes the block of s with the first record above after. An error that wraps ErrDamaged says that it cannot be had.
func (b *Buffer) load(l *lane, s *segment, in laneRange, after uint64) error {
	r := &l.reader
	r.forget()
	var found *place
	err := b.view(s, func(tx *bolt.Tx) error {
		c := tx.Bucket(bucketBlocks).Cursor()
		var err error
		if found, err = locate(c, l.ID, after); err != nil {
			return err
		}
		if found == nil || found.first > in.Last {
			return fmt.Errorf("no block where records up to %d should be: %w", in.Last, ErrDamaged)
		}
		r.stored, err = found.read(c, r.stored[:0])
		return err
	})
	if err != nil {
		return err
	}
	raw, err := b.codec.payload(found.header, r.stored)
	if err != nil {
		return err
	}
	if cap(r.stored) > 4*blockTarget {
		r.stored = nil
	}
	r.first, r.count, r.payload = found.first, uint64(found.count), raw
	r.next, r.at = 0, walker{rest: raw}
	return nil
}
