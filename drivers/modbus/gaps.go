package modbus

import (
	"context"
	"errors"
	"slices"

	library "github.com/goburrow/modbus"

	"gacp-erp.internal/glasshouse/drivers"
)

// readBlock does a request of the plan: one transaction, or more where the device has shown that it does not bear to be read
// over a gap. Readings are appended only if all of it was read.
//
// The profile says how far may be read over; whether a device really has all addresses in between, only the device knows. An
// exception to a request with a gap in it may mean that it has not: then the two sides of the gap are read exactly. If that
// works it is remembered, and the plan is never as clever again.
func (d *Driver) readBlock(ctx context.Context, b *block, dst []drivers.Reading) ([]drivers.Reading, error) {
	if b.parts == nil {
		b.parts = []block{*b}
	}
	parts := b.parts
	begun, learned := len(dst), false
	for i := 0; i < len(parts); {
		part := &parts[i]
		data, err := d.read(ctx, "reading", part.span())
		if left, right, ok := part.split(); ok && refused(err) {
			parts = slices.Concat(parts[:i], []block{left, right}, parts[i+1:])
			learned = true
			continue
		}
		if err != nil {
			return dst[:begun], err
		}
		dst = d.decode(part, data, dst)
		i++
	}
	if learned {
		b.parts = parts
		d.config.Log.Info("the device does not have all addresses between its points; they are read in more requests from now on",
			"bus", d.config.Name, "unit", b.unit.ID, "request", b.span().String(), "requests", len(parts))
	}
	return dst, nil
}

// decode appends the readings that the data of an answer holds.
func (d *Driver) decode(b *block, data []byte, dst []drivers.Reading) []drivers.Reading {
	for i := range b.items {
		it := &b.items[i]
		reading := drivers.Reading{Point: it.ID, At: d.line.answered}
		raw, err := it.rawAt(data, it.at, b.table)
		if err == nil {
			reading.Value, err = it.value(raw)
		}
		if err == nil {
			reading.Quality = drivers.Good
		}
		reading.Err = err
		dst = append(dst, reading)
	}
	return dst
}

// refused says whether a device has said that it does not have what was asked for, in one of the words that devices use.
func refused(err error) bool {
	var exception *library.ModbusError
	return errors.As(err, &exception) && (exception.ExceptionCode == library.ExceptionCodeIllegalDataAddress ||
		exception.ExceptionCode == library.ExceptionCodeIllegalDataValue || exception.ExceptionCode == library.ExceptionCodeServerDeviceFailure)
}

// split parts a block at the gap in its middle, without the gap. It is not possible where there is none.
func (b *block) split() (left, right block, ok bool) {
	var gaps []int // each by the item behind it
	end := 0
	for i := range b.items {
		it := &b.items[i]
		if i > 0 && it.at > end {
			gaps = append(gaps, i)
		}
		end = max(end, it.at+it.size())
	}
	if len(gaps) == 0 {
		return block{}, block{}, false
	}
	at := gaps[len(gaps)/2]
	return b.of(b.items[:at]), b.of(b.items[at:]), true
}

// of is the part of a block that some of its items take.
func (b *block) of(items []item) block {
	part := *b
	from, end := items[0].at, 0
	part.first, part.parts = b.first+uint16(from), nil
	part.items = slices.Clone(items)
	for i := range part.items {
		part.items[i].at -= from
		end = max(end, part.items[i].at+part.items[i].size())
	}
	part.count = end
	return part
}
