package mqtt

import (
	"time"

	"github.com/eclipse/paho.golang/paho"

	"gacp-erp.internal/glasshouse/drivers"
)

// acker is the part of a connection that acknowledges; a message can only be acknowledged where it came from.
type acker interface{ Ack(*paho.Publish) error }

// unacked is a QoS 1 message that waits for the owner's word.
type unacked struct {
	delivery drivers.Delivery // acknowledged together with this one
	client   acker
	packet   *paho.Publish // without its payload
}

// arrival is what the event id of an unstamped QoS 1 message says besides the time: topic, packet and content, hashed. Only
// a repeated one has them in common.
type arrival [10]byte

func arrivalOf(id [16]byte) arrival { return arrival(id[6:]) }

// ring remembers the newest keys, as many as it was made for.
type ring[K comparable] struct {
	size  int
	known map[K]struct{}
	order []K
	next  int
}

func newRing[K comparable](size int) *ring[K] {
	return &ring[K]{known: map[K]struct{}{}, size: size}
}

func (r *ring[K]) has(k K) bool {
	_, ok := r.known[k]
	return ok
}

func (r *ring[K]) add(k K) {
	if r.has(k) {
		return
	}
	r.known[k] = struct{}{}
	if len(r.order) < r.size {
		r.order = append(r.order, k)
		return
	}
	delete(r.known, r.order[r.next])
	r.order[r.next] = k
	r.next = (r.next + 1) % len(r.order)
}

// identify gives the message its id and says whether it came before. The mutex is held.
func (d *Driver) identify(b *body) (known bool) {
	switch {
	case b.message.Stamped:
		b.message.ID = derivedID(b.message.Device, b.at, b.in.payload)
		return d.stamped.has(b.message.ID)
	case b.in.qos == 0:
		b.message.ID = chanceID(b.in.at)
		return false
	}
	b.message.ID = arrivalID(d.config.Name, b.in)
	return b.in.dup && d.unstamped.has(arrivalOf(b.message.ID))
}

// remember notes an accepted message.
func (d *Driver) remember(b *body) {
	if b.message.Stamped || b.in.qos > 0 {
		d.keep(b.message.ID)
	}
}

// Remember tells of messages that an earlier process has kept, by their event ids, oldest first: a broker that was not told
// so sends them again, and then they are duplicates. It is called before the first Ready.
func (d *Driver) Remember(ids ...[16]byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, id := range ids {
		d.keep(id)
	}
}

// keep notes the id of a message that is kept, or will be. The mutex is held.
func (d *Driver) keep(id [16]byte) {
	if id[6]>>4 == derived {
		d.stamped.add(id)
	} else {
		d.unstamped.add(arrivalOf(id))
	}
}

// reject counts a message and is always false.
func (d *Driver) reject(reason Reason, in *incoming) bool {
	d.note(reason, in)
	return false
}

// note counts a reason. Only the first thousand of each reason and then one in a thousand is kept as example: a flood must
// not cost more than what it floods.
func (d *Driver) note(reason Reason, in *incoming) {
	r := &d.rejections[reason]
	r.Count++
	if r.Count <= 1000 || r.Count%1000 == 0 {
		r.At, r.Last = in.at, sample(in.topic, in.payload)
	}
}

// receive takes one message from a connection. When the broker sends more than it may, this waits a little for the owner,
// which holds the broker back as well (nothing else is read meanwhile); false means that the wait was in vain: the
// connection must be dropped, and the message comes again.
func (d *Driver) receive(in *incoming, client acker) bool {
	for end := in.at.Add(patience); !d.take(in, client); {
		if d.refuse(end) {
			return false
		}
		select {
		case <-d.closing:
		case <-time.After(roomEvery):
		}
	}
	return true
}

// refuse says whether a message that found no room is refused for good.
func (d *Driver) refuse(end time.Time) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.refusing && time.Now().Before(end) {
		return false
	}
	// All that follows on this connection is refused as well: it would overtake.
	d.messages++
	d.overruns++
	d.refusing = true
	return true
}

