package drivertest

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"testing"
	"time"

	"gacp-erp.internal/glasshouse/drivers"
)

// constructor: a driver of a peer that is not there is made, has its plan, and is closed.
func constructor(t *testing.T, r Rig) {
	d := r.New(t)
	d.Requests()
	if err := d.Close(); err != nil {
		t.Errorf("closing a driver that did nothing: %v", err)
	}
}

// requests: the plan stays, names units, and has each point once.
func requests(t *testing.T, r Rig) {
	need(t, len(r.Values) > 0, "requests")
	started(t, r, func(d drivers.Driver) {
		first := slices.Clone(d.Requests())
		seen := map[drivers.PointID]bool{}
		for _, request := range first {
			if request.Unit == "" || len(request.Points) == 0 || request.Every < 0 {
				t.Errorf("%+v", request)
			}
			for _, p := range request.Points {
				if seen[p] {
					t.Errorf("%s is in two requests", p)
				}
				seen[p] = true
				if _, ok := r.Values[p]; !ok {
					t.Errorf("%s is in a request and not on the bus", p)
				}
			}
		}
		for p := range r.Values {
			if !seen[p] {
				t.Errorf("%s is in no request", p)
			}
		}
		ready(t, r, d)
		if !reflect.DeepEqual(first, d.Requests()) {
			t.Error("the plan has changed by reading")
		}
	})
}

// reads: a reading for each point of the request, appended, stamped with the answer's time.
func reads(t *testing.T, r Rig) {
	need(t, len(r.Values) > 0, "requests")
	started(t, r, func(d drivers.Driver) {
		ready(t, r, d)
		mark := drivers.Reading{Point: "mark", Value: 7}
		for _, request := range d.Requests() {
			ctx, cancel := limited(t)
			before := time.Now()
			got, err := d.Read(ctx, request, []drivers.Reading{mark})
			after := time.Now()
			cancel()
			if err != nil || len(got) != 1+len(request.Points) || got[0] != mark {
				t.Fatalf("%s: %v, %v", request.Unit, got, err)
			}
			for _, p := range request.Points {
				i := slices.IndexFunc(got, func(g drivers.Reading) bool { return g.Point == p })
				if i < 0 {
					t.Errorf("%s has no reading", p)
					continue
				}
				g := got[i]
				if g.Value != r.Values[p] || g.Quality != drivers.Good || g.Err != nil || g.At.Before(before) || g.At.After(after) {
					t.Errorf("%s: %+v, want %g", p, g, r.Values[p])
				}
			}
		}
	})
}

// unknownRequest: what is not in the plan is refused, with or without a peer.
func unknownRequest(t *testing.T, r Rig) {
	started(t, r, func(d drivers.Driver) {
		for _, request := range []drivers.Request{{}, {Unit: "unit 1"}, {Unit: "unit 1", Points: []drivers.PointID{"drivertest.nobody"}}} {
			got, err := d.Read(t.Context(), request, nil)
			if !errors.Is(err, drivers.ErrNoSuchPoint) || len(got) != 0 {
				t.Errorf("%+v: %v, %v", request, got, err)
			}
		}
	})
}

