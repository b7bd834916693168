package modbus

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gacp-erp.internal/glasshouse/drivers"
	"gacp-erp.internal/glasshouse/drivers/sim/slave"
)

// tap is a slave's end of a line that notes what is asked, and when.
type tap struct {
	net.Conn
	mu    sync.Mutex
	asked []string // unit, function and data in hex, as sent
	at    []time.Time
}

func (p *tap) Read(b []byte) (int, error) {
	n, err := p.Conn.Read(b)
	p.mu.Lock()
	defer p.mu.Unlock()
	if last := len(p.at) - 1; n > 0 && last >= 0 && p.at[last].Equal(time.Now()) { // the slave reads a request in parts
		p.asked[last] += hex.EncodeToString(b[:n])
	} else if n > 0 {
		p.asked, p.at = append(p.asked, hex.EncodeToString(b[:n])), append(p.at, time.Now())
	}
	return n, err
}

// take gives what was asked since, in words, and when the first of it was.
func (p *tap) take() (asked []string, first time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, a := range p.asked {
		asked = append(asked, a[:len(a)-2*checksumSize])
	}
	p.asked = nil
	if len(asked) > 0 {
		first = p.at[0]
	}
	p.at = nil
	return asked, first
}

// bench is a driver on an RTU line in a bubble, and the slave behind it. The line has rested.
type bench struct {
	*Driver
	t     *testing.T
	slave *slave.Slave
	taps  []*tap
	dials int
}

func onLine(t *testing.T, c Config) *bench {
	t.Helper()
	b := &bench{t: t, slave: slave.New()}
	furnish(b.slave)
	c.Name, c.Endpoint = "b", "rtu+tcp://slave:4001"
	c.Dial = func(context.Context) (net.Conn, error) {
		ours, theirs := net.Pipe()
		p := &tap{Conn: theirs}
		b.taps = append(b.taps, p)
		b.dials++
		go b.slave.ServeRTU(p)
		return ours, nil
	}
	b.Driver = made(t, c)
	t.Cleanup(func() { b.Close(); b.slave.Close() })
	return b
}

func (b *bench) end() { b.Close(); b.slave.Close() }

func (b *bench) asked() ([]string, time.Time) { return b.taps[len(b.taps)-1].take() }

// ask does a request of the plan and wants it to succeed, or fail with these words.
func (b *bench) ask(request int, words string) {
	b.t.Helper()
	got, err := b.Read(b.t.Context(), b.Requests()[request], nil)
	switch {
	case words == "" && (err != nil || len(got) != len(b.Requests()[request].Points)):
		b.t.Fatalf("request %d: %v, %v", request, got, err)
	case words != "" && (err == nil || !strings.Contains(err.Error(), words) || len(got) != 0):
		b.t.Fatalf("request %d: %v, %v; want %q", request, got, err, words)
	}
}

// script is what happens to the requests that come next.
func (b *bench) script(faults ...slave.Fault) { b.slave.Script(faults...) }

// climate is one unit with two requests: input registers 1 and 2, and 1 alone, more often.
func climate() Config {
	return Config{Units: []Unit{{ID: "climate", Address: 1, Points: []Point{
		{ID: "a", Table: Input, Address: 1}, {ID: "b", Table: Input, Address: 2},
		{ID: "c", Table: Input, Address: 1, Every: time.Hour},
	}}}}
}

