package modbus

import (
	"encoding/hex"
	"errors"
	"math"
	"strings"
	"testing"

	"gacp-erp.internal/glasshouse/drivers"
)

// TestBothWays holds registers as data sheets show them to the values they mean, in both directions.
func TestBothWays(t *testing.T) {
	for name, test := range map[string]struct {
		point Point
		bytes string // as sent
		value float64
	}{
		"u16":                      {Point{Type: U16}, "FFFE", 65534},
		"s16":                      {Point{Type: S16}, "FFFE", -2},
		"s16, least":               {Point{Type: S16}, "8000", -32768},
		"u32":                      {Point{Type: U32}, "0001 0002", 65538},
		"u32, largest":             {Point{Type: U32}, "FFFF FFFF", 4294967295},
		"u32, words swapped":       {Point{Type: U32, WordSwap: true}, "0002 0001", 65538},
		"u32, bytes swapped":       {Point{Type: U32, ByteSwap: true}, "0100 0200", 65538},
		"u32, both swapped":        {Point{Type: U32, WordSwap: true, ByteSwap: true}, "0200 0100", 65538},
		"s32":                      {Point{Type: S32}, "FFFF FF38", -200},
		"s32, words swapped":       {Point{Type: S32, WordSwap: true}, "FF38 FFFF", -200},
		"u64":                      {Point{Type: U64}, "0000 0001 0000 0000", 4294967296},
		"u64, words swapped":       {Point{Type: U64, WordSwap: true}, "0000 0000 0001 0000", 4294967296},
		"s64":                      {Point{Type: S64}, "FFFF FFFF FFFF FFFF", -1},
		"f32":                      {Point{Type: F32}, "41AC 0000", 21.5},
		"f32, CDAB":                {Point{Type: F32, WordSwap: true}, "0000 41AC", 21.5},
		"f32, BADC":                {Point{Type: F32, ByteSwap: true}, "AC41 0000", 21.5},
		"f32, DCBA":                {Point{Type: F32, WordSwap: true, ByteSwap: true}, "0000 AC41", 21.5},
		"f64":                      {Point{Type: F64}, "4035 8000 0000 0000", 21.5},
		"f64, words swapped":       {Point{Type: F64, WordSwap: true}, "0000 0000 8000 4035", 21.5},
		"XY-MD02 temperature":      {Point{Type: S16, Scale: 0.1, Min: -40, Max: 80}, "0131", 30.5},
		"XY-MD02 below zero":       {Point{Type: S16, Scale: 0.1, Min: -40, Max: 80}, "FFCD", -5.1},
		"a tenth is a tenth":       {Point{Type: U16, Scale: 0.1}, "00ED", 23.7},
		"a thousandth":             {Point{Type: U16, Scale: 0.001}, "1C9F", 7.327},
		"scale and offset":         {Point{Type: U16, Scale: 0.5, Offset: -40}, "0080", 24},
		"a scale that is no part":  {Point{Type: U16, Scale: 2.5}, "0004", 10},
		"a negative scale":         {Point{Type: U16, Scale: -0.1}, "000A", -1},
		"register as switch":       {Point{Type: Bool, Bit: -1}, "0001", 1},
		"register as switch, off":  {Point{Type: Bool, Bit: -1}, "0000", 0},
		"limits, just inside":      {Point{Type: U16, Min: 1, Max: 5}, "0005", 5},
		"another value is invalid": {Point{Type: U16, Invalid: []uint64{0xFFFF}}, "FFFE", 65534},
	} {
		t.Run(name, func(t *testing.T) {
			if test.point.Scale == 0 {
				test.point.Scale = 1
			}
			c := newCodec(test.point)
			b, err := hex.DecodeString(strings.ReplaceAll(test.bytes, " ", ""))
			if err != nil {
				t.Fatal(err)
			}
			raw, err := c.fromRegisters(b)
			if err != nil {
				t.Fatal(err)
			}
			if v, err := c.value(raw); v != test.value || err != nil {
				t.Errorf("decoded %v, %v; want %v", v, err, test.value)
			}
			raw, err = c.raw(test.value)
			if err != nil {
				t.Fatal(err)
			}
			if got := hex.EncodeToString(c.toRegisters(raw)); !strings.EqualFold(got, strings.ReplaceAll(test.bytes, " ", "")) {
				t.Errorf("encoded %s; want %s", got, test.bytes)
			}
		})
	}
}

func TestBitsOfARegister(t *testing.T) {
	for _, test := range []struct {
		bit   int
		swap  bool
		bytes [2]byte
		want  uint64
	}{
		{0, false, [2]byte{0x00, 0x01}, 1}, {15, false, [2]byte{0x80, 0x00}, 1}, {8, false, [2]byte{0x01, 0x00}, 1},
		{3, false, [2]byte{0xFF, 0xF7}, 0}, {8, true, [2]byte{0x00, 0x01}, 1}, {0, true, [2]byte{0x01, 0x00}, 1},
	} {
		c := newCodec(Point{Type: Bool, Bit: test.bit, ByteSwap: test.swap, Scale: 1})
		raw, err := c.fromRegisters(test.bytes[:])
		if raw != test.want || err != nil {
			t.Errorf("%+v: %d, %v", test, raw, err)
		}
		// The bit that function 22 would set is the one that is read.
		w := uint16(1) << c.wireBit()
		if raw, _ := c.fromRegisters([]byte{byte(w >> 8), byte(w)}); raw != 1 {
			t.Errorf("%+v: writes bit %d of the wire", test, c.wireBit())
		}
	}
}

