package bus

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"gacp-erp.internal/glasshouse/drivers"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	ms = time.Millisecond
	s  = time.Second
)

var (
	errTimeout = fmt.Errorf("timeout: %w", drivers.ErrUnit)
	errRefused = fmt.Errorf("connection refused: %w", drivers.ErrBus)
)

// script is a driver whose answers a test sets. Every call takes takes, or a second when it fails.
type script struct {
	plan    []drivers.Request
	takes   time.Duration
	readErr func(r drivers.Request) error
	wrErr   func(p drivers.PointID) error
	block   chan struct{} // a read waits for it, whatever its context says

	mu     sync.Mutex
	reads  []event
	writes []event
	closed int
	freed  bool // closing ends a blocked read
	sleeps int
}

// event is something that happened: when, and what of.
type event struct {
	at   time.Duration
	what string
}

var epoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC) // when every bubble begins

func now() time.Duration { return time.Since(epoch) }

func (d *script) Requests() []drivers.Request { return d.plan }

func (d *script) Read(ctx context.Context, r drivers.Request, dst []drivers.Reading) ([]drivers.Reading, error) {
	d.mu.Lock()
	d.reads = append(d.reads, event{now(), string(r.Points[0])})
	fail, block, takes := d.readErr, d.block, d.takes
	d.mu.Unlock()
	if block != nil {
		<-block
	}
	if fail != nil {
		if err := fail(r); err != nil {
			return dst, d.wait(ctx, err)
		}
	}
	time.Sleep(takes)
	for _, p := range r.Points {
		dst = append(dst, drivers.Reading{Point: p, Value: 1, Quality: drivers.Good, At: time.Now()})
	}
	return dst, nil
}

// wait is what a driver does that hears nothing: a second of silence, less when its context ends.
func (d *script) wait(ctx context.Context, err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		<-ctx.Done()
		return ctx.Err()
	}
	select {
	case <-time.After(s):
	case <-ctx.Done():
	}
	return err
}

func (d *script) Write(ctx context.Context, p drivers.PointID, v float64) error {
	d.mu.Lock()
	d.writes = append(d.writes, event{now(), fmt.Sprintf("%s=%g", p, v)})
	fail, takes := d.wrErr, d.takes
	d.mu.Unlock()
	if fail != nil {
		if err := fail(p); err != nil {
			return d.wait(ctx, err)
		}
	}
	time.Sleep(takes)
	return nil
}

func (d *script) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed++
	if d.block != nil && !d.freed {
		d.freed = true
		close(d.block)
	}
	return nil
}

func (d *script) set(f func(*script)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f(d)
}

// readsOf gives when a point's request was made, from an instant on.
func (d *script) readsOf(point string, from time.Duration) (at []time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, e := range d.reads {
		if e.what == point && e.at >= from {
			at = append(at, e.at)
		}
	}
	return at
}

// taker is a Sink that writes down what it is given.
type taker struct {
	mu       sync.Mutex
	good     map[string]int
	bad      []drivers.Reading
	confirms []Confirmation
	at       []time.Duration // of the confirmations
	health   []error
	healthAt []time.Duration
	upTo     drivers.Delivery
	full     chan struct{} // Readings waits for it
	sleeps   int
}

func (k *taker) Readings(_ int, rs []drivers.Reading, upTo drivers.Delivery) {
	k.mu.Lock()
	full := k.full
	k.mu.Unlock()
	if full != nil {
		<-full
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, r := range rs {
		if r.Quality == drivers.Good {
			k.good[string(r.Point)]++
		} else {
			k.bad = append(k.bad, r)
		}
	}
	k.upTo = upTo
}

func (k *taker) Confirm(c Confirmation) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.confirms, k.at = append(k.confirms, c), append(k.at, now())
}

func (k *taker) Health(_ int, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.health, k.healthAt = append(k.health, err), append(k.healthAt, now())
}

// desk is a running bus in a bubble.
type desk struct {
	*Bus
	*taker
	t     *testing.T
	stop  context.CancelFunc
	ended chan struct{}
}

