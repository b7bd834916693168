package gateway

import (
	"context"
	"encoding/json"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"gacp-erp.internal/glasshouse/drivers"
	"gacp-erp.internal/glasshouse/gateway/bus"
	"gacp-erp.internal/glasshouse/gateway/journal"
	"gacp-erp.internal/glasshouse/gateway/scan"
)

const (
	minCycle       = 2 * time.Millisecond   // between the starts of two cycles: load makes batches grow, not cycles
	maxCycle       = 250 * time.Millisecond // a cycle starts at the latest after this
	settleTime     = 4 * time.Second        // for the outputs to confirm their safe values at a stop
	heartbeatEvery = time.Minute
	noteState      = "scan"
	noteBoot       = "boot"
	noteGaps       = "gaps"
)

// loop is the goroutine that runs the cycle: it takes what came, lets the core decide, and hands out what was decided. It
// waits for nothing but the next cycle.
type loop struct {
	house   *house
	core    *scan.Core
	clock   clock
	inbox   *inbox
	buses   []*bus.Bus
	journal *journal.Journal
	writer  *writer
	asks    chan chan *scan.Snapshot
	tell    func(Event)
	log     *slog.Logger

	boot     []byte                  // boot id, kept with each state
	known    func(key string) []byte // a note of before; nil once the devices are told of
	spare    *intake
	seen     []scan.Observation // of this cycle, parallel to the intake's readings
	faults   []scan.BusFault
	commands []scan.Command
	gone     []int
	met      []bool        // buses that brought something, which ends what an earlier run told of them
	beat     time.Duration // steady instant of the next heartbeat
	unacked  atomic.Int64  // QoS 1 messages that wait for a commit; shared with the journal's goroutine
	snapshot *scan.Snapshot
	shot     time.Time

	began   atomic.Int64 // when the newest cycle began, unix ns of the process' monotonic clock; for the watchdog
	cycles  atomic.Uint64
	last    atomic.Int64 // duration, ns
	longest atomic.Int64
}

// run cycles until ctx ends, then sets all outputs to safe and cycles until they have confirmed, at most settleTime.
// It returns the outputs that did not confirm.
func (l *loop) run(ctx context.Context) []string {
	stopped := ctx.Done()
	var giveUp <-chan time.Time
	stopping := false
	pace := time.NewTimer(maxCycle)
	defer pace.Stop()
	for {
		began := time.Now()
		l.began.Store(int64(l.clock.now().Steady))
		l.cycle(stopping)
		if stopping && l.core.Settled() {
			return nil
		}
		took := time.Since(began)
		l.cycles.Add(1)
		l.last.Store(int64(took))
		l.longest.Store(max(l.longest.Load(), int64(took)))
		if rest := minCycle - took; rest > 0 {
			time.Sleep(rest)
		}
		pace.Reset(max(0, maxCycle-took))
		select {
		case <-l.inbox.wake:
		case <-pace.C:
		case answer := <-l.asks:
			answer <- l.look()
		case <-stopped:
			stopping, stopped, giveUp = true, nil, time.After(settleTime)
			l.inbox.close()
		case <-giveUp:
			l.cycle(true)
			return l.unconfirmed()
		}
	}
}

// cycle does one: take, decide, hand out.
func (l *loop) cycle(stopping bool) {
	now := l.clock.now()
	in := l.inbox.take(l.spare)
	l.gather(in)
	cy := l.core.Step(scan.Input{Now: now, Readings: l.seen, Commands: l.commands, Confirmations: in.confirms,
		BusFaults: l.faults, Gone: l.gone, Conditions: in.conditions, Stop: stopping})
	if len(in.orders) > 0 {
		l.snapshot = nil // whoever is told that an order was taken must see it
	}
	for _, s := range cy.Switches {
		o := &l.house.outputs[s.Output]
		l.buses[o.bus].Write(bus.Write{Output: s.Output, ID: s.ID, Point: l.house.points[o.point].ID, Value: s.Value, Safety: s.Safety})
	}
	l.writer.begin(now)
	l.writer.telemetry(in, l.seen)
	for i := range cy.Events {
		l.writer.event(&cy.Events[i])
		if l.tell != nil {
			l.tell(cy.Events[i])
		}
	}
	if l.known != nil {
		l.writer.register(l.known)
		l.known = nil
	}
	if now.Steady >= l.beat {
		l.beat = now.Steady + heartbeatEvery
		l.writer.heartbeat()
	}
	l.keep(in, cy)
	in.empty()
	l.spare = in
}

