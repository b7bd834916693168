// Package bus owns the buses: for each one goroutine that calls its driver, asks the units when their requests are due,
// writes what the cycle wants switched before it asks anything, and asks less often what does not answer. A driver whose
// devices speak first has a second goroutine that takes what they said.
//
// It decides nothing about values, keeps nothing, and repeats no write: whoever ordered it hears the outcome and orders
// again.
package bus

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"gacp-erp.internal/glasshouse/drivers"
)

// Defaults of Options.
const (
	defaultEvery        = 5 * time.Second
	defaultReadTimeout  = 3 * time.Second
	defaultWriteTimeout = 5 * time.Second
)

const (
	hangWait  = time.Second     // for a driver's call to end once its context has; then it counts as hanging
	closeWait = 8 * time.Second // for a driver to close and its calls to return at the end of Run
)

// Sink is where a bus puts what it brings. Methods are called from the bus' goroutines and must not call the bus.
type Sink interface {
	// Readings takes what one transaction, or one draining, brought. It copies rs, and may wait while nobody has room;
	// the bus asks nothing meanwhile. upTo is what a Pusher's Ack wants to hear once all of it is kept; 0 otherwise.
	Readings(bus int, rs []drivers.Reading, upTo drivers.Delivery)
	// Confirm takes the outcome of a write. It never waits.
	Confirm(c Confirmation)
	// Health says that a bus cannot be reached (err matches drivers.ErrBus), or can again (nil). Transitions only. It
	// never waits.
	Health(bus int, err error)
}

// Linker is what a driver is as well whose connection stands between calls (MQTT): it knows by itself whether its bus can
// be reached. Without it that is only known from how writes end and from what comes in.
type Linker interface {
	// Link is nil while connected, else why not. Any goroutine; never blocks.
	Link() error
}

// Write orders a value for an output.
type Write struct {
	Output int             // as the cycle counts outputs
	ID     uint64          // comes back in the Confirmation
	Point  drivers.PointID // the output's point on this bus
	Value  float64         // in the point's unit
	Safety bool            // goes before all others, and is tried even where nobody answers
}

// Confirmation is the outcome of a Write.
type Confirmation struct {
	Output int
	ID     uint64
	Value  float64
	Err    error // nil: the device has shown the value
}

// Options say what a Bus is made of.
type Options struct {
	Index        int            // what the Sink knows the bus by
	Name         string         // what operators know it by
	Driver       drivers.Driver // closed when Run ends
	Every        time.Duration  // period of requests that have none of their own; 0: 5 s
	ReadTimeout  time.Duration  // longest a Read may take; 0: 3 s
	WriteTimeout time.Duration  // longest a Write may take, its read-back included; 0: 5 s
	Sink         Sink
	Log          *slog.Logger // nil: silent
}

// Bus is one bus. Its methods may be called from any goroutine; Run once.
type Bus struct {
	options Options
	driver  drivers.Driver
	pusher  drivers.Pusher // nil when its devices wait to be asked
	linker  Linker         // nil when the driver does not know
	sink    Sink
	log     *slog.Logger
	wake    chan struct{} // has a value when a write has come
	watch   *time.Timer   // fires when a call hangs; made by Run

	readings []drivers.Reading // of the poll in progress; the owner's

	mu      sync.Mutex
	ended   bool // no more writes are taken
	plan    *plan
	queue   queue
	mute    map[drivers.PointID]bool // outputs of no request that did not confirm their last write
	back    backoff                  // of the whole bus
	away    error                    // why the bus cannot be reached, as told to the sink; nil when it can
	since   time.Time                // since when that is so
	call    call
	hurry   func()    // soon gives up the write in progress, when it only waits for its device to confirm; nil: there is none such
	panicAt time.Time // when a panic was last logged
	counts  counts
}

// call is what the driver is doing for the owner.
type call struct {
	verb, object string // "" when it does nothing
	began        time.Time
	limit        time.Duration
}

