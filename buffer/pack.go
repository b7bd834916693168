package buffer

import "fmt"

// block is what a commit stores of one lane: a block's bytes and which records it holds.
type block struct {
	laneRange
	bytes []byte
}

// packer is the scratch memory of commits.
type packer struct {
	payload []byte
	blocks  []block
	out     []byte
	byLane  [][]int // indexes of records by lane id
}

// pack numbers the records and encodes them into blocks. The blocks are valid until the next pack.
func (b *Buffer) pack(recs []Record) ([]block, error) {
	p := &b.packing
	p.blocks, p.out = p.blocks[:0], p.out[:0]
	if len(recs) == 0 {
		return nil, nil
	}
	b.mu.Lock()
	next := b.state.Sequence + 1
	order := b.order
	added := make([]uint64, len(b.lanes))
	for i, l := range b.lanes {
		added[i] = l.Added
	}
	ids := b.ids
	b.mu.Unlock()

	for len(p.byLane) < len(added) {
		p.byLane = append(p.byLane, nil)
	}
	for i := range p.byLane {
		p.byLane[i] = p.byLane[i][:0]
	}
	for i := range recs {
		r := &recs[i]
		id, ok := ids[r.Lane]
		if !ok {
			return nil, fmt.Errorf("buffer: commit to %q: %w", r.Lane, ErrUnknownLane)
		}
		if size := len(r.Key) + len(r.Head) + len(r.Body); size > maxRecord {
			return nil, fmt.Errorf("buffer: a record of lane %q has %d bytes; at most %d are possible", r.Lane, size, maxRecord)
		}
		p.byLane[id] = append(p.byLane[id], i)
	}
	for _, id := range order {
		next = p.lane(b.codec, recs, id, next, added[id]+1)
	}
	p.slice()
	return p.blocks, nil
}

// lane encodes one lane's records and returns the sequence after them.
func (p *packer) lane(c *codec, recs []Record, id uint16, next, ordinal uint64) uint64 {
	of := p.byLane[id]
	for len(of) > 0 {
		p.payload = p.payload[:0]
		r := laneRange{Lane: id, First: next, Ordinal: ordinal, From: recs[of[0]].At, To: recs[of[0]].At}
		var before int64
		for len(of) > 0 && len(p.payload) < blockTarget {
			rec := &recs[of[0]]
			of = of[1:]
			p.payload = appendRecord(p.payload, rec, before)
			before = rec.At
			r.From, r.To = min(r.From, rec.At), max(r.To, rec.At)
			r.Count++
		}
		next += r.Count
		ordinal += r.Count
		r.Last = next - 1
		start := len(p.out)
		p.out = c.encode(p.out, id, r.First, header{count: uint32(r.Count), ordinal: r.Ordinal, from: r.From, to: r.To}, p.payload)
		// The bytes are cut out of p.out by slice, once it no longer moves; until then only their length is known.
		p.blocks = append(p.blocks, block{laneRange: r, bytes: p.out[start:len(p.out):len(p.out)]})
	}
	if cap(p.payload) > 4*blockTarget {
		p.payload = nil // one huge record must not cost its size for ever
	}
	return next
}

// slice points the blocks at their bytes in p.out, which may have moved while it grew.
func (p *packer) slice() {
	at := 0
	for i := range p.blocks {
		n := len(p.blocks[i].bytes)
		p.blocks[i].bytes = p.out[at : at+n : at+n]
		at += n
	}
}
