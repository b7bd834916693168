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

func (m *mbap) address(unit byte) { m.unit = unit }
func (m *mbap) connected()        { m.issued = 0 }

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
		age := m.transaction - binary.BigEndian.Uint16(answer) // counted round
		if age > 0 && int(age) < m.issued {
			continue
		}
		switch {
		case age != 0:
			return nil, doubt("an answer to transaction %d, which was never asked", binary.BigEndian.Uint16(answer))
		case answer[6] != request[6]:
			return nil, doubt("unit %d answered", answer[6])
		}
		return answer, check(request[headerSize:], answer[headerSize:])
	}
}

// frame is the next frame on the line, valid until the next read.
func (m *mbap) frame(l *link) ([]byte, error) {
	header, err := l.in.Peek(headerSize)
	if err != nil {
		return nil, l.torn(err)
	}
	size := int(binary.BigEndian.Uint16(header[4:])) - 1 // without the unit id
	if binary.BigEndian.Uint16(header[2:]) != 0 || size < 1 || size > maxPDU {
		return nil, doubt("what came is not Modbus TCP")
	}
	frame, err := l.in.Peek(headerSize + size)
	if err != nil {
		return nil, l.torn(err)
	}
	l.heard = true
	_, err = l.in.Discard(len(frame))
	return frame, err
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
