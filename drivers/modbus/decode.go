package modbus

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
	"slices"

	"gacp-erp.internal/glasshouse/drivers"
)

// codec turns the registers or bits of one point into its value and back. It does no I/O and keeps nothing.
type codec struct {
	Point
	divisor float64 // 1/Scale when that is a whole number: 237 / 10 is 23.7, 237 × 0.1 is not
}

func newCodec(p Point) codec {
	c := codec{Point: p}
	if inverse := 1 / p.Scale; math.Abs(p.Scale) < 1 && math.Abs(inverse-math.Round(inverse)) < 1e-9*math.Abs(inverse) {
		c.divisor = math.Round(inverse)
	}
	return c
}

// fromRegisters is the raw value in the registers of an answer. It wants exactly as many bytes as the type has: it is the
// caller's to have checked the answer's length, and a fault in that is an error, not a number.
func (c *codec) fromRegisters(b []byte) (uint64, error) {
	n := c.Type.registers()
	if len(b) != 2*n {
		return 0, fmt.Errorf("%s: %d bytes instead of %d: %w", c.ID, len(b), 2*n, drivers.ErrDevice)
	}
	var raw uint64
	for i := range n {
		at := i
		if c.WordSwap {
			at = n - 1 - i
		}
		w := binary.BigEndian.Uint16(b[2*at:])
		if c.ByteSwap {
			w = bits.ReverseBytes16(w)
		}
		raw = raw<<16 | uint64(w)
	}
	if c.Type == Bool && c.Bit >= 0 {
		raw = raw >> c.Bit & 1
	}
	return raw, nil
}

// toRegisters is the reverse of fromRegisters, but for a single bit.
func (c *codec) toRegisters(raw uint64) []byte {
	n := c.Type.registers()
	b := make([]byte, 2*n)
	for i := n - 1; i >= 0; i-- {
		at := i
		if c.WordSwap {
			at = n - 1 - i
		}
		w := uint16(raw)
		if c.ByteSwap {
			w = bits.ReverseBytes16(w)
		}
		binary.BigEndian.PutUint16(b[2*at:], w)
		raw >>= 16
	}
	return b
}

// value is what a raw value means. With an error it is 0 and the error is one of the drivers.Err… reasons.
func (c *codec) value(raw uint64) (float64, error) {
	if slices.Contains(c.Invalid, raw) {
		return 0, fmt.Errorf("%s: raw %#x means that the device has no value: %w", c.ID, raw, drivers.ErrDevice)
	}
	if c.Type == Bool {
		if raw != 0 {
			return 1, nil
		}
		return 0, nil
	}
	v := c.number(raw)
	if c.divisor != 0 {
		v /= c.divisor
	} else {
		v *= c.Scale
	}
	v += c.Offset
	switch {
	case math.IsNaN(v) || math.IsInf(v, 0):
		return 0, fmt.Errorf("%s: raw %#x: %w", c.ID, raw, drivers.ErrNotANumber)
	case c.Min < c.Max && (v < c.Min || v > c.Max):
		return 0, fmt.Errorf("%s: %g is not in %g to %g: %w", c.ID, v, c.Min, c.Max, drivers.ErrOutOfRange)
	}
	return v, nil
}

// number is the raw value as its type has it, not scaled.
func (c *codec) number(raw uint64) float64 {
	switch c.Type {
	case S16:
		return float64(int16(raw))
	case S32:
		return float64(int32(raw))
	case S64:
		return float64(int64(raw))
	case F32:
		return float64(math.Float32frombits(uint32(raw)))
	case F64:
		return math.Float64frombits(raw)
	}
	return float64(raw)
}

// raw is the reverse of value: the one raw value that means v. What lies between two steps of the device, beyond its type
// or beyond the point's limits is refused, and so is what the device takes for "no value".
func (c *codec) raw(v float64) (uint64, error) {
	if c.Type == Bool {
		if v != 0 && v != 1 {
			return 0, fmt.Errorf("%g: it is 0 or 1", v)
		}
		return uint64(v), nil
	}
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return 0, fmt.Errorf("%g is not a number", v)
	}
	if c.Min < c.Max && (v < c.Min || v > c.Max) {
		return 0, fmt.Errorf("%g is not in %g to %g", v, c.Min, c.Max)
	}
	n := v - c.Offset
	if c.divisor != 0 {
		n *= c.divisor
	} else {
		n /= c.Scale
	}
	raw, err := c.bitsOf(n)
	if err != nil {
		return 0, fmt.Errorf("%g: %w", v, err)
	}
	if slices.Contains(c.Invalid, raw) {
		return 0, fmt.Errorf("%g: the device takes its raw value %#x for none", v, raw)
	}
	return raw, nil
}

// bitsOf is an unscaled number in the bits of the type.
func (c *codec) bitsOf(n float64) (uint64, error) {
	switch c.Type {
	case F32:
		if math.Abs(n) > math.MaxFloat32 {
			return 0, fmt.Errorf("too large for %s", c.Type)
		}
		return uint64(math.Float32bits(float32(n) + 0)), nil // + 0: a device may turn -0 into 0
	case F64:
		if math.IsInf(n, 0) {
			return 0, fmt.Errorf("too large for %s", c.Type)
		}
		return math.Float64bits(n + 0), nil
	}
	whole := math.Round(n)
	if math.Abs(n-whole) > max(1e-6, 1e-12*math.Abs(n)) {
		return 0, fmt.Errorf("between two steps of the device; %g is the nearest", c.scaled(whole))
	}
	low, high := c.span()
	if whole < low || whole >= high {
		return 0, fmt.Errorf("beyond what %s with this scale can hold (%g to below %g)", c.Type, c.scaled(low), c.scaled(high))
	}
	if low < 0 {
		return uint64(int64(whole)) & (math.MaxUint64 >> (64 - 16*c.Type.registers())), nil
	}
	return uint64(whole), nil
}

// scaled is an unscaled number in the point's unit.
func (c *codec) scaled(n float64) float64 {
	if c.divisor != 0 {
		return n/c.divisor + c.Offset
	}
	return n*c.Scale + c.Offset
}

// span is the least whole number of the type and the first beyond its largest.
func (c *codec) span() (low, high float64) {
	width := 16 * c.Type.registers()
	switch c.Type {
	case S16, S32, S64:
		return -math.Ldexp(1, width-1), math.Ldexp(1, width-1)
	}
	return 0, math.Ldexp(1, width)
}