// TestRTUErrorsInWords pins kind and words of what goes wrong with one request, and that the next one is well.
func TestRTUErrorsInWords(t *testing.T) {
	for name, test := range map[string]struct {
		fault slave.Fault
		kind  error
		words string
	}{
		"no answer":         {slave.Fault{Kind: slave.Drop}, drivers.ErrUnit, "no answer within 1s"},
		"half a frame":      {slave.Fault{Kind: slave.Half}, drivers.ErrUnit, "half an answer (4 bytes)"},
		"checksum":          {slave.Fault{Kind: slave.WrongTransaction}, drivers.ErrUnit, "a wrong checksum: check termination"},
		"damaged":           {slave.Fault{Kind: slave.Flip, Bit: 40, Burst: 0xFFFF}, drivers.ErrUnit, "a wrong checksum"},
		"unit":              {slave.Fault{Kind: slave.ForeignUnit}, drivers.ErrUnit, "unit 2 answered"},
		"function":          {slave.Fault{Kind: slave.ForeignFunction}, drivers.ErrUnit, "function 5 answered to function 4"},
		"short":             {slave.Fault{Kind: slave.ShortCount}, drivers.ErrUnit, "an answer of 4 bytes instead of 6"},
		"lying count":       {slave.Fault{Kind: slave.LyingCount}, drivers.ErrUnit, "a byte count of 6 instead of 4"},
		"twice":             {slave.Fault{Kind: slave.Duplicate}, drivers.ErrUnit, "bytes and more after the answer"},
		"illegal address":   {slave.Fault{Kind: slave.Exception, Code: slave.IllegalAddress}, drivers.ErrDevice, "does not have input registers 1 to 2"},
		"gateway, silence":  {slave.Fault{Kind: slave.Exception, Code: slave.GatewayNoResponse}, drivers.ErrUnit, "the gateway got no answer"},
		"exception unknown": {slave.Fault{Kind: slave.Exception, Code: 99}, drivers.ErrDevice, "exception 99"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := onLine(t, climate())
				defer b.end()
				b.script(test.fault)
				got, err := b.Read(t.Context(), b.Requests()[0], nil)
				if !errors.Is(err, test.kind) || errors.Is(err, drivers.ErrBus) || !strings.Contains(err.Error(), test.words) || len(got) != 0 {
					t.Errorf("%v, %v; want %q", got, err, test.words)
				}
				b.ask(0, "")
				if b.dials != 1 {
					t.Errorf("%d connections: the line must rest, opening it again is no use", b.dials)
				}
			})
		})
	}
}

// TestRestAfterDoubt: the line stays quiet for twice the timeout, or for as long as the unit may take, and from the last byte
// that came; then the unit shows by another answer that it is in step.
func TestRestAfterDoubt(t *testing.T) {
	for name, test := range map[string]struct {
		turnAround time.Duration
		fault      slave.Fault
		words      string
		rest       time.Duration // from the request that failed to the next
	}{
		"no answer":               {0, slave.Fault{Kind: slave.Drop}, "no answer", 3 * time.Second},
		"late":                    {0, slave.Fault{Kind: slave.Late, Delay: 2900 * time.Millisecond}, "no answer", 4900 * time.Millisecond},
		"a quick unit":            {200 * time.Millisecond, slave.Fault{Kind: slave.Drop}, "no answer", 1200 * time.Millisecond},
		"a quick unit's bad sum":  {200 * time.Millisecond, slave.Fault{Kind: slave.WrongTransaction}, "checksum", 200 * time.Millisecond},
		"answered byte by byte":   {0, slave.Fault{Kind: slave.ByteByByte, Delay: 400 * time.Millisecond}, "half an answer (3 bytes)", 5200 * time.Millisecond},
		"a slow unit that is not": {4 * time.Second, slave.Fault{Kind: slave.Late, Delay: 3500 * time.Millisecond}, "", 3500 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := climate()
				c.Units[0].TurnAround = test.turnAround
				b := onLine(t, c)
				defer b.end()
				b.ask(0, "")
				b.asked()
				b.script(test.fault)
				b.ask(0, test.words)
				_, began := b.asked()
				b.ask(0, "")
				asked, at := b.asked()
				if rest := at.Sub(began); rest < test.rest || rest > test.rest+100*time.Millisecond {
					t.Errorf("asked again after %s, want %s", rest, test.rest)
				}
				want := []string{"010400010001", "010400010002"} // the other request first
				if test.words == "" {
					want = want[1:]
				}
				if !slices.Equal(asked, want) {
					t.Errorf("asked %v, want %v", asked, want)
				}
			})
		})
	}
}

// TestFirstRest: whoever had the line before may have asked something.
func TestFirstRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := onLine(t, climate())
		defer b.end()
		began := time.Now()
		b.ask(0, "")
		if _, at := b.asked(); at.Sub(began) < 2*time.Second || at.Sub(began) > 2100*time.Millisecond {
			t.Errorf("asked after %s", at.Sub(began))
		}
		b.slave.HangUp()
		synctest.Wait()
		began = time.Now()
		b.ask(0, "") // nothing was asked when it broke
		if b.dials != 2 || time.Since(began) > 100*time.Millisecond {
			t.Errorf("%d connections, after %s", b.dials, time.Since(began))
		}
		b.script(slave.Fault{Kind: slave.HangUp})
		began = time.Now()
		b.ask(0, "") // something was
		if b.dials != 3 || time.Since(began) < 2*time.Second {
			t.Errorf("%d connections, after %s", b.dials, time.Since(began))
		}
	})
}

