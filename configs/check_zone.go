package configs

import (
	"fmt"
	"math"
)

func (k *checker) allZones() {
	ids, used := map[string]Pos{}, k.usedZones()
	for i := range k.c.Zones {
		z := &k.c.Zones[i]
		for j, id := range z.PlatformIDs {
			k.unique(ids, "platform id", id, z.Pos, fmt.Sprintf(".platformIds[%d]", j))
		}
		if z.Day.Set && z.Day.From == z.Day.To && k.sound(z.Day.Pos, ".from") && k.sound(z.Day.Pos, ".to") {
			k.fault(z.Day.Pos, "", "leave day out when it is always day", "begins and ends at the same time")
		}
		if z.Day.From == day {
			k.fault(z.Day.Pos, ".from", `"00:00"`, "no day begins at 24:00")
		}
		if len(z.Ranges) > 0 && z.Name != "" && !used[z.Name] {
			k.fault(z.Pos, ".ranges", fmt.Sprintf("give a device zone: %s", z.Name), "no device is in this zone: nothing can be measured")
		}
		for j := range z.Ranges {
			k.rng(z, &z.Ranges[j])
		}
	}
}

// usedZones are those that something is in.
func (k *checker) usedZones() map[string]bool {
	used := map[string]bool{}
	for i := range k.c.Devices {
		d := &k.c.Devices[i]
		used[d.Zone] = true
		for j := range d.Points {
			used[d.Points[j].Zone] = true
		}
	}
	return used
}

func (k *checker) rng(z *Zone, g *Range) {
	q, known := QuantityOf(g.Quantity)
	if !known {
		return
	}
	k.within(g, ".day", g.Day, q)
	if k.given(g.Pos, ".night") {
		k.within(g, ".night", g.Night, q)
		if !z.Day.Set {
			k.fault(g.Pos, ".night", `say when it is: day: {from: "06:00", to: "24:00"} in the zone`, "the zone has no day and night")
		}
	}
	for _, side := range []struct {
		path string
		Limits
	}{{".day", g.Day}, {".night", g.Night}} {
		if width := side.Max - side.Min; 2*g.Hysteresis >= width && (side.path == ".day" || k.given(g.Pos, ".night")) {
			k.fault(g.Pos, ".hysteresis", "a breach would never be over", "%s on both sides leaves nothing of %s %s", number64(g.Hysteresis), side.path[1:], side.Limits)
			break
		}
	}
	if g.Critical > 0 && g.Emergency > 0 && g.Critical >= g.Emergency {
		k.fault(g.Pos, ".emergency", "both are deviations beyond the limit", "%s is not more than critical, %s", number64(g.Emergency), number64(g.Critical))
	}
	k.actions(g)
}

// within checks that limits can be reached at all.
func (k *checker) within(g *Range, path string, l Limits, q Quantity) {
	if l.Min < q.Min || l.Max > q.Max || l.Min > q.Max || l.Max < q.Min {
		k.fault(g.Pos, path, fmt.Sprintf("in %s", q.Unit), "%s goes beyond what %s can be, %s..%s %s", l, q.Name, number64(q.Min), number64(q.Max), q.Unit)
	}
}

// actions checks both corrections of a range.
func (k *checker) actions(g *Range) {
	above := k.list(g, "above", g.Above, math.IsNaN(g.Day.Max) && math.IsNaN(g.Night.Max), "upper")
	k.list(g, "below", g.Below, math.IsNaN(g.Day.Min) && math.IsNaN(g.Night.Min), "lower")
	for _, a := range g.Below {
		if b, both := above[a.Output]; both && b.Value == a.Value {
			k.fault(a.Pos, "", "", "above sets %s too: it cannot help against too much and against too little", a)
		}
	}
}

// list checks one correction and returns it by output.
func (k *checker) list(g *Range, key string, actions []Action, open bool, side string) map[string]Action {
	if len(actions) > 0 && open && k.given(g.Pos, ".day") && !g.Day.IsOpen() {
		k.fault(g.Pos, "."+key, "", "can never happen: the range has no %s limit", side)
	}
	by := map[string]Action{}
	for _, a := range actions {
		if a.Output == "" {
			continue
		}
		if first, twice := by[a.Output]; twice {
			k.fault(a.Pos, "", "", "%s is set here already, to %s", a.Output, switchText(first.Value))
			continue
		}
		by[a.Output] = a
		if _, known := k.outputs[a.Output]; !known {
			k.fault(a.Pos, "", meant(a.Output, sortedNames(k.outputs)), "there is no output %q", a.Output)
		}
	}
	return by
}
