package buffer

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"strings"
	"sync"
	"time"
)

// Errors that callers may tell apart with errors.Is.
var (
	// ErrClosed is returned by every call after Close.
	ErrClosed = errors.New("the buffer is closed")
	// ErrLocked is returned by Open while another process has the directory.
	ErrLocked = errors.New("in use by another process")
	// ErrUnknownLane is returned by Commit, Peek and others for a lane that Options.Lanes does not name.
	ErrUnknownLane = errors.New("lane is not among Options.Lanes")
	// ErrDamaged is returned by Probe for a file whose content is not what was written.
	ErrDamaged = errors.New("the file is damaged")
)

// Lane names the queue of one topic.
type Lane string

// Record is one event as it will be sent. The bytes are opaque to the buffer and stored as they are.
type Record struct {
	Lane Lane
	At   int64  // wall time of the event, unix ms
	Key  []byte // the Kafka key
	Head []byte // the headers, encoded by who made the record
	Body []byte
}

// Entry is a stored record. Its bytes stay as they are for as long as they are held; they are shared with the buffer's
// cache, so they must not be changed.
type Entry struct {
	Record
	Sequence uint64 // counts all records of one epoch from 1
}

// Notes are durable keyed values, written in the same transaction as records. A nil value deletes its key. Keys are 1 to
// 1,024 bytes, values at most 1 MiB.
type Notes map[string][]byte

// LaneSpec is one lane that Commit, Peek and Ack may name.
type LaneSpec struct {
	Name     Lane
	Critical bool // dropped only when there is no telemetry left to drop
}

// Options say where a buffer lies and what it may take.
type Options struct {
	Dir          string     // created when it does not exist
	MaxBytes     int64      // what all segments together may take, in bytes; 0: 2 GiB
	Reserve      int64      // of these, what telemetry must leave to critical lanes, in bytes; 0: 64 MiB, or a quarter of MaxBytes
	SegmentBytes int64      // the size at which the next segment starts, in bytes; 0: 32 MiB, and at most an eighth of MaxBytes
	Lanes        []LaneSpec // in the order in which a commit numbers their records

	// Probe reads a segment from end to end, as the function Probe does, in another process: a damaged file can end the
	// process that maps it. An error that wraps ErrDamaged, or that has an exit code (exec.ExitError), condemns the
	// file; any other means that the probe could not be made. Nil, or when it could not be made: in this process.
	Probe func(file string) error

	// CopyNow says whether a note must reach the second copy at once and not within a minute: bindings, tokens, what
	// would do harm if an older value came back. Nil: none.
	CopyNow func(key string) bool

	Log *slog.Logger // nil: nothing is logged
}

// Limits of what a caller hands over; larger is a mistake of the caller, not data.
const (
	maxRecord  = 16 << 20 // bytes of one record
	maxNoteKey = 1024
	maxNote    = 1 << 20
	maxLanes   = 1 << 10
)

// complete checks the options and fills in what was left at zero.
func (o *Options) complete() error {
	var errs []error
	if o.Dir == "" {
		errs = append(errs, errors.New("buffer: Options.Dir is empty; name the directory that keeps the segments"))
	}
	if o.MaxBytes < 0 || o.Reserve < 0 || o.SegmentBytes < 0 {
		errs = append(errs, fmt.Errorf("buffer: sizes must not be negative (max %d, reserve %d, segment %d)", o.MaxBytes, o.Reserve, o.SegmentBytes))
	}
	if o.MaxBytes == 0 {
		o.MaxBytes = 2 << 30
	}
	if o.Reserve == 0 {
		o.Reserve = min(64<<20, o.MaxBytes/4)
	}
	if o.SegmentBytes == 0 {
		o.SegmentBytes = 32 << 20
	}
	o.SegmentBytes = min(o.SegmentBytes, o.MaxBytes/8)
	if o.SegmentBytes < minSegment {
		errs = append(errs, fmt.Errorf("buffer: a segment of %d bytes is too small; MaxBytes must be at least %d and SegmentBytes at least %d", o.SegmentBytes, 8*minSegment, minSegment))
	}
	if o.Reserve > o.MaxBytes/2 {
		errs = append(errs, fmt.Errorf("buffer: the reserve of %d bytes is more than half of %d; telemetry would have no place", o.Reserve, o.MaxBytes))
	}
	if len(o.Lanes) > maxLanes {
		errs = append(errs, fmt.Errorf("buffer: %d lanes, at most %d are possible", len(o.Lanes), maxLanes))
	}
	seen := map[Lane]bool{}
	for _, l := range o.Lanes {
		if l.Name == "" || len(l.Name) > 255 || seen[l.Name] {
			errs = append(errs, fmt.Errorf("buffer: lane %q is empty, longer than 255 bytes or named twice", l.Name))
		}
		seen[l.Name] = true
	}
	if o.CopyNow == nil {
		o.CopyNow = func(string) bool { return false }
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return errors.Join(errs...)
}

// Buffer is an open buffer. Commit is for one goroutine at a time (others wait), all else for any.
type Buffer struct {
	opts  Options
	lock  *os.File // the directory's
	codec *codec
	epoch string
	found []string

	// write is held by whatever writes to the head: a commit, the flush of acknowledgements, Close.
	write      sync.Mutex
	packing    packer    // scratch of Commit
	copies     copyFiles // the notes' second copy
	number     uint32    // of the newest segment file that ever was
	headFaults int       // commits in a row that the head's disk refused
	leaveHead  bool      // the head must not be written any more
	complaint  string    // the last failure of a write in the background

	ids   map[Lane]uint16 // the named lanes; never changes
	order []uint16        // the same in the order of Options.Lanes

	// mu guards all below. It is never held over a read or a write of a file.
	mu        sync.Mutex
	closed    bool
	state     state
	byName    map[Lane]*lane
	lanes     []*lane // by id
	segments  []*segment
	notes     map[string][]byte
	aside     asideLog
	gaps      []Gap
	changes   changes
	revision  uint64 // counts what must become durable besides commits
	saved     uint64 // the revision that is durable
	stats     counters
	growth    growth
	diskFull  bool     // the last commit found no space
	condemned []string // files that were put aside, by name

	condemnHead bool // the head cannot be read: the next commit must leave it

	dirty  chan struct{} // has a value when revision went up
	tidy   chan struct{} // has a value when the budget should be looked at
	stop   chan struct{}
	done   sync.WaitGroup
	keeper sync.Mutex // one budget pass at a time
}

// flushEvery is how long an acknowledgement may wait for a commit to ride with.
const flushEvery = time.Second

// Epoch is the uuid under which sequences count: new when Open found an empty directory.
func (b *Buffer) Epoch() string { return b.epoch }

// Found says in words what Open had to repair: files that were put aside, notes that came from their copy. Empty when all
// was well.
func (b *Buffer) Found() []string { return append([]string(nil), b.found...) }

// Note is the value of a note, nil when there is none. It must not be changed.
func (b *Buffer) Note(key string) []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.notes[key]
}