// TestOneLateAnswer is how a line without ids goes wrong for ever: every answer is taken for the next one's.
func TestOneLateAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := Unit{ID: "u", Address: 1}
		for i := range uint16(6) {
			u.Points = append(u.Points, Point{ID: drivers.PointID(rune('a' + i)), Table: Holding, Address: 10 * i})
		}
		b := onLine(t, Config{Units: []Unit{u}})
		defer b.end()
		for i := range uint16(6) {
			b.slave.SetHolding(1, 10*i, 100+i)
		}
		for _, delay := range []int{1050, 1200, 1999, 2500, 3000} {
			b.script(slave.Fault{Kind: slave.Late, Delay: time.Duration(delay) * time.Millisecond})
			b.ask(0, "no answer")
			for i := range 6 {
				got, err := b.Read(t.Context(), b.Requests()[i], nil)
				if err != nil || got[0].Value != float64(100+i) {
					t.Fatalf("%d ms late: request %d: %v, %v", delay, i, got, err)
				}
			}
		}
	})
}

// TestLateInTheProof: an answer that comes later than any should meets the proof, whose answer has another length.
func TestLateInTheProof(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := onLine(t, climate())
		defer b.end()
		b.ask(0, "")
		b.script(slave.Fault{Kind: slave.Late, Delay: 3100 * time.Millisecond}, slave.Fault{Kind: slave.Late, Delay: 300 * time.Millisecond})
		b.ask(0, "no answer")
		b.ask(0, "a wrong checksum") // two registers' answer where one's is due
		b.ask(0, "")
	})
}

// TestProofs: what a unit is asked before it is believed again.
func TestProofs(t *testing.T) {
	for name, test := range map[string]struct {
		points []Point
		want   string
	}{
		"of one register":     {[]Point{{ID: "a", Table: Holding, Address: 103}}, "030300670002"},
		"of two":              {[]Point{{ID: "a", Table: Holding, Address: 103}, {ID: "b", Table: Holding, Address: 104}}, "030300670001"},
		"of a bit":            {[]Point{{ID: "a", Table: Discrete, Address: 7}}, "030200070009"},
		"of many bits":        {row(9, 1, Discrete, Bool), "030200000001"},
		"of another function": {[]Point{{ID: "a", Table: Holding, Address: 103}, {ID: "b", Table: Discrete, Address: 7}}, "030200070001"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := onLine(t, Config{Units: []Unit{{ID: "meter", Address: 3, Points: test.points}}})
				defer b.end()
				b.slave.SetDiscrete(3, 0, make([]bool, 9)...)
				b.script(slave.Fault{Kind: slave.Drop})
				b.ask(0, "no answer")
				b.asked()
				b.ask(0, "")
				asked, _ := b.asked()
				if len(asked) != 2 || asked[0] != test.want {
					t.Errorf("asked %v, want %s first", asked, test.want)
				}
				b.ask(0, "")
				if asked, _ := b.asked(); len(asked) != 1 {
					t.Errorf("in step, and asked %v", asked)
				}
			})
		})
	}
}

// TestUnitWithoutProof: a unit that says nothing when asked for what it does not have gets twice the rest instead, and is not
// asked for that again.
func TestUnitWithoutProof(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := onLine(t, Config{Units: []Unit{{ID: "meter", Address: 3, Points: []Point{{ID: "a", Table: Holding, Address: 103}}}}})
		defer b.end()
		drop := slave.Fault{Kind: slave.Drop}
		b.script(drop, drop)
		b.ask(0, "no answer")
		b.ask(0, "no answer") // to the proof
		b.asked()
		for range 3 {
			began := time.Now()
			b.ask(0, "")
			asked, _ := b.asked()
			if !slices.Equal(asked, []string{"030300670001"}) {
				t.Errorf("asked %v", asked)
			}
			if time.Since(began) < 2*time.Second {
				t.Errorf("believed after %s", time.Since(began))
			}
			b.script(drop)
			b.ask(0, "no answer")
			b.asked()
		}
	})
}

