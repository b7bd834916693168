package gateway

import (
	"context"
	"net"
	"os"
	"time"

	"gacp-erp.internal/glasshouse/configs"
	"gacp-erp.internal/glasshouse/drivers"
	"gacp-erp.internal/glasshouse/drivers/modbus"
	"gacp-erp.internal/glasshouse/drivers/mqtt"
	"gacp-erp.internal/glasshouse/drivers/profile"
)

// receiveMaximum is how many QoS 1 messages a broker may send before the first must be acknowledged.
const receiveMaximum = 1000

// addDrivers builds the driver of each bus; its faults are those of the bus.
func (b *builder) addDrivers() {
	for i := range b.house.buses {
		c := &b.config.Buses[i]
		var err error
		if b.house.buses[i].pushes {
			b.house.buses[i].driver, err = b.mqtt(i, c)
		} else {
			b.house.buses[i].driver, err = b.modbus(i, c)
		}
		if err != nil {
			for _, fault := range split(err) {
				b.fault(c.Pos, "", "", "%v", fault)
			}
		}
	}
}

// dial is the replacement of the network for one bus, nil for the real one.
func (b *builder) dial(bus string) func(context.Context) (net.Conn, error) {
	if b.options.World.Bus == nil {
		return nil
	}
	return func(ctx context.Context) (net.Conn, error) { return b.options.World.Bus(ctx, bus) }
}

func (b *builder) modbus(bus int, c *configs.Bus) (drivers.Driver, error) {
	config := modbus.Config{Name: c.Name, Endpoint: c.Modbus, Timeout: c.Timeout, Every: c.Every, Dial: b.dial(c.Name), Log: b.options.Log}
	for _, d := range b.bound {
		if d.bus != bus {
			continue
		}
		t := d.profile.Modbus
		unit := modbus.Unit{ID: d.config.ID, Address: byte(d.config.Unit), Gap: t.Gap, MaxRegisters: t.MaxRegisters,
			TurnAround: t.TurnAround, InterFrame: t.InterFrame, AfterConnect: t.AfterConnect}
		for i := range d.profile.Points {
			from, p := &d.profile.Points[i], &b.house.points[d.points[i]]
			register := b.register(d.config, from.Register, p.ID, d.config.Every, from.Every)
			register.Min, register.Max = p.Min, p.Max
			unit.Points = append(unit.Points, register)
		}
		for i := range d.config.Outputs {
			if from, ok := d.profile.Output(d.config.Outputs[i].Output); ok {
				register := b.register(d.config, from.Register, drivers.PointID(d.config.ID+"."+from.Name), d.config.Every, 0)
				register.Min, register.Max, register.Writable = from.Min, from.Max, true
				register.ReadBack = b.readBack(d.config, from.ReadBack)
				unit.Points = append(unit.Points, register)
			}
		}
		config.Units = append(config.Units, unit)
	}
	return modbus.New(config)
}

// register is a profile's register in the driver's words.
func (b *builder) register(c *configs.Device, r *profile.Register, id drivers.PointID, device, point time.Duration) modbus.Point {
	p := modbus.Point{ID: id, Address: uint16(r.Address), Bit: -1, Scale: r.Scale, Offset: r.Offset, Every: point,
		WordSwap: r.WordOrder == "little", ByteSwap: r.ByteOrder == "little", Invalid: r.Invalid}
	if device > 0 {
		p.Every = device
	}
	if r.Bit != nil {
		p.Bit = *r.Bit
	}
	var err error
	if p.Table, err = modbus.ParseTable(r.Table); err == nil {
		p.Type, err = modbus.ParseType(r.Type)
	}
	if err != nil {
		b.fault(c.Pos, ".profile", "", "point %s: %v", id, err)
	}
	return p
}

// readBack is where an output shows its state, when that is not where it is written.
func (b *builder) readBack(c *configs.Device, r *profile.Register) *modbus.Register {
	if r == nil {
		return nil
	}
	table, err := modbus.ParseTable(r.Table)
	if err != nil {
		b.fault(c.Pos, ".profile", "", "read-back: %v", err)
	}
	return &modbus.Register{Table: table, Address: uint16(r.Address)}
}

func (b *builder) mqtt(bus int, c *configs.Bus) (drivers.Driver, error) {
	config := mqtt.Config{Name: c.Name, Endpoint: c.MQTT, ClientID: orElse(c.ClientID, "glasshouse-"+b.house.gateway), Username: c.Username,
		Password: c.Password.Reveal(), ReceiveMaximum: receiveMaximum, WriteTimeout: c.Timeout, Dial: b.dial(c.Name), Devices: b.mqttDevices(bus), Log: b.options.Log}
	if c.TLS.Enabled {
		secure, err := c.TLS.Client(os.ReadFile)
		if err != nil {
			return nil, err
		}
		config.TLS = secure
	}
	return mqtt.New(config)
}

// mqttDevices are the devices of an MQTT bus in the driver's words.
func (b *builder) mqttDevices(bus int) []mqtt.Device {
	var devices []mqtt.Device
	for _, d := range b.bound {
		if d.bus != bus {
			continue
		}
		zone := d.config.Zone
		if z, ok := b.config.Zone(zone); ok && len(z.PlatformIDs) > 0 {
			zone = z.PlatformIDs[0]
		}
		expand := func(text string) string { return profile.Expand(text, d.config.ID, zone) }
		device := mqtt.Device{ID: d.config.ID, User: d.config.User, Status: expand(d.profile.MQTT.Status)}
		if d.profile.MQTT.Mapping == "paths" {
			device.Mapping = mqtt.Paths
		}
		for i := range d.profile.Points {
			m, p := d.profile.Points[i].Message, &b.house.points[d.points[i]]
			device.Points = append(device.Points, mqtt.Point{ID: p.ID, Name: expand(m.Name), Topic: expand(m.Topic), Path: m.Path, Time: m.Time,
				Scale: m.Scale, Offset: m.Offset, Unit: p.unit, Min: p.Min, Max: p.Max})
		}
		for i := range d.config.Outputs {
			if o, ok := d.profile.Output(d.config.Outputs[i].Output); ok {
				device.Outputs = append(device.Outputs, mqtt.Output{ID: drivers.PointID(d.config.ID + "." + o.Name), CommandTopic: expand(o.CommandTopic),
					StateTopic: expand(o.StateTopic), StatePath: o.StatePath, On: o.On, Off: o.Off, Retain: o.Retain})
			}
		}
		devices = append(devices, device)
	}
	return devices
}

// rest is the most that a call on the bus may take besides its own transactions.
func (b *busPlan) rest() time.Duration {
	if d, ok := b.driver.(*modbus.Driver); ok {
		return d.Rest()
	}
	return 0
}
