package profile_test

import (
	"testing"

	"gacp-erp.internal/glasshouse/drivers"
	"gacp-erp.internal/glasshouse/drivers/modbus"
	"gacp-erp.internal/glasshouse/drivers/mqtt"
	"gacp-erp.internal/glasshouse/drivers/profile"
)

// Each MQTT profile is one that the driver takes as it is, for two devices on one broker.
func TestMQTTProfilesBuild(t *testing.T) {
	built := 0
	for _, id := range profile.IDs() {
		p, _ := profile.Lookup(id)
		if p.Protocol != "mqtt" {
			continue
		}
		built++
		config := mqtt.Config{Name: "field", Endpoint: "mqtt://127.0.0.1:1883", ClientID: "test"}
		for device, zone := range map[string]string{"one": "ZONE-A1", "two": "ZONE-B1"} {
			config.Devices = append(config.Devices, deviceOf(p, device, zone))
		}
		driver, err := mqtt.New(config)
		if err != nil {
			t.Errorf("%s: %v", id, err)
			continue
		}
		if err := driver.Close(); err != nil {
			t.Errorf("%s: %v", id, err)
		}
	}
	if built == 0 {
		t.Error("no profile is for MQTT")
	}
}

func deviceOf(p *profile.Profile, id, zone string) mqtt.Device {
	text := func(s string) string { return profile.Expand(s, id, zone) }
	d := mqtt.Device{ID: id, Status: text(p.MQTT.Status)}
	if p.MQTT.Mapping == "paths" {
		d.Mapping = mqtt.Paths
	}
	for _, q := range p.Points {
		m := q.Message
		d.Points = append(d.Points, mqtt.Point{ID: drivers.PointID(id + "." + q.Name), Name: text(m.Name), Topic: text(m.Topic), Path: m.Path, Time: m.Time,
			Scale: m.Scale, Offset: m.Offset, Unit: q.Unit, Min: q.Min, Max: q.Max})
	}
	for _, o := range p.Outputs {
		d.Outputs = append(d.Outputs, mqtt.Output{ID: drivers.PointID(id + "." + o.Name), CommandTopic: text(o.CommandTopic), StateTopic: text(o.StateTopic),
			StatePath: o.StatePath, On: o.On, Off: o.Off, Retain: o.Retain})
	}
	return d
}

// Each Modbus profile is one that the driver takes as it is, and is read in as few requests as its map allows.
func TestModbusProfilesBuild(t *testing.T) {
	requests := map[string]int{"xy-md02": 1, "waveshare-relay-8": 1, "senseair-s8": 1, "vaisala-hmp": 1, "apogee-sq-422x": 1}
	for _, id := range profile.IDs() {
		p, _ := profile.Lookup(id)
		if p.Protocol != "modbus" {
			continue
		}
		driver, err := modbus.New(modbus.Config{Name: "north", Endpoint: "tcp://127.0.0.1:502", Units: []modbus.Unit{unitOf(t, p)}})
		if err != nil {
			t.Errorf("%s: %v", id, err)
			continue
		}
		if got := len(driver.Requests()); got != requests[id] {
			t.Errorf("%s is read in %d requests, want %d", id, got, requests[id])
		}
		if err := driver.Close(); err != nil {
			t.Errorf("%s: %v", id, err)
		}
	}
}

func unitOf(t *testing.T, p *profile.Profile) modbus.Unit {
	t.Helper()
	m := p.Modbus
	u := modbus.Unit{ID: "unit", Address: 1, Gap: m.Gap, MaxRegisters: m.MaxRegisters, TurnAround: m.TurnAround, InterFrame: m.InterFrame, AfterConnect: m.AfterConnect}
	for _, q := range p.Points {
		point := pointOf(t, q.Name, q.Register)
		point.Min, point.Max = q.Min, q.Max
		u.Points = append(u.Points, point)
	}
	for _, o := range p.Outputs {
		point := pointOf(t, o.Name, o.Register)
		point.Writable = true
		u.Points = append(u.Points, point)
	}
	return u
}

func pointOf(t *testing.T, name string, r *profile.Register) modbus.Point {
	t.Helper()
	table, err := modbus.ParseTable(r.Table)
	if err != nil {
		t.Fatal(err)
	}
	kind, err := modbus.ParseType(r.Type)
	if err != nil {
		t.Fatal(err)
	}
	bit := -1
	if r.Bit != nil {
		bit = *r.Bit
	}
	return modbus.Point{ID: drivers.PointID("unit." + name), Table: table, Address: uint16(r.Address), Type: kind, WordSwap: r.WordOrder == "little",
		ByteSwap: r.ByteOrder == "little", Bit: bit, Scale: r.Scale, Offset: r.Offset, Invalid: r.Invalid}
}
