package buffer

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"os"
)

// checker reads a bbolt file's structure through read(2), before bbolt is let near it. bbolt maps the file and believes what
// it finds there: an offset that leads astray ends the process, and its own check runs in a goroutine where that cannot
// be caught. What has passed here cannot do that any more.
//
// The layout is that of bbolt's file format, version 2, in the byte order of the machine.
type checker struct {
	f     *os.File
	meta  fileMeta
	seen  []bool // by page
	depth int
	last  []byte // the key before, within a bucket
}

const (
	pageHeader   = 16
	pageElement  = 16
	bucketHeader = 16
	metaSize     = 64 // from the page's header on
	boltMagic    = 0xED0CDAED
	boltVersion  = 2
	flagBranch   = 0x01
	flagLeaf     = 0x02
	flagFreelist = 0x10
	maxDepth     = 32
	maxSegment   = 1 << 30 // bytes; no segment comes near it
)

var native = binary.NativeEndian

// fileMeta is what a meta page says.
type fileMeta struct {
	root, freelist, pages, transaction uint64
}

// checkStructure checks a whole file.
func checkStructure(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	c := checker{f: f}
	meta, _, err := readMeta(f)
	if err != nil {
		return err
	}
	c.meta = meta
	if size := meta.pages * pageSize; meta.pages < 4 || size > uint64(info.Size()) || size > maxSegment {
		return fmt.Errorf("%d of %d pages are there: %w", info.Size()/pageSize, meta.pages, ErrDamaged)
	}
	c.seen = make([]bool, meta.pages)
	c.seen[0], c.seen[1] = true, true
	if err := c.bucket(meta.root); err != nil {
		return err
	}
	return c.freelist()
}

// readMeta reads both meta pages. whole tells whether both are right: bbolt takes the older when the newer is not, and with
// it the file as it was one commit earlier.
func readMeta(f *os.File) (newest fileMeta, whole bool, err error) {
	whole = true
	found := false
	for n := range int64(2) {
		page := make([]byte, pageHeader+metaSize)
		if _, err := f.ReadAt(page, n*pageSize); err != nil && !errors.Is(err, io.EOF) {
			return newest, false, fmt.Errorf("read the meta page: %w", unreadable(err))
		}
		b := page[pageHeader:]
		sum := fnv.New64a()
		_, _ = sum.Write(b[:metaSize-8]) // never fails
		if native.Uint32(b) != boltMagic || native.Uint32(b[4:]) != boltVersion || native.Uint32(b[8:]) != pageSize || native.Uint64(b[metaSize-8:]) != sum.Sum64() {
			whole = false
			continue
		}
		m := fileMeta{root: native.Uint64(b[16:]), freelist: native.Uint64(b[32:]), pages: native.Uint64(b[40:]), transaction: native.Uint64(b[48:])}
		if !found || m.transaction > newest.transaction {
			newest, found = m, true
		}
	}
	if !found {
		return newest, false, fmt.Errorf("neither meta page is right: %w", ErrDamaged)
	}
	return newest, whole, nil
}

// metaIsWhole tells whether both of a file's meta pages are right.
func metaIsWhole(path string) (bool, error) {
	f, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer f.Close()
	_, whole, err := readMeta(f)
	return whole, err
}

// page reads a page with all that belongs to it.
func (c *checker) page(id uint64) (b []byte, flags uint16, count int, err error) {
	if id < 2 || id >= c.meta.pages || c.seen[id] {
		return nil, 0, 0, fmt.Errorf("page %d of %d is referred to twice or does not exist: %w", id, c.meta.pages, ErrDamaged)
	}
	b = make([]byte, pageSize)
	if _, err := c.f.ReadAt(b, int64(id*pageSize)); err != nil {
		return nil, 0, 0, fmt.Errorf("read page %d: %w", id, unreadable(err))
	}
	overflow := uint64(native.Uint32(b[12:]))
	if native.Uint64(b) != id || id+overflow >= c.meta.pages {
		return nil, 0, 0, fmt.Errorf("page %d calls itself %d and %d more of %d: %w", id, native.Uint64(b), overflow, c.meta.pages, ErrDamaged)
	}
	for i := range overflow + 1 {
		if c.seen[id+i] {
			return nil, 0, 0, fmt.Errorf("page %d is referred to twice: %w", id+i, ErrDamaged)
		}
		c.seen[id+i] = true
	}
	if overflow > 0 {
		rest := make([]byte, overflow*pageSize)
		if _, err := c.f.ReadAt(rest, int64((id+1)*pageSize)); err != nil {
			return nil, 0, 0, fmt.Errorf("read page %d: %w", id, unreadable(err))
		}
		b = append(b, rest...)
	}
	return b, native.Uint16(b[8:]), int(native.Uint16(b[10:])), nil
}