// take takes a message if there is room for it, and never waits. QoS 0 is dropped when there is none.
func (d *Driver) take(in *incoming, client acker) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	full := d.waitingBytes+len(in.payload) > maxInbox
	switch {
	case d.closed:
		return true
	case in.qos > 0 && (full || d.refusing || max(len(d.pending)+len(d.due), d.waiting1) >= 2*int(d.config.ReceiveMaximum)):
		return false
	case in.qos == 0 && (full || d.waiting0 >= d.config.QoS0):
		d.messages++
		d.dropped++
		return true
	}
	d.messages++
	start := len(d.inbox)
	kept := d.decode(in)
	if !kept {
		d.rejected++
		clear(d.inbox[start:])
		d.inbox = d.inbox[:start]
	} else {
		d.delivery++
		d.waitingBytes += len(in.payload)
		if in.qos == 0 {
			d.waiting0++
		} else {
			d.waiting1++
		}
		d.wake()
	}
	if in.qos > 0 {
		// What was rejected goes with what came before it: acknowledgements leave in order anyway, and the first copy of a
		// duplicate may not be kept yet.
		entry := unacked{d.delivery, client, &paho.Publish{PacketID: in.packetID, QoS: in.qos}}
		if d.delivery <= d.acked {
			d.due = append(d.due, entry)
			d.wakeAcker()
		} else {
			d.pending = append(d.pending, entry)
		}
	}
	return true
}

// wake makes Ready ready. The mutex is held.
func (d *Driver) wake() {
	select {
	case d.ready <- struct{}{}:
	default:
	}
}

func (d *Driver) wakeAcker() {
	select {
	case d.ackable <- struct{}{}:
	default:
	}
}

// Ready has a value when Drain has something to give, and is closed by Close. The first call starts connecting.
func (d *Driver) Ready() <-chan struct{} {
	d.start()
	return d.ready
}

// Drain appends what has come since, oldest first. Never blocks. A reading without a Point belongs to a Status or
// Attributes message and carries no value.
func (d *Driver) Drain(dst []drivers.Reading) ([]drivers.Reading, drivers.Delivery) {
	d.start()
	d.mu.Lock()
	defer d.mu.Unlock()
	dst = append(dst, d.inbox...)
	d.readings += uint64(len(d.inbox))
	const keep = 4096 // a burst's memory is given back
	if cap(d.inbox) > keep {
		d.inbox = nil
	} else {
		clear(d.inbox)
		d.inbox = d.inbox[:0]
	}
	d.waiting0, d.waiting1, d.waitingBytes = 0, 0, 0
	d.drained = d.delivery
	return dst, d.delivery
}

// Ack tells the broker that everything up to a delivery is kept. It only notes it: acknowledgements leave by a goroutine of
// their own, so a broker that does not read cannot hold up the caller. Any goroutine; what was never drained is ignored.
func (d *Driver) Ack(upTo drivers.Delivery) {
	d.mu.Lock()
	defer d.mu.Unlock()
	upTo = min(upTo, d.drained)
	if upTo <= d.acked {
		return
	}
	d.acked = upTo
	n := 0
	for n < len(d.pending) && d.pending[n].delivery <= upTo {
		n++
	}
	if n == 0 {
		return
	}
	d.due = append(d.due, d.pending[:n]...)
	rest := copy(d.pending, d.pending[n:])
	clear(d.pending[rest:])
	d.pending = d.pending[:rest]
	d.wakeAcker()
}

// sendAcks hands over what is due. Errors are of connections that are gone: their messages come again and are recognised.
func (d *Driver) sendAcks() {
	d.mu.Lock()
	due := d.due
	d.due = nil
	d.mu.Unlock()
	for _, u := range due {
		_ = u.client.Ack(u.packet)
	}
}

// hungUp forgets what can no longer be acknowledged or confirmed.
func (d *Driver) hungUp(now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.downs++
	d.pending, d.due, d.refusing = nil, nil, false
	if d.waiter != nil {
		d.waiter.giveUp(errGone)
	}
	if d.state.Connected || d.state.Since.IsZero() {
		d.state.Since = now
	}
	d.state.Connected = false
}

// Stats is a copy of the counters. Any goroutine.
func (d *Driver) Stats() Stats {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := Stats{Messages: d.messages, Readings: d.readings, Dropped: d.dropped, Rejected: d.rejected, Overruns: d.overruns,
		Waiting: d.waiting0 + d.waiting1, Unacked: len(d.pending)}
	s.Rejections = append(s.Rejections, d.rejections[:]...)
	return s
}
