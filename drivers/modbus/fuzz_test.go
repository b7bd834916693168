package modbus

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"os"
	"testing"
	"time"

	library "github.com/goburrow/modbus"
)

// canned is a connection whose peer has said all that it will, in pieces.
type canned struct {
	said  []byte
	piece int
}

func (c *canned) Read(b []byte) (int, error) {
	if len(c.said) == 0 {
		return 0, os.ErrDeadlineExceeded
	}
	n := copy(b, c.said[:min(c.piece, len(c.said))])
	c.said = c.said[n:]
	return n, nil
}

func (c *canned) Write(b []byte) (int, error) { return len(b), nil }
func (c *canned) SetDeadline(time.Time) error { return nil }
func (c *canned) Close() error                { return nil }

// asked is one of the requests whose answers are fuzzed.
func asked(which uint8) *library.ProtocolDataUnit {
	return []*library.ProtocolDataUnit{
		{FunctionCode: 4, Data: []byte{0, 1, 0, 2}},
		{FunctionCode: 1, Data: []byte{0, 0, 0, 9}},
		{FunctionCode: 6, Data: []byte{0, 1, 0, 7}},
	}[which%3]
}

// answerTo says whether an answer without its frame may be one to a request: an exception, or as much as was asked for.
func answerTo(request *library.ProtocolDataUnit, answer []byte) bool {
	if answer[0] == request.FunctionCode|exceptionBit {
		return len(answer) == 2
	}
	if answer[0] != request.FunctionCode {
		return false
	}
	switch request.FunctionCode {
	case 4:
		return len(answer) == 6 && answer[1] == 4
	case 1:
		return len(answer) == 4 && answer[1] == 2
	}
	return bytes.Equal(answer[1:], request.Data)
}

// FuzzRTUAnswer: whatever comes, what is believed is a whole frame of the unit with its checksum, and nothing but noise
// behind it.
func FuzzRTUAnswer(f *testing.F) {
	for _, frame := range [][]byte{{1, 4, 4, 0, 237, 2, 143}, {1, 0x84, 2}, {1, 1, 2, 0xCD, 1}, {1, 6, 0, 1, 0, 7}} {
		whole := seal(bytes.Clone(frame))
		f.Add(whole, uint8(0), uint8(255))
		f.Add(append(bytes.Clone(whole), whole...), uint8(1), uint8(3))
		f.Add(whole[:len(whole)-1], uint8(2), uint8(1))
	}
	f.Fuzz(func(t *testing.T, said []byte, which, piece uint8) {
		c := &canned{said: bytes.Clone(said), piece: int(piece) + 1}
		request := asked(which)
		r := newRTU(time.Millisecond, time.Second, false, nil)
		r.gap = -time.Second // it is over at once
		r.address(&Unit{Address: 1})
		adu, err := r.Encode(request)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := r.ask(&link{conn: c}, adu)
		if err != nil {
			return
		}
		if !bytes.HasPrefix(said, answer) || answer[0] != 1 || !answerTo(request, bare(answer)) {
			t.Fatalf("% X: believed % X", said, answer)
		}
		if sum := slowChecksum(answer[:len(answer)-2]); binary.LittleEndian.Uint16(answer[len(answer)-2:]) != sum {
			t.Fatalf("% X: the checksum is %04X", answer, sum)
		}
	})
}

// slowChecksum is CRC-16/MODBUS as the specification describes it.
func slowChecksum(b []byte) uint16 {
	sum := uint16(0xFFFF)
	for _, c := range b {
		for i := range 8 {
			bit := (sum ^ uint16(c>>i)) & 1
			sum = sum>>1 ^ bit*0xA001
		}
	}
	return sum
}

// FuzzTCPAnswer: the same with transaction ids.
func FuzzTCPAnswer(f *testing.F) {
	f.Add([]byte{0, 1, 0, 0, 0, 7, 1, 4, 4, 0, 237, 2, 143}, uint8(0), uint8(255), false)
	f.Add([]byte{0, 1, 0, 0, 0, 3, 1, 0x84, 2}, uint8(0), uint8(2), true)
	f.Add([]byte{0, 0, 0, 0, 0, 7, 1, 4, 4, 0, 1, 0, 2, 0, 1, 0, 0, 0, 6, 1, 6, 0, 1, 0, 7}, uint8(2), uint8(9), false)
	f.Fuzz(func(t *testing.T, said []byte, which, piece uint8, owes bool) {
		c := &canned{said: bytes.Clone(said), piece: int(piece) + 1}
		request := asked(which)
		m := &mbap{unit: 1}
		adu, err := m.Encode(request)
		if err != nil {
			t.Fatal(err)
		}
		l := &link{conn: c, owes: owes}
		l.in = bufio.NewReaderSize(l, 2*(headerSize+maxPDU))
		answer, err := m.exchange(l, adu)
		if err != nil {
			return
		}
		size := int(binary.BigEndian.Uint16(answer[4:]))
		if !bytes.Contains(said, answer) || !bytes.Equal(answer[:4], adu[:4]) || size != len(answer)-6 || answer[6] != 1 || !answerTo(request, answer[headerSize:]) {
			t.Fatalf("% X: believed % X", said, answer)
		}
	})
}
