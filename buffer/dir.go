package buffer

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// Names in the directory besides the segments and the copies of the notes.
const (
	lockName      = "lock"     // held by the process that has the buffer open; it holds that process' id
	cleanName     = "clean"    // there after Close, gone while the buffer is open
	newSuffix     = ".new"     // a file that is being made
	damagedSuffix = ".damaged" // a file that was put aside
)

// makeDir makes a directory, and those above it, so that they outlast a power cut: a name lasts once the directory it
// stands in is flushed.
func makeDir(dir string) error {
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	above := filepath.Dir(dir)
	if above == dir {
		return fmt.Errorf("%s: %w", dir, os.ErrNotExist)
	}
	if err := makeDir(above); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return syncDir(above)
}

// lockDir makes sure that no other process has the directory.
func lockDir(dir string) (*os.File, error) {
	path := filepath.Join(dir, lockName)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("buffer: open the lock: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		defer f.Close()
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("buffer: lock %s: %w", path, err)
		}
		who, _ := io.ReadAll(io.LimitReader(f, 32)) // a hint only
		return nil, fmt.Errorf("buffer: %s is %w (pid %s); stop it, or give this one another directory", dir, ErrLocked, strings.TrimSpace(string(who)))
	}
	if err := f.Truncate(0); err == nil {
		_, _ = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0) // a hint only
	}
	return f, nil
}

// listing is what lies in the directory.
type listing struct {
	files   map[uint32]string // segments, by number
	kept    map[uint32]bool   // those that were slimmed
	highest uint32            // number of any segment, damaged ones included
	damaged []string
	any     bool // something of a buffer is there
}

// numbers are the segments' numbers, the newest first.
func (l *listing) numbers() []uint32 {
	var numbers []uint32
	for n := range l.files {
		numbers = append(numbers, n)
	}
	slices.Sort(numbers)
	slices.Reverse(numbers)
	return numbers
}

// list reads the directory and clears away what was only begun, or was about to be removed, when the process ended.
func list(dir string) (*listing, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("buffer: read the directory: %w", err)
	}
	l := &listing{files: map[uint32]string{}, kept: map[uint32]bool{}}
	for _, e := range entries {
		name := e.Name()
		path := filepath.Join(dir, name)
		stem, ext, _ := strings.Cut(name, ".")
		number, err := strconv.ParseUint(stem, 10, 32)
		if err != nil || len(stem) != 8 {
			l.any = l.any || slices.Contains(copyNames[:], name)
			continue
		}
		l.any = l.any || !strings.Contains(name, newSuffix)
		switch {
		case strings.HasSuffix(name, damagedSuffix):
			l.damaged = append(l.damaged, name)
		case strings.Contains(name, newSuffix):
			if err := discard(path); err != nil {
				return nil, fmt.Errorf("buffer: clear away an unfinished segment: %w", err)
			}
			continue
		case ext == "kept":
			l.files[uint32(number)], l.kept[uint32(number)] = path, true
		case ext == "bolt" && !l.kept[uint32(number)]:
			l.files[uint32(number)] = path
		}
		l.highest = max(l.highest, uint32(number))
	}
	for n := range l.kept {
		if err := discard(filepath.Join(dir, segmentName(n, false))); err != nil {
			return nil, fmt.Errorf("buffer: remove a segment that was slimmed: %w", err)
		}
	}
	return l, nil
}

// takeClean tells whether the last Close was complete, and takes its mark away.
func takeClean(dir string) (bool, error) {
	err := os.Remove(filepath.Join(dir, cleanName))
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("buffer: take the mark of a clean end away: %w", err)
	}
	return true, syncDir(dir)
}

// markClean leaves the mark of a complete Close.
func markClean(dir string) error {
	if err := writeFile(filepath.Join(dir, cleanName), nil); err != nil {
		return fmt.Errorf("buffer: mark the clean end: %w", err)
	}
	return syncDir(dir)
}
