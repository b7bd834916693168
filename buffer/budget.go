package buffer

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	bolt "go.etcd.io/bbolt"
)

// What is to be done with a segment for the sake of the budget.
type measure int

const (
	leave  measure = iota
	remove         // the file goes, and what waits in it is counted as dropped
	slim           // what is not critical goes
)

// keepBudget makes room until the segments are within their limits again. It runs beside commits: they never wait for it,
// so the limit can be passed for a moment, by what is committed meanwhile.
func (b *Buffer) keepBudget() {
	b.keeper.Lock()
	defer b.keeper.Unlock()
	for {
		s, what := b.nextMeasure()
		var err error
		switch what {
		case leave:
			return
		case remove:
			err = b.removeSegment(s)
		case slim:
			err = b.slimSegment(s)
		}
		if err != nil {
			b.opts.Log.Error("buffer: make room", "file", s.path, "error", err)
			return
		}
	}
}

// nextMeasure decides what goes next. In this order: the oldest segment with nothing left waiting; the oldest telemetry;
// and only when there is none besides the head, the oldest critical records. Telemetry may have what critical records
// leave of the budget, and never the reserve.
func (b *Buffer) nextMeasure() (*segment, measure) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.segments) == 0 {
		return nil, leave
	}
	sealed, head := b.segments[:len(b.segments)-1], b.segments[len(b.segments)-1]
	var mixed, kept int64
	var archive, oldest *segment
	for _, s := range sealed {
		switch {
		case s.kept:
			kept += s.bytes
		default:
			mixed += s.bytes
			if oldest == nil {
				oldest = s
			}
		}
		if archive == nil && !b.waits(s, false) {
			archive = s
		}
	}
	room := max(head.bytes, b.opts.SegmentBytes) // what the head will take
	over := mixed+room > b.opts.MaxBytes-max(b.opts.Reserve, kept)
	switch {
	case archive != nil && (over || b.diskFull):
		b.diskFull = false // one file is enough until the next commit finds none again
		return archive, remove
	case over && oldest != nil && b.waits(oldest, true):
		return oldest, slim
	case over && oldest != nil:
		return oldest, remove
	case oldest == nil && kept > 0 && kept+room > b.opts.MaxBytes:
		return sealed[0], remove
	}
	return nil, leave
}

// waits tells whether a segment has records that are not done with; b.mu is held.
func (b *Buffer) waits(s *segment, critical bool) bool {
	for i := range s.ranges {
		l := b.lanes[s.ranges[i].Lane]
		if (l.Critical || !critical) && l.above(&s.ranges[i]) > 0 {
			return true
		}
	}
	return false
}

// removeSegment removes a whole file. Readers must not be sent to it any more, so it leaves the list first.
func (b *Buffer) removeSegment(s *segment) error {
	b.mu.Lock()
	b.dropSegment(s, false)
	b.mu.Unlock()
	if err := s.retire(); err != nil {
		return fmt.Errorf("buffer: %w", err)
	}
	return syncDir(b.opts.Dir)
}

// slimSegment puts a file with only the critical lanes of s in its place. Their blocks are copied as they are.
func (b *Buffer) slimSegment(s *segment) error {
	b.mu.Lock()
	var stay []laneRange
	for _, r := range s.ranges {
		if l := b.lanes[r.Lane]; l.Critical && l.above(&r) > 0 {
			stay = append(stay, r)
		}
	}
	b.mu.Unlock()
	path := filepath.Join(b.opts.Dir, segmentName(s.number, true))
	size, err := b.copyLanes(s, path+newSuffix, stay)
	if errors.Is(err, ErrDamaged) {
		return b.loseSegment(s, err)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("buffer: slim %s: %w", s.path, err), discard(path+newSuffix))
	}
	// From the rename on the telemetry is dropped: Open removes a segment that has a slim one beside it.
	if err := os.Rename(path+newSuffix, path); err != nil {
		return fmt.Errorf("buffer: slim %s: %w", s.path, err)
	}
	if err := syncDir(b.opts.Dir); err != nil {
		return fmt.Errorf("buffer: slim %s: %w", s.path, err)
	}
	thin := &segment{number: s.number, kept: true, path: path, bytes: size, trusted: true}
	b.mu.Lock()
	b.forgetRanges(s, false, func(r laneRange) bool {
		for i := range stay {
			if stay[i].Lane == r.Lane {
				return false
			}
		}
		return true
	})
	thin.ranges = s.ranges
	for i, have := range b.segments {
		if have == s {
			b.segments[i] = thin
		}
	}
	b.changed(thin)
	b.mu.Unlock()
	if err := s.retire(); err != nil {
		return fmt.Errorf("buffer: %w", err)
	}
	return syncDir(b.opts.Dir)
}

