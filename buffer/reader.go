package buffer

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	bolt "go.etcd.io/bbolt"
)

// Reader reads the directory of a buffer that nobody has open, and changes nothing in it: each segment is copied to a
// temporary file and looked at there. So a damaged file cannot end the process, and a gateway that starts meanwhile finds
// its directory free but for the moment of a copy; reading then ends with ErrLocked. A Reader is for one goroutine.
type Reader struct {
	dir   string
	codec *codec
	files []segmentFile // the oldest first
	aside []string      // names of files that were put aside as damaged

	newest *content        // of the newest segment that can be read; nil: none
	head   uint32          // that segment's number
	known  *state          // the newest state there is; nil: none
	epoch  string          // of it
	copied []string        // what is wrong with the copies of the notes, in words
	names  map[uint16]Lane // of that epoch
}

// segmentFile is a segment in the directory.
type segmentFile struct {
	number uint32
	kept   bool
	name   string
}

// OpenReader looks at what lies in a buffer's directory. Errors: ErrLocked while a process has the buffer open, ErrNoBuffer
// where there is none, or what the file system says.
func OpenReader(dir string) (*Reader, error) {
	r := &Reader{dir: dir, names: map[uint16]Lane{}}
	if err := r.locked(r.scan); err != nil {
		return nil, err
	}
	if len(r.files)+len(r.aside) == 0 {
		return nil, fmt.Errorf("buffer: %s: %w", dir, ErrNoBuffer)
	}
	var err error
	if r.codec, err = newCodec(); err != nil {
		return nil, err
	}
	if err := r.findState(); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

// ErrNoBuffer is returned by OpenReader for a directory without a segment.
var ErrNoBuffer = errors.New("there is no buffer")

// Epoch is the uuid of the newest life of the buffer; empty when nothing tells it.
func (r *Reader) Epoch() string { return r.epoch }

// Close lets go of what the reader holds. Its iterators end.
func (r *Reader) Close() error {
	r.codec.close()
	return nil
}

// locked runs f while no other process can open the buffer. A buffer without a lock file was never opened here.
func (r *Reader) locked(f func() error) error {
	path := filepath.Join(r.dir, lockName)
	lock, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return f()
	}
	if err != nil {
		return fmt.Errorf("buffer: open the lock: %w", err)
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_SH|syscall.LOCK_NB); err != nil {
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return fmt.Errorf("buffer: lock %s: %w", path, err)
		}
		who, _ := io.ReadAll(io.LimitReader(lock, 32)) // a hint only
		return fmt.Errorf("buffer: %s is %w (pid %s)", r.dir, ErrLocked, strings.TrimSpace(string(who)))
	}
	return f()
}

// scan finds the segments. Where a slim one lies beside the one that it was made of, the latter has more.
func (r *Reader) scan() error {
	entries, err := os.ReadDir(r.dir)
	if err != nil {
		return fmt.Errorf("buffer: read the directory: %w", err)
	}
	for _, e := range entries {
		stem, ext, _ := strings.Cut(e.Name(), ".")
		number, err := strconv.ParseUint(stem, 10, 32)
		switch {
		case err != nil || len(stem) != 8:
		case strings.HasSuffix(ext, strings.TrimPrefix(damagedSuffix, ".")):
			r.aside = append(r.aside, e.Name())
		case ext == "bolt" || ext == "kept":
			r.files = append(r.files, segmentFile{number: uint32(number), kept: ext == "kept", name: e.Name()})
		}
	}
	slices.SortFunc(r.files, func(a, b segmentFile) int {
		return cmp.Or(cmp.Compare(a.number, b.number), strings.Compare(a.name, b.name))
	})
	r.files = slices.CompactFunc(r.files, func(a, b segmentFile) bool { return a.number == b.number })
	return nil
}

// findState reads the newest state: the lanes' names, and how far each is done with.
func (r *Reader) findState() error {
	for _, f := range slices.Backward(r.files) {
		if f.kept {
			continue // it has no state
		}
		err := r.view(f, func(tx *bolt.Tx) (err error) {
			r.newest, err = readContent(tx)
			return err
		})
		if err == nil {
			r.head, r.known, r.epoch = f.number, &r.newest.state, r.newest.epoch
			break
		}
		r.newest = nil
		if !errors.Is(err, ErrDamaged) {
			return err
		}
	}
	var copied *snapshotOfNotes
	copied, r.copied = readCopies(r.dir)
	if copied != nil && (r.known == nil || copied.epoch == r.epoch && copied.state.Commits > r.known.Commits) {
		r.known, r.epoch = &copied.state, copied.epoch
	}
	if r.known != nil {
		for _, l := range r.known.Lanes {
			r.names[l.ID] = l.Name
		}
	}
	return nil
}