// TestNoNumber: what is none has a reason and is 0.
func TestNoNumber(t *testing.T) {
	for name, test := range map[string]struct {
		point Point
		raw   uint64
		want  error
	}{
		"the device's own word": {Point{Type: S16, Invalid: []uint64{0x7FFF, 0x8000}}, 0x8000, drivers.ErrDevice},
		"f32 NaN":               {Point{Type: F32}, 0x7FC00000, drivers.ErrNotANumber},
		"f32 infinite":          {Point{Type: F32}, 0xFF800000, drivers.ErrNotANumber},
		"f64 NaN":               {Point{Type: F64}, math.Float64bits(math.NaN()), drivers.ErrNotANumber},
		"scaled out of floats":  {Point{Type: F64, Scale: 10}, math.Float64bits(math.MaxFloat64), drivers.ErrNotANumber},
		"above":                 {Point{Type: U16, Min: 0, Max: 100}, 101, drivers.ErrOutOfRange},
		"below":                 {Point{Type: S16, Min: 0, Max: 100}, 0xFFFF, drivers.ErrOutOfRange},
	} {
		if test.point.Scale == 0 {
			test.point.Scale = 1
		}
		c := newCodec(test.point)
		if v, err := c.value(test.raw); v != 0 || !errors.Is(err, test.want) {
			t.Errorf("%s: %v, %v", name, v, err)
		}
	}
}

// TestCannotBeWritten: what the register cannot hold exactly is refused, never rounded.
func TestCannotBeWritten(t *testing.T) {
	for name, test := range map[string]struct {
		point Point
		value float64
		words string
	}{
		"between two steps": {Point{Type: U16, Scale: 0.1}, 21.57, "21.6 is the nearest"},
		"negative":          {Point{Type: U16}, -1, "beyond what u16"},
		"too large":         {Point{Type: U16}, 65536, "beyond what u16"},
		"too large, signed": {Point{Type: S16}, 32768, "beyond what s16"},
		"2^64":              {Point{Type: U64}, math.Ldexp(1, 64), "beyond what u64"},
		"f32":               {Point{Type: F32}, 1e39, "too large"},
		"NaN":               {Point{Type: F32}, math.NaN(), "not a number"},
		"infinite":          {Point{Type: F64}, math.Inf(-1), "not a number"},
		"limits":            {Point{Type: U16, Min: 10, Max: 20}, 21, "not in 10 to 20"},
		"means none":        {Point{Type: U16, Invalid: []uint64{65535}}, 65535, "for none"},
		"half on":           {Point{Type: Bool}, 0.5, "0 or 1"},
	} {
		if test.point.Scale == 0 {
			test.point.Scale = 1
		}
		c := newCodec(test.point)
		if raw, err := c.raw(test.value); err == nil || !strings.Contains(err.Error(), test.words) {
			t.Errorf("%s: %#x, %v", name, raw, err)
		}
	}
}

// FuzzDecode: no bytes make a number that is none or that the device does not take back.
func FuzzDecode(f *testing.F) {
	f.Add([]byte{0x41, 0xAC, 0, 0}, uint8(F32), false, true, 1.0, 0.0)
	f.Add([]byte{0, 237}, uint8(S16), false, false, 0.1, -40.0)
	f.Add([]byte{1}, uint8(U16), true, true, 1.0, 0.0)
	f.Fuzz(func(t *testing.T, b []byte, kind uint8, words, bytes bool, scale, offset float64) {
		p := Point{ID: "p", Type: Type(kind % 9), WordSwap: words, ByteSwap: bytes, Scale: scale, Offset: offset, Bit: -1}
		if scale == 0 || len(p.faults()) > 0 {
			return
		}
		c := newCodec(p)
		raw, err := c.fromRegisters(b)
		if (err == nil) != (len(b) == 2*p.Type.registers()) {
			t.Fatalf("%d bytes for %s: %v", len(b), p.Type, err)
		}
		if err != nil {
			return
		}
		if got := c.toRegisters(raw); p.Type != Bool && string(got) != string(b) {
			t.Fatalf("% X became % X", b, got)
		}
		v, err := c.value(raw)
		if math.IsNaN(v) || math.IsInf(v, 0) || err != nil && v != 0 {
			t.Fatalf("%v, %v", v, err)
		}
		again, errRaw := c.raw(v)
		if err == nil && errRaw == nil && scale == 1 && offset == 0 && math.Abs(v) < 1<<52 && p.Type != Bool && v != 0 && again != raw {
			t.Fatalf("%#x is %v is %#x", raw, v, again)
		}
	})
}

// FuzzCheck: whatever a device answers, only an answer of the right kind and length goes through.
func FuzzCheck(f *testing.F) {
	f.Add([]byte{3, 0, 0, 0, 2}, []byte{3, 4, 1, 2, 3, 4})
	f.Add([]byte{5, 0, 1, 0xFF, 0}, []byte{5, 0, 1, 0xFF, 0})
	f.Add([]byte{4, 0, 0, 0, 1}, []byte{0x84, 2})
	f.Fuzz(func(t *testing.T, request, answer []byte) {
		if len(request) < 5 || check(request, answer) != nil {
			return
		}
		if len(answer) == 2 && answer[0] == request[0]|exceptionBit {
			return
		}
		if answer[0] != request[0] || len(answer) != length(request) {
			t.Errorf("% X passes for an answer to % X", answer, request)
		}
	})
}
