package gateway

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"sync/atomic"
	"time"

	"gacp-erp.internal/glasshouse/buffer"
	"gacp-erp.internal/glasshouse/configs"
	"gacp-erp.internal/glasshouse/drivers"
	"gacp-erp.internal/glasshouse/gateway/contract"
	"gacp-erp.internal/glasshouse/gateway/scan"
	"gacp-erp.internal/glasshouse/rules"
)

// sampleEvery is how many telemetry records pass for each one that is validated again at run time. The encoders are proven
// by tests; this guards against what no test thought of.
const sampleEvery = 1024

// writer turns what a cycle saw and decided into records of the contract. It belongs to the cycle's goroutine; its records
// and notes are valid until the next begin.
type writer struct {
	house   *house
	encoder *contract.Encoder
	log     *slog.Logger

	now     rules.Moment
	records []buffer.Record
	notes   buffer.Notes
	qos1    int // messages of this cycle that the broker waits for
	pool    []*contract.Record
	used    int
	one     contract.Telemetry
	sampled uint64
	invalid atomic.Uint64                   // events that broke the contract and were not kept
	made    atomic.Uint64                   // events of all kinds
	heard   atomic.Uint64                   // messages and answers of polls
	told    atomic.Uint64                   // of them, those that became telemetry
	unsaid  atomic.Uint64                   // of them, those that no event tells of
	facts   atomic.Pointer[[]contract.Fact] // what the next heartbeat says besides
}

func newWriter(h *house, e *contract.Encoder, log *slog.Logger) *writer {
	return &writer{house: h, encoder: e, log: log, notes: buffer.Notes{}}
}

// begin starts a cycle's records.
func (w *writer) begin(now rules.Moment) {
	w.now, w.used, w.qos1 = now, 0, 0
	clear(w.records)
	w.records = w.records[:0]
	clear(w.notes)
}

// note adds a note to the cycle's.
func (w *writer) note(key string, value []byte) { w.notes[key] = value }

// next is a record to encode into; add keeps it, and it is free again when the encoder refused.
func (w *writer) next() *contract.Record {
	if w.used == len(w.pool) {
		w.pool = append(w.pool, new(contract.Record))
	}
	return w.pool[w.used]
}

// add keeps the record that next gave, unless the encoder or the schema refuses it: then it is counted and logged.
func (w *writer) add(r *contract.Record, err error, validate bool) (kept bool) {
	if err == nil && validate {
		err = contract.Validate(r.Topic, r.Body)
	}
	if err != nil {
		w.invalid.Add(1)
		w.log.Error("an event breaks the contract and is not kept: this is a fault of the program", "error", err)
		return false
	}
	w.used++
	w.made.Add(1)
	w.records = append(w.records, buffer.Record{Lane: buffer.Lane(r.Topic), At: w.now.Wall.UnixMilli(), Key: r.Key, Head: r.Head, Body: r.Body})
	return true
}

// telemetry writes one event for each message, and one for each poll's answer. seen is parallel to the intake's readings.
func (w *writer) telemetry(in *intake, seen []scan.Observation) {
	for i, d, from := 0, 0, 0; i <= len(seen); i++ {
		ends := i == len(seen)
		if d < len(in.deliveries) && i == in.deliveries[d].end {
			d, ends = d+1, true
		}
		if i > from && !ends && !w.together(&seen[i-1], &seen[i]) {
			ends = true
		}
		if ends && i > from {
			w.group(seen[from:i])
			from = i
		}
	}
}

// together says that two observations came at once, from one device.
func (w *writer) together(a, b *scan.Observation) bool {
	if a.Message != nil || b.Message != nil {
		return a.Message == b.Message
	}
	return a.Point >= 0 && b.Point >= 0 && w.house.points[a.Point].device == w.house.points[b.Point].device
}

