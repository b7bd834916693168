package gateway

import (
	"sync"

	"gacp-erp.internal/glasshouse/gateway/bus"
	"gacp-erp.internal/glasshouse/gateway/scan"
)

// maxInbox bounds the readings that wait for a cycle. A bus that finds the inbox full waits, which makes it poll later and
// makes its driver hold its devices back; the cycle waits for nobody.
const maxInbox = 16384

// delivery is how far a pushing bus has been read when a cycle took its messages.
type delivery struct {
	bus   int
	batch bus.Batch
}

// inbox gathers what the buses and the doors bring between two cycles. Any goroutine puts, only the loop takes.
type inbox struct {
	mu       sync.Mutex
	room     *sync.Cond // signalled when the loop has taken
	closed   bool
	batches  []delivery
	commands []order
	readings int // in batches
	wake     chan struct{}
}

// order is a command with the way back to who gave it.
type order struct {
	command scan.Command
	answer  chan answer // has room for one
}

func newInbox() *inbox {
	b := &inbox{wake: make(chan struct{}, 1)}
	b.room = sync.NewCond(&b.mu)
	return b
}

// put adds what a bus brought. It waits while the inbox is full, never after close.
func (b *inbox) put(bus int, batch bus.Batch) {
	b.mu.Lock()
	for b.readings > maxInbox && !b.closed {
		b.room.Wait()
	}
	b.batches = append(b.batches, delivery{bus, batch})
	b.readings += len(batch.Readings)
	b.mu.Unlock()
	b.ring()
}

// order adds a command; false when the gateway is stopping.
func (b *inbox) order(o order) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return false
	}
	b.commands = append(b.commands, o)
	b.ring()
	return true
}

// take hands everything over, in the order in which it came, and takes the given slices for the next round.
func (b *inbox) take(batches []delivery, commands []order) ([]delivery, []order) {
	b.mu.Lock()
	defer b.mu.Unlock()
	batches, b.batches = b.batches, batches[:0]
	commands, b.commands = b.commands, commands[:0]
	b.readings = 0
	b.room.Broadcast()
	return batches, commands
}

// close lets nobody wait any longer; what is in the inbox stays to be taken.
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
