package buffer

import (
	"bytes"
	"hash/crc32"
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

// blockOf encodes records as a commit does.
func blockOf(c *codec, id uint16, first, ordinal uint64, recs []Record) []byte {
	var payload []byte
	h := header{count: uint32(len(recs)), ordinal: ordinal, from: recs[0].At, to: recs[0].At}
	var before int64
	for i := range recs {
		payload = appendRecord(payload, &recs[i], before)
		before = recs[i].At
		h.from, h.to = min(h.from, before), max(h.to, before)
	}
	return c.encode(nil, id, first, h, payload)
}

// decodeBlock is the way back.
func decodeBlock(c *codec, id uint16, first uint64, block []byte) (header, []Record, error) {
	h, err := parseHeader(block, id, first)
	if err != nil {
		return h, nil, err
	}
	raw, err := c.payload(h, block[blockHeader:])
	if err != nil {
		return h, nil, err
	}
	var recs []Record
	w := walker{rest: raw}
	for range h.count {
		var r Record
		if err := w.next(&r); err != nil {
			return h, recs, err
		}
		recs = append(recs, r)
	}
	return h, recs, nil
}

func newTestCodec(t testing.TB) *codec {
	t.Helper()
	c, err := newCodec()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.close)
	return c
}

func TestBlocks(t *testing.T) {
	c := newTestCodec(t)
	recs := append(records("", 0, 50), Record{At: -5}, Record{At: 1 << 62, Body: make([]byte, 100_000)})
	block := blockOf(c, 3, 77, 9, recs)
	h, got, err := decodeBlock(c, 3, 77, block)
	if err != nil || h.count != 52 || h.ordinal != 9 || h.from != -5 || h.to != 1<<62 {
		t.Fatalf("%+v, %v", h, err)
	}
	for i := range recs {
		want(t, Entry{Record: got[i]}, 0, recs[i])
	}
	for what, wrong := range map[string]func() error{
		"lane":     func() error { _, _, err := decodeBlock(c, 4, 77, block); return err },
		"sequence": func() error { _, _, err := decodeBlock(c, 3, 78, block); return err },
		"length":   func() error { _, _, err := decodeBlock(c, 3, 77, block[:len(block)-1]); return err },
	} {
		if wrong() == nil {
			t.Errorf("a block with a wrong %s is taken", what)
		}
	}
	for i := range block {
		b := bytes.Clone(block)
		b[i] ^= 0x10
		if _, _, err := decodeBlock(c, 3, 77, b); err == nil && (i < 5 || i > 7) {
			t.Errorf("a flipped bit in byte %d of %d is not noticed", i, len(block))
		}
	}
}

// FuzzBlock hands arbitrary bytes to the reader of blocks, with checksums made right so that it looks further.
func FuzzBlock(f *testing.F) {
	c := newTestCodec(f)
	f.Add(blockOf(c, 1, 1, 1, records("", 0, 3)))
	f.Add(blockOf(c, 1, 1, 7, []Record{{At: 1}}))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) >= blockHeader {
			h := header{stored: uint32(len(b) - blockHeader), sum: crc32.Checksum(b[blockHeader:], castagnoli), raw: uint32(b[16])<<8 | uint32(b[17]),
				count: uint32(b[23]), ordinal: uint64(b[31]), from: int64(b[39]), to: int64(b[47])}
			b = append(h.append(nil, 1, 1), b[blockHeader:]...)
		}
		h, recs, err := decodeBlock(c, 1, 1, b)
		if err != nil {
			return
		}
		if len(recs) != int(h.count) {
			t.Fatalf("%d records of %d", len(recs), h.count)
		}
		_, again, err := decodeBlock(c, 1, 1, blockOf(c, 1, 1, h.ordinal, recs))
		if err != nil || !reflect.DeepEqual(again, recs) {
			t.Fatalf("%+v became %+v (%v)", recs, again, err)
		}
	})
}

// FuzzRecords hands arbitrary bytes to the reader of a payload.
func FuzzRecords(f *testing.F) {
	r := record(telemetry, 1)
	f.Add(appendRecord(nil, &r, 0))
	f.Fuzz(func(t *testing.T, b []byte) {
		w := walker{rest: b}
		for len(w.rest) > 0 {
			var r Record
			before := len(w.rest)
			if err := w.next(&r); err != nil {
				return
			}
			if size := len(r.Key) + len(r.Head) + len(r.Body); before-len(w.rest) < size+4 {
				t.Fatalf("%d bytes hold a record of %d", before-len(w.rest), size)
			}
		}
	})
}

// FuzzState hands arbitrary bytes to all that reads what bbolt keeps besides records.
func FuzzState(f *testing.F) {
	s := state{Commits: 3, Sequence: 9, Lanes: []laneState{{Name: "a", Last: 5}}, Ranges: []laneRange{{First: 1, Last: 2, Ordinal: 1, Count: 2}}}
	f.Add(s.append(nil))
	g := Gap{Number: 1, Lane: "a", First: 1, Last: 4, Count: 2}
	f.Add(g.append(nil))
	n := snapshotOfNotes{generation: 4, epoch: "e", state: s, gaps: []Gap{g}, notes: Notes{"k": []byte("v")}}
	f.Add(n.encode())
	f.Add(identity("e", 1, s.Ranges))
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, err := parseState(b); err == nil {
			again, err := parseState(s.append(nil))
			if err != nil || !reflect.DeepEqual(again, s) {
				t.Fatalf("%+v became %+v (%v)", s, again, err)
			}
		}
		_, _, _, _ = parseIdentity(b)
		_, _ = parseEntry(b)
		_, _ = parseCopy(b)
		d := decoder{rest: b}
		d.gap()
	})
}

// FuzzStructure changes bytes of a whole segment and has it checked: whatever passes must open and read without harm.
func FuzzStructure(f *testing.F) {
	s := newSite(f)
	whole, err := os.ReadFile(s.head())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(uint16(4096+8), byte(1), uint16(0), byte(0))
	f.Fuzz(func(t *testing.T, at1 uint16, v1 byte, at2 uint16, v2 byte) {
		b := bytes.Clone(whole)
		b[int(at1)%len(b)] ^= v1
		b[int(at2)%len(b)] ^= v2
		path := filepath.Join(t.TempDir(), "segment")
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		_ = Probe(path) // an error is fine; a crash is not
	})
}
