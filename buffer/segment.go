package buffer

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"
	"syscall"
	"time"

	bolt "go.etcd.io/bbolt"
)

// A segment's buckets.
var (
	bucketBlocks  = []byte("blocks")  // lane, sequence, part: the records
	bucketNotes   = []byte("notes")   // key: a sealed value
	bucketAside   = []byte("aside")   // lane, sequence, part: blocks of one record that was set aside
	bucketCatalog = []byte("catalog") // number: what the segments before this one hold
	bucketGaps    = []byte("gaps")    // number: records that were dropped
	bucketSegment = []byte("segment") // which segment this is, and the state
	keyIdentity   = []byte("identity")
	keyState      = []byte("state")
)

const (
	pageSize   = 4096            // of every segment, so that a file means the same on every machine
	partBytes  = 984             // of a block under one key: four parts fill a page, and a larger value would be rewritten with each append
	keyBytes   = 12              // lane, sequence, part
	growBytes  = 4 << 20         // by which a head's file grows
	minSegment = 64 << 10        // below this a segment would hold little but its notes
	openIdle   = 3               // segments besides the head that stay mapped while nobody reads them
	lockWait   = 1 * time.Second // for bbolt's lock on a file
)

// segment is one numbered file.
type segment struct {
	number uint32
	kept   bool // slimmed: only critical lanes are left in it
	path   string

	// Guarded by Buffer.mu.
	ranges []laneRange
	bytes  int64 // up to the file's high-water mark

	file    sync.Mutex // guards the following, and is held while the file is opened
	db      *bolt.DB
	users   int
	used    time.Time
	trusted bool // this process wrote it, or probed it
	gone    bool // removed: closed once nobody reads it
	broken  bool // bbolt panicked over it: its locks cannot be trusted, so it is never closed

	memory    sync.Mutex // held while what has left memory is fetched
	residence residence
}

// segmentName is a file's name: numbers sort as they were written.
func segmentName(number uint32, kept bool) string {
	if kept {
		return fmt.Sprintf("%08d.kept", number)
	}
	return fmt.Sprintf("%08d.bolt", number)
}

// guarded runs f with faults of mapped memory turned into panics, and panics into errors: a file that is shorter or other
// than bbolt believes must not end the process.
func guarded(what string, f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%s: %w: %v", what, ErrDamaged, r)
		}
	}()
	return f()
}

