package modbus

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	library "github.com/goburrow/modbus"
)

const (
	addressSize  = 1
	checksumSize = 2
	shortest     = 5   // bytes of an answer in its frame: an exception
	noise        = 3   // bytes that are no frame: what a transceiver adds when it switches
	maxFrame     = 256 // bytes
	fastGap      = 1750 * time.Microsecond
	look         = 200 * time.Microsecond // to see what has come already
)

// serialFrame is Modbus RTU: unit, function, data and a checksum. Nothing in an answer says to which request it belongs, so
// one that comes late could be taken for the next one's. What prevents that:
//
//   - what came before a request is sent is thrown away, and an answer must have exactly the length, unit, function and byte
//     count asked for, a right checksum, and silence behind it;
//   - after any error the line stays quiet until nothing has come for as long as the slave may take to answer (doubt.go);
//   - after that, before the same kind of answer is believed again, the unit must have answered something of another length
//     or function.
type serialFrame struct {
	unit    *Unit
	gap     time.Duration // 3.5 characters: no shorter silence ends a frame
	char    time.Duration // one character
	timeout time.Duration
	stream  bool // through a TCP connection
	doubts  doubts

	request [maxFrame]byte
	probe   [maxFrame]byte
	in      [2 * maxFrame]byte
	answer  library.ProtocolDataUnit
}

var _ protocol = (*serialFrame)(nil)

// newRTU is the framing for a line with such characters; the plan's blocks are what units can be asked to show that they
// answer.
func newRTU(char, timeout time.Duration, stream bool, blocks []block) *serialFrame {
	r := &serialFrame{char: char, gap: 7 * char / 2, timeout: timeout, stream: stream, doubts: newDoubts(blocks)}
	if r.gap < fastGap {
		r.gap = fastGap // above 19,200 baud, by the specification
	}
	return r
}

func (r *serialFrame) address(u *Unit) { r.unit = u }

// connected makes a line that is opened for the first time quiet: whoever used it before may have asked something.
func (r *serialFrame) connected() {
	if r.doubts.quiet.IsZero() {
		r.doubts.quiet = time.Now().Add(r.doubts.longest(r.timeout))
	}
}

// longest is the most that a call may wait before and after its own transaction: the rests on both sides, a proof, and the
// time that the longest frames are on the line.
func (r *serialFrame) longest() time.Duration {
	return 2*r.doubts.longest(r.timeout) + r.timeout + 4*maxFrame*r.char
}

// keeps the connection through doubts: it is the line that must come to rest, and opening it again does not help that. A TCP
// connection on which nothing comes any more may itself be dead.
func (r *serialFrame) keeps(doubt bool, silent int) bool {
	return doubt || !r.stream || silent < maxSilent
}

// Encode frames a request; it is valid until the next one.
func (r *serialFrame) Encode(pdu *library.ProtocolDataUnit) ([]byte, error) {
	n := addressSize + 1 + len(pdu.Data)
	if n+checksumSize > maxFrame {
		return nil, fmt.Errorf("a request of %d bytes; a frame has %d", n+checksumSize, maxFrame)
	}
	r.request[0], r.request[1] = r.unit.Address, pdu.FunctionCode
	copy(r.request[2:], pdu.Data)
	return seal(r.request[:n]), nil
}

// Verify has nothing to do: exchange lets nothing through that it would refuse.
func (r *serialFrame) Verify([]byte, []byte) error { return nil }

// Decode takes the frame off; the answer is valid until the next request.
func (r *serialFrame) Decode(adu []byte) (*library.ProtocolDataUnit, error) {
	pdu := bare(adu)
	r.answer = library.ProtocolDataUnit{FunctionCode: pdu[0], Data: pdu[1:]}
	return &r.answer, nil
}

// exchange waits until the line is at rest, has the unit show that it is in step if there is a doubt, and does the request.
func (r *serialFrame) exchange(l *link, request []byte) ([]byte, error) {
	if err := r.rest(l); err != nil {
		return nil, err
	}
	if r.doubts.about(bare(request), r.unit.Address) {
		if err := r.prove(l); err != nil {
			return nil, err
		}
	}
	return r.transact(l, request)
}

// transact is one request and its answer. Whatever goes wrong leaves the line in doubt, and it comes to rest here: were that
// left to the next call, a write that arrives during this one would wait for this call's rest and for the one before it.
func (r *serialFrame) transact(l *link, request []byte) ([]byte, error) {
	answer, err := r.ask(l, request)
	if err != nil {
		r.doubts.raise(r.unit, bare(request), time.Now(), r.timeout)
		if !errors.Is(err, errLost) {
			_ = r.rest(l) // when the call ends before, or the line breaks, the next call sees it
		}
		return nil, err
	}
	r.doubts.settle(r.unit.Address)
	return answer, nil
}

