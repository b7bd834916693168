package drivertest

import (
	"slices"
	"testing"
	"time"

	"gacp-erp.internal/glasshouse/drivers"
)

// drain: never blocks, gives what came in order, each message once, and Ready is closed with the driver.
func drain(t *testing.T, r Rig) {
	need(t, r.Push != nil, "devices that speak first")
	var readable <-chan struct{}
	started(t, r, func(d drivers.Driver) {
		p := d.(drivers.Pusher)
		readable = p.Ready()
		ready(t, r, d)
		settle(t, p)
		mark := []drivers.Reading{{Point: "mark"}}
		inTime(t, "draining nothing", func() {
			if got, _ := p.Drain(mark); len(got) != 1 {
				t.Errorf("nothing came, and %v", got[1:])
			}
		})
		r.Push(t, 3)
		select {
		case <-readable:
		case <-time.After(enough):
			t.Fatal("Ready says nothing")
		}
		got, _ := collect(t, p, 3*len(r.Pushed))
		var order []drivers.PointID
		for i, g := range got {
			order = append(order, g.Point)
			if g.Message == nil || g.At.IsZero() || i > 0 && i%len(r.Pushed) == 0 && g.Message == got[i-1].Message {
				t.Errorf("%+v", g)
			}
		}
		if want := slices.Concat(r.Pushed, r.Pushed, r.Pushed); !slices.Equal(order, want) {
			t.Errorf("%v, want %v", order, want)
		}
	})
	select {
	case _, open := <-readable:
		if open {
			_, open = <-readable
		}
		if open {
			t.Error("Ready is open after Close")
		}
	case <-time.After(enough):
		t.Error("Ready is open after Close")
	}
}

// acknowledge: up to a delivery, never what came after it, any number of times, from any goroutine.
func acknowledge(t *testing.T, r Rig) {
	need(t, r.Push != nil && r.Unacknowledged != nil, "acknowledgements")
	started(t, r, func(d drivers.Driver) {
		p := d.(drivers.Pusher)
		ready(t, r, d)
		settle(t, p)
		waiting := func(n int) func() bool { return func() bool { return r.Unacknowledged(t) == n } }
		until(t, "nothing waits at the peer", waiting(0))
		r.Push(t, 2)
		_, first := collect(t, p, 2*len(r.Pushed))
		r.Push(t, 3)
		_, second := collect(t, p, 3*len(r.Pushed))
		if second <= first {
			t.Fatalf("delivery %d after %d", second, first)
		}
		until(t, "five wait at the peer", waiting(5))
		go p.Ack(first)
		until(t, "three wait at the peer", waiting(3))
		p.Ack(first)
		time.Sleep(brief / 4)
		if n := r.Unacknowledged(t); n != 3 {
			t.Errorf("acknowledged again, and %d wait", n)
		}
		p.Ack(second)
		p.Ack(first)
		until(t, "nothing waits at the peer", waiting(0))
	})
}

// settle drains and acknowledges what came while the driver was made ready.
func settle(t *testing.T, p drivers.Pusher) {
	t.Helper()
	quiet := 0
	until(t, "nothing more comes", func() bool {
		got, upTo := p.Drain(nil)
		p.Ack(upTo)
		if quiet++; len(got) > 0 {
			quiet = 0
		}
		return quiet > 25
	})
}

// collect drains until n readings have come.
func collect(t *testing.T, p drivers.Pusher, n int) ([]drivers.Reading, drivers.Delivery) {
	t.Helper()
	var got []drivers.Reading
	var upTo drivers.Delivery
	until(t, "what was pushed", func() bool {
		got, upTo = p.Drain(got)
		return len(got) >= n
	})
	if len(got) != n {
		t.Errorf("%d readings, want %d: %v", len(got), n, got)
	}
	return got, upTo
}