// gather makes the cycle's input of what came.
func (l *loop) gather(in *intake) {
	l.seen, l.faults, l.commands, l.gone = l.seen[:0], l.faults[:0], l.commands[:0], l.gone[:0]
	for i := range in.readings {
		r := &in.readings[i]
		o := scan.Observation{Point: -1, Value: r.Value, Quality: r.Quality, At: r.At, Err: r.Err, Message: r.Message}
		if p, ok := l.house.pointOf[r.Point]; ok {
			o.Point = p
			if l.house.points[p].doubtful && o.Quality == drivers.Good {
				o.Quality = drivers.Uncertain
			}
			if m := r.Message; len(l.gone) > 0 && m != nil && m.Kind == drivers.Telemetry { // what a queue of the broker held is over with what it held after it
				device := l.house.points[p].device
				l.gone = slices.DeleteFunc(l.gone, func(d int) bool { return d == device })
			}
		} else if m := r.Message; m != nil && m.Kind == drivers.Status && !m.Retained && goodbye(m.Raw) {
			if d, ok := l.house.deviceOf[m.Device]; ok {
				l.gone = append(l.gone, d)
			}
		}
		l.seen = append(l.seen, o)
	}
	l.meet(in)
	for _, h := range in.health {
		l.faults = append(l.faults, scan.BusFault{Bus: l.house.buses[h.bus].name, Devices: l.house.buses[h.bus].devices, Err: h.err})
	}
	for _, o := range in.orders {
		l.commands = append(l.commands, o.command)
	}
}

// goodbye says whether a status message, JSON or plain text, means that its device has gone.
func goodbye(raw []byte) bool {
	var status struct{ Status, State string }
	if json.Unmarshal(raw, &status) == nil {
		return strings.EqualFold(status.Status, "offline") || strings.EqualFold(status.State, "offline")
	}
	return strings.Contains(strings.ToLower(string(raw)), "offline")
}

// meet notes the first time that a bus brings something: a bus that was away before a restart, and no longer is, tells no
// transition.
func (l *loop) meet(in *intake) {
	if l.met == nil {
		l.met = make([]bool, len(l.house.buses))
	}
	from := 0
	for _, d := range in.deliveries {
		if !l.met[d.bus] && from < d.end && !silent(in.readings[from].Err) {
			l.met[d.bus] = true
			l.faults = append(l.faults, scan.BusFault{Bus: l.house.buses[d.bus].name, Devices: l.house.buses[d.bus].devices})
		}
		from = d.end
	}
}

// keep hands the cycle's records and notes to the journal. Messages are acknowledged, and orders answered, once they are
// kept, or once the journal says that it cannot.
func (l *loop) keep(in *intake, cy *scan.Cycle) {
	e := journal.Entry{Records: l.writer.records, Notes: l.writer.notes, Urgent: cy.Critical || len(in.orders) > 0}
	if cy.State != nil {
		l.writer.note(noteState, cy.State)
		l.writer.note(noteBoot, l.boot)
	}
	if in.gaps > 0 {
		l.writer.note(noteGaps, strconv.AppendUint(nil, in.gaps, 10))
	}
	e.QoS1 = l.writer.qos1
	if len(e.Records) == 0 && len(e.Notes) == 0 && len(in.deliveries) == 0 && len(in.orders) == 0 {
		return
	}
	waiting := l.unacked.Add(int64(e.QoS1))
	e.Half = waiting >= receiveMaximum/2
	e.Done = l.done(in, cy, e.QoS1)
	l.journal.Add(e)
}

// done is what to do once a cycle is kept; nil when nobody waits for it.
func (l *loop) done(in *intake, cy *scan.Cycle, qos1 int) func(durable bool) {
	var acks []delivery
	for _, d := range in.deliveries {
		if l.house.buses[d.bus].pushes && d.upTo > 0 {
			acks = append(acks, d)
		}
	}
	var answers []func(durable bool)
	for i, o := range in.orders {
		receipt, to := cy.Receipts[i], o.answer
		answers = append(answers, func(durable bool) { to <- answer{receipt, durable} })
	}
	if acks == nil && answers == nil {
		return nil
	}
	return func(durable bool) {
		l.unacked.Add(-int64(qos1))
		for _, a := range acks {
			l.buses[a.bus].Ack(a.upTo)
		}
		for _, tell := range answers {
			tell(durable)
		}
	}
}

// look is the newest snapshot, at most 100 ms old.
func (l *loop) look() *scan.Snapshot {
	if now := time.Now(); l.snapshot == nil || now.Sub(l.shot) >= 100*time.Millisecond {
		l.snapshot, l.shot = l.core.Snapshot(), now
	}
	return l.snapshot
}

// unconfirmed names the outputs that do not show what is wanted of them.
func (l *loop) unconfirmed() []string {
	var names []string
	for i, o := range l.core.Snapshot().Outputs {
		if !o.Confirmed {
			names = append(names, l.house.outputs[i].name)
		}
	}
	return names
}

// nothing is the snapshot before the first cycle.
func (l *loop) nothing() *scan.Snapshot {
	return &scan.Snapshot{Now: l.clock.now(), Points: make([]scan.PointView, len(l.house.points)), Outputs: make([]scan.OutputView, len(l.house.outputs)),
		Rules: make([]scan.RuleView, len(l.house.specs)), Devices: make([]scan.DeviceView, len(l.house.devices))}
}