// openHead opens a segment for writing, or makes it.
func openHead(path string, size int64) (db *bolt.DB, err error) {
	err = guarded("open "+path, func() error {
		// The map is larger than the file will be: mapping it anew waits for every reader.
		db, err = bolt.Open(path, 0o600, &bolt.Options{Timeout: lockWait, FreelistType: bolt.FreelistMapType, PageSize: pageSize,
			InitialMmapSize: int(size + size/8), MmapFlags: syscall.MAP_POPULATE, NoStatistics: true})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("open segment %s: %w", path, condemn(err))
	}
	db.AllocSize = growBytes
	return db, nil
}

// makeHead makes a segment. bbolt begins a file with one write of four pages, which the kernel keeps as one large page of its
// cache: from then on each change of a meta page, that is each commit, counts as four pages written. So the same four
// pages are written one by one.
func makeHead(path string, size int64) (*bolt.DB, error) {
	draft := path + ".draft"
	first, err := bolt.Open(draft, 0o600, &bolt.Options{Timeout: lockWait, PageSize: pageSize, NoStatistics: true})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make segment %s: %w", path, err), discard(draft))
	}
	err = first.Close()
	pages, readErr := os.ReadFile(draft)
	if err := errors.Join(err, readErr, discard(draft)); err != nil {
		return nil, fmt.Errorf("make segment %s: %w", path, err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("make segment: %w", err)
	}
	for at := 0; at < len(pages) && err == nil; at += pageSize {
		_, err = f.WriteAt(pages[at:at+pageSize], int64(at))
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("make segment %s: %w", path, err)
	}
	return openHead(path, size) // what is not flushed yet is, by the first commit
}

// openSealed opens a segment for reading. The file is read through read(2) first: what bbolt reads is mapped memory, and a
// fault that waits for a slow disk stops the whole process, while a read stops one goroutine.
func openSealed(path string) (db *bolt.DB, err error) {
	if err := warm(path); err != nil {
		return nil, err
	}
	err = guarded("open "+path, func() error {
		db, err = bolt.Open(path, 0o600, &bolt.Options{ReadOnly: true, PreLoadFreelist: true, Timeout: lockWait, FreelistType: bolt.FreelistMapType,
			PageSize: pageSize, MmapFlags: syscall.MAP_POPULATE, NoStatistics: true})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("open segment %s: %w", path, condemn(err))
	}
	return db, nil
}

// warm reads a file from end to end.
func warm(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	block := make([]byte, 256<<10)
	for {
		n, err := f.Read(block)
		switch {
		case n == 0 && errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("read %s: %w", path, err)
		}
	}
}

// acquire gives a segment's open file; release must follow. A file that cannot be trusted is the caller's to condemn.
func (b *Buffer) acquire(s *segment) (*bolt.DB, error) {
	s.file.Lock()
	defer s.file.Unlock()
	if s.gone {
		return nil, fmt.Errorf("segment %s: %w", s.path, os.ErrNotExist)
	}
	if s.db == nil {
		if !s.trusted {
			if err := b.probe(s.path); err != nil {
				return nil, err
			}
			s.trusted = true
		}
		db, err := openSealed(s.path)
		if err != nil {
			return nil, err
		}
		s.opened(db)
		defer b.closeIdle(s)
	}
	s.users++
	s.used = time.Now()
	return s.db, nil
}

// opened notes the open file; s.file is held, or nobody else knows the segment yet.
func (s *segment) opened(db *bolt.DB) {
	s.db = db
	s.memory.Lock()
	s.residence.base = mapBase(db)
	s.memory.Unlock()
}

func (b *Buffer) release(s *segment) {
	s.file.Lock()
	defer s.file.Unlock()
	s.users--
	if s.gone && s.users == 0 {
		if err := s.close(); err != nil {
			b.opts.Log.Warn("buffer: close a removed segment", "file", s.path, "error", err)
		}
	}
}

// view runs f in a read transaction of a segment. The transaction ends before view returns: f copies what it needs.
func (b *Buffer) view(s *segment, f func(*bolt.Tx) error) error {
	db, err := b.acquire(s)
	if err != nil {
		return err
	}
	defer b.release(s)
	s.stay(b.used(s), lookEvery)
	return guarded("read "+s.path, func() error { return db.View(f) })
}

// used is how many bytes of a segment's file are in use.
func (b *Buffer) used(s *segment) int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return s.bytes
}

// closeIdle closes the segments that nobody reads and that were used least lately, so that few are mapped at a time.
func (b *Buffer) closeIdle(opened *segment) {
	b.mu.Lock()
	sealed := append([]*segment(nil), b.segments[:max(0, len(b.segments)-1)]...)
	b.mu.Unlock()
	for {
		var idle []*segment
		for _, s := range sealed {
			if s == opened || !s.file.TryLock() {
				continue
			}
			if s.db != nil && s.users == 0 && !s.broken {
				idle = append(idle, s)
			}
			s.file.Unlock()
		}
		if len(idle) < openIdle {
			return
		}
		oldest := idle[0]
		for _, s := range idle {
			if s.used.Before(oldest.used) {
				oldest = s
			}
		}
		if err := b.closeFile(oldest); err != nil {
			b.opts.Log.Warn("buffer: close a segment", "file", oldest.path, "error", err)
		}
	}
}

// closeFile closes a segment's file unless somebody reads it.
func (b *Buffer) closeFile(s *segment) error {
	s.file.Lock()
	defer s.file.Unlock()
	if s.users > 0 {
		return nil
	}
	return s.close()
}

// close closes the file; s.file is held.
func (s *segment) close() error {
	if s.db == nil || s.broken {
		return nil
	}
	s.memory.Lock() // nobody looks at a map that goes
	s.residence.base = 0
	s.memory.Unlock()
	err := s.db.Close()
	s.db = nil
	if err != nil {
		return fmt.Errorf("close segment %s: %w", s.path, err)
	}
	return nil
}

// shut closes the segment's file for good, now or when its last reader is done.
func (s *segment) shut() error {
	s.file.Lock()
	defer s.file.Unlock()
	s.gone = true
	if s.users > 0 {
		return nil
	}
	return s.close()
}

// retire removes the segment's file. Readers that have it open go on until they are done.
func (s *segment) retire() error {
	s.file.Lock()
	defer s.file.Unlock()
	if err := os.Remove(s.path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove segment: %w", err)
	}
	s.gone = true
	if s.users > 0 {
		return nil
	}
	return s.close()
}

// partKey is where a part of a block lies.
func partKey(dst []byte, id uint16, first uint64, part int) []byte {
	dst = binary.BigEndian.AppendUint16(dst, id)
	dst = binary.BigEndian.AppendUint64(dst, first)
	return binary.BigEndian.AppendUint16(dst, uint16(part))
}

// splitKey reads a key of the blocks; ok is false for one that is none.
func splitKey(k []byte) (id uint16, first uint64, part int, ok bool) {
	if len(k) != keyBytes {
		return 0, 0, 0, false
	}
	return binary.BigEndian.Uint16(k), binary.BigEndian.Uint64(k[2:]), int(binary.BigEndian.Uint16(k[10:])), true
}

// putBlock stores a block cut into parts.
func putBlock(bucket *bolt.Bucket, id uint16, first uint64, block []byte) error {
	keys := make([]byte, 0, keyBytes*(len(block)/partBytes+1))
	for part := 0; len(block) > 0; part++ {
		at := len(keys)
		keys = partKey(keys, id, first, part)
		n := min(partBytes, len(block))
		if err := bucket.Put(keys[at:], block[:n:n]); err != nil {
			return err
		}
		block = block[n:]
	}
	return nil
}

// highWater is how much of the file is in use, in bytes.
func highWater(db *bolt.DB) (size int64, err error) {
	err = db.View(func(tx *bolt.Tx) error {
		size = tx.Size()
		return nil
	})
	return size, err
}

// syncDir makes what happened to names in a directory durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("open the directory to flush it: %w", err)
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("flush the directory %s: %w", dir, err)
	}
	return nil
}

// quarantine renames a file so that it is never opened again and never lost.
func quarantine(path string) (string, error) {
	to := path + damagedSuffix
	for i := 2; ; i++ {
		if _, err := os.Lstat(to); errors.Is(err, os.ErrNotExist) {
			break
		}
		to = fmt.Sprintf("%s.%d%s", path, i, damagedSuffix)
	}
	if err := os.Rename(path, to); err != nil {
		return "", fmt.Errorf("put a damaged segment aside: %w", err)
	}
	return to, syncDir(filepath.Dir(path))
}