// TestOthersNeedNoProof: one unit's doubt makes the line rest, and no other unit prove anything; a write proves by itself.
func TestOthersNeedNoProof(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := onLine(t, Config{Units: greenhouseAt("").Units})
		defer b.end()
		b.slave.Mute(1, true)
		b.ask(0, "no answer")
		b.asked()
		b.ask(1, "")
		if asked, _ := b.asked(); !slices.Equal(asked, []string{"0a0100000002"}) {
			t.Errorf("asked %v", asked)
		}
		b.script(slave.Fault{Kind: slave.Drop})
		b.ask(1, "no answer")
		b.asked()
		if err := b.Write(t.Context(), "relays.1", 1); err != nil {
			t.Fatal(err)
		}
		if asked, _ := b.asked(); !slices.Equal(asked, []string{"0a050000ff00", "0a0100000001"}) {
			t.Errorf("asked %v", asked)
		}
	})
}

// TestLineThatIsNotQuiet: noise between frames is none of an answer; a voice that nobody asked has the line rest, and a line
// that never rests is said to be so.
func TestLineThatIsNotQuiet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := onLine(t, climate())
		defer b.end()
		b.ask(0, "")
		speak := func(bytes ...byte) {
			go func() { _, _ = b.taps[0].Write(bytes) }()
			synctest.Wait()
		}
		began := time.Now()
		speak(0, 0xFF, 0)
		b.ask(0, "")
		if time.Since(began) > 100*time.Millisecond {
			t.Errorf("noise cost %s", time.Since(began))
		}
		speak(1, 4, 4, 0, 1, 0, 2, 0, 0)
		b.ask(0, "")
		if rest := time.Since(began); rest < 2*time.Second {
			t.Errorf("asked %s after a voice", rest)
		}
		go func() {
			for range 100 {
				_, _ = b.taps[0].Write([]byte("hello"))
				time.Sleep(100 * time.Millisecond)
			}
		}()
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		if got, err := b.Read(ctx, b.Requests()[0], nil); err == nil || len(got) != 0 || !strings.Contains(err.Error(), "look for another master") {
			t.Errorf("%v, %v", got, err)
		}
		b.ask(0, "")
	})
}

// TestPausesOfUnits: between two requests, and after connecting.
func TestPausesOfUnits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := climate()
		c.Units[0].InterFrame, c.Units[0].AfterConnect, c.Units[0].TurnAround = 500*time.Millisecond, 5*time.Second, time.Millisecond
		b := onLine(t, c)
		defer b.end()
		began := time.Now()
		b.ask(0, "")
		_, at := b.asked()
		if at.Sub(began) < 5*time.Second {
			t.Errorf("asked %s after connecting", at.Sub(began))
		}
		b.script(slave.Fault{Kind: slave.WrongTransaction})
		b.ask(0, "checksum")
		_, second := b.asked()
		b.ask(0, "")
		taps := b.taps[0]
		taps.mu.Lock()
		third, fourth := taps.at[0], taps.at[1]
		taps.mu.Unlock()
		for i, pause := range []time.Duration{second.Sub(at), third.Sub(second), fourth.Sub(third)} {
			if pause < 500*time.Millisecond || pause > 600*time.Millisecond {
				t.Errorf("pause %d: %s", i, pause)
			}
		}
	})
}

// TestCallEndsInTheRest: a call that has no time for the rest says so, and the next one goes on with it.
func TestCallEndsInTheRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := onLine(t, climate())
		defer b.end()
		for range 3 {
			ctx, cancel := context.WithTimeout(t.Context(), 600*time.Millisecond)
			if _, err := b.Read(ctx, b.Requests()[0], nil); err == nil || !strings.Contains(err.Error(), "must stay quiet for another") {
				t.Errorf("%v", err)
			}
			cancel()
		}
		began := time.Now()
		b.ask(0, "")
		if rest := time.Since(began); rest < 200*time.Millisecond || rest > 300*time.Millisecond {
			t.Errorf("the rest took another %s", rest)
		}
	})
}

// TestSilentStream: a TCP connection on which nothing comes is given up after three requests, as it is without RTU.
func TestSilentStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := onLine(t, climate())
		defer b.end()
		b.slave.Mute(1, true)
		for i := range 6 {
			b.ask(0, "no answer")
			if want := 1 + i/maxSilent; b.dials != want {
				t.Errorf("request %d: %d connections, want %d", i, b.dials, want)
			}
		}
	})
}

// TestChecksum holds it to published values.
func TestChecksum(t *testing.T) {
	for text, want := range map[string]string{"": "ffff", "313233343536373839": "374b", "0103006b0003": "7417", "0207": "4112"} {
		b, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := hex.EncodeToString(seal(bytes.Clone(b))[len(b):]); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}
