package buffer

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// TestStay maps a file whose pages have left memory: stay fetches them.
func TestStay(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	const size = 1 << 20
	if err := os.WriteFile(path, make([]byte, size), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := errors.Join(f.Sync(), unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)); err != nil {
		t.Fatal(err)
	}
	mapped, err := unix.Mmap(int(f.Fd()), 0, size, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(mapped)
	s := &segment{path: path, residence: residence{base: uintptr(unsafe.Pointer(&mapped[0]))}}
	if s.residence.resident(size) {
		t.Skip("this file system keeps its pages in memory")
	}
	s.stay(size, lookEvery)
	if !s.residence.resident(size) {
		t.Error("the pages are not in memory")
	}
}
