package modbus

import (
	"encoding/binary"
	"fmt"

	library "github.com/goburrow/modbus"
)

const (
	headerSize = 7 // transaction, protocol, length, unit
	maxPDU     = 253
	remembered = 1000 // transactions whose late answers are known for what they are
)

// mbap is Modbus TCP's frame: each request has a transaction id, which its answer repeats.
type mbap struct {
	unit        byte
	transaction uint16
	issued      int // requests on this connection, at most remembered
	request     [headerSize + maxPDU]byte
	answer      library.ProtocolDataUnit
}

var _ protocol = (*mbap)(nil)

func (m *mbap) address(u *Unit) { m.unit = u.Address }
func (m *mbap) connected()      { m.issued = 0 }

// keeps a connection through silence for a while: a late answer is known for what it is.
func (m *mbap) keeps(doubt bool, silent int) bool { return !doubt && silent < maxSilent }

// Encode frames a request; it is valid until the next one.
func (m *mbap) Encode(pdu *library.ProtocolDataUnit) ([]byte, error) {
	n := 1 + len(pdu.Data)
	if n > maxPDU {
		return nil, fmt.Errorf("a request of %d bytes; the protocol has %d", n, maxPDU)
	}
	m.transaction++
	binary.BigEndian.PutUint16(m.request[0:], m.transaction)
	binary.BigEndian.PutUint16(m.request[2:], 0)
	binary.BigEndian.PutUint16(m.request[4:], uint16(n+1))
	m.request[6], m.request[7] = m.unit, pdu.FunctionCode
	copy(m.request[8:], pdu.Data)
	return m.request[:headerSize+n], nil
}

// Verify has nothing to do: exchange lets nothing through that it would refuse.
func (m *mbap) Verify([]byte, []byte) error { return nil }

// Decode takes the frame off; the answer is valid until the next request.
func (m *mbap) Decode(adu []byte) (*library.ProtocolDataUnit, error) {
	m.answer = library.ProtocolDataUnit{FunctionCode: adu[headerSize], Data: adu[headerSize+1:]}
	return &m.answer, nil
}

// exchange sends a request and waits for its answer. Answers to earlier requests of this connection are skipped: they came
// too late or twice. Anything else that is not the answer means that the line cannot be trusted.
func (m *mbap) exchange(l *link, request []byte) ([]byte, error) {
	m.issued = min(m.issued+1, remembered)
	if _, err := l.conn.Write(request); err != nil {
		return nil, trouble{errLost, fmt.Errorf("sending: %w", err)} // also in time: part of it may be on its way
	}
	for {
		answer, err := m.frame(l)
		if err != nil {
			return nil, err
		}
		switch age, known := m.age(answer); {
		case !known:
			return nil, doubt("an answer to transaction %d, which was never asked", binary.BigEndian.Uint16(answer))
		case age > 0:
			continue
		case answer[6] != request[6]:
			return nil, doubt("unit %d answered", answer[6])
		}
		if err := m.rest(l); err != nil {
			return nil, err
		}
		return answer, check(request[headerSize:], answer[headerSize:])
	}
}

// age says how many requests of this connection came after the one that a frame answers, if it answers one.
func (m *mbap) age(frame []byte) (age int, known bool) {
	age = int(m.transaction - binary.BigEndian.Uint16(frame)) // counted round
	return age, age < m.issued
}

// frame is the next frame on the line, valid until the next read.
//
// A peer that breaks off in the middle of an answer and then sends a late one completes the first with the second, and no
// byte of that looks wrong. So while the line owes an answer, one that comes in pieces is not believed; and what comes
// after an answer must be answers too (rest).
func (m *mbap) frame(l *link) ([]byte, error) {
	reads := l.reads
	if l.in.Buffered() == 0 {
		reads++
	}
	header, err := l.in.Peek(headerSize)
	if err != nil {
		return nil, l.torn(err)
	}
	size, ok := frameSize(header)
	if !ok {
		return nil, doubt("what came is not Modbus TCP")
	}
	frame, err := l.in.Peek(size)
	if err != nil {
		return nil, l.torn(err)
	}
	if l.owes && l.reads > reads {
		return nil, doubt("an answer in pieces, while an earlier one may still come")
	}
	l.heard = true
	_, err = l.in.Discard(size)
	return frame, err
}

// frameSize is how long a frame is in all, by its header.
func frameSize(header []byte) (int, bool) {
	size := int(binary.BigEndian.Uint16(header[4:])) - 1 // without the unit id
	return headerSize + size, binary.BigEndian.Uint16(header[2:]) == 0 && size >= 1 && size <= maxPDU
}

// rest looks at what came together with the answer and after it: whole answers to known requests, or the answer itself is
// not what it seems.
func (m *mbap) rest(l *link) error {
	rest, err := l.in.Peek(l.in.Buffered())
	if err != nil {
		return err
	}
	for len(rest) > 0 {
		if len(rest) < headerSize {
			return doubt("%d bytes after the answer", len(rest))
		}
		size, ok := frameSize(rest)
		if _, known := m.age(rest); !ok || !known || size > len(rest) {
			return doubt("%d bytes after the answer that are no answer", len(rest))
		}
		rest = rest[size:]
	}
	return nil
}

// torn adds to an error that part of a frame had come: what follows on this line would be read as something else.
func (l *link) torn(err error) error {
	if n := l.in.Buffered(); n > 0 && isTimeout(err) {
		return doubt("half an answer (%d bytes)", n)
	} else if n > 0 {
		return trouble{errBroken, fmt.Errorf("%w after %d bytes of an answer", err, n)}
	}
	return err
}
