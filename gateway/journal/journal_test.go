package journal

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"gacp-erp.internal/glasshouse/buffer"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errDisk = errors.New("input/output error")

// disk is a Store that fails, hangs, or takes its time.
type disk struct {
	mu     sync.Mutex
	fail   error         // of every commit
	takes  time.Duration // every commit
	stuck  chan struct{} // a commit waits for it to be closed
	panics bool

	at      []time.Time // when each good commit began
	records []string    // bodies, in order
	sizes   []int       // of the good commits
	notes   map[string]string
	tries   []time.Time
	sleeps  int
}

func (d *disk) Commit(recs []buffer.Record, notes buffer.Notes) error {
	began := time.Now()
	d.mu.Lock()
	fail, takes, stuck, panics := d.fail, d.takes, d.stuck, d.panics
	d.tries = append(d.tries, began)
	d.mu.Unlock()
	if panics {
		panic("page fault")
	}
	time.Sleep(takes)
	if stuck != nil {
		<-stuck
	}
	if fail != nil {
		return fail
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.at, d.sizes = append(d.at, began), append(d.sizes, len(recs))
	for _, r := range recs {
		d.records = append(d.records, string(r.Body))
	}
	if d.notes == nil {
		d.notes = map[string]string{}
	}
	for k, v := range notes {
		if v == nil {
			delete(d.notes, k)
			continue
		}
		d.notes[k] = string(v)
	}
	return nil
}

func (d *disk) set(f func(*disk)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f(d)
}

func (d *disk) kept() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.records)
}

// desk is a running journal on a disk, in a bubble.
type desk struct {
	*Journal
	t      *testing.T
	disk   *disk
	begin  time.Time
	states []State
	told   map[string][]bool // what Done said, by entry
	order  []string
	stop   context.CancelFunc
	ended  chan error
}

func newDesk(t *testing.T, o Options) *desk {
	d := &desk{t: t, disk: &disk{}, begin: time.Now(), told: map[string][]bool{}, ended: make(chan error, 1)}
	if o.Store == nil {
		o.Store = d.disk
	}
	o.Critical = func(l buffer.Lane) bool { return l == "alert" }
	o.Changed = func(s State) { d.disk.set(func(*disk) { d.states = append(d.states, s) }) }
	d.Journal = New(o)
	ctx, stop := context.WithCancel(t.Context())
	d.stop = stop
	go func() { d.ended <- d.Run(ctx) }()
	synctest.Wait()
	return d
}

// add adds an entry of one record with a body, and remembers what its Done says.
func (d *desk) add(body string, e Entry) {
	lane := buffer.Lane("telemetry")
	if strings.HasPrefix(body, "!") {
		lane = "alert"
	}
	if body != "" {
		e.Records = append(e.Records, buffer.Record{Lane: lane, At: time.Now().UnixMilli(), Key: []byte("k"), Body: []byte(body)})
	}
	e.Done = func(durable bool) {
		d.disk.set(func(*disk) {
			d.told[body] = append(d.told[body], durable)
			d.order = append(d.order, body)
		})
	}
	d.Add(e)
}

// sleep lets time pass and everything that is due happen. Between two of them a test may look at everything: the mutex tells
// the race detector so.
func (d *desk) sleep(t time.Duration) {
	d.disk.set(func(s *disk) { s.sleeps++ })
	time.Sleep(t)
	synctest.Wait()
}

func (d *desk) finish() error {
	d.disk.set(func(s *disk) { s.sleeps++ })
	d.stop()
	return <-d.ended
}

// commits gives when commits began since the start.
func (d *desk) commits() (at []time.Duration) {
	for _, t := range d.disk.at {
		at = append(at, t.Sub(d.begin))
	}
	return at
}

func (d *desk) wantKept(want ...string) {
	d.t.Helper()
	if got := d.disk.kept(); !slices.Equal(got, want) {
		d.t.Fatalf("kept %v, want %v", got, want)
	}
}

func (d *desk) wantTold(body string, durable bool) {
	d.t.Helper()
	if got := d.told[body]; len(got) != 1 || got[0] != durable {
		d.t.Fatalf("%q was told %v, want once %v", body, got, durable)
	}
}