// discard removes a file that was only begun.
func discard(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// copyLanes makes a file with some lanes' blocks and returns its size.
func (b *Buffer) copyLanes(from *segment, path string, stay []laneRange) (int64, error) {
	if err := discard(path); err != nil {
		return 0, err
	}
	db, err := bolt.Open(path, 0o600, &bolt.Options{Timeout: lockWait, FreelistType: bolt.FreelistMapType, PageSize: pageSize, NoStatistics: true, NoSync: true})
	if err != nil {
		return 0, err
	}
	if err := db.Update(func(tx *bolt.Tx) error {
		if _, err := tx.CreateBucket(bucketBlocks); err != nil {
			return err
		}
		bucket, err := tx.CreateBucket(bucketSegment)
		if err != nil {
			return err
		}
		return bucket.Put(keyIdentity, seal(keyIdentity, identity(b.epoch, from.number, stay)))
	}); err != nil {
		return 0, errors.Join(err, db.Close())
	}
	for i := range stay {
		if err := b.copyLane(from, db, stay[i].Lane); err != nil {
			return 0, errors.Join(err, db.Close())
		}
	}
	size, err := highWater(db)
	return size, errors.Join(err, db.Sync(), db.Close())
}

// copyLane copies a lane's blocks, a megabyte at a time: neither a read nor a write holds on to more.
func (b *Buffer) copyLane(from *segment, to *bolt.DB, id uint16) error {
	next := partKey(nil, id, 0, 0)
	for next != nil {
		var pairs []pair
		err := b.view(from, func(tx *bolt.Tx) error {
			size := 0
			pairs = nil
			c := tx.Bucket(bucketBlocks).Cursor()
			for k, v := c.Seek(next); ; k, v = c.Next() {
				lane, _, _, ok := splitKey(k)
				if !ok || lane != id {
					next = nil
					return nil
				}
				if size += len(v); size > 1<<20 {
					next = append([]byte(nil), k...)
					return nil
				}
				pairs = append(pairs, pair{append([]byte(nil), k...), append([]byte(nil), v...)})
			}
		})
		if err != nil {
			return err
		}
		if err := to.Update(func(tx *bolt.Tx) error {
			bucket := tx.Bucket(bucketBlocks)
			bucket.FillPercent = 1
			for _, p := range pairs {
				if err := bucket.Put(p.key, p.value); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			return err
		}
	}
	return nil
}

// Stats is how a buffer stands.
type Stats struct {
	Epoch    string
	Sequence uint64 // the last one given
	Bytes    int64  // that all segments take
	MaxBytes int64
	Segments int
	Lanes    []LaneStats // those of Options.Lanes, and others that still have records
	Commits  uint64      // transactions since Open
	Error    error       // of the last commit, nil when it went well
	Copied   time.Time   // when the notes' second copy was last written
	Damaged  []string    // names of files that were put aside and lie in the directory
	Gaps     uint64      // number of the last gap
	Growth   float64     // bytes appended per second, over the last hour or, while little comes, day; 0 in the first minute after Open
	Room     int64       // bytes that may be appended before telemetry is dropped or the disk is full, if nothing is acknowledged meanwhile
}

// LaneStats is how a lane stands. Sent, Dropped and SetAside count since the epoch began, but SetAside only what is kept.
type LaneStats struct {
	Name     Lane
	Critical bool
	Waiting  uint64 // neither acknowledged nor dropped
	SetAside uint64 // kept apart
	Sent     uint64 // acknowledged and not set aside
	Dropped  uint64 // lost to the budget or to damage
	Last     uint64 // sequence of the newest record
	Cursor   uint64 // everything up to it is done with
}

// Stats tells how the buffer stands, from memory.
func (b *Buffer) Stats() Stats {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := Stats{Epoch: b.epoch, Sequence: b.state.Sequence, MaxBytes: b.opts.MaxBytes, Segments: len(b.segments), Commits: b.stats.commits,
		Error: b.stats.failed, Copied: b.stats.copied, Damaged: append([]string(nil), b.condemned...), Gaps: b.state.Gaps,
		Growth: b.growth.rate(time.Now()), Room: b.room()}
	for _, seg := range b.segments {
		s.Bytes += seg.bytes
	}
	add := func(l *lane) {
		s.Lanes = append(s.Lanes, LaneStats{Name: l.Name, Critical: l.Critical, Waiting: l.waiting, SetAside: l.SetAside, Sent: l.Sent,
			Dropped: l.Dropped, Last: l.Last, Cursor: l.Cursor})
	}
	for _, id := range b.order {
		add(b.lanes[id])
	}
	for _, l := range b.lanes {
		if !l.named && l.waiting+l.SetAside > 0 {
			add(l)
		}
	}
	return s
}
