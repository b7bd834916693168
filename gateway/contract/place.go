package contract

import "strconv"

// slot is a member that telemetry's data has for one quantity.
type slot uint8

const (
	slotNone slot = iota
	slotTemperature
	slotHumidity
	slotPressure
	slotBatteryLevel
	slotSignalStrength
	slotUptime
	slotMemoryUsage
	slotCPUUsage
	slotErrorCount
	slotLatitude
	slotLongitude
	slotAltitude
)

// slotOf is the member of a quantity, and the unit that its number has there.
func slotOf(quantity string) (s slot, unit string) {
	switch quantity {
	case Temperature:
		return slotTemperature, "°C"
	case Humidity:
		return slotHumidity, "%"
	case "pressure":
		return slotPressure, "hPa"
	case "batteryLevel":
		return slotBatteryLevel, "%"
	case "signalStrength":
		return slotSignalStrength, "dBm"
	case "uptime":
		return slotUptime, "s"
	case "memoryUsage":
		return slotMemoryUsage, "B"
	case "cpuUsage":
		return slotCPUUsage, "%"
	case "errorCount":
		return slotErrorCount, ""
	case "latitude":
		return slotLatitude, "°"
	case "longitude":
		return slotLongitude, "°"
	case "altitude":
		return slotAltitude, "m"
	}
	return slotNone, ""
}

// member is how a slot's member begins.
func (s slot) member() string {
	switch s {
	case slotTemperature:
		return `"temperature":`
	case slotHumidity:
		return `"humidity":`
	case slotPressure:
		return `"pressure":`
	case slotBatteryLevel:
		return `"batteryLevel":`
	case slotSignalStrength:
		return `"signalStrength":`
	case slotUptime:
		return `"uptime":`
	case slotMemoryUsage:
		return `"memoryUsage":`
	case slotCPUUsage:
		return `"cpuUsage":`
	case slotErrorCount:
		return `"errorCount":`
	case slotLatitude:
		return `"latitude":`
	case slotLongitude:
		return `"longitude":`
	case slotAltitude:
		return `"altitude":`
	}
	return ""
}

// slots are those already taken by a value of the same event.
type slots uint32

// take gives a value its slot. The first of a quantity takes it even when it is Bad: another sensor's number must not stand
// in for it. A number in another unit, or one the platform refuses there, has no slot.
func (taken *slots) take(v *Value) slot {
	if v.Discrete || v.Extra {
		return slotNone
	}
	s, unit := slotOf(v.Quantity)
	if s == slotNone || v.Unit != "" && v.Unit != unit || *taken&(1<<s) != 0 {
		return slotNone
	}
	*taken |= 1 << s
	if s == slotBatteryLevel && (v.Value < 0 || v.Value > 100) {
		return slotNone
	}
	return s
}

// appendData appends the members of data and closes it.
func (e *Encoder) appendData(b []byte, t *Telemetry) []byte {
	var taken slots
	analog, discrete, doubt := false, false, false
	for i := range t.Values {
		v := &t.Values[i]
		s := taken.take(v)
		doubt = doubt || v.Quality != Good
		switch {
		case v.Quality == Bad:
		case v.Discrete:
			discrete = true
		case s == slotNone:
			analog = true
		default:
			b = append(comma(b), s.member()...)
			b = appendNumber(b, v.Value)
		}
	}
	if analog {
		b = appendAnalog(b, t.Values)
	}
	if discrete {
		b = appendDiscrete(b, t.Values)
	}
	if doubt || t.Zone != "" || t.Protocol != "" || len(t.Facts) > 0 {
		b = e.appendCustom(b, t, doubt)
	}
	return append(b, '}')
}

// appendAnalog appends the numbers that have no slot.
func appendAnalog(b []byte, values []Value) []byte {
	var taken slots
	b = append(comma(b), `"analogInputs":[`...)
	for i := range values {
		v := &values[i]
		if taken.take(v) != slotNone || v.Discrete || v.Quality == Bad {
			continue
		}
		b = appendString(append(comma(b), `{"id":`...), v.id())
		b = appendNumber(append(b, `,"value":`...), v.Value)
		if unit := v.unit(); unit != "" {
			b = appendString(append(b, `,"unit":`...), unit)
		}
		b = append(b, '}')
	}
	return append(b, ']')
}

// unit is the value's unit, the quantity's usual one when it names none, "" when there is none.
func (v *Value) unit() string {
	if v.Unit != "" {
		return v.Unit
	}
	if s, unit := slotOf(v.Quantity); s != slotNone {
		return unit
	}
	return usualUnit(v.Quantity)
}

// appendDiscrete appends what is on or off.
func appendDiscrete(b []byte, values []Value) []byte {
	b = append(comma(b), `"discreteInputs":[`...)
	for i := range values {
		v := &values[i]
		if !v.Discrete || v.Quality == Bad {
			continue
		}
		b = appendString(append(comma(b), `{"id":`...), v.id())
		b = strconv.AppendBool(append(b, `,"state":`...), v.Value != 0)
		b = append(b, '}')
	}
	return append(b, ']')
}

// appendCustom appends what is only ours.
func (e *Encoder) appendCustom(b []byte, t *Telemetry, doubt bool) []byte {
	b = append(comma(b), `"custom":{`...)
	if t.Protocol != "" {
		b = appendString(append(b, `"protocol":`...), t.Protocol)
	}
	if t.Zone != "" {
		b = append(append(comma(b), `"facilityId":`...), e.facility...)
		b = appendString(append(b, `,"zone":`...), t.Zone)
	}
	if doubt {
		b = appendDoubt(b, t.Values, Bad, `"bad":{`, "no usable value")
		b = appendDoubt(b, t.Values, Uncertain, `"uncertain":{`, "of uncertain quality")
	}
	return append(appendFacts(b, t.Facts), '}')
}

// appendDoubt names the values of a quality with their reasons; nothing when there is none.
func appendDoubt(b []byte, values []Value, q Quality, member, otherwise string) []byte {
	open := false
	for i := range values {
		v := &values[i]
		if v.Quality != q || named(values[:i], q, v.id()) {
			continue
		}
		if !open {
			b, open = append(comma(b), member...), true
		}
		b = append(appendString(comma(b), v.id()), ':')
		b = appendString(b, orElse(v.Reason, otherwise))
	}
	if open {
		b = append(b, '}')
	}
	return b
}

// named tells whether a value of the quality and name is there: a JSON object has each name once.
func named(values []Value, q Quality, id string) bool {
	for i := range values {
		if values[i].Quality == q && values[i].id() == id {
			return true
		}
	}
	return false
}