func TestWhenACommitIsDue(t *testing.T) {
	const ms = time.Millisecond
	tests := map[string]struct {
		entries map[time.Duration]Entry
		want    []time.Duration
	}{
		"anything within a second":          {map[time.Duration]Entry{0: {}, 300 * ms: {}, 1300 * ms: {}}, []time.Duration{1000 * ms, 2300 * ms}},
		"a message within 50 ms":            {map[time.Duration]Entry{0: {}, 100 * ms: {QoS1: 3}, 120 * ms: {QoS1: 1}}, []time.Duration{150 * ms}},
		"a message does not put off":        {map[time.Duration]Entry{0: {}, 980 * ms: {QoS1: 1}}, []time.Duration{1000 * ms}},
		"half of what may be sent: at once": {map[time.Duration]Entry{7 * ms: {QoS1: 500, Half: true}}, []time.Duration{7 * ms}},
		"urgent at once, every 10 ms":       {map[time.Duration]Entry{1 * ms: {Urgent: true}, 3 * ms: {Urgent: true}, 5 * ms: {Urgent: true}, 30 * ms: {Urgent: true}}, []time.Duration{1 * ms, 11 * ms, 30 * ms}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDesk(t, Options{})
				for i, at := range slices.Sorted(maps.Keys(test.entries)) {
					d.sleep(time.Until(d.begin.Add(at)))
					d.add(fmt.Sprint(i), test.entries[at])
				}
				d.sleep(3 * time.Second)
				if got := d.commits(); !slices.Equal(got, test.want) {
					t.Errorf("commits at %v, want %v", got, test.want)
				}
				for body, told := range d.told {
					if len(told) != 1 || !told[0] {
						t.Errorf("entry %s was told %v", body, told)
					}
				}
				if err := d.finish(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func TestMuchIsCommittedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, Options{Memory: 80 << 10})
		d.add(strings.Repeat("x", 6<<10), Entry{})
		d.sleep(0)
		if len(d.disk.at) != 0 {
			t.Fatal("committed too early")
		}
		d.add(strings.Repeat("y", 6<<10), Entry{})
		d.sleep(0)
		if !slices.Equal(d.disk.sizes, []int{2}) {
			t.Fatalf("commits of %v records", d.disk.sizes)
		}
		if err := d.finish(); err != nil {
			t.Error(err)
		}
	})
}

func TestCopiesAndMerges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, Options{})
		body, value := []byte("one"), []byte("1")
		d.Add(Entry{Records: []buffer.Record{{Lane: "telemetry", Body: body}}, Notes: buffer.Notes{"a": value, "gone": []byte("x"), "none": {}}})
		copy(body, "XXX")
		value[0] = 'X'
		d.Add(Entry{Records: []buffer.Record{{Lane: "alert", Body: []byte("two")}}, Notes: buffer.Notes{"b": []byte("2")}})
		d.Add(Entry{Notes: buffer.Notes{"b": []byte("22"), "gone": nil}})
		d.sleep(time.Second)
		d.wantKept("one", "two")
		if want := map[string]string{"a": "1", "b": "22", "none": ""}; !maps.Equal(d.disk.notes, want) {
			t.Errorf("notes %v, want %v", d.disk.notes, want)
		}
		if s := d.Stats(); s.Commits != 1 || s.Records != 2 || s.InMemory != 0 || s.InMemoryBytes != 0 {
			t.Errorf("%+v", s)
		}
		if err := d.finish(); err != nil {
			t.Error(err)
		}
	})
}

func TestNothingToKeepIsNoCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, Options{})
		d.add("", Entry{QoS1: 1})
		d.sleep(50 * time.Millisecond)
		d.wantTold("", true)
		if s := d.Stats(); s.Commits != 0 || len(d.disk.tries) != 0 {
			t.Errorf("%+v", s)
		}
		if err := d.finish(); err != nil {
			t.Error(err)
		}
	})
}

func TestFailingDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, Options{})
		d.disk.set(func(s *disk) { s.fail = errDisk })
		d.add("a", Entry{QoS1: 1, Notes: buffer.Notes{"state": []byte("1"), "other": []byte("o")}})
		d.sleep(60 * time.Millisecond)
		d.wantTold("a", false)
		d.add("!b", Entry{Urgent: true, Notes: buffer.Notes{"state": []byte("2")}})
		d.sleep(0)
		d.wantTold("!b", false)
		if on, err := d.Degraded(); !on || !errors.Is(err, errDisk) {
			t.Fatal(on, err)
		}
		d.sleep(100 * time.Second)
		var waits []time.Duration
		for i := range len(d.disk.tries) - 1 {
			waits = append(waits, d.disk.tries[i+1].Sub(d.disk.tries[i]))
		}
		const s = time.Second
		if want := []time.Duration{s, 2 * s, 4 * s, 8 * s, 16 * s, 30 * s, 30 * s}; !slices.Equal(waits, want) {
			t.Fatalf("tried again after %v, want %v", waits, want)
		}
		d.disk.set(func(s *disk) { s.fail = nil })
		d.add("c", Entry{})
		d.sleep(30 * time.Second)
		d.wantKept("a", "!b", "c")
		if d.disk.notes["state"] != "2" || d.disk.notes["other"] != "o" {
			t.Errorf("notes %v", d.disk.notes)
		}
		if on, err := d.Degraded(); on || err != nil {
			t.Error(on, err)
		}
		if len(d.states) != 2 || !d.states[0].Degraded || d.states[1].Degraded || d.states[1].Dropped != (Dropped{}) || d.states[1].Until.Sub(d.states[1].Since) < 100*s {
			t.Errorf("told %+v", d.states)
		}
		d.add("d", Entry{QoS1: 1})
		d.sleep(s)
		d.wantTold("d", true)
		d.wantKept("a", "!b", "c", "d")
		if err := d.finish(); err != nil {
			t.Error(err)
		}
	})
}

func TestHangingDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, Options{})
		stuck := make(chan struct{})
		d.disk.set(func(s *disk) { s.stuck = stuck })
		d.add("a", Entry{Urgent: true})
		d.sleep(time.Second)
		d.add("b", Entry{QoS1: 1})
		d.sleep(999 * time.Millisecond)
		if on, _ := d.Degraded(); on || len(d.order) != 0 {
			t.Fatal("degraded before the stall", d.order)
		}
		d.sleep(time.Millisecond)
		if !slices.Equal(d.order, []string{"a", "b"}) {
			t.Fatalf("told %v", d.order)
		}
		d.wantTold("a", false)
		d.wantTold("b", false)
		d.add("c", Entry{})
		d.sleep(0)
		d.wantTold("c", false)
		d.sleep(time.Minute)
		if s := d.Stats(); s.HangsSeconds < 60 || s.InMemory != 3 || s.Error == nil || s.DegradedSince.IsZero() {
			t.Errorf("%+v", s)
		}
		close(stuck)
		d.disk.set(func(s *disk) { s.stuck = nil })
		d.sleep(0)
		d.wantKept("a", "b", "c")
		if s := d.Stats(); s.Error != nil || s.Commits != 2 || s.LongestSeconds < 60 || s.MeanSeconds() < 30 {
			t.Errorf("%+v", s)
		}
		if len(d.states) != 2 {
			t.Errorf("told %+v", d.states)
		}
		if err := d.finish(); err != nil {
			t.Error(err)
		}
	})
}

func TestAlwaysLateDiskStaysDegraded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, Options{})
		d.disk.set(func(s *disk) { s.takes = 3 * time.Second })
		for i := range 300 {
			d.add(fmt.Sprint(i), Entry{})
			d.sleep(100 * time.Millisecond)
		}
		if len(d.states) != 1 {
			t.Errorf("flapped: told %d changes", len(d.states))
		}
		d.disk.set(func(s *disk) { s.takes = 0 })
		d.sleep(10 * time.Second)
		if on, _ := d.Degraded(); on || len(d.disk.kept()) != 300 {
			t.Errorf("kept %d, degraded %v", len(d.disk.kept()), on)
		}
		if err := d.finish(); err != nil {
			t.Error(err)
		}
	})
}

func TestPanickingStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, Options{})
		d.disk.set(func(s *disk) { s.panics = true })
		d.add("a", Entry{Urgent: true})
		d.sleep(0)
		if on, err := d.Degraded(); !on || !strings.Contains(err.Error(), "page fault") {
			t.Fatal(on, err)
		}
		d.disk.set(func(s *disk) { s.panics = false })
		d.sleep(time.Second)
		d.wantKept("a")
		if err := d.finish(); err != nil {
			t.Error(err)
		}
	})
}
