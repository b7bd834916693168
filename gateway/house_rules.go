package gateway

import (
	"math"
	"slices"

	"gacp-erp.internal/glasshouse/configs"
	"gacp-erp.internal/glasshouse/gateway/contract"
	"gacp-erp.internal/glasshouse/gateway/scan"
	"gacp-erp.internal/glasshouse/rules"
)

// addRules makes one rule of each zone's range and compiles them.
func (b *builder) addRules() {
	var specs []rules.Spec
	for i := range b.config.Zones {
		zone := &b.config.Zones[i]
		for k := range zone.Ranges {
			if s, ok := b.rule(zone, &zone.Ranges[k]); ok {
				specs = append(specs, s)
			}
		}
	}
	if len(b.faults) > 0 {
		return
	}
	set, err := rules.Compile(specs)
	if err != nil {
		for _, fault := range split(err) {
			b.fault(configs.Pos{Path: "zones"}, "", "", "%v", fault)
		}
		return
	}
	b.house.rules = &ruleSet{set: set, state: set.NewState()}
}

// rule resolves one range: which points measure it, and which outputs correct it.
func (b *builder) rule(zone *configs.Zone, r *configs.Range) (rules.Spec, bool) {
	q, ok := configs.QuantityOf(r.Quantity)
	if !ok {
		return rules.Spec{}, false // the loader has told
	}
	s := rules.Spec{ID: zone.Name + "/" + r.Quantity, Zone: zone.Name, Quantity: r.Quantity, Unit: q.Unit,
		Day: rules.Limits(r.Day), Night: rules.Limits(r.Night), DayFrom: zone.Day.From, DayTo: zone.Day.To,
		Hysteresis: r.Hysteresis, For: r.For, KeepFor: r.KeepFor, Critical: r.Critical, Emergency: r.Emergency,
		Above: b.actions(r.Above), Below: b.actions(r.Below), Within: r.Within, Loss: r.Loss}
	told := spec{min: q.Min, max: q.Max, sensor: contract.DerivedSensorID(b.house.gateway, zone.Name, r.Quantity)}
	s.Inputs = b.inputs(zone.Name, r.Quantity)
	switch {
	case len(s.Inputs) == 1:
		told = b.measured(s.Inputs[0], told)
	case len(s.Inputs) > 1: // the median has no single sensor
	case r.Quantity == "vpd":
		temperature, humidity := b.inputs(zone.Name, "temperature"), b.inputs(zone.Name, "humidity")
		if len(temperature) == 0 || len(humidity) == 0 {
			b.blind(zone.Name, r, "add devices with temperature and humidity to the zone", "vpd, nor both temperature and humidity")
			return s, false
		}
		s.Derive, s.Split = rules.VPD, len(temperature)
		s.Inputs = slices.Concat(temperature, humidity)
	default:
		b.blind(zone.Name, r, "give the zone to a device that does", r.Quantity)
		return s, false
	}
	b.house.specs = append(b.house.specs, told)
	b.house.scan.Specs = append(b.house.scan.Specs, scan.Spec{ID: s.ID, Zone: s.Zone, Quantity: s.Quantity, Unit: s.Unit,
		Inputs: s.Inputs, Outputs: outputsOf(s.Above, s.Below)})
	return s, true
}

// blind tells that nothing measures what a range is about, unless that is because a device's profile is not known.
func (b *builder) blind(zone string, r *configs.Range, hint, what string) {
	if !b.unknown[zone] {
		b.fault(r.Pos, "", hint, "nothing in zone %s measures %s", zone, what)
	}
}

// inputs are the points of a quantity in a zone, in the order of the file.
func (b *builder) inputs(zone, quantity string) []int {
	var found []int
	for i := range b.house.points {
		if p := &b.house.points[i]; p.Zone == zone && p.quantity == quantity {
			found = append(found, i)
		}
	}
	return found
}

// measured is what is told of a value that one sensor measures.
func (b *builder) measured(index int, otherwise spec) spec {
	p := &b.house.points[index]
	otherwise.sensor = p.sensor
	if p.Min < p.Max {
		otherwise.min, otherwise.max = math.Max(p.Min, otherwise.min), math.Min(p.Max, otherwise.max)
	}
	return otherwise
}

func (b *builder) actions(from []configs.Action) []rules.Action {
	var actions []rules.Action
	for _, a := range from {
		index, ok := b.house.outputOf[a.Output]
		if !ok {
			continue // the loader has told
		}
		if o := &b.house.outputs[index]; !o.analog && a.Value != 0 && a.Value != 1 {
			b.fault(a.Pos, "", "want on or off", "%s is a switch and cannot be %g", a.Output, a.Value)
		}
		actions = append(actions, rules.Action{Output: index, Name: a.Output, Value: a.Value})
	}
	return actions
}

// outputsOf are the outputs that actions may set, each once.
func outputsOf(sides ...[]rules.Action) []int {
	var outputs []int
	for _, side := range sides {
		for _, a := range side {
			if !slices.Contains(outputs, a.Output) {
				outputs = append(outputs, a.Output)
			}
		}
	}
	return outputs
}

// split takes joined errors apart.
func split(err error) []error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok { //nolint:errorlint // the joined error itself, not one that it wraps
		var all []error
		for _, one := range joined.Unwrap() {
			all = append(all, split(one)...)
		}
		return all
	}
	return []error{err}
}
