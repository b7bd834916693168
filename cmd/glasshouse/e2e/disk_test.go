//go:build e2e

package e2e

import (
	"context"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// ills are what is wrong with a disk; the zero value is a good one.
type ills struct {
	write  syscall.Errno // of writing, and of making a file longer
	make   syscall.Errno // of making a name
	change syscall.Errno // of every other change: removing, renaming, shortening, opening for writing
	flush  syscall.Errno // of fsync

	readTakes  time.Duration // each read
	flushTakes time.Duration // each fsync
	flushHangs time.Duration // the next fsync, once
}

// The ills of real disks.
var (
	diskFull     = ills{write: syscall.ENOSPC, make: syscall.ENOSPC}
	writesFail   = ills{write: syscall.EIO}
	flushesFail  = ills{flush: syscall.EIO}
	diskReadOnly = ills{write: syscall.EROFS, make: syscall.EROFS, change: syscall.EROFS}
)

// disk is a directory behind a FUSE loopback of this process. It goes bad as told, and knows what a power cut would leave:
// of each file what was flushed, of names those whose directory was flushed, and of all later changes some.
type disk struct {
	t      *testing.T
	path   string // where it is mounted
	live   string // what it shows lies here
	server *fuse.Server

	mu     sync.Mutex
	nodes  map[*diskNode]struct{} // that were opened since it was mounted
	ills   ills
	other  chan struct{} // closed when ills change
	counts diskCounts
	files  map[uint64]*history // by inode
	names  map[string]uint64   // what lasts: path within the disk -> inode
	fresh  [][]naming          // changes of names that nobody has flushed, in order; what is in one lasts or is lost together
}

// diskCounts counts requests.
type diskCounts struct{ reads, writes, flushes, refused int }

// newDisk mounts an empty disk. The test is skipped where that is impossible.
func newDisk(t *testing.T) *disk {
	t.Helper()
	if _, err := os.Stat("/dev/fuse"); err != nil {
		t.Skipf("no disk can be made to fail here: %v", err)
	}
	d := &disk{t: t, path: t.TempDir(), live: t.TempDir(), other: make(chan struct{}), files: map[uint64]*history{}, names: map[string]uint64{}}
	if err := d.mount(); err != nil {
		t.Skipf("no disk can be made to fail here: mount: %v", err)
	}
	t.Cleanup(d.unmount)
	return d
}

// mount shows the disk, with cold caches.
func (d *disk) mount() error {
	forever := time.Hour
	data := &fs.LoopbackRoot{Path: d.live}
	root := &diskNode{LoopbackNode: fs.LoopbackNode{RootData: data}, disk: d}
	data.RootNode = root
	d.nodes = map[*diskNode]struct{}{}
	server, err := fs.Mount(d.path, root, &fs.Options{
		EntryTimeout: &forever, AttrTimeout: &forever,
		// The kernel's cache is kept as that of a local disk is: nobody else changes the files.
		MountOptions: fuse.MountOptions{ExplicitDataCacheControl: true, DirectMount: true, DisableXAttrs: true, FsName: "e2e", Name: "e2e"},
	})
	d.server = server
	return err
}

func (d *disk) unmount() {
	d.ail(ills{})
	for range 100 {
		if d.server.Unmount() == nil {
			return
		}
		time.Sleep(50 * time.Millisecond) // a process is still ending
	}
	d.t.Errorf("%s cannot be unmounted", d.path)
}

// remount forgets what the kernel has cached.
func (d *disk) remount() {
	d.t.Helper()
	d.unmount()
	if err := d.mount(); err != nil {
		d.t.Fatal(err)
	}
}

// evict throws every file's pages out of the kernel's cache, as if memory were short, also those that are mapped.
func (d *disk) evict() {
	d.mu.Lock()
	nodes := slices.Collect(maps.Keys(d.nodes))
	d.mu.Unlock()
	for _, n := range nodes {
		n.NotifyContent(0, 0) // an error says that it was not cached
	}
}

// ail makes the disk bad, or good again.
func (d *disk) ail(i ills) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ills = i
	close(d.other)
	d.other = make(chan struct{})
}

func (d *disk) counted() diskCounts {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.counts
}

