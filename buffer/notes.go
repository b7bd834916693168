package buffer

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"time"
)

// copyEvery is how old the notes' second copy may grow while notes or cursors change.
const copyEvery = time.Minute

// The second copy of the notes is written in turn into two files, so that one is always whole. The file with the higher
// generation is the newer. Layout: magic, CRC-32C of what follows, generation, epoch, state, gaps, notes.
var copyNames = [2]string{"notes.a", "notes.b"}

const copyMagic = "glasshouse notes 1\n"

// copyFiles is where the second copy stands.
type copyFiles struct {
	generation uint64 // of the newest
	commits    uint64 // the state's, when it was written
	at         time.Time
}

// snapshotOfNotes is what a copy says.
type snapshotOfNotes struct {
	generation uint64
	epoch      string
	state      state
	gaps       []Gap
	notes      Notes
}

func (s *snapshotOfNotes) encode() []byte {
	b := append([]byte(copyMagic), 0, 0, 0, 0)
	b = binary.AppendUvarint(b, s.generation)
	b = appendText(b, s.epoch)
	b = appendText(b, string(s.state.append(nil)))
	b = binary.AppendUvarint(b, uint64(len(s.gaps)))
	for i := range s.gaps {
		b = s.gaps[i].append(b)
	}
	b = binary.AppendUvarint(b, uint64(len(s.notes)))
	for k, v := range s.notes {
		b = appendText(b, k)
		b = appendText(b, string(v))
	}
	sum := crc32.Checksum(b[len(copyMagic)+4:], castagnoli)
	binary.BigEndian.PutUint32(b[len(copyMagic):], sum)
	return b
}

func parseCopy(b []byte) (*snapshotOfNotes, error) {
	n := len(copyMagic) + 4
	if len(b) < n || string(b[:len(copyMagic)]) != copyMagic {
		return nil, fmt.Errorf("it does not start as a copy of notes: %w", ErrDamaged)
	}
	if crc32.Checksum(b[n:], castagnoli) != binary.BigEndian.Uint32(b[len(copyMagic):]) {
		return nil, fmt.Errorf("its checksum is wrong: %w", ErrDamaged)
	}
	d := decoder{rest: b[n:]}
	s := &snapshotOfNotes{generation: d.uint(), epoch: d.text(), notes: Notes{}}
	var err error
	if s.state, err = parseState(d.bytes()); err != nil {
		return nil, err
	}
	for n := d.count(); n > 0 && !d.bad; n-- {
		s.gaps = append(s.gaps, d.gap())
	}
	for n := d.count(); n > 0 && !d.bad; n-- {
		k := d.text()
		s.notes[k] = append([]byte{}, d.bytes()...)
	}
	if d.bad {
		return nil, fmt.Errorf("it is cut short: %w", ErrDamaged)
	}
	return s, nil
}

// copyAfter refreshes the second copy after a commit if one of its notes asks for it, or if it is old. The commit is
// durable, so a copy that fails is logged and tried again; it does not make the commit fail.
func (b *Buffer) copyAfter(notes Notes) error {
	due := time.Since(b.copies.at) >= copyEvery
	for k := range notes {
		due = due || b.opts.CopyNow(k)
	}
	if !due {
		return nil
	}
	if err := b.copy(); err != nil {
		b.opts.Log.Error("buffer: copy the notes; until it works a damaged segment would bring older ones back", "error", err)
	}
	return nil
}

// copy writes the second copy unless it is up to date. The write lock is held.
func (b *Buffer) copy() error {
	b.mu.Lock()
	if b.copies.commits == b.state.Commits {
		b.mu.Unlock()
		return nil
	}
	s := snapshotOfNotes{generation: b.copies.generation + 1, epoch: b.epoch, state: b.snapshot(nil), gaps: b.gaps, notes: b.notes}
	bytes := s.encode()
	b.mu.Unlock()
	path := filepath.Join(b.opts.Dir, copyNames[s.generation%2])
	// Under another name first: a process that is killed while it writes leaves no copy that looks damaged.
	if err := writeFile(path+newSuffix, bytes); err != nil {
		return fmt.Errorf("copy the notes to %s: %w", path, err)
	}
	if err := os.Rename(path+newSuffix, path); err != nil {
		return fmt.Errorf("copy the notes: %w", err)
	}
	if err := syncDir(b.opts.Dir); err != nil {
		return err
	}
	b.copies = copyFiles{generation: s.generation, commits: s.state.Commits, at: time.Now()}
	b.mu.Lock()
	b.stats.copied = b.copies.at
	b.mu.Unlock()
	return nil
}

// writeFile writes and flushes a file.
func writeFile(path string, b []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	if _, err := f.Write(b); err != nil {
		return errors.Join(err, f.Close())
	}
	return errors.Join(f.Sync(), f.Close())
}

// readCopies reads both copies; what cannot be used is said in words.
func readCopies(dir string) (newest *snapshotOfNotes, faults []string) {
	for _, name := range copyNames {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		var s *snapshotOfNotes
		if err == nil {
			s, err = parseCopy(b)
		}
		if err != nil {
			faults = append(faults, fmt.Sprintf("the copy of the notes in %s cannot be used: %v", name, err))
			continue
		}
		if newest == nil || s.generation > newest.generation {
			newest = s
		}
	}
	return newest, faults
}
