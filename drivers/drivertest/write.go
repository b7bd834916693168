package drivertest

import (
	"context"
	"errors"
	"testing"
	"time"

	"gacp-erp.internal/glasshouse/drivers"
)

// unknownOutput: what does not exist or is a sensor cannot be written.
func unknownOutput(t *testing.T, r Rig) {
	started(t, r, func(d drivers.Driver) {
		unknown := []drivers.PointID{"drivertest.nobody"}
		for _, o := range r.Outputs {
			if o.Sensor != "" {
				unknown = append(unknown, o.Sensor)
			}
		}
		for _, p := range unknown {
			if err := d.Write(t.Context(), p, 1); !errors.Is(err, drivers.ErrNoSuchPoint) {
				t.Errorf("%s: %v", p, err)
			}
		}
	})
}

// confirmed: a write that returns nil is in the device; a value that the output does not have is refused and changes nothing.
func confirmed(t *testing.T, r Rig) {
	need(t, len(r.Outputs) > 0, "outputs")
	started(t, r, func(d drivers.Driver) {
		ready(t, r, d)
		for _, o := range r.Outputs {
			for _, v := range o.Values {
				ctx, cancel := limited(t)
				err := d.Write(ctx, o.Point, v)
				cancel()
				if got := o.State(t); err != nil || got != v {
					t.Errorf("%s: wrote %g: %v; the device is at %g", o.Point, v, err, got)
				}
			}
			before := o.State(t)
			for _, v := range o.Refused {
				if err := d.Write(t.Context(), o.Point, v); !errors.Is(err, drivers.ErrUnit) {
					t.Errorf("%s: wrote %g: %v", o.Point, v, err)
				}
			}
			if got := o.State(t); got != before {
				t.Errorf("%s: what was refused has changed it from %g to %g", o.Point, before, got)
			}
		}
	})
}

// notConfirmed: a device that does not follow is no success.
func notConfirmed(t *testing.T, r Rig) {
	need(t, len(r.Outputs) > 0, "outputs")
	started(t, r, func(d drivers.Driver) {
		ready(t, r, d)
		for _, o := range r.Outputs {
			if o.Resist == nil {
				continue
			}
			o.Resist(t)
			other := o.Values[0]
			if o.State(t) == other {
				other = o.Values[1]
			}
			inTime(t, "a write that nobody follows", func() {
				ctx, cancel := context.WithTimeout(t.Context(), 10*brief)
				defer cancel()
				if err := d.Write(ctx, o.Point, other); !errors.Is(err, drivers.ErrNotConfirmed) {
					t.Errorf("%s: wrote %g: %v", o.Point, other, err)
				}
			})
		}
	})
}

// closeEndsCall: Close from another goroutine ends a call that waits for a silent peer.
func closeEndsCall(t *testing.T, r Rig) {
	need(t, r.Stall != nil, "peer that can be silent")
	started(t, r, func(d drivers.Driver) {
		ready(t, r, d)
		r.Stall(t)
		endedByClose(t, r, d)
	})
}

// closeEndsConnecting: the same for a call that waits for its connection.
func closeEndsConnecting(t *testing.T, r Rig) {
	need(t, r.Hang != nil, "connecting that can hang")
	r.Hang(t)
	made(t, r, func(d drivers.Driver) { endedByClose(t, r, d) })
}

func endedByClose(t *testing.T, r Rig, d drivers.Driver) {
	t.Helper()
	closed := make(chan error, 1)
	time.AfterFunc(brief/4, func() { closed <- d.Close() })
	inTime(t, "a call while the driver is closed", func() {
		if got, err := call(t.Context(), r, d); err == nil || len(got) != 0 {
			t.Errorf("closed during the call, and %v, %v", got, err)
		}
	})
	if err := <-closed; err != nil {
		t.Errorf("closing during a call: %v", err)
	}
}

// closeTwice: a second Close does nothing, and a call afterwards fails at once, as the bus'.
func closeTwice(t *testing.T, r Rig) {
	started(t, r, func(d drivers.Driver) { // which closes once more
		ready(t, r, d)
		for range 2 {
			if err := d.Close(); err != nil {
				t.Errorf("closing: %v", err)
			}
		}
		inTime(t, "a call after Close", func() {
			if got, err := call(t.Context(), r, d); !errors.Is(err, drivers.ErrBus) || len(got) != 0 {
				t.Errorf("closed, and %v, %v", got, err)
			}
		})
	})
}
