package mqtt

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"gacp-erp.internal/glasshouse/drivers"
)

// ErrNoValue is the Err of the one reading, without a Point, of a Status or Attributes message: it is about presence and
// facts, which are in the Message.
var ErrNoValue = errors.New("carries no value")

// incoming is a message as it came.
type incoming struct {
	topic    string
	payload  []byte
	qos      byte
	retained bool
	dup      bool
	packetID uint16
	at       time.Time // of arrival
}

// body is a message being read.
type body struct {
	in       *incoming
	message  *drivers.Message
	at       time.Time
	stale    bool
	start    int    // where its readings begin in the inbox
	noted    bool   // a value in it that was not taken is counted already
	rejected Reason // why nothing in it was taken
}

// decode appends a message's readings to the inbox; false when it is rejected, and counted. The mutex is held.
func (d *Driver) decode(in *incoming) bool {
	if len(in.payload) > maxPayload {
		return d.reject(TooLarge, in)
	}
	r := d.table.find(in.topic)
	if r == nil {
		return d.reject(UnknownTopic, in)
	}
	valid := json.Valid(in.payload)
	if !valid && (r.json || len(r.outputs) == 0 && r.kind == drivers.Telemetry) {
		return d.reject(NotJSON, in)
	}
	b := &body{in: in, at: in.at, start: len(d.inbox), rejected: UnknownSensor,
		message: &drivers.Message{Device: r.device, Topic: in.topic, QoS: in.qos, Retained: in.retained, Kind: r.kind}}
	if r.kind != drivers.Telemetry {
		b.message.Raw = in.payload // the others are all in their readings, and a burst of them costs less without
	}
	if valid {
		if reason, ok := b.head(r); !ok {
			return d.reject(reason, in)
		}
	}
	if d.identify(b) {
		return d.reject(Duplicate, in)
	}
	b.stale = in.retained && (!b.message.Stamped || in.at.Sub(b.at) > d.config.Fresh)
	d.values(r, b)
	if len(d.inbox) == b.start {
		if !b.noted {
			d.note(b.rejected, in)
		}
		return false
	}
	d.remember(b)
	return true
}

// head reads who sent it and when.
func (b *body) head(r *route) (Reason, bool) {
	var at []byte
	if r.flat != nil || r.kind != drivers.Telemetry {
		known := true
		members(b.in.payload, func(key, value []byte) {
			switch string(key) {
			case "deviceId":
				known = isNull(value) || string(unquote(value)) == r.device
			case "timestamp":
				at = value
			}
		})
		if !known && r.json {
			return UnknownDevice, false
		}
	}
	for _, p := range r.points {
		for _, path := range p.times {
			if value, ok := lookup(b.in.payload, path); ok && at == nil {
				at = value
			}
		}
	}
	if at == nil {
		return 0, true
	}
	stamp, stamped, ok := parseTime(at)
	switch {
	case !ok:
		return BadTime, false
	case !stamped:
		return 0, true
	case stamp.Sub(b.in.at) > futureLimit:
		return Future, false
	}
	b.at, b.message.Stamped = stamp, true
	return 0, true
}

// values appends what the body holds.
func (d *Driver) values(r *route, b *body) {
	if r.kind != drivers.Telemetry {
		d.inbox = append(d.inbox, drivers.Reading{At: b.at, Err: ErrNoValue, Message: b.message})
	}
	for _, o := range r.outputs {
		d.outputState(o, b)
	}
	for _, p := range r.points {
		d.single(p, b)
	}
	if r.flat != nil {
		d.flat(r.flat, b)
	}
}

var sensorPath, unitPath = []step{{key: "sensor_id"}}, []step{{key: "unit"}}

// single reads one value by its path.
func (d *Driver) single(p *point, b *body) {
	value, ok := lookup(b.in.payload, p.path)
	if !ok {
		return
	}
	if p.platform {
		if sensor, ok := lookup(b.in.payload, sensorPath); ok && p.Name != "" && string(unquote(sensor)) != p.Name {
			return
		}
		if unit, ok := lookup(b.in.payload, unitPath); ok && !isNull(unit) && !sameUnit(string(unquote(unit)), p.Unit) {
			b.rejected = WrongUnit
			return
		}
	}
	d.put(p, value, b)
}

