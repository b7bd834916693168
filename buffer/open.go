package buffer

import (
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Open opens the buffer in a directory, or makes it. It repairs what it can and says so by Found. Errors: ErrLocked while
// another process has the directory, or what the file system says.
func Open(o Options) (*Buffer, error) {
	if err := o.complete(); err != nil {
		return nil, err
	}
	if err := makeDir(o.Dir); err != nil {
		return nil, fmt.Errorf("buffer: make the directory: %w", err)
	}
	lock, err := lockDir(o.Dir)
	if err != nil {
		return nil, err
	}
	c, err := newCodec()
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	b := &Buffer{opts: o, lock: lock, codec: c, byName: map[Lane]*lane{}, ids: map[Lane]uint16{},
		changes: changes{catalog: map[uint32]uint64{}}, notes: map[string][]byte{},
		dirty: make(chan struct{}, 1), tidy: make(chan struct{}, 1), stop: make(chan struct{})}
	if err := b.restore(); err != nil {
		for _, s := range b.segments {
			err = errors.Join(err, b.closeFile(s))
		}
		c.close()
		return nil, errors.Join(err, lock.Close())
	}
	for _, words := range b.found {
		o.Log.Warn("buffer: found at start: " + words)
	}
	b.growth.enough = o.SegmentBytes
	b.growth.take(time.Now(), freeBytes(o.Dir))
	b.done.Go(b.run)
	b.done.Go(b.tend)
	b.signal(b.tidy)
	return b, nil
}

// restore brings memory to what the directory says and makes sure that there is a head.
func (b *Buffer) restore() error {
	l, err := list(b.opts.Dir)
	if err != nil {
		return err
	}
	clean, err := takeClean(b.opts.Dir)
	if err != nil {
		return err
	}
	copied, faults := readCopies(b.opts.Dir)
	b.found = append(b.found, faults...)
	b.number, b.condemned = l.highest, l.damaged
	r := recovery{b: b, files: l, clean: clean, copied: copied}
	if err := r.findBase(); err != nil {
		return err
	}
	r.takeState()
	if err := r.takeSegments(); err != nil {
		return err
	}
	fresh := b.nameLanes()
	for _, l := range b.lanes {
		l.waiting = b.count(l)
	}
	r.countLost()
	if r.head == nil {
		if err := b.startSegment(); err != nil {
			return err
		}
	}
	b.settle(fresh)
	return nil
}

// settle writes down what Open found. A disk that takes nothing now must not keep the buffer shut: commits, which are tried
// again, take it along.
func (b *Buffer) settle(fresh bool) {
	if b.revision != b.saved {
		if err := b.transact(nil, nil); err != nil {
			b.opts.Log.Warn("buffer: write what was found at the start", "error", err)
			b.signal(b.dirty)
		}
	}
	if fresh || len(b.found) > 0 {
		if err := b.copy(); err != nil {
			b.opts.Log.Warn("buffer: copy the notes", "error", err)
		}
	}
}

// nameLanes gives every lane of the options an id and says whether there was a new one.
func (b *Buffer) nameLanes() (fresh bool) {
	for _, spec := range b.opts.Lanes {
		l := b.byName[spec.Name]
		if l == nil {
			l = newLane(laneState{ID: uint16(len(b.lanes)), Name: spec.Name, Critical: spec.Critical})
			b.addLane(l)
			fresh = true
		}
		if l.Critical != spec.Critical {
			l.Critical, fresh = spec.Critical, true
		}
		l.named = true
		b.ids[l.Name] = l.ID
		b.order = append(b.order, l.ID)
	}
	if fresh {
		b.revision++
	}
	return fresh
}

func (b *Buffer) addLane(l *lane) {
	b.lanes = append(b.lanes, l)
	b.byName[l.Name] = l
}

// newEpoch is a random uuid, version 4.
func newEpoch() string {
	var u [16]byte
	_, _ = rand.Read(u[:]) // never fails
	u[6], u[8] = u[6]&0x0f|0x40, u[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", u[:4], u[4:6], u[6:8], u[8:10], u[10:])
}

// sortedAside is how what was set aside is forgotten when it grows too much: the lowest sequences first.
func sortedAside(keys []asideKey) []asideKey {
	slices.SortFunc(keys, func(a, b asideKey) int { return cmp.Compare(a.sequence, b.sequence) })
	return keys
}
