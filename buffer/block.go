package buffer

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/klauspost/compress/zstd"
)

// A block is what one commit stores for one lane: a header and its records, compressed. The header:
//
//	 0  u32  CRC-32C of the key's lane and sequence and of the header from byte 4 on
//	 4  u8   version of this layout
//	 5       3 bytes, zero
//	 8  u32  length of the compressed payload
//	12  u32  CRC-32C of the compressed payload
//	16  u32  length of the payload
//	20  u32  number of records
//	24  u64  ordinal of the first record among all that the lane ever had
//	32  i64  earliest At of the records
//	40  i64  latest At of the records
//
// Sequences and ordinals within a block have no holes, so both follow from the first. A record in the payload is the
// difference of At to the record before it, the lengths of key, head and body, and the bytes of the three.
const (
	blockHeader  = 48
	blockVersion = 1
	blockTarget  = 512 << 10                    // bytes of records after which a commit starts another block
	blockLimit   = maxRecord + blockTarget + 64 // bytes of payload that a reader believes in
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// header is a block's header, decoded.
type header struct {
	stored, raw uint32 // lengths of the payload, compressed and not
	sum         uint32
	count       uint32
	ordinal     uint64
	from, to    int64
}

func (h *header) append(dst []byte, id uint16, first uint64) []byte {
	at := len(dst)
	dst = append(dst, 0, 0, 0, 0, blockVersion, 0, 0, 0)
	dst = binary.BigEndian.AppendUint32(dst, h.stored)
	dst = binary.BigEndian.AppendUint32(dst, h.sum)
	dst = binary.BigEndian.AppendUint32(dst, h.raw)
	dst = binary.BigEndian.AppendUint32(dst, h.count)
	dst = binary.BigEndian.AppendUint64(dst, h.ordinal)
	dst = binary.BigEndian.AppendUint64(dst, uint64(h.from))
	dst = binary.BigEndian.AppendUint64(dst, uint64(h.to))
	binary.BigEndian.PutUint32(dst[at:], headerSum(dst[at:], id, first))
	return dst
}

func headerSum(b []byte, id uint16, first uint64) uint32 {
	var key [10]byte
	binary.BigEndian.PutUint16(key[:], id)
	binary.BigEndian.PutUint64(key[2:], first)
	return crc32.Update(crc32.Checksum(key[:], castagnoli), castagnoli, b[4:blockHeader])
}

// parseHeader reads the header at the start of b and checks that it belongs to the key.
func parseHeader(b []byte, id uint16, first uint64) (header, error) {
	if len(b) < blockHeader {
		return header{}, fmt.Errorf("block %d of lane %d: %d bytes are no header: %w", first, id, len(b), ErrDamaged)
	}
	if binary.BigEndian.Uint32(b) != headerSum(b, id, first) {
		return header{}, fmt.Errorf("block %d of lane %d: the header's checksum is wrong: %w", first, id, ErrDamaged)
	}
	h := header{
		stored:  binary.BigEndian.Uint32(b[8:]),
		sum:     binary.BigEndian.Uint32(b[12:]),
		raw:     binary.BigEndian.Uint32(b[16:]),
		count:   binary.BigEndian.Uint32(b[20:]),
		ordinal: binary.BigEndian.Uint64(b[24:]),
		from:    int64(binary.BigEndian.Uint64(b[32:])),
		to:      int64(binary.BigEndian.Uint64(b[40:])),
	}
	if b[4] != blockVersion || h.raw > blockLimit || h.count == 0 || h.ordinal == 0 {
		return header{}, fmt.Errorf("block %d of lane %d: layout %d is not one that this program knows: %w", first, id, b[4], ErrDamaged)
	}
	return h, nil
}

// codec compresses and decompresses payloads. It is for any number of goroutines.
type codec struct {
	enc *zstd.Encoder
	dec *zstd.Decoder
}

func newCodec() (*codec, error) {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1),
		zstd.WithWindowSize(blockTarget), zstd.WithLowerEncoderMem(true), zstd.WithEncoderCRC(false))
	if err != nil {
		return nil, fmt.Errorf("make the compressor: %w", err)
	}
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(2), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxMemory(blockLimit))
	if err != nil {
		return nil, fmt.Errorf("make the decompressor: %w", err)
	}
	return &codec{enc: enc, dec: dec}, nil
}

func (c *codec) close() {
	c.dec.Close()
	_ = c.enc.Close() // it has no writer that could fail
}

// appendRecord adds one record to a payload. before is the At of the record before it, 0 for the first.
func appendRecord(dst []byte, r *Record, before int64) []byte {
	dst = binary.AppendVarint(dst, r.At-before)
	dst = binary.AppendUvarint(dst, uint64(len(r.Key)))
	dst = binary.AppendUvarint(dst, uint64(len(r.Head)))
	dst = binary.AppendUvarint(dst, uint64(len(r.Body)))
	dst = append(dst, r.Key...)
	dst = append(dst, r.Head...)
	return append(dst, r.Body...)
}

// encode appends the block of a payload: h says its count, ordinal and times.
func (c *codec) encode(dst []byte, id uint16, first uint64, h header, payload []byte) []byte {
	at := len(dst)
	dst = append(dst, make([]byte, blockHeader)...)
	dst = c.enc.EncodeAll(payload, dst)
	stored := dst[at+blockHeader:]
	h.raw, h.stored, h.sum = uint32(len(payload)), uint32(len(stored)), crc32.Checksum(stored, castagnoli)
	h.append(dst[:at], id, first)
	return dst
}

// payload checks and decompresses what follows a block's header, into memory of its own.
func (c *codec) payload(h header, stored []byte) ([]byte, error) {
	if len(stored) != int(h.stored) {
		return nil, fmt.Errorf("the block has %d of %d bytes: %w", len(stored), h.stored, ErrDamaged)
	}
	if crc32.Checksum(stored, castagnoli) != h.sum {
		return nil, fmt.Errorf("the block's checksum is wrong: %w", ErrDamaged)
	}
	raw, err := c.dec.DecodeAll(stored, make([]byte, 0, h.raw))
	if err != nil {
		return nil, fmt.Errorf("decompress the block: %w: %w", ErrDamaged, err)
	}
	if len(raw) != int(h.raw) {
		return nil, fmt.Errorf("the block has %d bytes where its header says %d: %w", len(raw), h.raw, ErrDamaged)
	}
	return raw, nil
}

// walker goes through a payload record by record.
type walker struct {
	rest []byte
	at   int64
}

// next reads one record. Its slices are part of the payload.
func (w *walker) next(r *Record) error {
	delta, n := binary.Varint(w.rest)
	if n <= 0 {
		return fmt.Errorf("a record's time: %w", ErrDamaged)
	}
	b := w.rest[n:]
	var lens [3]int
	total := 0
	for i := range lens {
		v, n := binary.Uvarint(b)
		if n <= 0 || v > maxRecord {
			return fmt.Errorf("a record's lengths: %w", ErrDamaged)
		}
		lens[i], b = int(v), b[n:]
		total += int(v)
	}
	if total > len(b) {
		return fmt.Errorf("a record of %d bytes where %d are left: %w", total, len(b), ErrDamaged)
	}
	w.at += delta
	k, h := lens[0], lens[0]+lens[1]
	r.At, r.Key, r.Head, r.Body = w.at, b[:k:k], b[k:h:h], b[h:total:total]
	w.rest = b[total:]
	return nil
}
