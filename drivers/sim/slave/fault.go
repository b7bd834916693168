package slave

import (
	"encoding/binary"
	"time"
)

// Kind is what goes wrong with one answer.
type Kind uint8

// Kinds of fault. The request is carried out in all of them.
const (
	None             Kind = iota // the answer as it should be
	Late                         // after Delay; requests that come meanwhile are answered before it
	Drop                         // no answer
	Half                         // the first half of the frame; the connection stays
	WrongTransaction             // a transaction id that was never used (over RTU: a wrong checksum)
	ForeignUnit                  // another unit's id
	ForeignFunction              // another function's code
	Exception                    // an exception answer with Code
	HangUp                       // the connection is closed instead
	ByteByByte                   // one byte a packet, Delay apart
	ShortCount                   // one register (or byte of bits) fewer than asked for, in a frame that is sound in itself
	LyingCount                   // a byte count that says more than there is
	Duplicate                    // the answer twice
	Replay                       // the answer before this one again, then the answer
	Flip                         // bits of the header and function inverted (over RTU: of the whole frame)
	kinds
)

// Fault is what goes wrong with the answer of one request.
type Fault struct {
	Kind  Kind
	Delay time.Duration // of Late and, between bytes, ByteByByte
	Code  byte          // of Exception; 0: IllegalAddress
	Bit   int           // of Flip, counted from the first bit on the wire; beyond the end it starts again
	Bits  []int         // of Flip: more of them
	Burst uint16        // of Flip: which of the 16 bits from Bit on are inverted instead, the first one in the lowest place
}

// Script sets what happens to the requests that come next, from whatever connection: the first fault to the next one, the
// second to the one after it, behind the faults that still wait. A fault of Kind None is an ordinary answer.
func (s *Slave) Script(faults ...Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.script = append(s.script, faults...)
}

// Scripted is the number of faults that still wait for a request.
func (s *Slave) Scripted() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.script)
}

// next takes the fault of this request and the latency of all requests.
func (s *Slave) next() (Fault, time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests++
	if len(s.script) == 0 {
		return Fault{}, s.latency
	}
	f := s.script[0]
	s.script = s.script[1:]
	return f, s.latency
}

// spoil changes the parts of an answer that a fault is about, before it is framed.
func (f Fault) spoil(a *message) {
	switch f.Kind {
	case WrongTransaction:
		a.transaction += 0x4321
		a.damaged = true
	case ForeignUnit:
		a.unit++
	case ForeignFunction:
		a.pdu[0] ^= 1
	case Exception:
		code := f.Code
		if code == 0 {
			code = IllegalAddress
		}
		a.pdu = append(a.pdu[:0], a.pdu[0]|exceptionBit, code)
	case ShortCount:
		a.shorten()
	case LyingCount:
		if len(a.pdu) > 1 {
			a.pdu[1] += 2
		}
	}
}

// shorten takes the last value out of an answer that has a byte count; of others the last byte.
func (a *message) shorten() {
	switch function := a.pdu[0]; {
	case (function == readHolding || function == readInput || function == readWriteRegisters) && a.pdu[1] >= 2:
		a.pdu[1] -= 2
		a.pdu = a.pdu[:len(a.pdu)-2]
	case (function == readCoils || function == readDiscrete) && a.pdu[1] >= 1:
		a.pdu[1]--
		a.pdu = a.pdu[:len(a.pdu)-1]
	default:
		a.pdu = a.pdu[:len(a.pdu)-1]
	}
}

// flip inverts bits of a frame, in its first limit bytes.
func (f Fault) flip(frame []byte, limit int) {
	size := 8 * min(limit, len(frame))
	if f.Burst != 0 && size >= 16 {
		first := f.Bit % (size - 15)
		for i := range 16 {
			if f.Burst>>i&1 != 0 {
				invert(frame, first+i)
			}
		}
		return
	}
	invert(frame, f.Bit%size)
	for _, bit := range f.Bits {
		invert(frame, bit%size)
	}
}

// invert inverts one bit. Serial lines send the least significant bit of a byte first.
func invert(frame []byte, bit int) { frame[bit/8] ^= 1 << (bit % 8) }

// message is a request or an answer without its frame.
type message struct {
	transaction uint16
	unit        byte
	pdu         []byte
	damaged     bool
}

// header is MBAP: transaction, protocol 0, length, unit.
func (a *message) appendTCP(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint16(dst, a.transaction)
	dst = append(dst, 0, 0)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(a.pdu)+1))
	return append(append(dst, a.unit), a.pdu...)
}