// flat reads the platform's telemetry: sensors at the top or in sensors{}, lists of inputs, custom{} and system{}.
func (d *Driver) flat(n *names, b *body) {
	members(b.in.payload, func(key, value []byte) {
		switch string(key) {
		case "deviceId", "timestamp", "metadata":
		case "sensors":
			members(value, func(key, value []byte) { d.named(n.top, key, value, b) })
		case "custom": // what else is in there is the device's own affair
			members(value, func(key, value []byte) { d.known(n.custom, key, value, b) })
		case "system":
			members(value, func(key, value []byte) { d.known(n.system, key, value, b) })
		case "analogInputs":
			elements(value, func(entry []byte) { d.input(n.analog, "value", entry, b) })
		case "discreteInputs":
			elements(value, func(entry []byte) { d.input(n.discrete, "state", entry, b) })
		case "batteryLevel", "signalStrength", "uptime", "memoryUsage", "cpuUsage", "errorCount", "latitude", "longitude", "altitude":
			d.known(n.top, key, value, b) // the platform has a place for them without anybody's configuring it
		default:
			d.named(n.top, key, value, b)
		}
	})
}

// known puts a value under its name if that is configured, and says nothing if not.
func (d *Driver) known(in map[string]*point, key, value []byte, b *body) {
	if in[string(key)] != nil {
		d.named(in, key, value, b)
	}
}

// input reads one entry of analogInputs or discreteInputs.
func (d *Driver) input(in map[string]*point, field string, entry []byte, b *body) {
	var id, value, unit []byte
	members(entry, func(key, v []byte) {
		switch string(key) {
		case "id":
			id = unquote(v)
		case field:
			value = v
		case "unit":
			if !isNull(v) {
				unit = unquote(v)
			}
		}
	})
	if p := in[string(id)]; p != nil && unit != nil && !sameUnit(string(unit), p.Unit) {
		d.note(WrongUnit, b.in)
		b.noted = true
		return
	}
	if value != nil {
		d.named(in, id, value, b)
	}
}

// named puts a value under its sensor's name; temp is an alias of temperature.
func (d *Driver) named(in map[string]*point, key, value []byte, b *body) {
	p := in[string(key)]
	if p == nil && string(key) == "temp" {
		p = in["temperature"]
	}
	if p == nil {
		d.note(UnknownSensor, b.in)
		b.noted = true
		return
	}
	d.put(p, value, b)
}

// put appends the reading of a point; the last of several in one message wins.
func (d *Driver) put(p *point, value []byte, b *body) {
	reading := drivers.Reading{Point: p.ID, At: b.at, Message: b.message}
	if len(d.inbox) == b.start {
		b.message.Device = p.device
	}
	v, ok := number(value)
	if !ok && p.truth {
		v, ok = truth(value)
	}
	v = v*p.Scale + p.Offset
	switch {
	case !ok || v-v != 0: // infinite after scaling
		reading.Err = drivers.ErrNotANumber
		d.note(WrongType, b.in)
	case (p.Min != 0 || p.Max != 0) && (v < p.Min || v > p.Max):
		reading.Err = drivers.ErrOutOfRange
		d.note(OutOfRange, b.in)
	case b.stale:
		reading.Err = drivers.ErrStale
		d.note(Stale, b.in)
	default:
		reading.Value, reading.Quality = v, drivers.Good
	}
	for i := b.start; i < len(d.inbox); i++ {
		if d.inbox[i].Point == p.ID {
			d.inbox[i] = reading
			return
		}
	}
	d.inbox = append(d.inbox, reading)
}

// outputState appends the state of an output and tells a write that waits for it.
func (d *Driver) outputState(o *output, b *body) {
	text := b.in.payload
	if len(o.path) > 0 {
		var ok bool
		if text, ok = lookup(text, o.path); !ok {
			return
		}
	}
	reading := drivers.Reading{Point: o.ID, At: b.at, Message: b.message}
	v, ok := o.state(strings.TrimSpace(string(unquote(text))))
	switch {
	case !ok:
		reading.Err = drivers.ErrNotANumber
		d.note(WrongType, b.in)
	case b.stale:
		reading.Err = drivers.ErrStale
		d.note(Stale, b.in)
	default:
		reading.Value, reading.Quality = v, drivers.Good
		if w := d.waiter; w != nil && w.point == o.ID && w.value == v {
			close(w.shown)
			d.waiter = nil
		}
	}
	d.inbox = append(d.inbox, reading)
}