// borrowed is the open copy of a segment.
type borrowed struct {
	db         *bolt.DB
	name, path string
}

// open opens a copy of a segment. An error that wraps ErrDamaged speaks of the segment.
func (r *Reader) open(f segmentFile) (*borrowed, error) {
	path, err := r.borrow(f)
	if err != nil {
		return nil, err
	}
	err = checkStructure(path)
	var db *bolt.DB
	if err == nil {
		db, err = openSealed(path)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", f.name, err), os.Remove(path))
	}
	return &borrowed{db, f.name, path}, nil
}

func (b *borrowed) view(look func(*bolt.Tx) error) error {
	return guarded("read "+b.name, func() error { return b.db.View(look) })
}

func (b *borrowed) close() error { return errors.Join(b.db.Close(), os.Remove(b.path)) }

// view runs one look at a segment.
func (r *Reader) view(f segmentFile, look func(*bolt.Tx) error) error {
	b, err := r.open(f)
	if err != nil {
		return err
	}
	return errors.Join(b.view(look), b.close())
}

// borrow copies a segment to a temporary file, while no gateway can start.
func (r *Reader) borrow(f segmentFile) (path string, err error) {
	to, err := os.CreateTemp("", "glasshouse-segment-*")
	if err != nil {
		return "", fmt.Errorf("buffer: copy %s to look at it: %w", f.name, err)
	}
	err = r.locked(func() error {
		from, err := os.Open(filepath.Join(r.dir, f.name))
		if err != nil {
			return fmt.Errorf("buffer: %w", err)
		}
		defer from.Close()
		if _, err := io.Copy(to, from); err != nil {
			return fmt.Errorf("buffer: copy %s to look at it: %w", f.name, unreadable(err))
		}
		return nil
	})
	if err := errors.Join(err, to.Close()); err != nil {
		return "", errors.Join(err, os.Remove(to.Name()))
	}
	return to.Name(), nil
}

// blocks are the places of all blocks in a bucket, in the order of their sequences. What is no block is told to bad.
func blocks(tx *bolt.Tx, bucket []byte, bad func(error)) []place {
	var all []place
	parts, keys := 0, 0
	c := tx.Bucket(bucket).Cursor()
	for k, v := c.First(); k != nil; k, v = c.Next() {
		id, first, part, ok := splitKey(k)
		if keys++; !ok {
			bad(fmt.Errorf("the key %x is none of a block: %w", k, ErrDamaged))
			continue
		}
		if part != 0 {
			continue
		}
		p, err := placeAt(v, id, first)
		if err != nil {
			bad(err)
			continue
		}
		parts += (blockHeader + int(p.stored) + partBytes - 1) / partBytes
		all = append(all, *p)
	}
	if parts < keys {
		bad(fmt.Errorf("%d of %d parts belong to no block: %w", keys-parts, keys, ErrDamaged))
	}
	slices.SortFunc(all, func(a, b place) int { return cmp.Compare(a.first, b.first) })
	return all
}

// records decodes one block.
func (r *Reader) records(tx *bolt.Tx, bucket []byte, p *place, lane Lane) ([]Entry, error) {
	fault := func(err error) error {
		return fmt.Errorf("lane %q, sequences %d to %d: %w", lane, p.first, p.last(), err)
	}
	stored, err := p.read(tx.Bucket(bucket).Cursor(), nil)
	if err != nil {
		return nil, fault(err)
	}
	raw, err := r.codec.payload(p.header, stored)
	if err != nil {
		return nil, fault(err)
	}
	w := walker{rest: raw}
	var entries []Entry
	for i := range uint64(p.count) {
		e := Entry{Record: Record{Lane: lane}, Sequence: p.first + i}
		if err := w.next(&e.Record); err != nil {
			return entries, fault(err)
		}
		entries = append(entries, e)
	}
	if len(w.rest) > 0 {
		return entries, fault(fmt.Errorf("%d bytes follow the last record: %w", len(w.rest), ErrDamaged))
	}
	return entries, nil
}

// name is a lane's name: the segment's own word, else the newest state's.
func (r *Reader) name(c *content, id uint16) Lane {
	if int(id) < len(c.state.Lanes) {
		return c.state.Lanes[id].Name
	}
	if name, ok := r.names[id]; ok && c.epoch == r.epoch {
		return name
	}
	return Lane(fmt.Sprintf("lane %d", id))
}
