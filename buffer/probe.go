package buffer

import (
	"errors"
	"fmt"

	bolt "go.etcd.io/bbolt"
)

// Probe reads a segment from end to end and says whether it can be opened and read without harm. An error that wraps
// ErrDamaged means that it cannot. Damage inside one block of records is no such harm: readers find it by its checksum and
// skip the block.
//
// A damaged file can end the process that maps it, so what opens a file after an unclean end calls this in a child.
func Probe(file string) error {
	if err := warm(file); err != nil {
		return fmt.Errorf("probe: %w", unreadable(err))
	}
	if err := checkStructure(file); err != nil {
		return fmt.Errorf("probe %s: %w", file, err)
	}
	db, err := openSealed(file)
	if err != nil {
		return fmt.Errorf("probe: %w", err)
	}
	err = guarded("probe "+file, func() error {
		return db.View(func(tx *bolt.Tx) error {
			_, err := readIdentity(tx)
			return err
		})
	})
	return errors.Join(err, db.Close())
}

// probe reads a segment before this process opens it, in a child if there is a way.
func (b *Buffer) probe(path string) error {
	if b.opts.Probe == nil {
		return Probe(path)
	}
	err := b.opts.Probe(path)
	var exited interface{ ExitCode() int }
	switch {
	case err == nil:
		return nil
	case errors.Is(err, ErrDamaged):
		return err
	case errors.As(err, &exited):
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	default:
		// The child could not be started. That says nothing about the file.
		b.opts.Log.Warn("buffer: probe a segment in another process; doing it in this one", "file", path, "error", err)
		return Probe(path)
	}
}
