package gateway

import (
	"sync"

	"gacp-erp.internal/glasshouse/drivers"
	"gacp-erp.internal/glasshouse/gateway/bus"
	"gacp-erp.internal/glasshouse/gateway/scan"
)

// maxInbox bounds the readings that wait for a cycle. A bus that finds the inbox full waits, which makes it poll later and
// makes its driver hold its devices back; the cycle waits for nobody.
const maxInbox = 16384

// inbox gathers what the buses and the doors bring between two cycles. Any goroutine puts, only the loop takes.
type inbox struct {
	mu     sync.Mutex
	room   *sync.Cond // signalled when the loop has taken
	closed bool
	now    *intake
	wake   chan struct{}
}

// intake is what came since the loop took last, each kind in the order in which it came.
type intake struct {
	readings   []drivers.Reading
	deliveries []delivery // where each bus' batch ends in readings
	confirms   []scan.Confirmation
	health     []health
	conditions []scan.Condition
	orders     []order
	gaps       uint64 // number of the newest gap that conditions tell of; 0: none
}

// delivery is one batch of one bus: readings up to end, and for a pushing bus how far it has been read.
type delivery struct {
	bus, end int
	upTo     drivers.Delivery
}

// health is a bus that went away, or came back when err is nil.
type health struct {
	bus int
	err error
}

// order is a command with the way back to who gave it.
type order struct {
	command scan.Command
	answer  chan<- answer // has room for one
}

// answer is what the cycle made of an order; durable says that it outlives a restart.
type answer struct {
	receipt scan.Receipt
	durable bool
}

var _ bus.Sink = (*inbox)(nil)

func newInbox() *inbox {
	b := &inbox{wake: make(chan struct{}, 1), now: &intake{}}
	b.room = sync.NewCond(&b.mu)
	return b
}

// Readings adds what a bus brought. It waits while the inbox is full, never after close.
func (b *inbox) Readings(index int, rs []drivers.Reading, upTo drivers.Delivery) {
	b.mu.Lock()
	for len(b.now.readings) > maxInbox && !b.closed {
		b.room.Wait()
	}
	b.now.readings = append(b.now.readings, rs...)
	b.now.deliveries = append(b.now.deliveries, delivery{index, len(b.now.readings), upTo})
	b.mu.Unlock()
	b.ring()
}

// Confirm adds the outcome of a write.
func (b *inbox) Confirm(c bus.Confirmation) {
	b.put(func(in *intake) {
		in.confirms = append(in.confirms, scan.Confirmation{Output: c.Output, ID: c.ID, Value: c.Value, Err: c.Err})
	})
}

// Health adds that a bus went away or came back.
func (b *inbox) Health(index int, err error) {
	b.put(func(in *intake) { in.health = append(in.health, health{index, err}) })
}

// condition adds what something outside the cycle knows of.
func (b *inbox) condition(c scan.Condition) {
	b.put(func(in *intake) { in.conditions = append(in.conditions, c) })
}

// gap adds what tells of a gap in the buffer; its number is kept with it, so that it is told once.
func (b *inbox) gap(number uint64, cs ...scan.Condition) {
	b.put(func(in *intake) { in.conditions, in.gaps = append(in.conditions, cs...), max(in.gaps, number) })
}

// order adds a command; false when the gateway is stopping.
func (b *inbox) order(o order) bool {
	taken := false
	b.put(func(in *intake) {
		if taken = !b.closed; taken {
			in.orders = append(in.orders, o)
		}
	})
	return taken
}

func (b *inbox) put(add func(*intake)) {
	b.mu.Lock()
	add(b.now)
	b.mu.Unlock()
	b.ring()
}

// take hands everything over and goes on with next, which must be empty.
func (b *inbox) take(next *intake) *intake {
	b.mu.Lock()
	defer b.mu.Unlock()
	full := b.now
	b.now = next
	b.room.Broadcast()
	return full
}

// close lets nobody wait any longer and takes no more orders; what is in the inbox stays to be taken.
func (b *inbox) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	b.room.Broadcast()
}

// ring wakes the loop, which may be awake already.
func (b *inbox) ring() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// empty makes an intake ready for use again; a burst's memory is given back.
func (in *intake) empty() {
	const keep = 2 * maxInbox
	if cap(in.readings) > keep {
		*in = intake{}
		return
	}
	clear(in.readings) // lets go of the messages
	clear(in.orders)
	in.readings, in.deliveries, in.confirms = in.readings[:0], in.deliveries[:0], in.confirms[:0]
	in.health, in.conditions, in.orders, in.gaps = in.health[:0], in.conditions[:0], in.orders[:0], 0
}
