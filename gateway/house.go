package gateway

import (
	"fmt"
	"math"
	"strings"
	"time"

	"gacp-erp.internal/glasshouse/buffer"
	"gacp-erp.internal/glasshouse/configs"
	"gacp-erp.internal/glasshouse/drivers"
	"gacp-erp.internal/glasshouse/drivers/profile"
	"gacp-erp.internal/glasshouse/gateway/contract"
	"gacp-erp.internal/glasshouse/gateway/scan"
	"gacp-erp.internal/glasshouse/gateway/uplink"
	"gacp-erp.internal/glasshouse/rules"
)

// house is the configuration with its profiles, resolved into what the packages work with: points, outputs, rules and
// buses by index. It never changes.
type house struct {
	gateway  string
	self     device // the gateway, which is one too
	buses    []busPlan
	devices  []device
	points   []point
	outputs  []output
	specs    []spec
	scan     scan.Config
	rules    *ruleSet
	lanes    []uplink.Lane
	pointOf  map[drivers.PointID]int
	deviceOf map[string]int
	outputOf map[string]int
}

// busPlan is one bus and the driver that speaks on it.
type busPlan struct {
	name, endpoint string
	driver         drivers.Driver
	pushes         bool // its devices speak first
	every, timeout time.Duration
	devices        []int
}

// device is one device and what the platform is told of it.
type device struct {
	id, zone, bus, unit, profile          string
	manufacturer, model, serial, firmware string
	capabilities                          []string
	offline                               time.Duration
}

// point is one value of a device, with what a person calls it.
type point struct {
	scan.Point
	ID       drivers.PointID
	name     string // within its device
	device   int
	quantity string
	unit     string
	sensor   string // uuid
	discrete bool
	extra    bool // the device has an earlier point of this quantity
	doubtful bool // its profile was never verified: Uncertain at best
}

// output is one actuator.
type output struct {
	name   string
	bus    int
	point  int
	analog bool
}

// spec is one rule as events tell of it.
type spec struct {
	sensor   string  // uuid of the value that it judges
	min, max float64 // what that value can physically be
}

// build resolves a configuration. Every fault is reported, those of the file with their place.
func build(o Options) (*house, error) {
	b := newBuilder(o)
	b.addBuses()
	for i := range o.Config.Devices {
		b.addDevice(&o.Config.Devices[i])
	}
	b.addRules()
	if err := b.faults.Err(); err != nil {
		return nil, err // drivers would only repeat it
	}
	b.addDrivers()
	if _, err := linkOptions(o.Config); err != nil {
		b.fault(o.Config.Uplink.Pos, "", "", "%v", err)
	}
	if err := b.faults.Err(); err != nil {
		return nil, err
	}
	b.finish()
	return b.house, nil
}

// builder gathers faults while it resolves.
type builder struct {
	config  *configs.Config
	options Options
	house   *house
	faults  configs.Faults
	bound   []boundDevice   // parallel to house.devices
	unknown map[string]bool // zones with a device that is not understood: what they measure is not either
}

func newBuilder(o Options) *builder {
	return &builder{config: o.Config, options: o, unknown: map[string]bool{}, house: &house{
		gateway: o.Config.Gateway.ID, pointOf: map[drivers.PointID]int{}, deviceOf: map[string]int{}, outputOf: map[string]int{},
	}}
}

// boundDevice is a configured device with its profile and the zone that its topics name.
type boundDevice struct {
	config  *configs.Device
	profile *profile.Profile
	bus     int
	points  []int // house.points, parallel to profile.Points
}

func (b *builder) fault(at configs.Pos, path, hint, format string, args ...any) {
	b.faults = append(b.faults, b.config.Fault(at, path, hint, format, args...))
}

func (b *builder) addBuses() {
	for i := range b.config.Buses {
		c := &b.config.Buses[i]
		b.house.buses = append(b.house.buses, busPlan{name: c.Name, endpoint: c.Endpoint(), pushes: c.Protocol() == "mqtt", every: c.Every, timeout: c.Timeout})
	}
}

