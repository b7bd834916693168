package slave

import (
	"encoding/binary"
	"errors"
	"os"
	"time"
)

const (
	maxRTU  = 256
	silence = 20 * time.Millisecond // within a frame; a real slave bears 3.5 characters, and no network
)

// readRTU takes one request off a line: address, function, data, checksum. What has a wrong checksum is thrown away with all
// that follows it up to a silence, as a real slave does.
func readRTU(c Conn, request *message) error {
	var frame [maxRTU]byte
	for {
		n, quiet, err := readFrame(c, frame[:])
		if err != nil {
			return err
		}
		if n < 4 || crc(frame[:n-2]) != binary.LittleEndian.Uint16(frame[n-2:]) {
			if !quiet {
				err = awaitSilence(c)
			}
			if err != nil {
				return err
			}
			continue
		}
		request.unit = frame[0]
		request.pdu = append(request.pdu[:0], frame[1:n-2]...)
		return nil
	}
}

// readFrame reads as much as the function has, or up to a silence (quiet), and says how much that was.
func readFrame(c Conn, frame []byte) (n int, quiet bool, err error) {
	if err := c.SetReadDeadline(time.Time{}); err != nil {
		return 0, false, err
	}
	for n < len(frame) {
		end, known := requestSize(frame[:n])
		if known && n >= end {
			return n, false, nil
		}
		if !known {
			end = n + 1
		}
		m, err := c.Read(frame[n:min(end, len(frame))])
		n += m
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return n, true, nil
		}
		if err == nil && m > 0 {
			err = c.SetReadDeadline(time.Now().Add(silence))
		}
		if err != nil {
			return 0, false, err
		}
	}
	return n, false, nil
}

// requestSize is how long the frame of a request is in all, once that can be seen.
func requestSize(frame []byte) (size int, known bool) {
	if len(frame) < 2 {
		return 0, false
	}
	counted := func(at int) (int, bool) {
		if len(frame) <= at {
			return 0, false
		}
		return at + 1 + int(frame[at]) + 2, true
	}
	switch frame[1] {
	case readCoils, readDiscrete, readHolding, readInput, writeCoil, writeRegister:
		return 8, true
	case maskWriteRegister:
		return 10, true
	case writeCoils, writeRegisters:
		return counted(6)
	case readWriteRegisters:
		return counted(10)
	}
	return 0, false
}

// awaitSilence throws away what comes until nothing does.
func awaitSilence(c Conn) error {
	var rest [maxRTU]byte
	for {
		if err := c.SetReadDeadline(time.Now().Add(silence)); err != nil {
			return err
		}
		if _, err := c.Read(rest[:]); errors.Is(err, os.ErrDeadlineExceeded) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// appendRTU frames an answer.
func (a *message) appendRTU(dst []byte) []byte {
	dst = append(append(dst, a.unit), a.pdu...)
	sum := crc(dst)
	if a.damaged {
		sum ^= 0x4321
	}
	return binary.LittleEndian.AppendUint16(dst, sum)
}

// crc is CRC-16/MODBUS, bit by bit as the specification has it.
func crc(b []byte) uint16 {
	sum := uint16(0xFFFF)
	for _, c := range b {
		sum ^= uint16(c)
		for range 8 {
			odd := sum&1 != 0
			if sum >>= 1; odd {
				sum ^= 0xA001
			}
		}
	}
	return sum
}
