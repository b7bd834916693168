package uplink

import (
	"context"
	"errors"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"gacp-erp.internal/glasshouse/buffer"
)

// pump carries one lane. All its fields but state belong to the goroutine of run.
type pump struct {
	u     *Uplink
	lane  Lane
	epoch []byte
	wake  <-chan struct{}
	doubt chan struct{} // another lane lost Kafka: look too

	link     *link // nil: not connected
	window   window
	next     []buffer.Entry // read while the window is under way
	after    uint64         // what has been read from the buffer
	budget   int            // bytes of one try
	few      int            // records of one try while a poisoned one is looked for; 0: no limit
	chosen   []int
	failures int // in a row
	aside    int // records set aside since that was last logged
	told     time.Time
	state    state
}

func newPump(u *Uplink, lane Lane) *pump {
	p := &pump{u: u, lane: lane, doubt: make(chan struct{}, 1)}
	p.state.lane = lane
	return p
}

// errIdle says that the lane is empty.
var errIdle = errors.New("nothing waits")

// run sends until stop ends, then what still waits as long as that works, at most until hard ends.
func (p *pump) run(stop, hard context.Context) {
	p.epoch = []byte(p.u.o.Source.Epoch())
	p.wake = p.u.o.Source.Wake(p.lane.Name)
	p.budget = p.u.pace.window[1]
	defer p.end()
	for hard.Err() == nil {
		err := p.step(hard)
		switch {
		case err == nil:
			p.failures = 0
			p.u.fine(p)
		case hard.Err() != nil:
			return
		case errors.Is(err, errIdle):
			if stop.Err() != nil || !p.rest(stop) {
				return
			}
		default:
			if pause := p.trouble(err); !sleep(stop, pause) {
				return
			}
		}
	}
}

// step connects if need be, and sends the next records.
func (p *pump) step(hard context.Context) error {
	if p.link == nil {
		l, err := p.u.ask(hard, p.lane.Topic)
		if err != nil {
			return err
		}
		p.link = l
		p.u.reached(p)
	}
	if p.window.done() {
		if err := p.read(); err != nil {
			return err
		}
		if len(p.next) == 0 {
			return errIdle
		}
		p.window.load(p.next, p.lane.Topic, p.epoch)
		p.next = nil
	}
	return p.send(hard)
}

// read fetches what waits behind the window, if that is not there already.
func (p *pump) read() error {
	if len(p.next) > 0 {
		return nil
	}
	entries, err := p.u.o.Source.Peek(p.lane.Name, p.after, p.budget)
	if err != nil {
		return &readError{err}
	}
	if n := len(entries); n > 0 {
		p.next, p.after = entries, entries[n-1].Sequence
	}
	return nil
}

// readError is the buffer's, not Kafka's.
type readError struct{ err error }

func (e *readError) Error() string { return "read the buffer: " + e.err.Error() }
func (e *readError) Unwrap() error { return e.err }

// mostRecords is how many records one try hands to Kafka: with what the buffer may not have noted durably yet, that is what
// comes again after a crash.
const mostRecords = 7000

// send makes one try, and tells the buffer what has left.
func (p *pump) send(hard context.Context) error {
	count := mostRecords
	if p.few > 0 {
		count = min(p.few, mostRecords)
	}
	if !p.link.tried {
		// A new client knows its topic, and that it may write to it, once one record has passed.
		count = 1
	}
	var bytes int
	p.chosen, bytes = p.window.choose(p.chosen, p.budget, count)
	for _, i := range p.chosen {
		if p.window.tried[i] {
			p.state.retried.Add(1)
		}
	}
	try := p.link.start(&p.window, p.chosen, bytes)
	p.state.under.Store(try)
	// While it is under way the next window is read. An error comes again when that is due.
	_ = p.read()
	err := p.await(try, hard)
	if errors.Is(err, errLeft) {
		return err // the client may still hold the records: leave them alone
	}
	failed := p.settle(try)
	p.window.ack(p.u.o.Source, p.lane.Name)
	if p.window.done() {
		p.window.forget()
	}
	return errors.Join(err, failed)
}

// settle reads the outcome of a try, and returns what has to be told; nil also when only a poisoned record is looked for.
func (p *pump) settle(try *attempt) error {
	p.state.under.Store(nil)
	var worst, bad error
	good := 0
	for _, i := range try.chosen {
		err := p.window.errs[i]
		switch {
		case err == nil:
			p.window.fates[i] = sent
			good++
		case p.u.o.classify(err, p.lane.Topic).class == poison:
			bad = err
		case worst == nil || errors.Is(worst, kgo.ErrClientClosed):
			worst = err // the first that says more than that we closed the client
		}
	}
	p.state.delivered(good)
	switch {
	case bad == nil && worst == nil:
		p.pace(try)
	case bad != nil && len(try.chosen) == 1:
		p.setAside(try.chosen[0], bad)
		return nil
	case bad != nil && (worst == nil || errors.Is(worst, kgo.ErrClientClosed)):
		p.few = max(1, len(try.chosen)/2)
		if worst != nil {
			p.drop()
		}
		return nil
	}
	return worst
}

