package gateway

import (
	"context"
	"errors"
	"fmt"
	"time"

	"gacp-erp.internal/glasshouse/drivers/mqtt"
	"gacp-erp.internal/glasshouse/gateway/api"
	"gacp-erp.internal/glasshouse/gateway/bus"
	"gacp-erp.internal/glasshouse/gateway/contract"
	"gacp-erp.internal/glasshouse/gateway/scan"
	"gacp-erp.internal/glasshouse/rules"
)

var _ api.Source = (*Gateway)(nil)

// askTime is how long a question waits for a cycle; then the last answer is given again.
const askTime = time.Second

// longestText is how many bytes a person may say of a wish. It is kept in the state's note, which must fit into the buffer.
const longestText = 500

// shownGaps is how many of the newest gaps in the buffer a status tells.
const shownGaps = 20

// Status tells everything at one instant. It waits at most askTime for the cycle and for nothing else.
func (g *Gateway) Status() api.Status {
	s := g.ask()
	status := api.Status{Gateway: g.config.Gateway.ID, Facility: g.config.Gateway.FacilityID, Version: g.options.Version,
		Mode: string(g.config.Gateway.Mode), Started: g.started.UTC(), Now: s.Now.Wall.UTC(),
		Cycles: api.Cycles{Number: s.Cycle, LastSeconds: time.Duration(g.loop.last.Load()).Seconds(),
			MaxSeconds: time.Duration(g.loop.longest.Load()).Seconds(), Heard: g.writer.heard.Load(), Told: g.writer.told.Load(), Unsaid: g.writer.unsaid.Load(),
			Records: g.writer.made.Load(), Invalid: g.writer.invalid.Load()}}
	for i := range g.house.points {
		status.Points = append(status.Points, g.pointStatus(i, s))
	}
	for i := range g.house.outputs {
		status.Outputs = append(status.Outputs, g.outputStatus(i, s))
	}
	for i := range g.house.devices {
		status.Devices = append(status.Devices, g.deviceStatus(i, s))
	}
	status.Zones = g.zoneStatus(s)
	for _, f := range s.Faults {
		status.Faults = append(status.Faults, api.Fault{Device: orElse(f.Device, g.house.gateway), Type: f.Type, Severity: severity(f.Severity),
			Title: f.Title, Description: f.Description, Since: f.Since.UTC()})
	}
	for i, b := range g.buses {
		status.Buses = append(status.Buses, g.busStatus(i, b.Stats()))
	}
	status.Buffer = g.bufferStatus()
	status.Uplink = g.uplinkStatus(&status.Buffer)
	return status
}

// ask takes a snapshot from the loop, or the last one when the loop does not answer.
func (g *Gateway) ask() *scan.Snapshot {
	answer := make(chan *scan.Snapshot, 1)
	patience := time.NewTimer(askTime)
	defer patience.Stop()
	select {
	case g.loop.asks <- answer:
		select {
		case s := <-answer:
			g.last.Store(s)
			return s
		case <-patience.C:
		}
	case <-patience.C:
	}
	if s := g.last.Load(); s != nil {
		return s
	}
	return g.loop.nothing()
}

func (g *Gateway) pointStatus(i int, s *scan.Snapshot) api.Point {
	p, v := &g.house.points[i], &s.Points[i]
	out := api.Point{ID: string(p.ID), Device: g.house.devices[p.device].id, Zone: p.Zone, Quantity: p.quantity, Unit: p.unit,
		Value: usable(v.Value, v.Quality), Quality: quality(v.Quality), Reason: v.Reason, Switch: p.discrete, Optional: p.Optional}
	if v.Age >= 0 {
		out.At = wallAgo(s, v.Age)
	}
	return out
}

func (g *Gateway) outputStatus(i int, s *scan.Snapshot) api.Output {
	o, c, v := &g.house.outputs[i], &g.house.scan.Outputs[i], &s.Outputs[i]
	out := api.Output{Name: o.name, Zone: c.Zone, Point: string(g.house.points[o.point].ID), Switch: !o.analog, Desired: v.Desired,
		Actual: usable(v.Actual.Value, v.Actual.Quality), Confirmed: v.Confirmed, Safe: c.Safe, Holder: v.Holder, Why: v.Why}
	if !v.Until.IsZero() {
		until := v.Until.UTC()
		out.Until = &until
	}
	if v.Overridden != "" {
		out.Overridden = []string{v.Overridden}
	}
	return out
}

