package modbus

import (
	"bytes"
	"encoding/binary"

	library "github.com/goburrow/modbus"
)

const exceptionBit = 0x80

// check says whether an answer can be to a request, both without their frames: the function asked for with as much data as
// asked for, an echo of what was written, or an exception. The library checks less: it takes another function's answer for
// an exception and one register for ten.
func check(request, answer []byte) error {
	if len(answer) < 2 {
		return doubt("an answer of %d bytes", len(answer))
	}
	function := request[0]
	if answer[0] == function|exceptionBit {
		if len(answer) != 2 {
			return doubt("an exception of %d bytes", len(answer))
		}
		return nil
	}
	if answer[0] != function {
		return doubt("function %d answered to function %d", answer[0], function)
	}
	want := length(request)
	if len(answer) != want {
		return doubt("an answer of %d bytes instead of %d", len(answer), want)
	}
	if echoed(function) {
		if n := min(want, len(request)); !bytes.Equal(answer[:n], request[:n]) {
			return doubt("it confirms something else than was asked")
		}
		return nil
	}
	if int(answer[1]) != want-2 {
		return doubt("a byte count of %d instead of %d", answer[1], want-2)
	}
	return nil
}

// length is how long the answer to a request must be, unless it is an exception, both without their frames.
func length(request []byte) int {
	switch request[0] {
	case library.FuncCodeReadCoils, library.FuncCodeReadDiscreteInputs:
		return 2 + (int(binary.BigEndian.Uint16(request[3:]))+7)/8
	case library.FuncCodeReadHoldingRegisters, library.FuncCodeReadInputRegisters:
		return 2 + 2*int(binary.BigEndian.Uint16(request[3:]))
	case library.FuncCodeMaskWriteRegister:
		return 7
	}
	return 5 // writing: address and value, or address and count
}

// echoed says whether a function's answer repeats the beginning of the request.
func echoed(function byte) bool { return function > library.FuncCodeReadInputRegisters }
