package mqtt

import (
	"slices"
	"strings"

	"gacp-erp.internal/glasshouse/drivers"
)

// table is the desired state: which topics are listened to and what each means. Built once, read only.
type table struct {
	routes  map[string]*route // by topic; the platform's users/{user}/ prefix is cut off
	filters []string          // what is subscribed, sorted
	outputs map[drivers.PointID]*output
}

// route is what the messages of one topic mean.
type route struct {
	device  string // the device as configured
	user    string // the user its topic must have; "": any, or the topic has none
	kind    drivers.MessageKind
	flat    *names   // the platform's telemetry body
	points  []*point // values by path
	outputs []*output
	json    bool // false: the payload may be any text
}

// names finds the point of a sensor's name in the platform's telemetry body.
type names struct {
	top, analog, discrete, custom, system map[string]*point
}

// point is a Point made ready.
type point struct {
	Point
	device   string
	platform bool
	truth    bool // true and false are values of it: 1 and 0
	path     []step
	times    [][]step
}

// output is an Output made ready.
type output struct {
	Output
	device  string
	on, off string
	path    []step
}

// limits are what quantities can physically be, in the platform's units.
var limits = map[string][2]float64{
	"temperature": {-60, 100}, "humidity": {0, 100}, "pressure": {300, 1200}, "batteryLevel": {0, 100},
}

// newTable compiles a valid configuration.
func newTable(devices []Device) *table {
	t := &table{routes: map[string]*route{}, outputs: map[drivers.PointID]*output{}}
	for i := range devices {
		d := &devices[i]
		if d.Mapping == Platform {
			t.addPlatform(d)
		}
		if d.Status != "" {
			t.route(d.Status, d.ID).kind = drivers.Status
		}
		for _, p := range d.Points {
			if p.Topic != "" {
				r := t.route(p.Topic, d.ID)
				r.points = append(r.points, compile(d, p))
				r.json = true
			}
		}
		for _, o := range d.Outputs {
			out := &output{Output: o, device: d.ID}
			out.on, out.off = o.payloads()
			out.path, _ = parsePath(o.StatePath)
			t.outputs[o.ID] = out
			r := t.route(o.StateTopic, d.ID)
			r.outputs = append(r.outputs, out)
			r.json = r.json || len(out.path) > 0
		}
	}
	slices.Sort(t.filters)
	t.filters = slices.Compact(t.filters)
	return t
}

// route is that of a topic, made and subscribed to when it is not there yet.
func (t *table) route(topic, device string) *route {
	t.filters = append(t.filters, topic)
	r := t.routes[topic]
	if r == nil {
		r = &route{device: device}
		t.routes[topic] = r
	}
	return r
}

// addPlatform adds the topics that the platform gives every device.
func (t *table) addPlatform(d *Device) {
	user := d.User
	if user == "" {
		user = "+"
	}
	for tail, kind := range map[string]drivers.MessageKind{
		"/telemetry": drivers.Telemetry, "/status": drivers.Status, "/attributes": drivers.Attributes,
	} {
		topic := "devices/" + d.ID + tail
		r := t.route(topic, d.ID)
		r.kind, r.user, r.json = kind, d.User, true
		t.filters = append(t.filters, "users/"+user+"/"+topic)
		if kind != drivers.Telemetry {
			continue
		}
		r.flat = &names{top: map[string]*point{}, analog: map[string]*point{}, discrete: map[string]*point{},
			custom: map[string]*point{}, system: map[string]*point{}}
		for _, p := range d.Points {
			if p.Topic == "" {
				r.flat.add(compile(d, p))
			}
		}
	}
}

// add enters a point under its name; a name without a prefix is looked for wherever the platform puts sensors.
func (n *names) add(p *point) {
	prefix, rest, cut := strings.Cut(p.Name, ".")
	if in := map[string]map[string]*point{
		"analogInputs": n.analog, "discreteInputs": n.discrete, "custom": n.custom, "system": n.system, "sensors": n.top,
	}[prefix]; cut && in != nil {
		p.truth = prefix == "discreteInputs" || prefix == "custom" && p.Unit == ""
		in[rest] = p
		return
	}
	n.top[p.Name], n.analog[p.Name] = p, p
	contact := *p
	contact.truth = true
	n.discrete[p.Name] = &contact
}

// compile makes a valid Point ready.
func compile(d *Device, p Point) *point {
	c := &point{Point: p, device: d.ID, platform: d.Mapping == Platform}
	c.truth = !c.platform && p.Unit == "" // a contact that says true; what has a unit is a number
	if c.Scale == 0 {
		c.Scale = 1
	}
	if limit, ok := limits[p.Name]; ok && p.Min == 0 && p.Max == 0 {
		c.Min, c.Max = limit[0], limit[1]
	}
	if c.Path == "" && c.platform {
		c.Path = "value"
	}
	c.path, _ = parsePath(c.Path)
	switch {
	case p.Time != "":
		at, _ := parsePath(p.Time)
		c.times = [][]step{at}
	case c.platform:
		c.times = [][]step{{{key: "recorded_at"}}, {{key: "timestamp"}}}
	}
	return c
}

// find is the route of a topic, nil when there is none.
func (t *table) find(topic string) *route {
	if r := t.routes[topic]; r != nil {
		return r
	}
	rest, ok := strings.CutPrefix(topic, "users/")
	if !ok {
		return nil
	}
	user, rest, _ := strings.Cut(rest, "/")
	r := t.routes[rest]
	if r == nil || !strings.HasPrefix(rest, "devices/") || (r.user != "" && r.user != user) {
		return nil
	}
	return r
}
