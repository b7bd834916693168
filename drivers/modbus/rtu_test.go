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
		b.taps[0].mu.Lock()
		times := slices.Clone(b.taps[0].at)
		b.taps[0].mu.Unlock()
		if len(times) != 2 {
			t.Fatalf("%d requests, want a proof and the request", len(times))
		}
		third, fourth := times[0], times[1]
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