// addDevice resolves one device with its points and outputs.
func (b *builder) addDevice(c *configs.Device) {
	p, ok := profile.Lookup(c.Profile)
	if !ok {
		b.fault(c.Pos, ".profile", known(c.Profile, profile.IDs()), "no profile is called %q", c.Profile)
		b.unknown[c.Zone] = true
		return
	}
	index := -1
	for i := range b.config.Buses {
		if b.config.Buses[i].Name == c.Bus {
			index = i
		}
	}
	if index < 0 {
		return // the loader has told
	}
	if want := b.config.Buses[index].Protocol(); p.Protocol != want {
		b.fault(c.Pos, ".bus", "", "%s speaks %s, and the bus %s is %s", p.ID, p.Protocol, c.Bus, want)
		b.unknown[c.Zone] = true
		return
	}
	b.checkNames(c, p)
	d := device{id: c.ID, zone: c.Zone, bus: c.Bus, profile: p.ID, capabilities: p.Capabilities, offline: b.offline(c, p),
		manufacturer: orElse(c.Manufacturer, p.Manufacturer), model: orElse(c.Model, p.Model), serial: c.Serial, firmware: c.Firmware}
	if c.Unit > 0 {
		d.unit = fmt.Sprintf("unit %d", c.Unit)
	}
	number := len(b.house.devices)
	b.house.deviceOf[d.id] = number
	b.house.devices = append(b.house.devices, d)
	b.house.buses[index].devices = append(b.house.buses[index].devices, number)
	bound := boundDevice{config: c, profile: p, bus: index}
	seen := map[string]bool{}
	for i := range p.Points {
		bound.points = append(bound.points, b.addPoint(number, c, p, &p.Points[i], seen))
	}
	b.bound = append(b.bound, bound)
	for i := range c.Outputs {
		b.addOutput(number, index, c, p, &c.Outputs[i])
	}
}

// checkNames finds points and outputs that the profile does not have.
func (b *builder) checkNames(c *configs.Device, p *profile.Profile) {
	for i := range c.Points {
		if _, ok := p.Point(c.Points[i].Point); !ok {
			b.fault(c.Points[i].Pos, "", known(c.Points[i].Point, p.PointNames()), "the profile %s has no point %q", p.ID, c.Points[i].Point)
		}
	}
	for i := range c.Outputs {
		if _, ok := p.Output(c.Outputs[i].Output); !ok {
			b.fault(c.Outputs[i].Pos, "", known(c.Outputs[i].Output, p.OutputNames()), "the profile %s has no output %q", p.ID, c.Outputs[i].Output)
		}
	}
}

// known is the hint for a name that does not exist.
func known(word string, among []string) string {
	if near := configs.Nearest(word, among); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	if len(among) == 0 {
		return "there are none"
	}
	return "there are " + strings.Join(among, ", ")
}

// offline is how long a device may be silent: the file's word, the profile's, three polls, or five minutes on MQTT.
func (b *builder) offline(c *configs.Device, p *profile.Profile) time.Duration {
	switch {
	case c.Offline > 0:
		return c.Offline
	case p.Offline > 0:
		return p.Offline
	case p.Protocol == "mqtt":
		return 5 * time.Minute
	}
	return max(30*time.Second, 3*b.period(c, 0))
}

// defaultEvery is the poll period of a bus that says none.
const defaultEvery = 5 * time.Second

// period is how often a device's points are polled.
func (b *builder) period(c *configs.Device, point time.Duration) time.Duration {
	bus, _ := b.config.Bus(c.Bus)
	switch {
	case c.Every > 0:
		return c.Every
	case point > 0:
		return point
	case bus != nil && bus.Every > 0:
		return bus.Every
	}
	return defaultEvery
}

func (b *builder) addPoint(number int, c *configs.Device, p *profile.Profile, from *profile.Point, seen map[string]bool) int {
	id := drivers.PointID(c.ID + "." + from.Name)
	pt := point{ID: id, name: from.Name, device: number, quantity: from.Quantity, unit: from.Unit, extra: seen[from.Quantity], doubtful: !p.Verified,
		sensor: contract.SensorID(b.house.gateway, c.ID, from.Name), discrete: from.Register != nil && discrete(from.Register)}
	seen[from.Quantity] = true
	pt.Point = scan.Point{ID: id, Device: number, Zone: c.Zone, Quantity: from.Quantity, Unit: from.Unit, Min: from.Min, Max: from.Max,
		MaxAge: from.MaxAge, UseUncertain: from.UseUncertain, Optional: from.Optional}
	if o, ok := c.Point(from.Name); ok {
		pt.Optional = false
		pt.Zone = orElse(o.Zone, c.Zone)
		pt.sensor = orElse(o.SensorID, pt.sensor)
		if !math.IsNaN(o.Limits.Min) {
			pt.Min = o.Limits.Min
		}
		if !math.IsNaN(o.Limits.Max) {
			pt.Max = o.Limits.Max
		}
		if o.MaxAge > 0 {
			pt.MaxAge = o.MaxAge
		}
	}
	if pt.MaxAge == 0 {
		if pt.MaxAge = 3 * b.period(c, from.Every); p.Protocol == "mqtt" {
			pt.MaxAge = 2 * time.Minute
		}
		pt.MaxAge = max(pt.MaxAge, 15*time.Second)
	}
	b.house.pointOf[id] = len(b.house.points)
	b.house.points = append(b.house.points, pt)
	return len(b.house.points) - 1
}

