package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"gacp-erp.internal/glasshouse/gateway/api"
)

// door is what a trial needs of the running gateway.
type door interface {
	Status(context.Context) (api.Status, error)
	Submit(context.Context, api.Write) (api.Receipt, error)
}

var _ door = (*api.Client)(nil)

// trial switches outputs by holds and looks at what becomes of them.
type trial struct {
	door    door
	by      string        // who tries
	hold    time.Duration // how long
	say     io.Writer     // for questions
	answers <-chan string // nil: ask nothing
}

const (
	lookEvery  = 100 * time.Millisecond
	backWithin = 5 * time.Second           // until an output that was released shows that it has gone back
	testReason = "glasshouse outputs test" // of the hold, by which it is known again
)

// try tries one output. Faults become its note: the others are tried all the same.
func (t *trial) try(ctx context.Context, name string) (p outputTrial) {
	o, now, err := t.look(ctx, name)
	p = outputTrial{Output: name, Zone: o.Zone, Point: o.Point, At: now, From: o.Desired, To: 1 - o.Desired}
	skip := func(why string) outputTrial {
		p.Skipped, p.Note = true, why
		return p
	}
	switch {
	case err != nil:
		p.Note = err.Error()
		return p
	case !o.Switch:
		return skip("it is no switch; try it with glasshouse write")
	case o.Holder == "local lease" || o.Holder == "remote lease":
		return skip("held by hand: " + o.Why)
	}
	if t.answers != nil && !t.ask(ctx, "%s in %s (%s) is %s because of: %s. Switch it %s for %s?",
		name, orDash(o.Zone), o.Point, onOff(o.Desired), orDash(o.Why), onOff(p.To), t.hold) {
		return skip("not wanted")
	}
	began := time.Now()
	receipt, err := t.door.Submit(ctx, api.Write{Output: name, Value: p.To, For: t.hold, By: t.by, Reason: testReason})
	switch {
	case err != nil:
		p.Note = err.Error()
		return p
	case !receipt.Accepted:
		p.Note = "refused: " + receipt.Note
		return p
	}
	defer t.release(context.WithoutCancel(ctx), &p)
	if receipt.Note != "" { // and what is withheld now must not come later
		p.Note = receipt.Note
		if _, err := t.door.Submit(context.WithoutCancel(ctx), api.Write{Output: name, Release: true, By: t.by}); err != nil {
			p.Note += "; it was not released and ends by itself: " + err.Error()
		}
		return p
	}
	if p.Device, p.Note = t.watch(ctx, &p, began.Add(t.hold)); p.Device == confirmed {
		p.Seconds = time.Since(began).Seconds()
	}
	switch {
	case p.Device == "":
	case t.answers == nil:
		sleep(ctx, time.Until(began.Add(t.hold)))
	case t.ask(ctx, "Did %s go %s?", name, onOff(p.To)):
		p.Person = moved
	case ctx.Err() == nil:
		p.Person = notMoved
	}
	return p
}

// watch waits until the device shows what it was switched to. Nothing: something of higher rank keeps the output from it.
func (t *trial) watch(ctx context.Context, p *outputTrial, until time.Time) (device, note string) {
	for {
		o, _, err := t.look(ctx, p.Output)
		switch {
		case ctx.Err() != nil:
			return "", "broken off"
		case err != nil:
			note = err.Error()
		case o.Why == testReason && o.Desired == p.To && o.Confirmed:
			return confirmed, ""
		case o.Why == testReason:
			device, note = notConfirmed, "the device does not show it; look at it, its supply and its wiring"
		case device == "": // else the hold has just ended
			note = fmt.Sprintf("kept %s, by the %s: %s", onOff(o.Desired), o.Holder, o.Why)
		}
		if !time.Now().Before(until) {
			return device, note
		}
		sleep(ctx, lookEvery)
	}
}

// release ends our hold, unless it has ended or somebody has taken the output over meanwhile, and waits until the output has
// gone back. One that has not is told: a least time may keep it, or the rules want what was tried.
func (t *trial) release(ctx context.Context, p *outputTrial) {
	note := func(format string, args ...any) {
		if p.Note != "" {
			p.Note += "; "
		}
		p.Note += fmt.Sprintf(format, args...)
	}
	for began := time.Now(); ; sleep(ctx, lookEvery) {
		o, _, err := t.look(ctx, p.Output)
		if err == nil && o.Why == testReason {
			_, err = t.door.Submit(ctx, api.Write{Output: p.Output, Release: true, By: t.by})
		}
		late := time.Since(began) > backWithin
		switch {
		case err != nil && late:
			note("it was not released and ends by itself: %v", err)
			return
		case err != nil, o.Why == testReason:
		case o.Desired == p.From && o.Confirmed:
			return
		case o.Desired != p.From && o.Why != testReason:
			until := ""
			if o.Until != nil {
				until = " until " + o.Until.Local().Format("15:04:05")
			}
			note("it stays %s%s, by the %s: %s", onOff(o.Desired), until, o.Holder, o.Why)
			return
		case late:
			note("it does not confirm that it has gone back; see glasshouse status")
			return
		}
	}
}

// look is the output now, and the gateway's time.
func (t *trial) look(ctx context.Context, name string) (api.Output, time.Time, error) {
	status, err := t.door.Status(ctx)
	if err != nil {
		return api.Output{}, time.Now(), err
	}
	for i := range status.Outputs {
		if status.Outputs[i].Name == name {
			return status.Outputs[i], status.Now, nil
		}
	}
	return api.Output{}, status.Now, fmt.Errorf("the gateway has no output %q any more", name)
}

// sleep waits, or not when ctx has ended.
func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
