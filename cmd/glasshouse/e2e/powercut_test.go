//go:build e2e

package e2e

import (
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
)

// history is what a file was when it was flushed, and what was done to it since.
type history struct {
	dir     bool
	flushed []byte
	since   []change
}

// change is bytes written, or, without bytes, a new length.
type change struct {
	at    int64
	bytes []byte
}

// naming is a name that now means an inode; 0: nothing.
type naming struct {
	path  string
	inode uint64
}

// of is a file's history; d.mu is held.
func (d *disk) of(inode uint64) *history {
	h := d.files[inode]
	if h == nil {
		h = &history{}
		d.files[inode] = h
	}
	return h
}

func (d *disk) changed(inode uint64, at int64, bytes []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	h := d.of(inode)
	h.since = append(h.since, change{at, append([]byte(nil), bytes...)})
}

func (d *disk) named(together ...naming) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fresh = append(d.fresh, together)
}

// flushedFile makes a file's content last.
func (d *disk) flushedFile(inode uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	h := d.of(inode)
	for _, c := range h.since {
		h.flushed = c.apply(h.flushed)
	}
	h.since = nil
}

// flushedDir makes a directory's names last.
func (d *disk) flushedDir(dir string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var rest [][]naming
	for _, together := range d.fresh {
		if filepath.Dir(together[0].path) == dir {
			d.last(together)
		} else {
			rest = append(rest, together)
		}
	}
	d.fresh = rest
}

// last makes changes of names last; d.mu is held.
func (d *disk) last(together []naming) {
	for _, n := range together {
		if n.inode == 0 {
			delete(d.names, n.path)
		} else {
			d.names[n.path] = n.inode
		}
	}
}

func (c *change) apply(to []byte) []byte {
	if c.bytes == nil {
		if int64(len(to)) > c.at {
			return to[:c.at]
		}
		return append(to, make([]byte, c.at-int64(len(to)))...)
	}
	if end := c.at + int64(len(c.bytes)); int64(len(to)) < end {
		to = append(to, make([]byte, end-int64(len(to)))...)
	}
	copy(to[c.at:], c.bytes)
	return to
}

// cut is the power cut, once all processes are dead: what was not flushed is lost, or was on its way and is there, page
// by page, as chance wants it. It returns how many pages were lost.
func (d *disk) cut(chance *rand.Rand) (lost int) {
	d.t.Helper()
	d.unmount()
	d.mu.Lock()
	for _, together := range d.fresh[:chance.IntN(len(d.fresh)+1)] { // names are journalled in order
		d.last(together)
	}
	const page = 4096
	for _, h := range d.files {
		for _, c := range h.since {
			if c.bytes == nil {
				if chance.IntN(2) == 0 {
					h.flushed = c.apply(h.flushed)
				}
				continue
			}
			for at := 0; at < len(c.bytes); at += page {
				if chance.IntN(2) == 0 {
					lost++
					continue
				}
				part := change{c.at + int64(at), c.bytes[at:min(at+page, len(c.bytes))]}
				h.flushed = part.apply(h.flushed)
			}
		}
	}
	names, files := d.names, d.files
	d.names, d.files, d.fresh = map[string]uint64{}, map[uint64]*history{}, nil
	d.mu.Unlock()
	old, err := os.ReadDir(d.live)
	for _, e := range old {
		err = errors.Join(err, os.RemoveAll(filepath.Join(d.live, e.Name())))
	}
	err = errors.Join(err, d.restore("", names, files))
	if err := errors.Join(err, d.mount()); err != nil {
		d.t.Fatal(err)
	}
	return lost
}

// restore writes what lasts of a directory and all below; it lasts from the start.
func (d *disk) restore(dir string, names map[string]uint64, files map[uint64]*history) error {
	for name, inode := range names {
		if filepath.Dir(name) != filepath.Clean(dir) {
			continue
		}
		path, h := filepath.Join(d.live, name), files[inode]
		var err error
		if h.dir {
			err = errors.Join(os.Mkdir(path, 0o750), d.restore(name, names, files))
		} else {
			err = os.WriteFile(path, h.flushed, 0o600)
		}
		var st syscall.Stat_t
		if err := errors.Join(err, syscall.Stat(path, &st)); err != nil {
			return err
		}
		d.mu.Lock()
		d.names[name], d.files[st.Ino] = st.Ino, &history{dir: h.dir, flushed: h.flushed}
		d.mu.Unlock()
	}
	return nil
}

// begin forgets an earlier file of the same inode number.
func (d *disk) begin(inode uint64, dir bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.files[inode] = &history{dir: dir}
}