// Notes are all notes whose key starts with prefix. The values must not be changed.
func (b *Buffer) Notes(prefix string) map[string][]byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	if prefix == "" {
		return maps.Clone(b.notes)
	}
	some := map[string][]byte{}
	for k, v := range b.notes {
		if strings.HasPrefix(k, prefix) {
			some[k] = v
		}
	}
	return some
}

// Wake has a value after a commit that added to the lane. It is nil for an unknown lane.
func (b *Buffer) Wake(name Lane) <-chan struct{} {
	l, err := b.lane(name)
	if err != nil {
		return nil
	}
	return l.wake
}

// lane looks up one of Options.Lanes.
func (b *Buffer) lane(name Lane) (*lane, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil, ErrClosed
	}
	l := b.byName[name]
	if l == nil || !l.named {
		return nil, fmt.Errorf("buffer: %q: %w", name, ErrUnknownLane)
	}
	return l, nil
}

// Close makes the last acknowledgements and the notes' copy durable and lets go of the directory. The error is that of
// the last write; the buffer is closed all the same.
func (b *Buffer) Close() error {
	b.write.Lock()
	defer b.write.Unlock()
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		return nil
	}
	b.closed = true
	b.mu.Unlock()
	close(b.stop)
	b.done.Wait()

	errs := []error{b.flush(), b.copy()}
	b.mu.Lock()
	segments := b.segments
	b.segments = nil
	b.mu.Unlock()
	whole := true
	for _, s := range segments {
		whole = whole && !s.broken
		errs = append(errs, s.shut())
	}
	b.codec.close()
	err := errors.Join(errs...)
	if err == nil && whole {
		err = markClean(b.opts.Dir) // else the next Open probes
	}
	return errors.Join(err, b.lock.Close())
}

// run makes acknowledgements durable that no commit took along, refreshes the notes' copy and keeps the budget.
func (b *Buffer) run() {
	copying := time.NewTicker(copyEvery)
	defer copying.Stop()
	flushing := time.NewTimer(time.Hour)
	flushing.Stop()
	armed := false
	for {
		select {
		case <-b.stop:
			return
		case <-b.dirty:
			if !armed {
				armed = true
				flushing.Reset(flushEvery)
			}
		case <-flushing.C:
			armed = false
			b.background("write acknowledgements", b.flush)
		case <-copying.C:
			b.measure()
			b.background("copy the notes", b.copy)
		}
	}
}

// background does one write that no caller waits for. A failure is logged; the next commit or tick tries again.
func (b *Buffer) background(what string, write func() error) {
	// Close holds the write lock while it waits for this goroutine.
	if !b.write.TryLock() {
		b.signal(b.dirty) // whoever holds it is committing; look again in a while
		return
	}
	defer b.write.Unlock()
	b.attempt(what, write)
}

// attempt is background with the write lock held.
func (b *Buffer) attempt(what string, write func() error) {
	err := write()
	if err == nil {
		b.complaint = ""
		return
	}
	b.signal(b.dirty)
	if words := what + ": " + err.Error(); words != b.complaint {
		b.complaint = words // a disk that stays broken is one line, not one a second
		b.opts.Log.Warn("buffer: "+what, "error", err)
	}
}

// tend keeps the budget, apart from run because slimming a segment can take seconds on a slow disk.
func (b *Buffer) tend() {
	for {
		select {
		case <-b.stop:
			return
		case <-b.tidy:
			b.keepBudget()
		}
	}
}

func (b *Buffer) signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
