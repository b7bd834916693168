package slave

import (
	"bytes"
	"encoding/hex"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// full is a slave with something in every table of unit 1, and unit 2 besides.
func full() *Slave {
	s := New()
	s.SetInput(1, 8, 0x000A, 0x0102)
	s.SetHolding(1, 1, 3, 0x12, 0x0D)
	s.SetHolding(1, 107, 0x022B, 0, 0x0064)
	s.SetCoil(1, 19, true, false, true, true, false, false, true, true, true, true, false, true)
	s.SetDiscrete(1, 196, true, true, false, true)
	s.SetHolding(2, 0, 7)
	return s
}

// dialled is a connection to a slave, over net.Pipe.
func dialled(t *testing.T, s *Slave) net.Conn {
	t.Helper()
	ours, theirs := net.Pipe()
	go s.Serve(theirs)
	t.Cleanup(func() { ours.Close(); s.Close() })
	return ours
}

// wire is bytes written as hex, with spaces where one likes.
func wire(t *testing.T, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(text, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// take reads n bytes, or what comes in 20 s of the clock.
func take(c net.Conn, n int) []byte {
	b := make([]byte, n)
	_ = c.SetReadDeadline(time.Now().Add(20 * time.Second))
	got, _ := io.ReadFull(c, b)
	return b[:got]
}

// TestFunctions holds the answers to the bytes of the specification (its examples where it has them).
func TestFunctions(t *testing.T) {
	for name, test := range map[string]struct{ request, answer string }{
		"1 read coils":             {"01 0013 000C", "01 02 CD 0B"},
		"2 read discrete inputs":   {"02 00C4 0004", "02 01 0B"},
		"3 read holding registers": {"03 006B 0003", "03 06 022B 0000 0064"},
		"4 read input registers":   {"04 0008 0001", "04 02 000A"},
		"5 write a coil":           {"05 0014 FF00", "05 0014 FF00"},
		"6 write a register":       {"06 0001 0003", "06 0001 0003"},
		"15 write coils":           {"0F 0013 000A 02 CD 01", "0F 0013 000A"},
		"16 write registers":       {"10 0001 0002 04 000A 0102", "10 0001 0002"},
		"22 mask a register":       {"16 0002 00F2 0025", "16 0002 00F2 0025"},
		"23 write, then read":      {"17 0001 0002 0001 0001 02 00FF", "17 04 00FF 0012"},
		"unknown function":         {"2B 0E 01 00", "AB 01"},
		"no such address":          {"03 006B 0004", "83 02"},
		"beyond the last address":  {"03 FFFF 0002", "83 02"},
		"no registers":             {"03 006B 0000", "83 03"},
		"126 registers":            {"03 006B 007E", "83 03"},
		"half a coil":              {"05 0013 1234", "85 03"},
		"lying byte count":         {"10 0001 0002 03 000A 01", "90 03"},
		"short request":            {"03 00", "83 03"},
		"no room for the coils":    {"0F 0013 000A 01 CD", "8F 03"},
	} {
		t.Run(name, func(t *testing.T) {
			c := dialled(t, full())
			request, answer := wire(t, test.request), wire(t, test.answer)
			head := []byte{0xAB, 0xCD, 0, 0, 0, byte(len(request) + 1), 1}
			if _, err := c.Write(append(head, request...)); err != nil {
				t.Fatal(err)
			}
			want := append([]byte{0xAB, 0xCD, 0, 0, 0, byte(len(answer) + 1), 1}, answer...)
			if got := take(c, len(want)); !bytes.Equal(got, want) {
				t.Errorf("% X, want % X", got, want)
			}
		})
	}
}

func TestWritesAreSeen(t *testing.T) {
	s := full()
	c := dialled(t, s)
	type change struct {
		unit           byte
		table          Table
		address, value uint16
	}
	changes := make(chan change, 10)
	s.OnWrite(func(unit byte, table Table, address, value uint16) {
		changes <- change{unit, table, address, value}
		if table == Coil {
			s.SetCoil(unit, address, false) // a device that does not follow
		}
	})
	for _, request := range []string{"0001 0000 0006 01 05 0014 FF00", "0002 0000 0008 01 16 0002 00F2 0025"} {
		_, _ = c.Write(wire(t, request))
		take(c, len(wire(t, request)))
	}
	if got, want := <-changes, (change{1, Coil, 20, 1}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	if got, want := <-changes, (change{1, Holding, 2, 0x17}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	if s.Coils(1, 20, 1)[0] || s.Holding(1, 2, 1)[0] != 0x17 || s.Requests() != 2 {
		t.Errorf("%v %x, %d requests", s.Coils(1, 20, 1), s.Holding(1, 2, 1), s.Requests())
	}
}

// TestFaults sends the same request twice, the first time with a fault: reading holding register 0 of unit 2.
func TestFaults(t *testing.T) {
	const right, second = "0001 0000 0005 02 03 02 0007", "0002 0000 0005 02 03 02 0007"
	for name, test := range map[string]struct {
		fault Fault
		want  string
	}{
		"none":              {Fault{}, right + second},
		"late":              {Fault{Kind: Late, Delay: time.Second}, second + right},
		"dropped":           {Fault{Kind: Drop}, second},
		"half":              {Fault{Kind: Half}, "0001 0000 00" + second},
		"wrong transaction": {Fault{Kind: WrongTransaction}, "4322 0000 0005 02 03 02 0007" + second},
		"foreign unit":      {Fault{Kind: ForeignUnit}, "0001 0000 0005 03 03 02 0007" + second},
		"foreign function":  {Fault{Kind: ForeignFunction}, "0001 0000 0005 02 02 02 0007" + second},
		"exception":         {Fault{Kind: Exception, Code: Busy}, "0001 0000 0003 02 83 06" + second},
		"exception, any":    {Fault{Kind: Exception}, "0001 0000 0003 02 83 02" + second},
		"hung up":           {Fault{Kind: HangUp}, ""},
		"byte by byte":      {Fault{Kind: ByteByByte, Delay: time.Millisecond}, right + second},
		"short count":       {Fault{Kind: ShortCount}, "0001 0000 0003 02 03 00" + second},
		"lying count":       {Fault{Kind: LyingCount}, "0001 0000 0005 02 03 04 0007" + second},
		"duplicate":         {Fault{Kind: Duplicate}, right + right + second},
		"replay":            {Fault{Kind: Replay}, right + second},
		"flip":              {Fault{Kind: Flip, Bit: 56}, "0001 0000 0005 02 02 02 0007" + second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := full()
				c := dialled(t, s)
				defer s.Close()
				s.Script(test.fault)
				for _, id := range []byte{1, 2} {
					_, _ = c.Write([]byte{0, id, 0, 0, 0, 6, 2, 3, 0, 0, 0, 1})
				}
				if want, got := wire(t, test.want), take(c, 64); !bytes.Equal(got, want) {
					t.Errorf("% X, want % X", got, want)
				}
				if s.Scripted() != 0 {
					t.Errorf("%d faults left", s.Scripted())
				}
			})
		})
	}
}

func TestReplayRepeatsTheAnswerBefore(t *testing.T) {
	s := full()
	c := dialled(t, s)
	s.Script(Fault{}, Fault{Kind: Replay})
	want := wire(t, "0001 0000 0005 02 03 02 0007 0001 0000 0005 02 03 02 0007 0002 0000 0005 02 03 02 0007")
	for _, id := range []byte{1, 2} {
		_, _ = c.Write([]byte{0, id, 0, 0, 0, 6, 2, 3, 0, 0, 0, 1})
	}
	if got := take(c, len(want)); !bytes.Equal(got, want) {
		t.Errorf("% X, want % X", got, want)
	}
}

// TestSilence: a muted unit, a unit that does not exist, and a latency.
func TestSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := full()
		c := dialled(t, s)
		defer s.Close()
		s.SetLatency(time.Second)
		s.Mute(1, true)
		began := time.Now()
		for id, unit := range []byte{1, 9, 2} {
			_, _ = c.Write([]byte{0, byte(id), 0, 0, 0, 6, unit, 3, 0, 0, 0, 1})
		}
		if got := take(c, 11); !bytes.Equal(got, wire(t, "0002 0000 0005 02 03 02 0007")) || time.Since(began) != 3*time.Second {
			t.Errorf("% X after %s", got, time.Since(began))
		}
	})
}

