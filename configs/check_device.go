package configs

import "fmt"

func (k *checker) devices() {
	ids, sensors := map[string]Pos{}, map[string]Pos{}
	units := map[string]*Device{}
	for i := range k.c.Devices {
		d := &k.c.Devices[i]
		k.unique(ids, "device", d.ID, d.Pos, ".id")
		if d.ID != "" && d.ID == k.c.Gateway.ID {
			k.fault(d.Pos, ".id", "", "is the gateway's own id; the gateway is a device, too")
		}
		k.onBus(d, units)
		k.inZone(d.Pos, d.Zone)
		for j := range d.Points {
			p := &d.Points[j]
			k.inZone(p.Pos, p.Zone)
			k.unique(sensors, "sensorId", p.SensorID, p.Pos, ".sensorId")
			if p.Limits.Min >= p.Limits.Max {
				k.fault(p.Pos, ".max", "", "%s is not above min, %s", number64(p.Limits.Max), number64(p.Limits.Min))
			}
		}
		for j := range d.Outputs {
			k.output(&d.Outputs[j])
		}
	}
}

// onBus checks what depends on the device's bus.
func (k *checker) onBus(d *Device, units map[string]*Device) {
	if d.Bus == "" {
		return
	}
	bus, known := k.buses[d.Bus]
	switch {
	case !known:
		k.fault(d.Pos, ".bus", meant(d.Bus, sortedNames(k.buses)), "there is no bus %q", d.Bus)
	case bus.MQTT != "":
		for _, key := range []string{"unit", "every"} {
			if k.given(d.Pos, "."+key) {
				k.fault(d.Pos, "."+key, "", "is for modbus; the bus %q is mqtt", d.Bus)
			}
		}
	case bus.Modbus != "":
		if k.given(d.Pos, ".user") {
			k.fault(d.Pos, ".user", "", "is for mqtt; the bus %q is modbus", d.Bus)
		}
		if !k.given(d.Pos, ".unit") {
			k.fault(d.Pos, ".unit", "the address set on the device, 1 to 247", "is missing")
		}
		place := fmt.Sprintf("%s/%d", d.Bus, d.Unit)
		if other, taken := units[place]; taken && d.Unit > 0 {
			k.fault(d.Pos, ".unit", "two devices on a line need two addresses", "%d on the bus %q is the device %q in line %d", d.Unit, d.Bus, other.ID, other.Line)
			return
		}
		units[place] = d
	}
}

// inZone checks that a zone is there.
func (k *checker) inZone(at Pos, zone string) {
	if _, known := k.zones[zone]; !known && zone != "" {
		k.fault(at, ".zone", meant(zone, sortedNames(k.zones)), "there is no zone %q", zone)
	}
}

func (k *checker) output(o *Output) {
	k.unique(k.outputs, "output", o.Name, o.Pos, ".name")
	k.inZone(o.Pos, o.Zone)
	if o.MaxRun == 0 {
		return
	}
	if o.Safe != 0 && k.sound(o.Pos, ".safe") {
		k.fault(o.Pos, ".maxRun", "make its safe value off, or leave maxRun out", "limits how long it is on, but it is safe when it is %s", switchText(o.Safe))
	}
	if o.Hold {
		k.fault(o.Pos, ".hold", "leave one of them out", "with hold it may stay on while nobody watches over maxRun")
	}
	if o.MinOn >= o.MaxRun {
		k.fault(o.Pos, ".minOn", "", "%s is not shorter than maxRun, %s", spanText(o.MinOn), spanText(o.MaxRun))
	}
}