// group writes the event of what came together.
func (w *writer) group(seen []scan.Observation) {
	first := &seen[0]
	m := first.Message
	if m != nil && m.QoS > 0 {
		w.qos1++
	}
	if silent(first.Err) {
		return
	}
	w.heard.Add(1)
	if first.Point < 0 && (m == nil || m.Kind != drivers.Telemetry) {
		w.unsaid.Add(1)
		return
	}
	t := &w.one
	*t = contract.Telemetry{Received: w.now.Wall, Values: t.Values[:0]}
	for i := range seen {
		if p := seen[i].Point; p >= 0 {
			t.Values = append(t.Values, w.value(&seen[i], &w.house.points[p]))
		}
	}
	if len(t.Values) == 0 {
		w.unsaid.Add(1)
		return
	}
	device := &w.house.devices[w.house.points[first.Point].device]
	t.DeviceID, t.Zone, t.Source = device.id, device.zone, first.At
	if m == nil {
		t.EventID, t.Protocol = contract.NewID(), "modbus"
	} else {
		t.EventID, t.MQTT = contract.ID(m.ID), contract.MQTT{Topic: m.Topic, QoS: m.QoS, Retain: m.Retained}
	}
	w.sampled++
	r := w.next()
	if w.add(r, w.encoder.Telemetry(r, t), w.sampled%sampleEvery == 1) {
		w.told.Add(1)
	}
}

// silent says that a reading only tells that nobody answered.
func silent(err error) bool {
	return err != nil && (errors.Is(err, drivers.ErrUnit) || errors.Is(err, drivers.ErrBus))
}

func (w *writer) value(o *scan.Observation, p *point) contract.Value {
	v := contract.Value{Name: p.name, Quantity: p.quantity, Unit: p.unit, Value: o.Value, Discrete: p.discrete, Extra: p.extra, Quality: contract.Quality(o.Quality)}
	if o.Err != nil {
		v.Reason = o.Err.Error()
	}
	return v
}

// event writes what a cycle decided. What only concerns this box is logged.
func (w *writer) event(e *scan.Event) {
	switch e.Kind {
	case scan.AlertRaised, scan.AlertEscalated, scan.AlertCorrected, scan.AlertResolved:
		w.alert(e)
	case scan.FaultRaised:
		r := w.next()
		w.add(r, w.encoder.DeviceAlertRaised(r, &contract.DeviceAlertRaised{Stamp: stamp(e), DeviceID: w.deviceOf(e), AlertID: e.Alert,
			Type: e.Type, Severity: contract.Severity(e.Severity), Title: e.Title, Description: e.Description, Raised: e.Since, Zone: w.zoneOf(e)}), true)
		w.log.Warn(e.Title, "device", w.deviceOf(e), "why", e.Description)
	case scan.FaultResolved:
		r := w.next()
		w.add(r, w.encoder.DeviceAlertResolved(r, &contract.DeviceAlertResolved{Stamp: stamp(e), DeviceID: w.deviceOf(e), AlertID: e.Alert}), true)
		w.log.Info("over: "+e.Title, "device", w.deviceOf(e))
	case scan.DeviceStatus:
		w.status(e)
	case scan.OutputFound:
		w.log.Info("output found", "output", w.house.outputs[e.Output].name, "value", e.Value)
	case scan.OutputSwitched:
		w.log.Info("output", "output", w.house.outputs[e.Output].name, "from", e.From, "to", e.Value, "holder", e.Holder, "who", e.Who, "why", e.Title, "observed", e.Observed)
	case scan.ClockChanged:
		w.log.Warn("the clock was set", "by", e.Jump)
	}
}

func (w *writer) alert(e *scan.Event) {
	s := w.house.told(e)
	a := contract.Alert{Stamp: stamp(e), AlertID: e.Alert, CausationID: e.Causation, State: contract.State(e.Kind - scan.AlertRaised),
		Severity: contract.Severity(e.Severity), Quantity: e.Quantity, Unit: e.Unit, Zone: e.Zone, SensorID: s.sensor, Value: e.Value,
		Min: e.Min, Max: e.Max, SensorMin: s.min, SensorMax: s.max, Triggered: e.Since,
		Correction: contract.Correction{Attempted: e.Tried, Outcome: contract.Outcome(e.Success)}}
	for _, act := range e.Actions {
		a.Correction.Actions = append(a.Correction.Actions, contract.Action(act.Name, act.Value, w.house.outputs[act.Output].analog))
	}
	r := w.next()
	w.add(r, w.encoder.Alert(r, &a), true)
	w.log.Warn("alert "+a.State.String(), "zone", e.Zone, "quantity", e.Quantity, "value", math.Round(e.Value*100)/100, "severity", e.Severity, "why", e.Description)
}

