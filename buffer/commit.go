package buffer

import (
	"errors"
	"fmt"
	"syscall"
	"time"

	bolt "go.etcd.io/bbolt"
)

// changes is what must become durable besides records and notes: it rides with the next commit.
type changes struct {
	catalog map[uint32]uint64 // segments whose entry changed or went, with the revision of the change
	gaps    []Gap             // new
}

// counters are what Stats tells of commits.
type counters struct {
	commits uint64
	failed  error // of the last commit, nil when it went well
	copied  time.Time
}

// Commit makes records and notes durable, all or nothing: nil means that they are on the disk, an error that nothing of
// them will ever be peeked at. Afterwards the caller's bytes are its own again. It fails when the disk does, or with a
// lane, a record or a note that no commit could take; a later commit may work again.
func (b *Buffer) Commit(recs []Record, notes Notes) error {
	b.write.Lock()
	defer b.write.Unlock()
	b.mu.Lock()
	closed := b.closed
	b.mu.Unlock()
	if closed {
		return ErrClosed
	}
	if err := checkNotes(notes); err != nil {
		return err
	}
	blocks, err := b.pack(recs)
	if err != nil {
		return err
	}
	if err := b.transact(blocks, notes); err != nil {
		return err
	}
	return b.copyAfter(notes)
}

// flush makes acknowledgements durable that no commit took along. The write lock is held.
func (b *Buffer) flush() error {
	b.mu.Lock()
	clean := b.revision == b.saved
	b.mu.Unlock()
	if clean {
		return nil
	}
	return b.transact(nil, nil)
}

func checkNotes(notes Notes) error {
	for k, v := range notes {
		switch {
		case k == "" || len(k) > maxNoteKey:
			return fmt.Errorf("buffer: the note's key %.40q has %d bytes; 1 to %d are possible", k, len(k), maxNoteKey)
		case len(v) > maxNote:
			return fmt.Errorf("buffer: the note %q has %d bytes; at most %d are possible", k, len(v), maxNote)
		}
	}
	return nil
}

// transaction is one transaction in the head, prepared.
type transaction struct {
	blocks   []block
	notes    Notes
	state    state
	aside    []asideEntry
	trim     []asideKey
	gaps     []Gap
	oldGap   uint64 // gaps up to this number are forgotten
	catalog  map[uint32][]byte
	revision uint64
	id       int // bbolt's, once it runs
}

// commitSpare is what a commit may take besides records and notes, in bytes: a segment is full when less is left.
const commitSpare = 32 << 10

// transact writes one transaction and applies it to what is in memory. The write lock is held.
func (b *Buffer) transact(blocks []block, notes Notes) error {
	need := int64(commitSpare)
	for i := range blocks {
		need += int64(len(blocks[i].bytes)) * 10 / 9
	}
	for k, v := range notes {
		need += int64(len(k)+len(v)) * 2
	}
	if err := b.makeRoom(need); err != nil {
		return b.failed(err)
	}
	t := b.prepare(blocks, notes)
	if len(t.blocks) == 0 && len(t.notes) == 0 && t.revision == b.saved {
		return nil
	}
	head := b.head()
	head.stay(b.used(head), 0)
	err := guarded("commit to "+head.path, func() error { return head.db.Update(t.write) })
	if err != nil {
		b.suspect(head, t.id, err)
		return b.failed(fmt.Errorf("buffer: commit to %s: %w", head.path, err))
	}
	size, err := highWater(head.db)
	if err != nil {
		size = head.bytes + need // the transaction is durable; only its size is a guess
	}
	b.apply(&t, head, size)
	return nil
}

// head is the segment that is written. The write lock is held.
func (b *Buffer) head() *segment {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.segments[len(b.segments)-1]
}

// failed remembers a commit's failure for Stats. On a full disk the archive gives way: what is done with is worth less
// than what happens now.
func (b *Buffer) failed(err error) error {
	full := isFull(err)
	b.mu.Lock()
	b.stats.failed = err
	b.diskFull = full
	b.mu.Unlock()
	if full {
		b.signal(b.tidy)
	}
	return err
}

// suspect looks at a head whose transaction failed. bbolt writes the data, flushes, writes the meta page and flushes again.
// If that last flush fails, the mapped meta page shows the transaction although nobody can say whether it is on the
// disk, and writing on could overwrite pages that the disk's meta page still refers to. So such a head is left, as is one
// that failed twice for other reasons than a full disk, or over which bbolt panicked. Readers never look beyond what succeeded.
func (b *Buffer) suspect(head *segment, attempted int, err error) {
	if errors.Is(err, ErrDamaged) {
		head.file.Lock()
		head.broken = true
		head.file.Unlock()
		b.leaveHead = true
		return
	}
	if !isFull(err) {
		b.headFaults++
	}
	shown := attempted
	viewErr := guarded("look at "+head.path, func() error {
		return head.db.View(func(tx *bolt.Tx) error { shown = tx.ID(); return nil })
	})
	b.leaveHead = b.leaveHead || b.headFaults > 1 || viewErr != nil || shown >= attempted
}