// bucket checks a bucket from its root page on.
func (c *checker) bucket(root uint64) error {
	before := c.last
	c.last = nil
	err := c.tree(root)
	c.last = before
	return err
}

// tree checks a page and all below it.
func (c *checker) tree(id uint64) error {
	if c.depth++; c.depth > maxDepth {
		return fmt.Errorf("page %d lies too deep: %w", id, ErrDamaged)
	}
	defer func() { c.depth-- }()
	b, flags, count, err := c.page(id)
	if err != nil {
		return err
	}
	switch flags {
	case flagLeaf:
		return c.leaf(b, count)
	case flagBranch:
		return c.branch(b, id, count)
	}
	return fmt.Errorf("page %d is of kind %x: %w", id, flags, ErrDamaged)
}

func (c *checker) branch(b []byte, id uint64, count int) error {
	if count == 0 || pageHeader+count*pageElement > len(b) {
		return fmt.Errorf("branch page %d with %d entries: %w", id, count, ErrDamaged)
	}
	for i := range count {
		at := pageHeader + i*pageElement
		key, err := span(b, at, native.Uint32(b[at:]), native.Uint32(b[at+4:]))
		if err != nil {
			return err
		}
		child := native.Uint64(b[at+8:])
		if c.last != nil && bytes.Compare(key, c.last) <= 0 {
			return fmt.Errorf("branch page %d is out of order: %w", id, ErrDamaged)
		}
		if err := c.tree(child); err != nil {
			return err
		}
	}
	return nil
}

func (c *checker) leaf(b []byte, count int) error {
	if pageHeader+count*pageElement > len(b) {
		return fmt.Errorf("a leaf page with %d entries: %w", count, ErrDamaged)
	}
	for i := range count {
		at := pageHeader + i*pageElement
		flags, pos, keySize, size := native.Uint32(b[at:]), native.Uint32(b[at+4:]), native.Uint32(b[at+8:]), native.Uint32(b[at+12:])
		both, err := span(b, at, pos, keySize+size)
		if err != nil || uint64(keySize)+uint64(size) != uint64(len(both)) || keySize == 0 {
			return fmt.Errorf("an entry of a leaf page leads astray: %w", ErrDamaged)
		}
		key, value := both[:keySize], both[keySize:]
		if c.last != nil && bytes.Compare(key, c.last) <= 0 {
			return fmt.Errorf("a leaf page is out of order: %w", ErrDamaged)
		}
		c.last = bytes.Clone(key)
		switch flags {
		case 0:
		case 1:
			if err := c.nested(value); err != nil {
				return err
			}
		default:
			return fmt.Errorf("an entry of kind %x: %w", flags, ErrDamaged)
		}
	}
	return nil
}

// nested checks a bucket within a leaf page: it has a page of its own or, if it is small, lies there itself.
func (c *checker) nested(value []byte) error {
	if len(value) < bucketHeader {
		return fmt.Errorf("a bucket of %d bytes: %w", len(value), ErrDamaged)
	}
	if root := native.Uint64(value); root != 0 {
		return c.bucket(root)
	}
	inline := value[bucketHeader:]
	if len(inline) < pageHeader || native.Uint16(inline[8:]) != flagLeaf {
		return fmt.Errorf("a bucket without a page: %w", ErrDamaged)
	}
	before := c.last
	c.last = nil
	err := c.leaf(inline, int(native.Uint16(inline[10:])))
	c.last = before
	return err
}

// span is size bytes at pos, counted from the entry at at.
func span(b []byte, at int, pos, size uint32) ([]byte, error) {
	from := uint64(at) + uint64(pos)
	if to := from + uint64(size); to > uint64(len(b)) {
		return nil, fmt.Errorf("an entry leads to byte %d of a page of %d: %w", to, len(b), ErrDamaged)
	}
	return b[from : from+uint64(size)], nil
}

// freelist checks that no page is free that is in use: the next commit would write over it.
func (c *checker) freelist() error {
	b, flags, count, err := c.page(c.meta.freelist)
	if err != nil {
		return err
	}
	ids := b[pageHeader:]
	if count == 0xffff && len(ids) >= 8 { // more than fit into the header
		n := native.Uint64(ids)
		if n > uint64(len(ids)/8) {
			n = uint64(len(ids)) // caught below
		}
		count, ids = int(n), ids[8:]
	}
	if flags != flagFreelist || count*8 > len(ids) {
		return fmt.Errorf("the list of free pages is of kind %x with %d entries: %w", flags, count, ErrDamaged)
	}
	for i := range count {
		id := native.Uint64(ids[i*8:])
		if id < 2 || id >= c.meta.pages || c.seen[id] {
			return fmt.Errorf("page %d is free and in use, or does not exist: %w", id, ErrDamaged)
		}
		c.seen[id] = true
	}
	return nil
}