// told is what an alert says of its value's sensor; that of a rule that is gone has none any more.
func (h *house) told(e *scan.Event) spec {
	if e.Rule >= 0 {
		return h.specs[e.Rule]
	}
	q, _ := configs.QuantityOf(e.Quantity)
	return spec{sensor: contract.DerivedSensorID(h.gateway, e.Zone, e.Quantity), min: q.Min, max: q.Max}
}

func (w *writer) status(e *scan.Event) {
	words := map[bool]string{true: contract.Online, false: contract.Offline}
	r := w.next()
	w.add(r, w.encoder.StatusChanged(r, &contract.StatusChanged{Stamp: stamp(e), DeviceID: e.Device,
		Previous: words[!e.Online], Current: words[e.Online], Changed: e.At}), true)
	w.log.Info("device is "+words[e.Online], "device", e.Device)
}

// stamp is when and what of an event.
func stamp(e *scan.Event) contract.Stamp {
	return contract.Stamp{EventID: e.ID, CorrelationID: e.Correlation, At: e.At}
}

// deviceOf names the device an event is about; the gateway is one too.
func (w *writer) deviceOf(e *scan.Event) string {
	if e.Device == "" {
		return w.house.gateway
	}
	return e.Device
}

func (w *writer) zoneOf(e *scan.Event) string {
	if d, ok := w.house.deviceOf[e.Device]; ok {
		return w.house.devices[d].zone
	}
	return e.Zone
}

// register tells the platform of each device that it has not been told of, or whose description has changed.
func (w *writer) register(told func(key string) []byte) {
	for i := range len(w.house.devices) + 1 {
		d := &w.house.self
		if i > 0 {
			d = &w.house.devices[i-1]
		}
		key, what := "registered/"+d.id, d.fingerprint()
		if string(told(key)) == what {
			continue
		}
		metadata := []contract.Fact{{Name: "gateway", Text: w.house.gateway}}
		if d.zone != "" {
			metadata = append(metadata, contract.Fact{Name: "zone", Text: d.zone})
		}
		r := w.next()
		err := w.encoder.Registered(r, &contract.Registered{Stamp: contract.Stamp{EventID: contract.NewID().String(), At: w.now.Wall}, DeviceID: d.id,
			Manufacturer: d.manufacturer, Model: d.model, Firmware: d.firmware, Serial: d.serial, Capabilities: d.capabilities, Metadata: metadata})
		w.add(r, err, true)
		w.note(key, []byte(what))
	}
}

// heartbeat writes the gateway's own telemetry, so that its silence is noticed.
func (w *writer) heartbeat() {
	t := &w.one
	*t = contract.Telemetry{EventID: contract.NewID(), DeviceID: w.house.gateway, Type: contract.Status, Received: w.now.Wall, Values: t.Values[:0]}
	t.Values = append(t.Values, contract.Value{Quantity: "uptime", Value: w.now.Steady.Round(time.Second).Seconds(), Quality: contract.Good},
		contract.Value{Quantity: "errorCount", Value: float64(w.invalid.Load()), Quality: contract.Good})
	if facts := w.facts.Load(); facts != nil {
		t.Facts = *facts
	}
	r := w.next()
	w.add(r, w.encoder.Telemetry(r, t), true)
}

// fingerprint changes when what is told of a device does.
func (d *device) fingerprint() string {
	return fmt.Sprintf("%s|%s|%s|%s|%s|%v", d.manufacturer, d.model, d.firmware, d.serial, d.zone, d.capabilities)
}
