package buffer

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"syscall"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// sequenceJump is how far sequences go on above all that is known when the newest segment is lost: more than can have been
// given since the copy of the notes was written, or in a whole segment. Consumers see the hole, and it is one.
const sequenceJump = 1 << 30

// recovery is what Open knows while it puts the pieces together.
type recovery struct {
	b      *Buffer
	files  *listing
	clean  bool // the last process closed the buffer
	copied *snapshotOfNotes
	base   *content // of the newest segment that can be read
	head   *segment // the same, if it can be written on
	lost   bool     // a newer one than base cannot be read
	older  bool     // base is older than the copy of the notes
}

// findBase opens the newest segment that can be read. Those that cannot are put aside.
func (r *recovery) findBase() error {
	for _, number := range r.files.numbers() {
		if r.files.kept[number] {
			continue // it has no state
		}
		path := r.files.files[number]
		s := &segment{number: number, path: path, trusted: true}
		err := r.tryBase(s)
		if err == nil {
			r.head = s
			return nil
		}
		if !errors.Is(err, ErrDamaged) {
			return fmt.Errorf("buffer: open the newest segment: %w", err)
		}
		if err := r.putAside(number, err); err != nil {
			return err
		}
		r.lost = true
	}
	return nil
}

// tryBase opens a segment for writing and reads what it says.
func (r *recovery) tryBase(s *segment) (err error) {
	if !r.clean || r.lost {
		if err := r.b.probe(s.path); err != nil {
			return err
		}
	}
	if err := warm(s.path); err != nil {
		return unreadable(err)
	}
	whole, err := metaIsWhole(s.path)
	if err != nil {
		return err
	}
	db, err := openHead(s.path, r.b.opts.SegmentBytes)
	if err != nil {
		return err
	}
	s.opened(db)
	err = guarded("read "+s.path, func() error {
		return s.db.View(func(tx *bolt.Tx) (err error) {
			r.base, err = readContent(tx)
			return err
		})
	})
	if err == nil && r.base.number != s.number {
		err = fmt.Errorf("%s says that it is segment %d: %w", s.path, r.base.number, ErrDamaged)
	}
	if err != nil {
		r.base = nil
		return errors.Join(err, s.close())
	}
	s.ranges, s.bytes = r.base.state.Ranges, r.base.bytes
	if !whole {
		r.lost = true
		r.say("segment %d has a damaged meta page and is read as of commit %d; the one after that may be lost", s.number, r.base.state.Commits)
	}
	return nil
}

