package modbus

import (
	"context"
	"fmt"
	"math"
	"time"

	"gacp-erp.internal/glasshouse/drivers"
)

// output is a point that can be written.
type output struct {
	codec
	unit *Unit
}

// rereads are the pauses before the state is read again while it does not show yet what was written.
var rereads = [...]time.Duration{20 * time.Millisecond, 100 * time.Millisecond}

const on = 0xFF00 // a coil's

// Write sets a point and reads it back; nil only when the device shows v. A coil is written with function 5, a register with
// 6, several with 16. One bit of a register is written with function 22, which leaves the other bits alone in the device
// itself; a device without it refuses, because reading, changing and writing back could undo what another master sets
// meanwhile. v must be one of the values the point can have: a value between two steps or beyond the limits is ErrUnit,
// like a refusal by the device. ErrNotConfirmed: it was taken, and is not shown after 120 ms.
func (d *Driver) Write(ctx context.Context, p drivers.PointID, v float64) error {
	o := d.outputs[p]
	if o == nil {
		return &fault{fmt.Sprintf("modbus bus %q: writing %q: there is no such output", d.config.Name, p), []error{drivers.ErrNoSuchPoint}}
	}
	raw, err := o.raw(v)
	if err != nil {
		return &fault{fmt.Sprintf("modbus bus %q: writing %s: %v", d.config.Name, p, err), []error{drivers.ErrUnit}}
	}
	if err := d.set(ctx, o, raw); err != nil {
		return err
	}
	place := o.place()
	s := span{o.unit, place.Table, place.Address, o.size()}
	for i := 0; ; i++ {
		data, err := d.read(ctx, fmt.Sprintf("reading back %s,", p), s)
		if err != nil {
			return err
		}
		shown, err := o.rawAt(data, 0, place.Table)
		if err == nil && (shown == raw || o.Type == Bool && (shown != 0) == (raw != 0)) {
			return nil
		}
		if i == len(rereads) || d.line.pause(ctx, rereads[i]) != nil {
			value, _ := o.value(shown)
			return &fault{fmt.Sprintf("modbus bus %q: %s: wrote %g, unit %d (%s) shows %g: check whether it is switched by hand or by another master",
				d.config.Name, p, v, o.unit.Address, o.unit.ID, value), []error{drivers.ErrNotConfirmed}}
		}
	}
}

// set sends the request that writes.
func (d *Driver) set(ctx context.Context, o *output, raw uint64) error {
	began := time.Now()
	d.line.begin(ctx, o.unit)
	defer d.line.end()
	var err error
	switch {
	case o.Table == Coil:
		_, err = d.client.WriteSingleCoil(o.Address, uint16(raw)*on)
	case o.Type == Bool && o.Bit >= 0:
		bit := uint16(1) << o.wireBit()
		_, err = d.client.MaskWriteRegister(o.Address, ^bit&math.MaxUint16, bit*uint16(raw))
	case o.Type.registers() == 1:
		b := o.toRegisters(raw)
		_, err = d.client.WriteSingleRegister(o.Address, uint16(b[0])<<8|uint16(b[1]))
	default:
		_, err = d.client.WriteMultipleRegisters(o.Address, uint16(o.Type.registers()), o.toRegisters(raw))
	}
	if err != nil {
		return d.explain(err, fmt.Sprintf("writing %s,", o.ID), span{o.unit, o.Table, o.Address, o.Type.registers()}, time.Since(began))
	}
	return nil
}

// wireBit is where the point's bit is in the register as it is sent.
func (c *codec) wireBit() int {
	if c.ByteSwap {
		return c.Bit ^ 8
	}
	return c.Bit
}
