// Package modbus reads and switches Modbus devices, on goburrow/modbus. Of that library it uses the packager interface and
// the client; the line is our own, because an answer that comes too late makes the library's own lines give one register's
// value for another's, or fail for ever. Points are planned into as few requests as the devices allow, when the driver is
// made.
//
// Over TCP an answer is believed when transaction, unit, function and length are those of the request. An answer to an
// earlier request is skipped; any other doubt closes the connection, and the next request makes a new one. A connection on
// which three requests in a row stay without a byte is given up too.
//
// RTU, on a serial line or through a TCP connection, has no transaction ids; there unit, function, length and checksum must
// be right, and after any error the line stays quiet until no late answer can come any more (see serialFrame).
//
// It does not schedule: when to read which request, and when to leave a dead unit alone, is its owner's business.
package modbus

import (
	"context"
	"errors"
	"fmt"
	"time"

	library "github.com/goburrow/modbus"

	"gacp-erp.internal/glasshouse/drivers"
)

// Driver is one bus with its units. All methods but Close are for one goroutine.
type Driver struct {
	config   Config
	endpoint endpoint
	blocks   []block
	requests []drivers.Request
	first    map[drivers.PointID]*block // by the first point of each block
	outputs  map[drivers.PointID]*output
	line     *transport
	client   library.Client
}

var _ drivers.Driver = (*Driver)(nil)

// New checks the configuration, all faults joined, plans the requests, and does no I/O. The first Read or Write connects.
func New(c Config) (*Driver, error) {
	c.defaults()
	where, err := parseEndpoint(c.Endpoint)
	if err := errors.Join(err, c.validate(where.framing)); err != nil {
		return nil, fmt.Errorf("modbus bus %q: %w", c.Name, err)
	}
	d := &Driver{config: c, endpoint: where, blocks: plan(c.Units), first: map[drivers.PointID]*block{}, outputs: map[drivers.PointID]*output{}}
	for i := range d.blocks {
		b := &d.blocks[i]
		d.requests = append(d.requests, b.request())
		d.first[b.items[0].ID] = b
	}
	dial, settle := where.dial, time.Duration(0)
	if c.Dial != nil {
		dial = func(ctx context.Context) (conn, error) { return c.Dial(ctx) }
	}
	for i := range c.Units {
		u := &c.Units[i]
		settle = max(settle, u.AfterConnect)
		for _, p := range u.Points {
			if p.Writable {
				d.outputs[p.ID] = &output{codec: newCodec(p), unit: u}
			}
		}
	}
	framed := where.protocol(c.Timeout, d.blocks)
	d.line = &transport{protocol: framed, dial: dial, timeout: c.Timeout, settle: settle, closing: make(chan struct{}),
		opened: func() { c.Log.Info("connected", "bus", c.Name, "endpoint", where.String()) }}
	d.client = library.NewClient2(framed, d.line)
	return d, nil
}

// Requests is the plan: by unit as configured, then by table, period and address. It is not to be changed.
func (d *Driver) Requests() []drivers.Request { return d.requests }

// Plan describes the requests, in the order of Requests.
func (d *Driver) Plan() []PlanLine {
	lines := make([]PlanLine, len(d.blocks))
	for i := range d.blocks {
		lines[i] = d.blocks[i].line()
	}
	return lines
}

// Rest is the most that a call may take besides its own transactions: an RTU line must come to rest after an error, and a unit
// must then show that it is in step. 0 over TCP.
func (d *Driver) Rest() time.Duration {
	if r, ok := d.line.protocol.(*serialFrame); ok {
		return r.longest()
	}
	return 0
}

// Read does one of the requests and appends a reading for each of its points, stamped with the instant when the answer was
// complete. A request with gaps in it that the device refuses is tried, and from then on made, in parts without them. A value that cannot be one (not a number, out of the sensor's limits, the device's word for none) is Bad, with
// the reason. An exception of the device is an error that is both ErrUnit and ErrDevice.
func (d *Driver) Read(ctx context.Context, r drivers.Request, dst []drivers.Reading) ([]drivers.Reading, error) {
	var b *block
	if len(r.Points) > 0 {
		b = d.first[r.Points[0]]
	}
	if b == nil || len(r.Points) != len(b.items) {
		return dst, &fault{fmt.Sprintf("modbus bus %q: a request of %d points for %s that is not in the plan", d.config.Name, len(r.Points), r.Unit),
			[]error{drivers.ErrNoSuchPoint}}
	}
	return d.readBlock(ctx, b, dst)
}

// read asks for a span and returns its data, of the right length, valid until the next request.
func (d *Driver) read(ctx context.Context, doing string, s span) ([]byte, error) {
	began := time.Now()
	d.line.begin(ctx, s.unit)
	defer d.line.end()
	var data []byte
	var err error
	size := 2 * s.count
	switch s.table {
	case Input:
		data, err = d.client.ReadInputRegisters(s.first, uint16(s.count))
	case Holding:
		data, err = d.client.ReadHoldingRegisters(s.first, uint16(s.count))
	case Coil:
		size = (s.count + 7) / 8
		data, err = d.client.ReadCoils(s.first, uint16(s.count))
	case Discrete:
		size = (s.count + 7) / 8
		data, err = d.client.ReadDiscreteInputs(s.first, uint16(s.count))
	}
	if err == nil && len(data) != size { // the line has looked already; no number ever comes of a short answer
		err = doubt("%d bytes of data instead of %d", len(data), size)
	}
	if err != nil {
		return nil, d.explain(err, doing, s, time.Since(began))
	}
	return data, nil
}

// rawAt is the point's raw value in the data of an answer, where it begins at an address after the first.
func (c *codec) rawAt(data []byte, at int, table Table) (uint64, error) {
	if table.bits() {
		if at/8 >= len(data) {
			return 0, fmt.Errorf("%s: the answer ends before it: %w", c.ID, drivers.ErrDevice)
		}
		return uint64(data[at/8] >> (at % 8) & 1), nil
	}
	from, to := 2*at, 2*(at+c.Type.registers())
	if to > len(data) {
		return 0, fmt.Errorf("%s: the answer ends before it: %w", c.ID, drivers.ErrDevice)
	}
	return c.fromRegisters(data[from:to])
}

// Close ends the connection and a call in progress, from any goroutine. Later calls fail with ErrBus; a second Close does
// nothing.
func (d *Driver) Close() error {
	if err := d.line.close(); err != nil {
		return fmt.Errorf("modbus bus %q: closing: %w", d.config.Name, err)
	}
	return nil
}