// pace fits the size of the next try to the link: about a second of work, so that a slow link is not filled for long and
// nothing runs into a timeout. A search for a poisoned record ends by growing back.
func (p *pump) pace(try *attempt) {
	if p.few > 0 {
		if p.few *= 2; p.few > len(p.window.entries) {
			p.few = 0
		}
		return
	}
	if try.bytes < p.budget/2 {
		return
	}
	limits := p.u.pace.window
	switch took := time.Since(try.began); {
	case took > 2*time.Second:
		p.budget = max(p.budget/2, limits[0])
	case took < time.Second/2:
		p.budget = min(p.budget*2, p.most())
	}
}

// most is the largest window of the lane, in bytes.
func (p *pump) most() int {
	if p.lane.Critical {
		return p.u.pace.window[2] / 4 // these lanes are many and rarely full
	}
	return p.u.pace.window[2]
}

// setAside gives up one record, and logs it: at most one a minute, with how many there were.
func (p *pump) setAside(i int, err error) {
	p.window.fates[i] = rejected
	v := p.u.o.classify(err, p.lane.Topic)
	p.state.poisoned.Add(1)
	if p.aside++; time.Since(p.told) < time.Minute {
		return
	}
	records := p.aside
	p.told, p.aside = time.Now(), 0
	p.u.log.Error("record set aside: Kafka will never take it", "lane", p.lane.Name, "topic", p.lane.Topic, "records", records,
		"sequence", p.window.entries[i].Sequence, "key", string(p.window.entries[i].Key), "error", v.words)
}

// await waits for the outcome of a try. While none comes it asks Kafka over a new client what is the matter, and tells it;
// if that one is answered and this one is not for long, the new one takes over: an idempotent record that is in flight
// never gives up by itself.
func (p *pump) await(try *attempt, hard context.Context) error {
	pause := p.u.pace.probe[0]
	for {
		timer := time.NewTimer(pause)
		select {
		case <-try.done:
			timer.Stop()
			return nil
		case <-hard.Done():
			timer.Stop()
			ended := p.link.closeWithin(p.u.pace.close)
			p.link = nil
			if !ended {
				return errLeft
			}
			<-try.done
			return hard.Err()
		case <-timer.C:
		}
		fresh, err := p.probe(try, hard)
		switch waited := time.Since(try.began); {
		case err != nil:
			p.tell(err)
		case fresh == nil: // the outcome is there
		case waited > p.u.pace.stuck:
			p.link.client.Close()
			<-try.done
			p.link = fresh
			return errStuck
		default:
			fresh.client.Close()
			if waited > p.u.pace.slow {
				p.tell(errSlow)
			}
		}
		pause = min(2*pause, p.u.pace.probe[1])
	}
}

// probe asks for the topic over a new client, until the outcome of the try is there. Both results nil: it was.
func (p *pump) probe(try *attempt, hard context.Context) (*link, error) {
	ctx, cancel := context.WithCancel(hard)
	defer cancel()
	type answer struct {
		link *link
		err  error
	}
	asked := make(chan answer, 1)
	go func() {
		l, err := p.u.ask(ctx, p.lane.Topic)
		asked <- answer{l, err}
	}()
	select {
	case a := <-asked:
		return a.link, a.err
	case <-try.done:
	case <-hard.Done():
	}
	cancel()
	if a := <-asked; a.link != nil {
		a.link.client.Close()
	}
	return nil, nil
}

// rest waits for records. Meanwhile it asks for the topic now and then, and at once when another lane has lost Kafka, so that
// Stats does not say that all is well with a Kafka that has long been gone. False: it is time to stop.
func (p *pump) rest(stop context.Context) bool {
	p.u.fine(p)
	timer := time.NewTimer(p.u.pace.idle)
	defer timer.Stop()
	select {
	case <-p.wake:
		return true
	case <-stop.Done():
		return true
	case <-p.doubt:
	case <-timer.C:
		p.window = window{} // the arrays of a backlog long sent
	}
	if err := p.link.ask(stop, p.u.pace, p.lane.Topic); err != nil && stop.Err() == nil {
		return sleep(stop, p.trouble(err))
	}
	return true
}

// trouble tells what is wrong, ends the client and returns how long to wait.
func (p *pump) trouble(err error) time.Duration {
	v := p.tell(err)
	if !errors.Is(err, errStuck) {
		p.drop()
	}
	limits := p.u.pace.retry
	if v.class == blocked {
		limits = p.u.pace.blocked
	}
	if v.link {
		p.budget = max(p.budget/2, p.u.pace.window[0])
	}
	p.failures++
	return min(limits[0]<<min(p.failures-1, 10), limits[1])
}

// tell puts an error into Stats and, if it is news, into the log.
func (p *pump) tell(err error) verdict {
	if e, ok := errors.AsType[*readError](err); ok {
		v := verdict{retry, false, e.Error()}
		p.u.faulty(p, v)
		return v
	}
	v := p.u.o.classify(err, p.lane.Topic)
	if _, ok := errors.AsType[*kerr.Error](err); ok && !v.link {
		p.u.reached(p) // Kafka itself said so
	}
	p.u.faulty(p, v)
	return v
}

// drop ends the client.
func (p *pump) drop() {
	if p.link != nil {
		p.link.client.Close()
		p.link = nil
	}
}

// end is the last thing that run does.
func (p *pump) end() {
	if p.link != nil {
		p.link.closeWithin(p.u.pace.close)
		p.link = nil
	}
	p.u.gone(p)
}

// sleep waits. False: ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