// spoiled: what is no value is Bad, 0, with a reason, and the other points of the request are as good as before.
func spoiled(t *testing.T, r Rig) {
	need(t, r.Spoil != nil && len(r.Values) > 0, "values to spoil")
	started(t, r, func(d drivers.Driver) {
		ready(t, r, d)
		request := d.Requests()[0]
		bad := request.Points[0]
		r.Spoil(t, bad)
		ctx, cancel := limited(t)
		defer cancel()
		got, err := d.Read(ctx, request, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, g := range got {
			if g.Point == bad && (g.Quality != drivers.Bad || g.Value != 0 || g.Err == nil) {
				t.Errorf("no value: %+v", g)
			}
			if g.Point != bad && (g.Quality != drivers.Good || g.Value != r.Values[g.Point]) {
				t.Errorf("next to no value: %+v", g)
			}
		}
	})
}

// refused: a unit's refusal is that unit's, brings no readings, and leaves the others alone.
func refused(t *testing.T, r Rig) {
	need(t, r.Refuse != nil, "unit that can refuse")
	started(t, r, func(d drivers.Driver) {
		ready(t, r, d)
		all := d.Requests()
		r.Refuse(t, all[0])
		for _, request := range all {
			ctx, cancel := limited(t)
			got, err := d.Read(ctx, request, nil)
			cancel()
			switch {
			case request.Unit != all[0].Unit:
				if err != nil {
					t.Errorf("%s: %v", request.Unit, err)
				}
			case len(got) != 0 || !errors.Is(err, drivers.ErrUnit) || errors.Is(err, drivers.ErrBus):
				t.Errorf("refused: %v, %v", got, err)
			}
		}
	})
}

// awayAndBack: a peer that is not there is ErrBus within the deadline, and is found when it comes.
func awayAndBack(t *testing.T, r Rig) {
	r.Stop(t)
	made(t, r, func(d drivers.Driver) {
		away(t, r, d)
		r.Start(t)
		ready(t, r, d)
	})
}

// lostAndBack: the same for a peer that goes.
func lostAndBack(t *testing.T, r Rig) {
	started(t, r, func(d drivers.Driver) {
		ready(t, r, d)
		r.Stop(t)
		away(t, r, d)
		r.Start(t)
		ready(t, r, d)
	})
}

// lostDuringCall: a call does not wait for its deadline when its connection has gone.
func lostDuringCall(t *testing.T, r Rig) {
	need(t, r.Stall != nil, "peer that can be silent")
	started(t, r, func(d drivers.Driver) {
		ready(t, r, d)
		r.Stall(t)
		stopped := make(chan struct{})
		go func() {
			defer close(stopped)
			time.Sleep(brief / 4)
			r.Stop(t)
		}()
		inTime(t, "a call whose connection has gone", func() {
			if got, err := call(t.Context(), r, d); !errors.Is(err, drivers.ErrBus) || len(got) != 0 {
				t.Errorf("the connection has gone, and %v, %v", got, err)
			}
		})
		<-stopped
	})
}

// away waits for ErrBus: a connection that was just lost may first have to be noticed.
func away(t *testing.T, r Rig, d drivers.Driver) {
	t.Helper()
	until(t, "an error that is the bus'", func() bool {
		ctx, cancel := limited(t)
		defer cancel()
		got, err := call(ctx, r, d)
		if len(got) != 0 {
			t.Fatalf("nobody is there, and %v", got)
		}
		return errors.Is(err, drivers.ErrBus) && !errors.Is(err, drivers.ErrUnit)
	})
}

// deadline: a silent peer costs no more than the context allows.
func deadline(t *testing.T, r Rig) {
	need(t, r.Stall != nil, "peer that can be silent")
	started(t, r, func(d drivers.Driver) {
		ready(t, r, d)
		r.Stall(t)
		inTime(t, "a call with a silent peer", func() {
			ctx, cancel := context.WithTimeout(t.Context(), brief)
			defer cancel()
			if got, err := call(ctx, r, d); err == nil || len(got) != 0 {
				t.Errorf("the peer is silent, and %v, %v", got, err)
			}
		})
	})
}

// deadlineConnecting: the same for connecting.
func deadlineConnecting(t *testing.T, r Rig) {
	need(t, r.Hang != nil, "connecting that can hang")
	r.Hang(t)
	made(t, r, func(d drivers.Driver) {
		inTime(t, "connecting", func() {
			ctx, cancel := context.WithTimeout(t.Context(), brief)
			defer cancel()
			if got, err := call(ctx, r, d); !errors.Is(err, drivers.ErrBus) || len(got) != 0 {
				t.Errorf("connecting hangs, and %v, %v", got, err)
			}
		})
	})
}

// cancelled: a cancelled context ends a call, and the next one works.
func cancelled(t *testing.T, r Rig) {
	need(t, r.Stall != nil, "peer that can be silent")
	started(t, r, func(d drivers.Driver) {
		ready(t, r, d)
		r.Stall(t)
		inTime(t, "a cancelled call", func() {
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(brief/10, cancel)
			if got, err := call(ctx, r, d); err == nil || len(got) != 0 {
				t.Errorf("cancelled, and %v, %v", got, err)
			}
		})
		r.Start(t)
		ready(t, r, d)
	})
}
