// Package drivertest is the conformance suite of drivers.Driver and drivers.Pusher: what the gateway relies on, whatever the
// bus. A driver's tests hand it the driver with a peer that can be taken away, made silent and made to refuse.
//
// It knows the interfaces alone. What a protocol does on the wire is for the driver's own tests.
package drivertest

import (
	"context"
	"testing"
	"time"

	"gacp-erp.internal/glasshouse/drivers"
)

// Rig is a driver's peer and a way to make drivers for it. A function that is nil leaves out what needs it.
type Rig struct {
	// New makes a driver for the peer. Its own timeouts are long (a minute or more): the suite ends calls by their context.
	New func(t *testing.T) drivers.Driver
	// Start brings the peer up, or back after Stop, Stall or Hang. It returns when the peer can be reached.
	Start func(t *testing.T)
	// Stop takes the peer away, with its goroutines and the connections to it: a new one is refused. Also when it is away.
	Stop func(t *testing.T)
	// Stall makes the peer take what is sent and stay silent.
	Stall func(t *testing.T)
	// Hang lets connecting to the peer take for ever.
	Hang func(t *testing.T)

	// Values are the points that requests read, all of them, with what the peer says.
	Values map[drivers.PointID]float64
	// Spoil has the peer say something that is no value for a point.
	Spoil func(t *testing.T, p drivers.PointID)
	// Refuse has the unit of a request refuse it, and no other unit.
	Refuse func(t *testing.T, r drivers.Request)

	Outputs []Output

	// Push has the peer send n messages, each of which brings the points of Pushed in that order. For a drivers.Pusher.
	Push   func(t *testing.T, n int)
	Pushed []drivers.PointID
	// Unacknowledged is the number of messages that the peer knows as sent and not acknowledged.
	Unacknowledged func(t *testing.T) int

	// Ignore are goroutines that may outlive a driver: parts of their stacks.
	Ignore []string
}

// Output is a point that can be written.
type Output struct {
	Point   drivers.PointID
	Values  []float64                  // to write, in this order
	Refused []float64                  // that it cannot take
	State   func(t *testing.T) float64 // what the device does
	Resist  func(t *testing.T)         // the device takes commands and does not follow
	Sensor  drivers.PointID            // a point of the same bus that cannot be written; "": none
}

// Harness makes a Rig whose peer is not started; what it holds ends with the test.
type Harness func(t *testing.T) Rig

const (
	enough = 30 * time.Second       // for what must come on a slow machine
	brief  = 200 * time.Millisecond // a context's time for what cannot succeed
)

// Run is the suite.
func Run(t *testing.T, h Harness) {
	t.Helper()
	for _, part := range []struct {
		name string
		test func(t *testing.T, r Rig)
	}{
		{"constructor does no I/O", constructor},
		{"requests are fixed", requests},
		{"reads each point once", reads},
		{"unknown request", unknownRequest},
		{"no value is Bad", spoiled},
		{"refused", refused},
		{"peer away and back", awayAndBack},
		{"peer lost and back", lostAndBack},
		{"peer lost during a call", lostDuringCall},
		{"deadline", deadline},
		{"deadline while connecting", deadlineConnecting},
		{"cancelled", cancelled},
		{"unknown output", unknownOutput},
		{"write is confirmed", confirmed},
		{"write is not confirmed", notConfirmed},
		{"close ends a call", closeEndsCall},
		{"close ends connecting", closeEndsConnecting},
		{"close twice", closeTwice},
		{"drain", drain},
		{"acknowledge in order", acknowledge},
	} {
		t.Run(part.name, func(t *testing.T) {
			r := h(t)
			before := goroutines()
			part.test(t, r)
			r.Stop(t)
			nothingLeft(t, before, r.Ignore)
		})
	}
}

// made is a driver that is closed before the test looks for what is left.
func made(t *testing.T, r Rig, test func(d drivers.Driver)) {
	t.Helper()
	d := r.New(t)
	defer func() {
		if err := d.Close(); err != nil {
			t.Errorf("closing: %v", err)
		}
	}()
	if p, ok := d.(drivers.Pusher); ok {
		p.Ready() // which may begin to connect
	}
	test(d)
}

// started is a driver whose peer is there.
func started(t *testing.T, r Rig, test func(d drivers.Driver)) {
	t.Helper()
	r.Start(t)
	made(t, r, test)
}

// need skips a part that the rig has nothing for.
func need(t *testing.T, has bool, what string) {
	t.Helper()
	if !has {
		t.Skip("this driver has no " + what)
	}
}

// until waits for what must come.
func until(t *testing.T, what string, come func() bool) {
	t.Helper()
	for end := time.Now().Add(enough); !come(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("waited in vain: " + what)
		}
	}
}

// limited is a context for what must succeed.
func limited(t *testing.T) (context.Context, context.CancelFunc) {
	return context.WithTimeout(t.Context(), enough)
}

// call is a call that is under way: a read of the first request, or a write of the first output of a driver that has none.
func call(ctx context.Context, r Rig, d drivers.Driver) ([]drivers.Reading, error) {
	if rs := d.Requests(); len(rs) > 0 {
		return d.Read(ctx, rs[0], nil)
	}
	return nil, d.Write(ctx, r.Outputs[0].Point, r.Outputs[0].Values[0])
}

// ready waits until the driver has reached its peer.
func ready(t *testing.T, r Rig, d drivers.Driver) {
	t.Helper()
	var err error
	defer func() {
		if t.Failed() {
			t.Logf("last error: %v", err)
		}
	}()
	until(t, "an answer of the peer", func() bool {
		ctx, cancel := limited(t)
		defer cancel()
		_, err = call(ctx, r, d)
		return err == nil
	})
}

// inTime runs a call that must end by itself soon.
func inTime(t *testing.T, what string, f func()) {
	t.Helper()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		f()
	}()
	select {
	case <-ended:
	case <-time.After(enough):
		t.Fatalf("%s hangs", what)
	}
}