// unreadable turns the failure to read a file, as opposed to the failure to open it, into damage.
func unreadable(err error) error {
	if errors.Is(err, syscall.EIO) {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return err
}

// putAside renames a file that cannot be trusted and says so.
func (r *recovery) putAside(number uint32, cause error) error {
	to, err := quarantine(r.files.files[number])
	if err != nil {
		return fmt.Errorf("buffer: segment %d is damaged: %w", number, errors.Join(cause, err))
	}
	r.say("segment %d is damaged and was put aside as %s: %v", number, filepath.Base(to), cause)
	r.b.condemned = append(r.b.condemned, filepath.Base(to))
	delete(r.files.files, number)
	return nil
}

func (r *recovery) say(format string, args ...any) {
	r.b.found = append(r.b.found, fmt.Sprintf(format, args...))
}

// takeState takes the newest state and notes there are: those of the base, or those of the copy.
func (r *recovery) takeState() {
	b := r.b
	if r.copied != nil && (r.base == nil || r.copied.epoch == r.base.epoch) {
		b.copies.generation, b.copies.commits = r.copied.generation, r.copied.state.Commits
		r.older = r.base == nil || r.copied.state.Commits > r.base.state.Commits
	} else if r.copied != nil {
		r.say("the copy of the notes is of another epoch and was not used")
		b.copies.generation = r.copied.generation
	}
	switch {
	case r.older:
		b.epoch, b.state = r.copied.epoch, r.copied.state
		maps.Copy(b.notes, r.copied.notes)
		b.gaps = r.copied.gaps
		r.say("notes come from their copy, which is newer than the newest segment that can be read; what was noted after commit %d is lost", b.state.Commits)
	case r.base != nil:
		b.epoch, b.state, b.notes, b.gaps = r.base.epoch, r.base.state, r.base.notes, r.base.gaps
		r.takeLostNotes()
	default:
		b.epoch = newEpoch()
		if r.files.any {
			r.say("nothing of the old buffer can be read: a new epoch begins")
		}
		return
	}
	if r.base != nil {
		for _, words := range r.base.faults {
			r.say("%s", words)
		}
		b.aside.kept = sortedAside(r.base.aside)
		for _, k := range b.aside.kept {
			b.aside.bytes += k.size
		}
	}
	for _, l := range b.state.Lanes {
		b.addLane(newLane(l))
	}
	if r.lost || r.older {
		b.state.Sequence += sequenceJump
		b.revision++
		if r.head != nil {
			r.head = r.sealBase(r.head)
		}
	}
}

// takeLostNotes replaces notes that were damaged in the base by their copies.
func (r *recovery) takeLostNotes() {
	for _, key := range r.base.lost {
		if r.copied != nil && r.copied.epoch == r.b.epoch {
			if v, ok := r.copied.notes[key]; ok {
				r.b.notes[key] = v
				r.say("the note %q was damaged and comes from the copy", key)
				continue
			}
		}
		r.say("the note %q was damaged and is lost", key)
	}
	if len(r.base.lost) > 0 {
		r.b.leaveHead = true // the next commit starts a segment, with these notes in it
	}
}

// sealBase makes an ordinary old segment of the base: a head that lost its successors is not written any more.
func (r *recovery) sealBase(s *segment) *segment {
	if err := s.close(); err != nil {
		r.b.opts.Log.Warn("buffer: close a segment", "file", s.path, "error", err)
	}
	r.base.catalog[s.number] = entry{bytes: s.bytes, ranges: s.ranges}
	return nil
}

// takeSegments brings the catalog and the files together.
func (r *recovery) takeSegments() error {
	b := r.b
	catalog := map[uint32]entry{}
	if r.base != nil {
		catalog = r.base.catalog
	}
	numbers := slices.Sorted(maps.Keys(r.files.files))
	for number := range catalog {
		if _, ok := r.files.files[number]; !ok {
			numbers = append(numbers, number)
		}
	}
	slices.Sort(numbers)
	for _, number := range numbers {
		if r.head != nil && number == r.head.number {
			continue
		}
		was, known := catalog[number]
		path, there := r.files.files[number]
		s := &segment{number: number, path: path, kept: r.files.kept[number], bytes: was.bytes, ranges: was.ranges, trusted: r.clean && known}
		sortRanges(s.ranges)
		b.segments = append(b.segments, s)
		switch {
		case !there:
			r.missing(s)
		case !known || s.kept && !was.kept:
			if err := r.adopt(s, known); err != nil {
				return err
			}
		}
	}
	slices.SortFunc(b.segments, func(a, b *segment) int { return int(a.number) - int(b.number) })
	if r.head != nil {
		b.segments = append(b.segments, r.head)
	}
	for _, s := range b.segments {
		for i := range s.ranges {
			k := &s.ranges[i]
			l := b.lanes[k.Lane]
			l.Last, l.Added = max(l.Last, k.Last), max(l.Added, k.last())
			b.state.Sequence = max(b.state.Sequence, k.Last)
		}
	}
	return nil
}

// missing counts what a segment had whose file is not there.
func (r *recovery) missing(s *segment) {
	b := r.b
	waited := b.waits(s, false)
	b.dropSegment(s, true)
	if waited {
		r.say("segment %d is not there; what waited in it is lost", s.number)
	}
}

// adopt takes a segment's own word for what it has: the catalog does not know it, or not as it is now.
func (r *recovery) adopt(s *segment, known bool) error {
	b := r.b
	var c *content
	err := b.view(s, func(tx *bolt.Tx) (err error) {
		if s.kept {
			c, err = readIdentity(tx)
		} else {
			c, err = readContent(tx)
		}
		return err
	})
	if errors.Is(err, ErrDamaged) {
		if err := r.putAside(s.number, err); err != nil {
			return err
		}
		b.dropSegment(s, true)
		return nil
	}
	if err != nil {
		return fmt.Errorf("buffer: read segment %d: %w", s.number, err)
	}
	if c.epoch != b.epoch || !r.sameLanes(c) {
		r.say("segment %d is of another epoch and is left alone", s.number)
		b.segments = slices.DeleteFunc(b.segments, func(have *segment) bool { return have == s })
		return nil
	}
	s.bytes = c.bytes
	if known {
		b.forgetRanges(s, false, func(old laneRange) bool {
			return !slices.ContainsFunc(c.state.Ranges, func(now laneRange) bool { return now.Lane == old.Lane })
		})
		return nil
	}
	s.ranges = c.state.Ranges
	sortRanges(s.ranges)
	b.changed(s)
	return nil
}

// sameLanes tells whether a segment's lanes mean what they mean here, and takes on those that are new.
func (r *recovery) sameLanes(c *content) bool {
	b := r.b
	for id, l := range c.state.Lanes {
		if id < len(b.lanes) && b.lanes[id].Name != l.Name {
			return false
		}
	}
	for id := len(b.lanes); id < len(c.state.Lanes); id++ {
		l := c.state.Lanes[id]
		b.addLane(newLane(laneState{ID: l.ID, Name: l.Name, Critical: l.Critical, Cursor: l.Cursor, Done: l.Done, Sent: l.Sent, Dropped: l.Dropped}))
	}
	for _, k := range c.state.Ranges {
		if int(k.Lane) >= len(b.lanes) {
			return false
		}
	}
	return true
}

// countLost counts what a newest segment took with it that cannot be read any more, as far as the copy of the notes knew
// it, and what was set aside and is not there any more.
func (r *recovery) countLost() {
	b := r.b
	for _, l := range b.lanes {
		if r.older {
			top, last := l.Done, l.Cursor
			if r.base != nil && int(l.ID) < len(r.base.state.Lanes) {
				was := &r.base.state.Lanes[l.ID]
				top, last = max(top, was.Added), max(last, was.Last)
			}
			if l.Added > top {
				b.addGap(l, laneRange{First: last + 1, Last: l.Last}, l.Added-top, true)
				b.revision++
			}
		}
		var kept uint64
		for _, k := range b.aside.kept {
			if k.lane == l.ID {
				kept++
			}
		}
		if kept != l.SetAside {
			l.Dropped += l.SetAside - min(kept, l.SetAside)
			l.SetAside = kept
			b.revision++
		}
	}
}

// condemn marks those errors of opening a file that speak of its content.
func condemn(err error) error {
	var path *fs.PathError
	switch {
	case errors.Is(err, ErrDamaged), errors.Is(err, bolterrors.ErrTimeout):
		return err
	case errors.Is(err, syscall.EIO):
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	case errors.As(err, &path), errors.As(err, new(syscall.Errno)):
		return err
	}
	return fmt.Errorf("%w: %w", ErrDamaged, err)
}
