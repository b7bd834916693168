package buffer

import (
	"fmt"
)

// Newest shows those of a lane's records that are among the newest n of all lanes, oldest first, also what is acknowledged,
// as far as it is still there. It changes nothing: a damaged block ends it with an error and what was read before.
func (b *Buffer) Newest(name Lane, n int) ([]Entry, error) {
	l, err := b.lane(name)
	if err != nil {
		return nil, err
	}
	b.mu.Lock()
	after := b.state.Sequence - min(b.state.Sequence, uint64(max(n, 0)))
	b.mu.Unlock()
	var entries []Entry
	var own lane // a reader of its own: peeks keep their place
	own.ID = l.ID
	for {
		s, in, ok := b.rangeAbove(l, after)
		if !ok {
			return entries, nil
		}
		after = max(after, in.First-1)
		if err := b.load(&own, s, in, after); err != nil {
			return entries, fmt.Errorf("buffer: read lane %q: %w", name, err)
		}
		size := 0
		if entries, err = own.reader.take(entries, name, after, blockLimit, &size); err != nil {
			return entries, fmt.Errorf("buffer: lane %q: %w", name, err)
		}
		after = entries[len(entries)-1].Sequence
	}
}