func (g *Gateway) deviceStatus(i int, s *scan.Snapshot) api.Device {
	d := api.Device{ID: g.house.devices[i].id, Zone: g.house.devices[i].zone, Status: "offline"}
	if s.Devices[i].Online {
		d.Status = "online"
	}
	if s.Devices[i].Heard {
		d.LastSeen = wallAgo(s, s.Devices[i].Age)
	}
	return d
}

// zoneStatus groups the rules by zone, in the order of the file.
func (g *Gateway) zoneStatus(s *scan.Snapshot) []api.Zone {
	var zones []api.Zone
	for i := range g.house.scan.Specs {
		spec, v := &g.house.scan.Specs[i], &s.Rules[i]
		if len(zones) == 0 || zones[len(zones)-1].Name != spec.Zone {
			zones = append(zones, api.Zone{Name: spec.Zone})
		}
		r := api.Range{Quantity: spec.Quantity, Unit: spec.Unit, Value: usable(v.Value, v.Quality), Quality: quality(v.Quality),
			Min: finite(v.Min), Max: finite(v.Max), Phase: v.Phase, AlertID: v.Alert}
		if v.Alert != "" {
			since := v.Since.UTC()
			r.Severity, r.Since = severity(v.Severity), &since
		}
		zone := &zones[len(zones)-1]
		zone.Ranges = append(zone.Ranges, r)
	}
	return zones
}

func (g *Gateway) busStatus(i int, stats bus.Stats) api.Bus {
	b := api.Bus{Name: g.house.buses[i].name, Endpoint: g.house.buses[i].endpoint, Healthy: stats.Away == nil && stats.Hangs == "", Late: stats.Late}
	if stats.Away != nil {
		b.Error = stats.Away.Error()
	}
	if stats.Hangs != "" {
		b.Error = "the driver has not come back from " + stats.Hangs
	}
	for _, u := range stats.Units {
		unit := api.Unit{Name: u.Name, Requests: u.Polls, Errors: u.Errors, LatencySeconds: u.Latency.Seconds()}
		if u.LastError != nil && u.Failures > 0 {
			unit.Error = u.LastError.Error()
		}
		if !u.BackOff.IsZero() {
			until := u.BackOff.UTC()
			unit.BackOffUntil = &until
		}
		b.Units = append(b.Units, unit)
	}
	if d, ok := g.house.buses[i].driver.(*mqtt.Driver); ok {
		state, counts := d.State(), d.Stats()
		b.Healthy, b.Error = state.Connected, ""
		b.Messages, b.Rejected, b.Dropped, b.Overruns = counts.Messages, counts.Rejected, counts.Dropped, counts.Overruns
		if !state.Connected {
			b.Error = orElse(state.LastError, "not connected yet")
		}
	}
	return b
}

func (g *Gateway) bufferStatus() api.Buffer {
	stats, wrote := g.buffer.Stats(), g.journal.Stats()
	b := api.Buffer{Dir: g.bufferDir(), Epoch: stats.Epoch, Bytes: stats.Bytes, MaxBytes: stats.MaxBytes, Segments: stats.Segments,
		Sequence: stats.Sequence, Records: wrote.Records, Quarantined: stats.Damaged, InMemory: wrote.InMemoryBytes, Pending: wrote.InMemory, Dropped: wrote.Dropped.Critical + wrote.Dropped.Telemetry, CommitSeconds: wrote.MeanSeconds(), Commits: wrote.Commits}
	if !wrote.DegradedSince.IsZero() {
		since := wrote.DegradedSince.UTC()
		b.DegradedSince = &since
	}
	if wrote.Error != nil {
		b.Error = wrote.Error.Error()
	}
	if g.homeless != nil && b.DegradedSince == nil {
		since := g.started.UTC()
		b.DegradedSince, b.Error = &since, g.homeless.Error()
	}
	for _, l := range stats.Lanes {
		b.Lanes = append(b.Lanes, api.Lane{Name: string(l.Name), Critical: l.Critical, Waiting: l.Waiting, SetAside: l.SetAside, Dropped: l.Dropped, Delivered: l.Sent})
	}
	b.RoomBytes, b.Growth, b.Gaps = stats.Room, stats.Growth*3600, stats.Gaps
	if left, known := stats.Forecast(); known {
		b.Forecast = finite(left.Seconds())
	}
	for _, gap := range g.buffer.Gaps(stats.Gaps - min(stats.Gaps, shownGaps)) {
		b.LastGaps = append(b.LastGaps, api.Gap{Number: gap.Number, At: time.UnixMilli(gap.At).UTC(), Topic: string(gap.Lane), First: gap.First, Last: gap.Last,
			Count: gap.Count, From: time.UnixMilli(gap.From).UTC(), To: time.UnixMilli(gap.To).UTC(), Damage: gap.Damage})
	}
	return b
}

