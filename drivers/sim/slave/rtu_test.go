package slave

import (
	"bytes"
	"net"
	"testing"
	"testing/synctest"
	"time"
)

// rtuLine is a connection to a slave that speaks RTU, over net.Pipe.
func rtuLine(t *testing.T, s *Slave) net.Conn {
	t.Helper()
	ours, theirs := net.Pipe()
	go s.ServeRTU(theirs)
	t.Cleanup(func() { ours.Close(); s.Close() })
	return ours
}

// TestRTUFrames holds whole frames to checksums that others have published or computed (pymodbus, the specification's C code).
func TestRTUFrames(t *testing.T) {
	for name, test := range map[string]struct{ request, answer string }{
		"read holding registers": {"01 03 006B 0003 7417", "01 03 06 022B 0000 0064 057A"},
		"write a coil":           {"01 05 0014 FF00 CC3E", "01 05 0014 FF00 CC3E"},
		"no such address":        {"01 03 006B 0004 35D5", "01 83 02 C0F1"},
		"wrong checksum":         {"01 03 006B 0003 7418", ""},
		"another unit":           {"11 03 006B 0003 7687", ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := full()
				c := rtuLine(t, s)
				defer s.Close()
				_, _ = c.Write(wire(t, test.request))
				want := wire(t, test.answer)
				if got := take(c, 64); !bytes.Equal(got, want) {
					t.Errorf("% X, want % X", got, want)
				}
			})
		})
	}
}

// request is a frame of unit 2 with its checksum.
func request(pdu ...byte) []byte { return (&message{unit: 2, pdu: pdu}).appendRTU(nil) }

// TestRTUFindsTheFrame: every function, byte by byte, behind noise that a silence ends.
func TestRTUFindsTheFrame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := full()
		s.SetCoil(2, 0, make([]bool, 16)...)
		s.SetHolding(2, 0, 7, 8)
		c := rtuLine(t, s)
		defer s.Close()
		for _, pdu := range []string{"03 0000 0001", "05 0003 FF00", "0F 0000 000A 02 CD 01", "10 0000 0002 04 000A 0102", "16 0001 00F2 0025",
			"17 0000 0002 0001 0001 02 00FF", "2B 0E 01 00"} {
			_, _ = c.Write([]byte{0, 0xFF, 7})
			time.Sleep(2 * silence)
			for _, b := range request(wire(t, pdu)...) {
				_, _ = c.Write([]byte{b})
				time.Sleep(time.Millisecond)
			}
			answer := take(c, 5)
			if len(answer) < 5 || answer[0] != 2 || answer[1]&^exceptionBit != wire(t, pdu)[0] {
				t.Fatalf("%s: % X", pdu, answer)
			}
			if answer[1]&exceptionBit == 0 {
				take(c, 64) // the rest
			}
		}
	})
}

// TestRTUFaults asks for holding register 0 of unit 2 twice, the first time with a fault.
func TestRTUFaults(t *testing.T) {
	right := request(3, 2, 0, 7)
	damaged := func(at int, mask byte) []byte {
		b := bytes.Clone(right)
		b[at] ^= mask
		return b
	}
	for name, test := range map[string]struct {
		fault Fault
		want  []byte
	}{
		"wrong checksum": {Fault{Kind: WrongTransaction}, append(right[:5:5], right[5]^0x21, right[6]^0x43)},
		"half":           {Fault{Kind: Half}, right[:3]},
		"short count":    {Fault{Kind: ShortCount}, request(3, 0)},
		"a bit":          {Fault{Kind: Flip, Bit: 8*3 + 7}, damaged(3, 0x80)},
		"two bits":       {Fault{Kind: Flip, Bit: 8 * 3, Bits: []int{8*3 + 4}}, damaged(3, 0x11)},
		"a burst":        {Fault{Kind: Flip, Bit: 8 * 3, Burst: 0x0081}, damaged(3, 0x81)},
		"a burst beyond": {Fault{Kind: Flip, Bit: 56 - 15, Burst: 0x0001}, damaged(0, 0x01)},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := full()
				c := rtuLine(t, s)
				defer s.Close()
				s.Script(test.fault)
				for range 2 {
					_, _ = c.Write(request(3, 0, 0, 0, 1))
					time.Sleep(time.Second)
				}
				if got, want := take(c, 64), append(bytes.Clone(test.want), right...); !bytes.Equal(got, want) {
					t.Errorf("% X, want % X", got, want)
				}
			})
		})
	}
}
