package slave

import "encoding/binary"

// Exception codes of the protocol, for Fault.Code.
const (
	IllegalFunction    byte = 1
	IllegalAddress     byte = 2
	IllegalValue       byte = 3
	DeviceFailure      byte = 4
	Busy               byte = 6
	GatewayPath        byte = 10
	GatewayNoResponse  byte = 11
	maxPDU                  = 253
	maxReadBits             = 2000
	maxReadWords            = 125
	maxWriteBits            = 1968
	maxWriteWords           = 123
	maxReadWriteWords       = 121
	exceptionBit       byte = 0x80
	readCoils          byte = 1
	readDiscrete       byte = 2
	readHolding        byte = 3
	readInput          byte = 4
	writeCoil          byte = 5
	writeRegister      byte = 6
	writeCoils         byte = 15
	writeRegisters     byte = 16
	maskWriteRegister  byte = 22
	readWriteRegisters byte = 23
)

// written is one value that a request has set, told to OnWrite after the lock is given back.
type written struct {
	table          Table
	address, value uint16
}

// answer does what a request's PDU asks and appends the answering PDU. It says false where the unit does not answer.
func (s *Slave) answer(address byte, request, dst []byte) ([]byte, bool) {
	s.mu.Lock()
	u := s.units[address]
	if u == nil || u.mute {
		s.mu.Unlock()
		return dst, false
	}
	start := len(dst)
	dst, writes, exception := u.do(request, dst)
	onWrite := s.onWrite
	s.mu.Unlock()
	if exception != 0 {
		return append(dst[:start], request[0]|exceptionBit, exception), true
	}
	if onWrite != nil {
		for _, w := range writes {
			onWrite(address, w.table, w.address, w.value)
		}
	}
	return dst, true
}

// do is one function on a unit's tables; an exception other than 0 means that nothing was changed.
func (u *unit) do(request, dst []byte) ([]byte, []written, byte) {
	function, data := request[0], request[1:]
	word := func(i int) uint16 { return binary.BigEndian.Uint16(data[2*i:]) }
	switch function {
	case readCoils, readDiscrete, readHolding, readInput, writeCoil, writeRegister:
		if len(data) != 4 {
			return dst, nil, IllegalValue
		}
	case maskWriteRegister:
		if len(data) != 6 {
			return dst, nil, IllegalValue
		}
	}
	switch function {
	case readCoils:
		return u.readBits(Coil, function, word(0), int(word(1)), dst)
	case readDiscrete:
		return u.readBits(Discrete, function, word(0), int(word(1)), dst)
	case readHolding:
		return u.readWords(Holding, function, word(0), int(word(1)), dst)
	case readInput:
		return u.readWords(Input, function, word(0), int(word(1)), dst)
	case writeCoil:
		if word(1) != 0 && word(1) != 0xFF00 {
			return dst, nil, IllegalValue
		}
		return u.write(Coil, word(0), []uint16{word(1) >> 15}, append(dst, request...))
	case writeRegister:
		return u.write(Holding, word(0), []uint16{word(1)}, append(dst, request...))
	case maskWriteRegister:
		old, _ := u.banks[Holding].get(word(0))
		return u.write(Holding, word(0), []uint16{old&word(1) | word(2)&^word(1)}, append(dst, request...))
	case writeCoils, writeRegisters:
		return u.writeMany(request, dst)
	case readWriteRegisters:
		return u.readWrite(request, dst)
	}
	return dst, nil, IllegalFunction
}

func (u *unit) readBits(table Table, function byte, address uint16, count int, dst []byte) ([]byte, []written, byte) {
	if count < 1 || count > maxReadBits {
		return dst, nil, IllegalValue
	}
	b := &u.banks[table]
	if !b.has(address, count) {
		return dst, nil, IllegalAddress
	}
	size := (count + 7) / 8
	dst = append(dst, function, byte(size))
	at := len(dst)
	dst = append(dst, make([]byte, size)...)
	for i := range count {
		if v, _ := b.get(address + uint16(i)); v != 0 {
			dst[at+i/8] |= 1 << (i % 8)
		}
	}
	return dst, nil, 0
}

func (u *unit) readWords(table Table, function byte, address uint16, count int, dst []byte) ([]byte, []written, byte) {
	if count < 1 || count > maxReadWords {
		return dst, nil, IllegalValue
	}
	b := &u.banks[table]
	if !b.has(address, count) {
		return dst, nil, IllegalAddress
	}
	dst = append(dst, function, byte(2*count))
	for i := range count {
		v, _ := b.get(address + uint16(i))
		dst = binary.BigEndian.AppendUint16(dst, v)
	}
	return dst, nil, 0
}

// write sets values that exist; dst is the answer if it can.
func (u *unit) write(table Table, address uint16, values []uint16, dst []byte) ([]byte, []written, byte) {
	b := &u.banks[table]
	if !b.has(address, len(values)) {
		return dst, nil, IllegalAddress
	}
	writes := make([]written, len(values))
	for i, v := range values {
		b.set(address+uint16(i), v)
		writes[i] = written{table, address + uint16(i), v}
	}
	return dst, writes, 0
}

// writeMany is functions 15 and 16: address, count, byte count, values.
func (u *unit) writeMany(request, dst []byte) ([]byte, []written, byte) {
	function, data := request[0], request[1:]
	if len(data) < 5 || int(data[4]) != len(data)-5 {
		return dst, nil, IllegalValue
	}
	address, count, bytes := binary.BigEndian.Uint16(data), int(binary.BigEndian.Uint16(data[2:])), data[5:]
	values := make([]uint16, 0, count)
	table := Holding
	if function == writeCoils {
		table = Coil
		if count < 1 || count > maxWriteBits || len(bytes) != (count+7)/8 {
			return dst, nil, IllegalValue
		}
		for i := range count {
			values = append(values, uint16(bytes[i/8]>>(i%8)&1))
		}
	} else {
		if count < 1 || count > maxWriteWords || len(bytes) != 2*count {
			return dst, nil, IllegalValue
		}
		values = appendWords(values, bytes)
	}
	return u.write(table, address, values, append(dst, request[:5]...))
}

// readWrite is function 23: it writes before it reads.
func (u *unit) readWrite(request, dst []byte) ([]byte, []written, byte) {
	data := request[1:]
	if len(data) < 9 || int(data[8]) != len(data)-9 {
		return dst, nil, IllegalValue
	}
	word := func(i int) uint16 { return binary.BigEndian.Uint16(data[2*i:]) }
	read, write, bytes := int(word(1)), int(word(3)), data[9:]
	if read < 1 || read > maxReadWords || write < 1 || write > maxReadWriteWords || len(bytes) != 2*write {
		return dst, nil, IllegalValue
	}
	if b := &u.banks[Holding]; !b.has(word(0), read) || !b.has(word(2), write) {
		return dst, nil, IllegalAddress
	}
	_, writes, _ := u.write(Holding, word(2), appendWords(nil, bytes), nil)
	dst, _, exception := u.readWords(Holding, readWriteRegisters, word(0), read, dst)
	return dst, writes, exception
}

func appendWords(values []uint16, bytes []byte) []uint16 {
	for i := 0; i+1 < len(bytes); i += 2 {
		values = append(values, binary.BigEndian.Uint16(bytes[i:]))
	}
	return values
}
