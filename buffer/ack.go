package buffer

import (
	"errors"
	"fmt"
	"slices"

	bolt "go.etcd.io/bbolt"
)

// Ack says that the lane's records up to and including upTo are done with. Those of them named in poison could not be
// delivered and never will be: they are set aside and kept; SetAside shows them. Sequences that are already done with, or
// above upTo, are ignored.
//
// It takes effect at once, and is durable with the next commit, or an own one at most a second later, or Close. What is not
// durable yet is delivered again after a crash: once a lane has ackBurst of that, Ack itself waits for the disk.
func (b *Buffer) Ack(name Lane, upTo uint64, poison ...uint64) {
	l, err := b.lane(name)
	if err != nil {
		b.opts.Log.Error("buffer: acknowledge", "lane", name, "error", err)
		return
	}
	l.acking.Lock()
	defer l.acking.Unlock()
	b.mu.Lock()
	upTo = min(upTo, l.Last)
	cursor := l.Cursor
	b.mu.Unlock()
	if upTo <= cursor {
		return
	}
	aside, lost := b.fetchAside(l, cursor, upTo, poison)
	ordinal := b.ordinalOf(l, upTo)
	if b.move(l, upTo, ordinal, aside, lost) {
		b.write.Lock()
		defer b.write.Unlock()
		b.mu.Lock()
		closed := b.closed
		b.mu.Unlock()
		if !closed {
			b.attempt("write acknowledgements", b.flush)
		}
	}
}

// ackBurst is how many of a lane's records may be done with and not durably so.
const ackBurst = 2000

// move moves the lane's cursor, and says whether that must become durable now.
func (b *Buffer) move(l *lane, upTo, ordinal uint64, aside []asideEntry, lost uint64) (now bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed || upTo <= l.Cursor {
		return false
	}
	acked := b.advance(l, upTo, ordinal)
	apart := uint64(len(aside)) + lost
	l.Sent += acked - min(acked, apart)
	l.Dropped += lost
	l.SetAside += uint64(len(aside))
	for _, e := range aside {
		for _, gone := range b.aside.add(e) {
			of := b.lanes[gone.lane]
			of.SetAside--
			of.Dropped++
		}
	}
	if b.saved >= l.moved {
		l.unsaved = 0
	}
	b.revision++
	l.unsaved, l.moved = l.unsaved+acked, b.revision
	b.signal(b.dirty)
	return l.unsaved >= ackBurst
}

// advance moves a lane's cursor and returns how many records it passed. ordinal is that of the newest record not above
// upTo, if it lies within a range. b.mu is held.
func (b *Buffer) advance(l *lane, upTo, ordinal uint64) uint64 {
	before := l.waiting
	done := l.Done
	for _, s := range b.segments {
		for i := range s.ranges {
			switch r := &s.ranges[i]; {
			case r.Lane != l.ID || r.First > upTo:
			case r.Last <= upTo:
				done = max(done, r.last())
			default:
				done = max(done, min(ordinal, r.last()))
			}
		}
	}
	l.Cursor, l.Done = upTo, done
	l.waiting = b.count(l)
	return before - min(before, l.waiting)
}

// count counts what waits in a lane; b.mu is held.
func (b *Buffer) count(l *lane) uint64 {
	var waiting uint64
	for _, s := range b.segments {
		for i := range s.ranges {
			if s.ranges[i].Lane == l.ID {
				waiting += l.above(&s.ranges[i])
			}
		}
	}
	return waiting
}

// ordinalOf is the ordinal of the lane's newest record that is not above sequence, as far as a range's middle must be
// known; else 0. What cannot be read counts as not passed.
func (b *Buffer) ordinalOf(l *lane, sequence uint64) uint64 {
	b.mu.Lock()
	var in *segment
	var low uint64
	for _, s := range b.segments {
		for _, r := range s.ranges {
			if r.Lane == l.ID && r.First <= sequence && sequence < r.Last {
				in, low = s, r.Ordinal
			}
		}
	}
	b.mu.Unlock()
	if in == nil {
		return 0
	}
	ordinal := low
	err := b.view(in, func(tx *bolt.Tx) error {
		p, err := blockBefore(tx.Bucket(bucketBlocks).Cursor(), l.ID, sequence+1)
		if err == nil && p != nil {
			ordinal = p.ordinal + min(uint64(p.count)-1, sequence-p.first)
		}
		return err
	})
	if err != nil {
		b.opts.Log.Warn("buffer: count what was acknowledged", "lane", l.Name, "error", err)
	}
	return ordinal
}

// fetchAside reads the records that are to be set aside. lost counts those that cannot be read.
func (b *Buffer) fetchAside(l *lane, cursor, upTo uint64, poison []uint64) (aside []asideEntry, lost uint64) {
	poison = slices.Clone(poison)
	slices.Sort(poison)
	for _, sequence := range slices.Compact(poison) {
		if sequence <= cursor || sequence > upTo {
			continue
		}
		entries, err := b.Peek(l.Name, sequence-1, 1)
		if err == nil && (len(entries) == 0 || entries[0].Sequence != sequence) {
			err = errors.New("there is no such record")
		}
		if err != nil {
			b.opts.Log.Error("buffer: set a record aside", "lane", l.Name, "sequence", sequence, "error", fmt.Errorf("read it: %w", err))
			if len(entries) == 0 {
				lost++
			}
			continue
		}
		r := &entries[0].Record
		payload := appendRecord(nil, r, 0)
		h := header{count: 1, ordinal: 1, from: r.At, to: r.At}
		block := b.codec.encode(nil, l.ID, sequence, h, payload)
		aside = append(aside, asideEntry{asideKey{l.ID, sequence, len(block)}, block})
	}
	return aside, lost
}