// discrete says that a register holds on or off.
func discrete(r *profile.Register) bool {
	return r.Table == "coil" || r.Table == "discrete" || r.Bit != nil || r.Type == "bool"
}

func (b *builder) addOutput(number, bus int, c *configs.Device, p *profile.Profile, from *configs.Output) {
	o, ok := p.Output(from.Output)
	if !ok {
		return // told
	}
	id := drivers.PointID(c.ID + "." + from.Output)
	zone := orElse(from.Zone, c.Zone)
	if o.Analog && o.Min < o.Max && (from.Safe < o.Min || from.Safe > o.Max) || !o.Analog && from.Safe != 0 && from.Safe != 1 {
		b.fault(from.Pos, ".safe", "", "%g is no value of %s", from.Safe, from.Output)
	}
	age := 15 * time.Second
	if p.Protocol == "modbus" {
		age = max(age, 3*b.period(c, 0))
	} else {
		age = 0 // an MQTT switch tells its state when it changes
	}
	b.house.pointOf[id] = len(b.house.points)
	b.house.points = append(b.house.points, point{ID: id, name: from.Output, device: number, quantity: "output", discrete: !o.Analog,
		Point: scan.Point{ID: id, Device: number, Zone: zone, Quantity: "output", MaxAge: age}, sensor: contract.SensorID(b.house.gateway, c.ID, from.Output)})
	name := orElse(from.Name, string(id))
	b.house.outputOf[name] = len(b.house.outputs)
	b.house.outputs = append(b.house.outputs, output{name: name, bus: bus, point: len(b.house.points) - 1, analog: o.Analog})
	b.house.scan.Outputs = append(b.house.scan.Outputs, scan.Output{Name: name, Zone: zone, Device: number, Point: len(b.house.points) - 1,
		Safe: from.Safe, Hold: from.Hold, MinOn: from.MinOn, MinOff: from.MinOff, MaxRun: from.MaxRun})
}

// finish fills in what the cycle is built of.
func (b *builder) finish() {
	h := b.house
	s := &h.scan
	s.Gateway, s.Facility = h.gateway, b.config.Gateway.FacilityID
	s.Observe, s.Grace, s.Rules = b.config.Gateway.Mode == configs.Observe, b.config.Gateway.Grace, h.rules
	for i := range h.devices {
		s.Devices = append(s.Devices, scan.Device{ID: h.devices[i].id, Zone: h.devices[i].zone, Offline: h.devices[i].offline})
	}
	for i := range h.points {
		s.Points = append(s.Points, h.points[i].Point)
	}
	for i := range h.buses {
		s.Buses = append(s.Buses, h.buses[i].name)
	}
	h.self = device{id: h.gateway, manufacturer: "GACP", model: "glasshouse", firmware: b.options.Version, capabilities: []string{"gateway"}}
	for _, t := range contract.Topics() {
		topic := orElse(b.config.Uplink.Topics[t.Name], t.Name)
		h.lanes = append(h.lanes, uplink.Lane{Name: buffer.Lane(t.Name), Topic: topic, Critical: t.Critical})
	}
}

func orElse(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// ruleSet is the compiled rules with their state, as the cycle wants them.
type ruleSet struct {
	set   *rules.Set
	state *rules.State
}

var _ scan.Evaluator = (*ruleSet)(nil)

func (r *ruleSet) Eval(now rules.Moment, in rules.Image) rules.Outcome {
	return r.set.Eval(now, in, r.state)
}
func (r *ruleSet) Save(now rules.Moment) ([]byte, error) { return r.set.Save(now, r.state) }
func (r *ruleSet) Restore(saved []byte, now rules.Moment) error {
	return r.set.Restore(saved, now, r.state)
}
func (r *ruleSet) View(rule int) rules.View { return r.set.View(rule, r.state) }
