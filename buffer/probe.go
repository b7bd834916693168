package buffer

import (
	"errors"
	"fmt"
	"os"

	bolt "go.etcd.io/bbolt"
)

// Probe reads a segment from end to end and says whether it can be opened and read without harm. An error that wraps
// ErrDamaged means that it cannot. Damage inside one block of records is no such harm: readers find it by its checksum and
// skip the block.
//
// A damaged file can end the process that maps it, so what opens a file after an unclean end calls this in a child.
func Probe(file string) error {
	info, err := os.Stat(file)
	if err != nil {
		return fmt.Errorf("probe: %w", err)
	}
	if info.Size() == 0 {
		return fmt.Errorf("probe %s: it is empty: %w", file, ErrDamaged)
	}
	db, err := openSealed(file)
	if err != nil {
		return fmt.Errorf("probe: %w", err)
	}
	err = guarded("probe "+file, func() error { return db.View(func(tx *bolt.Tx) error { return inspect(tx, info.Size()) }) })
	if err != nil {
		// bbolt's locks may be held for good if it panicked: better a file that stays open than a call that never returns.
		return err
	}
	return db.Close()
}

// inspect goes through all that is reachable, in this goroutine, where faults can be caught; only then bbolt's own check
// may follow, which runs in one of its own.
func inspect(tx *bolt.Tx, size int64) error {
	if tx.Size() > size {
		return fmt.Errorf("%d of %d bytes are there: %w", size, tx.Size(), ErrDamaged)
	}
	err := tx.ForEach(func(name []byte, bucket *bolt.Bucket) error {
		if bucket == nil {
			return fmt.Errorf("%q is no bucket: %w", name, ErrDamaged)
		}
		return bucket.ForEach(func(k, v []byte) error {
			if len(k) == 0 {
				return fmt.Errorf("an empty key in bucket %q: %w", name, ErrDamaged)
			}
			return nil
		})
	})
	if err != nil {
		return err
	}
	if _, err := readIdentity(tx); err != nil {
		return err
	}
	var faults []error
	for err := range tx.Check() {
		if len(faults) < 5 {
			faults = append(faults, err)
		}
	}
	if len(faults) > 0 {
		return fmt.Errorf("%w: %w", ErrDamaged, errors.Join(faults...))
	}
	return nil
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