// refuse is the error that a request ends with now, if any.
func (d *disk) refuse(of func(ills) syscall.Errno) syscall.Errno {
	d.mu.Lock()
	defer d.mu.Unlock()
	errno := of(d.ills)
	if errno != 0 {
		d.counts.refused++
	}
	return errno
}

func writing(i ills) syscall.Errno  { return i.write }
func making(i ills) syscall.Errno   { return i.make }
func changing(i ills) syscall.Errno { return i.change }

// diskNode is a name on the disk.
type diskNode struct {
	fs.LoopbackNode
	disk *disk
}

var (
	_ fs.NodeWrapChilder    = (*diskNode)(nil)
	_ fs.NodeCreater        = (*diskNode)(nil)
	_ fs.NodeMkdirer        = (*diskNode)(nil)
	_ fs.NodeUnlinker       = (*diskNode)(nil)
	_ fs.NodeRenamer        = (*diskNode)(nil)
	_ fs.NodeSetattrer      = (*diskNode)(nil)
	_ fs.NodeOpener         = (*diskNode)(nil)
	_ fs.NodeOpendirHandler = (*diskNode)(nil)
)

func (n *diskNode) WrapChild(context.Context, fs.InodeEmbedder) fs.InodeEmbedder {
	return &diskNode{LoopbackNode: fs.LoopbackNode{RootData: n.RootData}, disk: n.disk}
}

// within is a path on the disk.
func (n *diskNode) within(name string) string { return filepath.Join(n.Path(n.Root()), name) }

// inode is what a name means in the loopback's own directory.
func (n *diskNode) inode(name string) uint64 {
	var st syscall.Stat_t
	if syscall.Lstat(filepath.Join(n.disk.live, n.within(name)), &st) != nil {
		return 0
	}
	return st.Ino
}

func (n *diskNode) Create(ctx context.Context, name string, flags, mode uint32, out *fuse.EntryOut) (*fs.Inode, fs.FileHandle, uint32, syscall.Errno) {
	if errno := n.disk.refuse(making); errno != 0 {
		return nil, nil, 0, errno
	}
	inode, handle, _, errno := n.LoopbackNode.Create(ctx, name, flags, mode, out)
	if errno != 0 {
		return nil, nil, 0, errno
	}
	ino := n.inode(name)
	n.disk.begin(ino, false)
	n.disk.named(naming{n.within(name), ino})
	return inode, &diskFile{handle.(*fs.LoopbackFile), n.disk, ino}, fuse.FOPEN_KEEP_CACHE, 0
}

func (n *diskNode) Mkdir(ctx context.Context, name string, mode uint32, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	if errno := n.disk.refuse(making); errno != 0 {
		return nil, errno
	}
	inode, errno := n.LoopbackNode.Mkdir(ctx, name, mode, out)
	if errno == 0 {
		ino := n.inode(name)
		n.disk.begin(ino, true)
		n.disk.named(naming{n.within(name), ino})
	}
	return inode, errno
}

func (n *diskNode) Unlink(ctx context.Context, name string) syscall.Errno {
	if errno := n.disk.refuse(changing); errno != 0 {
		return errno
	}
	errno := n.LoopbackNode.Unlink(ctx, name)
	if errno == 0 {
		n.disk.named(naming{n.within(name), 0})
	}
	return errno
}

func (n *diskNode) Rename(ctx context.Context, name string, parent fs.InodeEmbedder, to string, flags uint32) syscall.Errno {
	if errno := n.disk.refuse(changing); errno != 0 {
		return errno
	}
	into, ok := parent.(*diskNode)
	if !ok || flags != 0 {
		return syscall.EINVAL
	}
	ino := n.inode(name)
	errno := n.LoopbackNode.Rename(ctx, name, &into.LoopbackNode, to, 0)
	if errno == 0 {
		n.disk.named(naming{into.within(to), ino}, naming{n.within(name), 0})
	}
	return errno
}

func (n *diskNode) Setattr(ctx context.Context, f fs.FileHandle, in *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	size, sized := in.GetSize()
	ino := n.inode("")
	if sized {
		var st syscall.Stat_t
		grows := syscall.Stat(filepath.Join(n.disk.live, n.within("")), &st) == nil && int64(size) > st.Size
		of := changing
		if grows {
			of = writing
		}
		if errno := n.disk.refuse(of); errno != 0 {
			return errno
		}
	}
	errno := n.LoopbackNode.Setattr(ctx, f, in, out)
	if errno == 0 && sized {
		n.disk.changed(ino, int64(size), nil)
	}
	return errno
}