func start(t *testing.T, driver drivers.Driver, o Options) *desk {
	d := &desk{taker: &taker{good: map[string]int{}}, t: t, ended: make(chan struct{})}
	o.Name, o.Driver, o.Sink = "north", driver, d.taker
	d.Bus = New(o)
	ctx, stop := context.WithCancel(t.Context())
	d.stop = stop
	go func() {
		d.Run(ctx)
		close(d.ended)
	}()
	synctest.Wait()
	return d
}

// sleep lets time pass and everything that is due happen. Between two of them a test may look at everything and set what a
// driver answers: the mutexes tell the race detector so.
func (d *desk) sleep(t time.Duration) {
	d.driver.(interface{ set(func(*script)) }).set(func(x *script) { x.sleeps++ })
	d.taker.mu.Lock()
	d.sleeps++
	d.taker.mu.Unlock()
	time.Sleep(t)
	synctest.Wait()
}

func (d *desk) finish() time.Duration {
	began := time.Now()
	d.stop()
	<-d.ended
	return time.Since(began)
}

func (d *desk) wantHealth(want ...error) {
	d.t.Helper()
	if !slices.EqualFunc(d.health, want, errors.Is) {
		d.t.Fatalf("told %v, want %v", d.health, want)
	}
}

// relays is a plan of units with two requests each: "1.a", "1.b", "2.a" …
func relays(units int) []drivers.Request {
	var plan []drivers.Request
	for u := 1; u <= units; u++ {
		for _, p := range []string{"a", "b"} {
			plan = append(plan, drivers.Request{Unit: fmt.Sprint("unit ", u), Points: []drivers.PointID{drivers.PointID(fmt.Sprintf("%d.%s", u, p))}})
		}
	}
	return plan
}

func of(unit string, err error) func(drivers.Request) error {
	return func(r drivers.Request) error {
		if r.Unit == unit {
			return err
		}
		return nil
	}
}

func TestPollsAtOnceThenSpread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		driver := &script{plan: relays(2), takes: 10 * ms}
		driver.plan[3].Every = 20 * s
		d := start(t, driver, Options{Every: 8 * s})
		d.sleep(17 * s)
		want := []event{{0, "1.a"}, {10 * ms, "1.b"}, {20 * ms, "2.a"}, {30 * ms, "2.b"}, // at once, in order
			{2 * s, "1.a"}, {4 * s, "1.b"}, {6 * s, "2.a"}, {10 * s, "1.a"}, {12 * s, "1.b"}, {14 * s, "2.a"}}
		if !slices.Equal(driver.reads, want) {
			t.Errorf("read %v, want %v", driver.reads, want)
		}
		st := d.Stats()
		if d.good["1.b"] != 3 || d.good["2.b"] != 1 || len(d.bad) != 0 || st.Late != 0 || st.Polls != 10 || st.Readings != 10 {
			t.Errorf("%v, %+v", d.good, st)
		}
		if u := st.Units[1]; u.Name != "unit 2" || u.Polls != 4 || u.Latency != 10*ms || u.Longest != 10*ms || u.LastError != nil {
			t.Errorf("%+v", u)
		}
		d.finish()
		if driver.closed != 1 {
			t.Errorf("closed %d times", driver.closed)
		}
	})
}

func TestLatePollsAreCountedNotCaughtUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		driver := &script{plan: relays(2), takes: 300 * ms}
		d := start(t, driver, Options{Every: s}) // four requests of 300 ms do not fit into a second
		d.sleep(120*s + 1)
		st := d.Stats()
		if st.Polls < 398 || st.Polls > 401 {
			t.Errorf("%d polls", st.Polls)
		}
		if sum := st.Polls + st.Late; sum < 478 || sum > 486 { // in the first second each is asked twice
			t.Errorf("%d polls, %d late", st.Polls, st.Late)
		}
		for _, r := range driver.plan {
			if n := d.good[string(r.Points[0])]; n < 97 {
				t.Errorf("%s has %d of its fair 100 polls", r.Points[0], n)
			}
		}
		driver.takes = 0
		d.sleep(0)
		from := now()
		d.sleep(10 * s)
		if n := len(driver.readsOf("1.a", from)); n > 11 {
			t.Errorf("%d polls in 10 s: caught up", n)
		}
		d.finish()
	})
}

func TestWritesGoFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		driver := &script{plan: relays(3), takes: 100 * ms}
		d := start(t, driver, Options{Every: 10 * s})
		d.sleep(50 * ms) // in the first read
		d.Write(Write{Output: 0, ID: 1, Point: "1.a", Value: 1})
		d.Write(Write{Output: 1, ID: 2, Point: "2.a", Value: 1})
		d.Write(Write{Output: 0, ID: 3, Point: "1.a", Value: 0})
		d.Write(Write{Output: 2, ID: 4, Point: "3.a", Value: 1, Safety: true})
		d.sleep(2 * s)
		if want := []event{{100 * ms, "3.a=1"}, {200 * ms, "1.a=0"}, {300 * ms, "2.a=1"}}; !slices.Equal(driver.writes, want) {
			t.Errorf("wrote %v, want %v", driver.writes, want)
		}
		var ids []uint64
		for _, c := range d.confirms {
			if c.Err != nil {
				t.Errorf("%+v", c)
			}
			ids = append(ids, c.ID)
		}
		if !slices.Equal(ids, []uint64{4, 3, 2}) {
			t.Errorf("confirmed %v", ids)
		}
		if st := d.Stats(); st.Writes != 3 || st.WriteErrors != 0 || st.Waiting != 0 {
			t.Errorf("%+v", st)
		}
		d.finish()
	})
}

func TestWrittenOutputIsReadSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		driver := &script{plan: relays(3), takes: 10 * ms}
		d := start(t, driver, Options{Every: 60 * s})
		d.sleep(s)
		driver.wrErr = func(p drivers.PointID) error {
			if p == "3.a" {
				return drivers.ErrNotConfirmed
			}
			return nil
		}
		d.Write(Write{Output: 0, ID: 1, Point: "2.b", Value: 1})
		d.sleep(30 * ms)
		if got := driver.readsOf("2.b", s); !slices.Equal(got, []time.Duration{s + 10*ms}) {
			t.Errorf("read back at %v", got)
		}
		d.Write(Write{Output: 1, ID: 2, Point: "3.a", Value: 1})
		d.sleep(1100 * ms)
		if got := driver.readsOf("3.a", s); len(got) != 1 {
			t.Errorf("what was not confirmed was read at %v", got)
		}
		if c := d.confirms[1]; !errors.Is(c.Err, drivers.ErrNotConfirmed) || c.ID != 2 || c.Value != 1 {
			t.Errorf("%+v", c)
		}
		d.sleep(60 * s)
		if got := driver.readsOf("2.b", 2*s); !slices.Equal(got, []time.Duration{40 * s}) { // its place in time is kept
			t.Errorf("polled at %v", got)
		}
		d.finish()
	})
}

// A switch that flaps as quickly as it is confirmed must not keep the bus from reading.
func TestFlappingOutputDoesNotBlind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		driver := &script{plan: relays(2), takes: 20 * ms}
		d := start(t, driver, Options{Every: 500 * ms})
		for i := range 5000 {
			d.Write(Write{Output: i % 2, ID: uint64(i), Point: drivers.PointID(fmt.Sprintf("%d.a", 1+i%2)), Value: float64(i / 2 % 2)})
			d.sleep(2 * ms)
		}
		for _, p := range []string{"1.a", "1.b", "2.a", "2.b"} {
			if d.good[p] < 19 {
				t.Errorf("%s was read %d times in 10 s", p, d.good[p])
			}
		}
		d.finish()
	})
}

func TestPointOfNoRequestIsWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		driver := &script{}
		d := start(t, driver, Options{})
		d.sleep(s)
		d.Write(Write{Output: 0, ID: 7, Point: "valve", Value: 0.5})
		d.sleep(0)
		if len(d.confirms) != 1 || d.confirms[0] != (Confirmation{0, 7, 0.5, nil}) {
			t.Errorf("%+v", d.confirms)
		}
		d.finish()
	})
}