// state is 1 or 0 for what a device says of its output.
func (o *output) state(text string) (float64, bool) {
	switch {
	case strings.EqualFold(text, o.on):
		return 1, true
	case strings.EqualFold(text, o.off):
		return 0, true
	case text == "true" || text == "1":
		return 1, true
	case text == "false" || text == "0":
		return 0, true
	}
	return 0, false
}

// parseTime reads ISO 8601 with any offset, or a number of milliseconds or seconds. A time before 2001 is a device that
// does not know it: not stamped. False when it is no time at all; without an offset an instant is not known either.
func parseTime(value []byte) (t time.Time, stamped, ok bool) {
	if len(value) > 0 && value[0] == '"' {
		t, err := time.Parse(time.RFC3339Nano, string(unquote(value)))
		return t, err == nil && t.Unix() >= 1e9, err == nil
	}
	if isNull(value) {
		return time.Time{}, false, true
	}
	n, ok := number(value)
	switch {
	case !ok || n < 0 || n > 1e15:
		return time.Time{}, false, false
	case n < 1e9:
		return time.Time{}, false, true
	case n < 1e11:
		return time.UnixMilli(int64(n * 1000)), true, true
	}
	return time.UnixMilli(int64(n)), true, true
}

// unitNames are the spellings met in the field, after spelling has made them plain.
var unitNames = map[string]string{
	"celsius": "°c", "c": "°c", "degc": "°c", "percent": "%", "%rh": "%", "pct": "%", "lux": "lx",
}

// spelling takes the ways in which signs are typed to one: both letters mu, and superscripts.
var spelling = strings.NewReplacer("µ", "u", "μ", "u", "²", "2", "℃", "°c")

// sameUnit compares two units; an empty one is equal to all.
func sameUnit(a, b string) bool {
	if a == "" || b == "" || a == b {
		return true
	}
	a, b = spelling.Replace(strings.ToLower(a)), spelling.Replace(strings.ToLower(b))
	if name, ok := unitNames[a]; ok {
		a = name
	}
	if name, ok := unitNames[b]; ok {
		b = name
	}
	return a == b
}

// derivedID is the same for the same message whenever and however often it comes: a v8 uuid of device, time and payload.
func derivedID(device string, at time.Time, payload []byte) (id [16]byte) {
	h := sha256.New()
	var stamp [8]byte
	binary.BigEndian.PutUint64(stamp[:], uint64(at.UnixNano()))
	h.Write([]byte(device))
	h.Write([]byte{0})
	h.Write(stamp[:])
	h.Write(payload)
	var sum [sha256.Size]byte
	copy(id[:], h.Sum(sum[:0]))
	return version(id, derived)
}

// arrivalID is a v7 uuid: time of arrival, and a hash of what names one QoS 1 message on its bus. So the ids of what was
// kept are enough to know it by when it comes again, also in another process.
func arrivalID(bus string, in *incoming) [16]byte {
	h := sha256.New()
	h.Write([]byte(bus))
	h.Write([]byte{0})
	h.Write([]byte(in.topic))
	h.Write([]byte{0, byte(in.packetID >> 8), byte(in.packetID)})
	h.Write(in.payload)
	var sum [sha256.Size]byte
	return timed([16]byte(h.Sum(sum[:0])), in.at)
}

// chanceID is a v7 uuid: time of arrival and chance.
func chanceID(at time.Time) (id [16]byte) {
	_, _ = rand.Read(id[:]) // never fails, says its documentation
	return timed(id, at)
}

// timed puts a time into an id.
func timed(id [16]byte, at time.Time) [16]byte {
	ms := uint64(at.UnixMilli())
	for i := range 6 {
		id[i] = byte(ms >> (40 - 8*i))
	}
	return version(id, 7)
}

// derived is the version of an id that is the same for the same message.
const derived = 8

// version makes an id a uuid of a version.
func version(id [16]byte, v byte) [16]byte {
	id[6] = id[6]&0x0f | v<<4
	id[8] = id[8]&0x3f | 0x80
	return id
}
