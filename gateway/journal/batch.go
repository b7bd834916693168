package journal

import (
	"slices"

	"gacp-erp.internal/glasshouse/buffer"
)

const (
	recordCost = 128      // bytes of memory of a record besides its own
	chunkSize  = 64 << 10 // bytes of records that are allocated, and dropped, together
	freeChunks = 32       // kept for the next batch
	keepBurst  = 32 << 10 // records for which memory is kept
	trimShare  = 16       // of Memory: dropped at once beyond what must be
)

// pool holds chunks of memory that nobody uses.
type pool struct{ free [][]byte }

func (p *pool) get(size int) []byte {
	if size > chunkSize {
		return make([]byte, 0, size)
	}
	if n := len(p.free); n > 0 {
		c := p.free[n-1]
		p.free = p.free[:n-1]
		return c[:0]
	}
	return make([]byte, 0, chunkSize)
}

func (p *pool) put(c []byte) {
	if cap(c) == chunkSize && len(p.free) < freeChunks {
		p.free = append(p.free, c)
	}
}

// chunk holds the bytes of records of one kind; n of them are still wanted.
type chunk struct {
	bytes []byte
	n     int
}

// batch is what is committed together. Kinds lie in chunks of their own, so that dropping the oldest of one frees memory.
type batch struct {
	records []buffer.Record // in the order of Add; their bytes lie in chunks
	kinds   []kind          // of each record
	chunks  [kinds][]chunk  // oldest first
	bytes   int64           // of records, with what they cost besides
	notes   buffer.Notes
	values  map[string][]byte // memory of the notes' values
	done    []func(bool)
	entries int
}

func newBatch() *batch {
	return &batch{notes: buffer.Notes{}, values: map[string][]byte{}}
}

// idle says that there is nothing to keep.
func (b *batch) idle() bool { return len(b.records) == 0 && len(b.notes) == 0 }

func cost(r *buffer.Record) int64 { return int64(len(r.Key)+len(r.Head)+len(r.Body)) + recordCost }

// add copies a record.
func (b *batch) add(r *buffer.Record, k kind, p *pool) {
	size := len(r.Key) + len(r.Head) + len(r.Body)
	list := b.chunks[k]
	if n := len(list); n == 0 || cap(list[n-1].bytes)-len(list[n-1].bytes) < size {
		list = append(list, chunk{bytes: p.get(size)})
		b.chunks[k] = list
	}
	c := &list[len(list)-1]
	c.n++
	b.records = append(b.records, buffer.Record{Lane: r.Lane, At: r.At, Key: c.copy(r.Key), Head: c.copy(r.Head), Body: c.copy(r.Body)})
	b.kinds = append(b.kinds, k)
	b.bytes += cost(r)
}

// copy appends to a chunk that has room, and gives what it appended.
func (c *chunk) copy(src []byte) []byte {
	if src == nil {
		return nil
	}
	start := len(c.bytes)
	c.bytes = append(c.bytes, src...)
	return c.bytes[start:len(c.bytes):len(c.bytes)]
}

// note copies a note over an older one of its key.
func (b *batch) note(key string, value []byte) {
	if value == nil {
		b.notes[key] = nil
		return
	}
	kept := b.values[key]
	if kept == nil {
		kept = make([]byte, 0, len(value))
	}
	kept = append(kept[:0], value...)
	b.values[key], b.notes[key] = kept, kept
}

// drop removes the oldest records of a kind until as many bytes are free, or none of the kind is left.
func (b *batch) drop(k kind, bytes int64, p *pool, tell func(at int64)) {
	if bytes <= 0 {
		return
	}
	kept := 0
	for i := range b.records {
		r := &b.records[i]
		if bytes > 0 && b.kinds[i] == k {
			bytes -= cost(r)
			b.bytes -= cost(r)
			b.release(k, p)
			tell(r.At)
			continue
		}
		b.records[kept], b.kinds[kept] = *r, b.kinds[i]
		kept++
	}
	clear(b.records[kept:])
	b.records, b.kinds = b.records[:kept], b.kinds[:kept]
}

// release lets go of the oldest record of a kind.
func (b *batch) release(k kind, p *pool) {
	c := &b.chunks[k][0]
	if c.n--; c.n == 0 {
		p.put(c.bytes)
		b.chunks[k] = slices.Delete(b.chunks[k], 0, 1)
	}
}

// join takes over what came after, and leaves it empty.
func (b *batch) join(after *batch) {
	b.records = append(b.records, after.records...)
	b.kinds = append(b.kinds, after.kinds...)
	for k := range after.chunks {
		b.chunks[k] = append(b.chunks[k], after.chunks[k]...)
		clear(after.chunks[k])
		after.chunks[k] = after.chunks[k][:0]
	}
	for k, v := range after.notes {
		b.note(k, v)
	}
	b.done = append(b.done, after.done...)
	clear(after.done)
	b.entries += after.entries
	b.bytes += after.bytes
	after.empty(nil)
}

// forget gives those who wait, who then do not any more.
func (b *batch) forget() []func(bool) {
	done := b.done
	b.done = b.done[:0]
	return done
}

// empty makes a batch ready for use again. Memory of a burst, and of notes that are not written each time, is given back.
func (b *batch) empty(p *pool) {
	for k := range b.chunks {
		for _, c := range b.chunks[k] {
			p.put(c.bytes)
		}
		clear(b.chunks[k])
		b.chunks[k] = b.chunks[k][:0]
	}
	clear(b.records)
	b.records, b.kinds = b.records[:0], b.kinds[:0]
	if cap(b.records) > keepBurst {
		b.records, b.kinds = nil, nil
	}
	for k := range b.values {
		if _, used := b.notes[k]; !used {
			delete(b.values, k)
		}
	}
	clear(b.notes)
	b.done, b.entries, b.bytes = b.done[:0], 0, 0
}