func (n *diskNode) Open(ctx context.Context, flags uint32) (fs.FileHandle, uint32, syscall.Errno) {
	if flags&syscall.O_ACCMODE != syscall.O_RDONLY {
		if errno := n.disk.refuse(changing); errno != 0 {
			return nil, 0, errno
		}
	}
	handle, _, errno := n.LoopbackNode.Open(ctx, flags)
	if errno != 0 {
		return nil, 0, errno
	}
	n.disk.mu.Lock()
	n.disk.nodes[n] = struct{}{}
	n.disk.mu.Unlock()
	ino := n.inode("")
	if flags&syscall.O_TRUNC != 0 {
		n.disk.changed(ino, 0, nil)
	}
	return &diskFile{handle.(*fs.LoopbackFile), n.disk, ino}, fuse.FOPEN_KEEP_CACHE, 0
}

func (n *diskNode) OpendirHandle(ctx context.Context, flags uint32) (fs.FileHandle, uint32, syscall.Errno) {
	handle, keep, errno := n.LoopbackNode.OpendirHandle(ctx, flags)
	if errno != 0 {
		return nil, 0, errno
	}
	return &diskDir{handle.(openDir), n}, keep, 0
}

// openDir is what the loopback's own open directories can do.
type openDir interface {
	fs.FileReaddirenter
	fs.FileSeekdirer
	fs.FileReleasedirer
}

// diskDir is an open directory.
type diskDir struct {
	openDir
	node *diskNode
}

var _ fs.FileFsyncdirer = (*diskDir)(nil)

func (o *diskDir) Fsyncdir(context.Context, uint32) syscall.Errno {
	if errno := o.node.disk.flush(); errno != 0 {
		return errno
	}
	o.node.disk.flushedDir(filepath.Clean(o.node.within("")))
	return 0
}

// diskFile is an open file.
type diskFile struct {
	*fs.LoopbackFile
	disk  *disk
	inode uint64
}

var (
	_ fs.FileReader          = (*diskFile)(nil)
	_ fs.FileWriter          = (*diskFile)(nil)
	_ fs.FileFsyncer         = (*diskFile)(nil)
	_ fs.FilePassthroughFder = (*diskFile)(nil)
)

// PassthroughFd says no: the kernel would go past this process.
func (f *diskFile) PassthroughFd() (int, bool) { return 0, false }

func (f *diskFile) Read(ctx context.Context, buf []byte, at int64) (fuse.ReadResult, syscall.Errno) {
	f.disk.mu.Lock()
	f.disk.counts.reads++
	takes, other := f.disk.ills.readTakes, f.disk.other
	f.disk.mu.Unlock()
	wait(takes, other)
	return f.LoopbackFile.Read(ctx, buf, at)
}

func (f *diskFile) Write(ctx context.Context, data []byte, at int64) (uint32, syscall.Errno) {
	if errno := f.disk.refuse(writing); errno != 0 {
		return 0, errno
	}
	n, errno := f.LoopbackFile.Write(ctx, data, at)
	f.disk.changed(f.inode, at, data[:n])
	f.disk.mu.Lock()
	f.disk.counts.writes++
	f.disk.mu.Unlock()
	return n, errno
}

func (f *diskFile) Fsync(context.Context, uint32) syscall.Errno {
	if errno := f.disk.flush(); errno != 0 {
		return errno
	}
	f.disk.flushedFile(f.inode) // the loopback's own directory need not last
	return 0
}

// wait takes its time, or until the disk is another.
func wait(takes time.Duration, other <-chan struct{}) {
	timer := time.NewTimer(takes)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-other:
	}
}

// flush takes as long as a flush takes now, and says how it ends.
func (d *disk) flush() syscall.Errno {
	d.mu.Lock()
	takes := max(d.ills.flushTakes, d.ills.flushHangs)
	d.ills.flushHangs = 0
	d.counts.flushes++
	other := d.other
	d.mu.Unlock()
	wait(takes, other)
	return d.refuse(func(i ills) syscall.Errno { return i.flush })
}