// TestGarbageEndsTheConnection: what is no Modbus is not guessed at.
func TestGarbageEndsTheConnection(t *testing.T) {
	for _, garbage := range []string{"0001 0001 0006 01 03 0000 0001", "0001 0000 0001 01", "0001 0000 FFFF 01"} {
		c := dialled(t, full())
		_, _ = c.Write(wire(t, garbage))
		if got := take(c, 1); len(got) != 0 {
			t.Errorf("%s: answered % X", garbage, got)
		}
	}
}

// TestCloseEndsEverything: over TCP, with a connection that is in the middle of something.
func TestCloseEndsEverything(t *testing.T) {
	s, err := Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.SetInput(1, 0, 5)
	c, err := net.Dial("tcp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, _ = c.Write(wire(t, "0001 0000 0006 01 04 0000 0001"))
	if got := take(c, 11); !bytes.Equal(got, wire(t, "0001 0000 0005 01 04 02 0005")) {
		t.Errorf("% X", got)
	}
	s.Script(Fault{Kind: Late, Delay: time.Hour})
	_, _ = c.Write(wire(t, "0002 0000 0006 01 04 0000 0001"))
	for range 2 {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	if got := take(c, 1); len(got) != 0 {
		t.Errorf("% X after Close", got)
	}
	if _, err := net.Dial("tcp", s.Addr()); err == nil {
		t.Error("still listening")
	}
}

func FuzzAnswer(f *testing.F) {
	f.Add([]byte{3, 0, 107, 0, 3})
	f.Add([]byte{23, 0, 1, 0, 2, 0, 1, 0, 1, 2, 0, 255})
	f.Add([]byte{15, 0, 19, 0, 10, 2, 0xCD, 1})
	f.Fuzz(func(t *testing.T, request []byte) {
		if len(request) == 0 || len(request) > maxPDU {
			return
		}
		answer, ok := full().answer(1, request, nil)
		if !ok || len(answer) < 2 || len(answer) > maxPDU || answer[0]&^exceptionBit != request[0]&^exceptionBit {
			t.Errorf("% X: % X", request, answer)
		}
	})
}