// New makes a bus of a driver. It does no I/O.
func New(o Options) *Bus {
	if o.Every <= 0 {
		o.Every = defaultEvery
	}
	if o.ReadTimeout <= 0 {
		o.ReadTimeout = defaultReadTimeout
	}
	if o.WriteTimeout <= 0 {
		o.WriteTimeout = defaultWriteTimeout
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	b := &Bus{options: o, driver: o.Driver, sink: o.Sink, log: o.Log.With("bus", o.Name), wake: make(chan struct{}, 1), mute: map[drivers.PointID]bool{},
		plan: newPlan(o.Driver.Requests(), o.Every), back: busBackoff()}
	b.pusher, _ = o.Driver.(drivers.Pusher)
	b.linker, _ = o.Driver.(Linker)
	return b
}

// Write orders a value and never waits. It takes the place of a write to the same output that still waits, of which
// nothing more is heard; each other one ends in one Sink.Confirm, also when the bus stops before it was tried.
//
// To a unit that is asked less often, and on a bus that is away, only safety writes are tried at once; the others wait
// until the unit answers, or the bus is tried, again. Where devices speak first the order has left within a moment and the
// rest is waiting for the device to show it: while a safety write waits, nobody else's device is waited for longer than a second.
func (b *Bus) Write(w Write) {
	b.mu.Lock()
	ended := b.ended
	if !ended {
		b.queue.put(w)
		if w.Safety && b.hurry != nil {
			b.hurry()
		}
	}
	b.mu.Unlock()
	if ended {
		b.refuse(w)
		return
	}
	b.ring()
}

// ring has the owner look for writes.
func (b *Bus) ring() {
	select {
	case b.wake <- struct{}{}:
	default: // it will look anyway
	}
}

// refuse confirms a write that was never tried.
func (b *Bus) refuse(w Write) {
	b.sink.Confirm(Confirmation{w.Output, w.ID, w.Value, fmt.Errorf("bus %s stopped before %s was written: %w", b.options.Name, w.Point, drivers.ErrBus)})
}

// Ack tells a driver whose devices speak first that everything up to a delivery is kept. It does nothing for others.
func (b *Bus) Ack(upTo drivers.Delivery) {
	if b.pusher == nil {
		return
	}
	_ = b.guard("acknowledging", b.options.Name, func() error {
		b.pusher.Ack(upTo)
		return nil
	})
}

// Run works the bus until ctx ends. Then it gives up the call in progress, confirms what waits to be written as not
// written, closes the driver, and returns once its goroutines have ended; a driver that does not return for 9 s is left
// behind and told of in the log.
func (b *Bus) Run(ctx context.Context) {
	b.watch = time.AfterFunc(time.Hour, b.hanging)
	b.watch.Stop()
	var work sync.WaitGroup
	work.Go(func() { b.own(ctx) })
	if b.pusher != nil {
		work.Go(func() { b.drain(ctx) })
	}
	idle := make(chan struct{})
	go func() {
		work.Wait()
		close(idle)
	}()
	<-ctx.Done()
	b.abandon()
	b.end(idle)
	b.watch.Stop()
}

// abandon takes no more writes and confirms those that wait.
func (b *Bus) abandon() {
	b.mu.Lock()
	b.ended = true
	waiting := b.queue.empty()
	b.mu.Unlock()
	for _, w := range waiting {
		b.refuse(w)
	}
}

// end closes the driver, after its calls have ended or when they do not.
func (b *Bus) end(idle <-chan struct{}) {
	select {
	case <-idle:
	case <-time.After(hangWait): // closing ends the call
	}
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		if err := b.guard("closing", b.options.Name, b.driver.Close); err != nil {
			b.log.Warn("the driver did not close well", "error", err)
		}
	}()
	late := time.NewTimer(closeWait)
	defer late.Stop()
	for _, done := range []<-chan struct{}{idle, closed} {
		select {
		case <-done:
		case <-late.C:
			b.log.Error("the driver does not end and is left behind", "waited", hangWait+closeWait)
			return
		}
	}
}
