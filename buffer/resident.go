package buffer

import (
	"syscall"
	"time"
	"unsafe"

	bolt "go.etcd.io/bbolt"
)

// lookEvery is how often readers of a segment look whether it is still in memory: a drain must not look for each block.
const lookEvery = 50 * time.Millisecond

// residence knows where a segment's file is mapped. When memory is short the kernel lets go of pages of the file, and the
// next look at one waits for the disk inside the process: the garbage collector then waits for that, and everything for
// the garbage collector. So before a segment is used what has left is fetched through read(2), which stops one goroutine.
// Guarded by segment.memory.
type residence struct {
	base   uintptr // of the map; 0: not known
	looked time.Time
	pages  []byte // scratch: what mincore says of each page
}

// mapBase is where bbolt has mapped a file. It stays there: the map is made larger than a segment grows.
func mapBase(db *bolt.DB) uintptr { return db.Info().Data }

// stay has the first size bytes of the segment in memory, unless that was seen a moment ago. What cannot be read is met
// again by who wants it, so an error is none here.
func (s *segment) stay(size int64, atMost time.Duration) {
	s.memory.Lock()
	defer s.memory.Unlock()
	r := &s.residence
	if now := time.Now(); r.base == 0 || size <= 0 || now.Sub(r.looked) < atMost {
		return
	}
	if !r.resident(size) {
		_ = warm(s.path)
	}
	r.looked = time.Now()
}

// resident tells whether all of the first size bytes are in memory; where the kernel does not say, they count as there.
func (r *residence) resident(size int64) bool {
	count := int((size + pageSize - 1) / pageSize)
	if cap(r.pages) < count {
		r.pages = make([]byte, count+count/4)
	}
	pages := r.pages[:count]
	// The kernel's page may be larger than ours; then fewer bytes are written than there is room for.
	clear(pages)
	if _, _, errno := syscall.Syscall(syscall.SYS_MINCORE, r.base, uintptr(size), uintptr(unsafe.Pointer(&pages[0]))); errno != 0 {
		return true
	}
	for _, page := range pages[:(size+int64(syscall.Getpagesize())-1)/int64(syscall.Getpagesize())] {
		if page&1 == 0 {
			return false
		}
	}
	return true
}