// uplinkStatus also fills in what of each lane has gone.
func (g *Gateway) uplinkStatus(b *api.Buffer) api.Uplink {
	if g.uplink == nil {
		return api.Uplink{}
	}
	stats := g.uplink.Stats()
	for _, l := range stats.Lanes {
		for i := range b.Lanes {
			if b.Lanes[i].Name == string(l.Name) {
				b.Lanes[i].Sent, b.Lanes[i].Blocked, b.Lanes[i].Error = l.Sent, l.Blocked, l.Error
			}
		}
	}
	return api.Uplink{Configured: true, Connected: stats.Connected, Error: stats.Error}
}

// Submit hands over a person's wish for an output and waits for the cycle that decides it.
func (g *Gateway) Submit(ctx context.Context, w api.Write) (api.Receipt, error) {
	output, ok := g.house.outputOf[w.Output]
	if !ok {
		return api.Receipt{}, fmt.Errorf("no output is called %q (%s)", w.Output, known(w.Output, g.outputNames()))
	}
	const longest = 24 * time.Hour
	if !w.Release && (w.For <= 0 || w.For > longest) {
		return api.Receipt{}, fmt.Errorf("holding %s for %s: a hold has an end, at most %s from now", w.Output, w.For, longest)
	}
	if limits := g.house.points[g.house.outputs[output].point]; !w.Release && limits.discrete && w.Value != 0 && w.Value != 1 {
		return api.Receipt{}, fmt.Errorf("%s is a switch: on or off, not %g", w.Output, w.Value)
	}
	if len(w.By) > longestText || len(w.Reason) > longestText {
		return api.Receipt{}, fmt.Errorf("who and why are kept with the state, and may have %d bytes each", longestText)
	}
	back := make(chan answer, 1)
	command := scan.Command{ID: contract.NewID().String(), Output: output, Value: w.Value, For: w.For, Release: w.Release, By: w.By, Reason: w.Reason, Origin: scan.Local}
	if !g.inbox.order(order{command, back}) {
		return api.Receipt{}, errors.New("the gateway is stopping; its outputs go to their safe values")
	}
	select {
	case a := <-back:
		r := api.Receipt{Accepted: a.receipt.Accepted, Note: a.receipt.Reason, Durable: a.durable && g.homeless == nil}
		if a.receipt.Overridden != "" {
			r.Note = "held by the output's safety limits: " + a.receipt.Overridden
		}
		if !a.receipt.Until.IsZero() {
			until := a.receipt.Until.UTC()
			r.Until = &until
		}
		return r, nil
	case <-ctx.Done():
		return api.Receipt{}, fmt.Errorf("the wish for %s was handed over, but nobody has answered yet: look at glasshouse status: %w", w.Output, ctx.Err())
	}
}

func (g *Gateway) outputNames() []string {
	var names []string
	for _, o := range g.house.outputs {
		names = append(names, o.name)
	}
	return names
}

// usable is a value that may be shown, nil when there is none.
func usable(v float64, q rules.Quality) *float64 {
	if q == rules.Bad {
		return nil
	}
	return finite(v)
}

// finite is nil for what is no number.
func finite(v float64) *float64 {
	if v-v != 0 {
		return nil
	}
	return &v
}

func quality(q rules.Quality) string {
	switch q {
	case rules.Good:
		return "good"
	case rules.Uncertain:
		return "uncertain"
	}
	return "bad"
}

func severity(s rules.Severity) string {
	return [...]string{rules.Info: "info", rules.Warning: "warning", rules.Critical: "critical", rules.Emergency: "emergency"}[min(s, rules.Emergency)]
}

// wallAgo is the wall time of something that is so old at a snapshot.
func wallAgo(s *scan.Snapshot, age time.Duration) *time.Time {
	at := s.Now.Wall.Add(-age).UTC()
	return &at
}