// ask sends a request and takes its answer off the line.
func (r *serialFrame) ask(l *link, request []byte) ([]byte, error) {
	want := addressSize + length(bare(request)) + checksumSize
	onWire := time.Duration(len(request)+want) * r.char
	if err := l.within(max(r.timeout, r.unit.TurnAround) + onWire); err != nil {
		return nil, err
	}
	if _, err := l.conn.Write(request); err != nil {
		return nil, trouble{errLost, fmt.Errorf("sending: %w", err)} // also in time: part of it may be on its way
	}
	began := time.Now()
	size, n, err := r.receive(l, request[1], want)
	l.took = max(time.Since(began), 1)
	if err != nil {
		return nil, r.cut(request, n, err)
	}
	if err := r.silence(l, n-size); err != nil {
		return nil, err
	}
	return r.in[:size], judged(request, r.in[:size])
}

// receive reads an answer of the size wanted, or an exception. n bytes have come, perhaps more than that.
func (r *serialFrame) receive(l *link, function byte, want int) (size, n int, err error) {
	size = shortest
	for n < size {
		var m int
		m, err = l.Read(r.in[n:])
		n += m
		l.heard = l.heard || m > 0
		if n >= 2 && r.in[1] != function|exceptionBit {
			size = want
		}
		if err != nil && n < size {
			return size, n, err
		}
	}
	return size, n, nil
}

// cut says what an answer is of which n bytes came.
func (r *serialFrame) cut(request []byte, n int, err error) error {
	switch {
	case n == 0:
		return err
	case !isTimeout(err):
		return trouble{errBroken, trouble{errLost, fmt.Errorf("%w after %d bytes of an answer", err, n)}}
	}
	if n >= shortest {
		if whole := judged(request, r.in[:n]); whole != nil && !errors.Is(whole, errChecksum) {
			return whole // a sound frame that is too short: say what it is
		}
	}
	return doubt("half an answer (%d bytes): check termination and wiring", n)
}

// silence waits for the end of the frame: 3.5 characters in which nothing comes. A few bytes are what a transceiver adds
// when it switches; a frame behind the answer means that the answer may have been an earlier one's.
func (r *serialFrame) silence(l *link, more int) error {
	end := time.Now().Add(r.gap)
	for more <= noise {
		if err := l.within(time.Until(end)); err != nil {
			return err
		}
		n, err := l.Read(r.in[len(r.in)-maxFrame/2:])
		if more += n; n > 0 {
			end = time.Now().Add(r.gap)
		}
		switch {
		case err == nil:
		case isTimeout(err) && time.Now().Before(end):
			return doubt("the call ended before the answer's end was certain")
		default:
			return nil // a line that is gone now, has brought the whole answer before
		}
	}
	return doubt("%d bytes and more after the answer", more)
}

var errChecksum = errors.New("checksum")

// judged says whether a whole frame is the answer to a request.
func judged(request, answer []byte) error {
	if body := answer[:len(answer)-checksumSize]; checksum(body) != binary.LittleEndian.Uint16(answer[len(body):]) {
		return trouble{errDoubt, fmt.Errorf("a wrong %w: check termination and baud rate, and that no two units have one address", errChecksum)}
	}
	if answer[0] != request[0] {
		return doubt("unit %d answered", answer[0])
	}
	return check(bare(request), bare(answer))
}

// bare is a frame without address and checksum.
func bare(frame []byte) []byte { return frame[addressSize : len(frame)-checksumSize] }

// seal adds the checksum.
func seal(frame []byte) []byte { return binary.LittleEndian.AppendUint16(frame, checksum(frame)) }

// checksum is CRC-16/MODBUS. It finds any three inverted bits and any burst of up to 16.
func checksum(b []byte) uint16 {
	crc := uint16(0xFFFF)
	for _, c := range b {
		crc = crc>>8 ^ checksums[byte(crc)^c]
	}
	return crc
}

var checksums = func() (table [256]uint16) {
	for i := range table {
		crc := uint16(i)
		for range 8 {
			if crc&1 != 0 {
				crc = crc>>1 ^ 0xA001
			} else {
				crc >>= 1
			}
		}
		table[i] = crc
	}
	return table
}()