// isFull tells a disk without space from one that fails.
func isFull(err error) bool { return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) }

// prepare takes down what one transaction has to write.
func (b *Buffer) prepare(blocks []block, notes Notes) transaction {
	b.mu.Lock()
	defer b.mu.Unlock()
	var ranges []laneRange // of the head; none when the first segment is made
	sealed := b.segments
	if n := len(b.segments); n > 0 {
		sealed, ranges = b.segments[:n-1], b.segments[n-1].ranges
	}
	t := transaction{blocks: blocks, notes: notes, revision: b.revision, catalog: map[uint32][]byte{}}
	t.aside, t.trim = b.aside.pending()
	t.gaps = b.changes.gaps[:len(b.changes.gaps):len(b.changes.gaps)]
	if b.state.Gaps > maxGaps {
		t.oldGap = b.state.Gaps - maxGaps
	}
	for number := range b.changes.catalog {
		t.catalog[number] = nil
		for _, s := range sealed {
			if s.number == number {
				t.catalog[number] = s.entry()
			}
		}
	}
	t.state = b.snapshot(append([]laneRange(nil), ranges...))
	t.state.Commits++
	for i := range blocks {
		k := &blocks[i]
		t.state.Sequence = k.Last
		t.state.Lanes[k.Lane].Last, t.state.Lanes[k.Lane].Added = k.Last, k.last()
		t.state.Ranges = extend(t.state.Ranges, k.laneRange)
	}
	return t
}

// snapshot is the state as it is in memory; b.mu is held.
func (b *Buffer) snapshot(ranges []laneRange) state {
	s := b.state
	s.Ranges = ranges
	s.Lanes = make([]laneState, len(b.lanes))
	for i, l := range b.lanes {
		s.Lanes[i] = l.laneState
	}
	return s
}

// write puts the transaction into the head.
func (t *transaction) write(tx *bolt.Tx) error {
	t.id = tx.ID()
	blocks := tx.Bucket(bucketBlocks)
	blocks.FillPercent = 1 // records are only appended: leave no room for others between
	for i := range t.blocks {
		if err := putBlock(blocks, t.blocks[i].Lane, t.blocks[i].First, t.blocks[i].bytes); err != nil {
			return err
		}
	}
	// A bucket that is not opened is not written again.
	var errs []error
	if len(t.notes) > 0 {
		errs = append(errs, putNotes(tx.Bucket(bucketNotes), t.notes))
	}
	if len(t.aside)+len(t.trim) > 0 {
		errs = append(errs, t.writeAside(tx.Bucket(bucketAside)))
	}
	if len(t.gaps) > 0 {
		errs = append(errs, putGaps(tx.Bucket(bucketGaps), t.gaps, t.oldGap))
	}
	if len(t.catalog) > 0 {
		errs = append(errs, putCatalog(tx.Bucket(bucketCatalog), t.catalog))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return tx.Bucket(bucketSegment).Put(keyState, seal(keyState, t.state.append(nil)))
}

// putNotes writes notes, sealed, and deletes those without a value.
func putNotes(bucket *bolt.Bucket, notes Notes) error {
	for k, v := range notes {
		var err error
		if v == nil {
			err = bucket.Delete([]byte(k))
		} else {
			err = bucket.Put([]byte(k), seal([]byte(k), v))
		}
		if err != nil {
			return fmt.Errorf("note %q: %w", k, err)
		}
	}
	return nil
}

// apply brings what is in memory to what the transaction made durable, and wakes who waits for records.
func (b *Buffer) apply(t *transaction, head *segment, size int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.headFaults = 0
	b.stats.commits++
	b.stats.failed, b.diskFull = nil, false
	b.saved = max(b.saved, t.revision)
	b.state.Commits, b.state.Sequence = t.state.Commits, t.state.Sequence
	b.growth.grown += size - head.bytes
	head.bytes = size
	for i := range t.blocks {
		k := &t.blocks[i]
		l := b.lanes[k.Lane]
		l.Last, l.Added = k.Last, k.last()
		l.waiting += k.Count
		head.ranges = extend(head.ranges, k.laneRange)
		b.signal(l.wake)
	}
	for k, v := range t.notes {
		if v == nil {
			delete(b.notes, k)
		} else {
			b.notes[k] = append([]byte{}, v...)
		}
	}
	b.aside.written(t.aside, t.trim)
	b.changes.gaps = b.changes.gaps[len(t.gaps):]
	for number, revision := range b.changes.catalog {
		if revision <= t.revision {
			delete(b.changes.catalog, number)
		}
	}
}
