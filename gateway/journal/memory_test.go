package journal

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gacp-erp.internal/glasshouse/buffer"
)

func TestNewestStayInMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, Options{Memory: 100 << 10})
		d.disk.set(func(s *disk) { s.fail = errDisk })
		d.add("!first", Entry{Urgent: true})
		d.sleep(0)
		long := strings.Repeat("x", 1000)
		for i := range 1000 {
			mark := ""
			if i%100 == 0 {
				mark = "!"
			}
			d.add(mark+strconv.Itoa(i)+long, Entry{})
			d.sleep(10 * time.Millisecond)
			if s := d.Stats(); s.InMemoryBytes > 100<<10+2000 {
				t.Fatalf("%d bytes in memory", s.InMemoryBytes)
			}
		}
		d.disk.set(func(s *disk) { s.fail = nil })
		d.sleep(30 * time.Second)
		kept := d.disk.kept()
		var got []string
		for _, body := range kept {
			got = append(got, strings.TrimRight(body, "x"))
		}
		n := len(got)
		if n < 75 || n > 95 || got[0] != "!first" || got[n-1] != "999" {
			t.Fatalf("kept %v", got)
		}
		alerts := 0
		for i, body := range got {
			if strings.HasPrefix(body, "!") {
				alerts++
			} else if i > 0 && !strings.HasPrefix(got[i-1], "!") && number(got[i-1])+1 != number(body) && number(body)%100 != 1 {
				t.Errorf("%s after %s", body, got[i-1])
			}
		}
		last := d.states[len(d.states)-1]
		if alerts != 11 || last.Degraded || last.Dropped != (Dropped{0, uint64(1001 - n)}) || d.Stats().Dropped != last.Dropped {
			t.Errorf("%d alerts kept, %d records, told %+v", alerts, n, last)
		}
		if from, to := last.First.Sub(d.begin), last.Last.Sub(d.begin); from != 10*time.Millisecond || to < 8*time.Second || to > 10*time.Second {
			t.Errorf("gap from %v to %v", from, to)
		}
		if err := d.finish(); err != nil {
			t.Error(err)
		}
	})
}

func number(s string) int {
	n, _ := strconv.Atoi(strings.TrimPrefix(s, "!"))
	return n
}

func TestCriticalGoesLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, Options{Memory: 20 << 10})
		d.disk.set(func(s *disk) { s.fail = errDisk })
		d.add("t", Entry{Urgent: true})
		d.sleep(0)
		for i := range 100 {
			d.add(fmt.Sprintf("!%d ", i)+strings.Repeat("x", 900), Entry{})
		}
		d.disk.set(func(s *disk) { s.fail = nil })
		d.sleep(30 * time.Second)
		kept := d.disk.kept()
		if n := len(kept); n < 17 || n > 20 || !strings.HasPrefix(kept[n-1], "!99 ") || !strings.HasPrefix(kept[0], fmt.Sprintf("!%d ", 100-n)) {
			t.Errorf("kept %.5q", kept)
		}
		if s := d.Stats(); s.Dropped.Telemetry != 1 || s.Dropped.Critical != uint64(100-len(kept)) {
			t.Errorf("%+v", s.Dropped)
		}
		if err := d.finish(); err != nil {
			t.Error(err)
		}
	})
}

func TestNotesAreNeverDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, Options{Memory: 10 << 10})
		d.disk.set(func(s *disk) { s.fail = errDisk })
		for i := range 2000 {
			d.add(fmt.Sprint(i), Entry{Urgent: true, Notes: buffer.Notes{fmt.Sprint("k", i%7): fmt.Append(nil, i)}})
			d.sleep(5 * time.Millisecond)
		}
		d.disk.set(func(s *disk) { s.fail = nil })
		d.sleep(30 * time.Second)
		for i := 1993; i < 2000; i++ {
			if got := d.disk.notes[fmt.Sprint("k", i%7)]; got != fmt.Sprint(i) {
				t.Errorf("note k%d is %s, want %d", i%7, got, i)
			}
		}
		if err := d.finish(); err != nil {
			t.Error(err)
		}
	})
}

func TestTooSlowBeforeTheStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, Options{Memory: 10 << 10})
		d.disk.set(func(s *disk) { s.takes = time.Second })
		d.add("a", Entry{Urgent: true})
		d.sleep(0)
		for i := range 100 {
			d.add(fmt.Sprint(i)+strings.Repeat("x", 1000), Entry{})
		}
		if s := d.Stats(); s.Error == nil || s.InMemoryBytes > 12<<10 || s.Dropped.Telemetry == 0 {
			t.Errorf("%+v", s)
		}
		d.sleep(3 * time.Second)
		if len(d.states) != 2 || d.states[1].Dropped != d.Stats().Dropped {
			t.Errorf("told %+v", d.states)
		}
		if got, lost := len(d.disk.kept()), int(d.Stats().Dropped.Telemetry); got+lost != 101 {
			t.Errorf("%d kept, %d dropped", got, lost)
		}
		if err := d.finish(); err != nil {
			t.Error(err)
		}
	})
}

// One entry may be larger than Memory: a disk that works is given it whole.
func TestLargeEntryIsNotDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, Options{Memory: 10 << 10})
		d.disk.set(func(s *disk) { s.takes = 20 * time.Millisecond })
		d.add("a", Entry{Urgent: true})
		d.sleep(time.Millisecond)
		d.add(strings.Repeat("x", 100<<10), Entry{})
		d.sleep(time.Second)
		if s := d.Stats(); s.Records != 2 || len(d.states) != 0 {
			t.Errorf("%+v", s)
		}
		if err := d.finish(); err != nil {
			t.Error(err)
		}
	})
}

func TestStop(t *testing.T) {
	tests := map[string]struct {
		prepare func(*disk)
		kept    []string
		durable bool
		err     string
		within  time.Duration
	}{
		"what waits is committed": {func(*disk) {}, []string{"a", "b"}, true, "", 0},
		"a failing disk":          {func(s *disk) { s.fail = errDisk }, nil, false, "2 records and 0 notes were not kept", 0},
		"a hanging disk":          {func(s *disk) { s.stuck = make(chan struct{}) }, nil, false, "whether its 2 records are kept", 2 * time.Second},
		"a slow disk":             {func(s *disk) { s.takes = 1500 * time.Millisecond }, []string{"a", "b"}, true, "", 1500 * time.Millisecond},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDesk(t, Options{})
				test.prepare(d.disk)
				d.add("a", Entry{})
				d.add("b", Entry{})
				began := time.Now()
				err := d.finish()
				if took := time.Since(began); took != test.within {
					t.Errorf("took %v, want %v", took, test.within)
				}
				if (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), test.err) {
					t.Errorf("ended with %v, want %q", err, test.err)
				}
				d.wantKept(test.kept...)
				d.wantTold("a", test.durable)
				d.wantTold("b", test.durable)
				d.add("late", Entry{})
				d.wantTold("late", false)
				if d.disk.stuck != nil {
					close(d.disk.stuck)
				}
			})
		})
	}
}

// A commit that hangs at the stop and ends in time does not keep what came after from being kept.
func TestStopDuringAHang(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, Options{})
		stuck := make(chan struct{})
		d.disk.set(func(s *disk) { s.stuck = stuck })
		d.add("a", Entry{Urgent: true})
		d.sleep(5 * time.Second)
		d.add("b", Entry{})
		time.AfterFunc(time.Second, func() { close(stuck) })
		if err := d.finish(); err != nil {
			t.Error(err)
		}
		d.wantKept("a", "b")
	})
}

// Whatever the disk does: each record is kept once, in order, or counted as dropped, and each entry is told once.
func TestBooksBalance(t *testing.T) {
	for seed := range uint64(40) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { balance(t, rand.New(rand.NewPCG(seed, 7))) })
		})
	}
}

func balance(t *testing.T, r *rand.Rand) {
	d := newDesk(t, Options{Memory: 16 << 10})
	var stuck chan struct{}
	added := map[bool]int{}
	n := 0
	for range 300 {
		switch r.IntN(12) {
		case 0:
			d.disk.set(func(s *disk) { s.fail = errDisk })
		case 1, 2:
			d.disk.set(func(s *disk) { s.fail, s.takes, s.panics = nil, 0, false })
		case 3:
			d.disk.set(func(s *disk) { s.takes = time.Duration(r.IntN(4000)) * time.Millisecond })
		case 4:
			if stuck == nil {
				stuck = make(chan struct{})
				d.disk.set(func(s *disk) { s.stuck = stuck })
			}
		case 5, 6:
			if stuck != nil {
				close(stuck)
				stuck = nil
				d.disk.set(func(s *disk) { s.stuck = nil })
			}
		case 7:
			d.disk.set(func(s *disk) { s.panics = r.IntN(3) == 0 })
		}
		for range r.IntN(6) {
			mark, critical := "", r.IntN(8) == 0
			if critical {
				mark = "!"
			}
			added[critical]++
			body := fmt.Sprintf("%s%d %s", mark, n, strings.Repeat("x", r.IntN(2000)))
			d.add(body, Entry{Urgent: critical, QoS1: r.IntN(2), Half: r.IntN(20) == 0, Notes: buffer.Notes{"n": fmt.Append(nil, n)}})
			n++
		}
		d.sleep(time.Duration(r.IntN(900)) * time.Millisecond)
		d.audit()
	}
	if stuck != nil {
		close(stuck)
	}
	d.disk.set(func(s *disk) { s.fail, s.takes, s.panics, s.stuck = nil, 0, false, nil })
	if r.IntN(2) == 0 {
		d.sleep(time.Minute)
	}
	if err := d.finish(); err != nil {
		t.Fatal(err)
	}
	before, kept := -1, map[bool]int{}
	for _, body := range d.disk.kept() {
		text, _, _ := strings.Cut(body, " ")
		if k := number(text); k <= before {
			t.Fatalf("%d after %d", k, before)
		} else {
			before = k
		}
		kept[strings.HasPrefix(body, "!")]++
	}
	s := d.Stats()
	if kept[true]+int(s.Dropped.Critical) != added[true] || kept[false]+int(s.Dropped.Telemetry) != added[false] || s.InMemory != 0 || s.InMemoryBytes != 0 {
		t.Errorf("added %v, kept %v, %+v", added, kept, s)
	}
	if d.disk.notes["n"] != fmt.Sprint(n-1) {
		t.Errorf("the newest note is %s of %d", d.disk.notes["n"], n)
	}
	if len(d.order) != n || len(d.told) != n {
		t.Errorf("%d entries, %d told, %d of them different", n, len(d.order), len(d.told))
	}
	if !slices.IsSortedFunc(d.order, func(a, b string) int {
		x, _, _ := strings.Cut(a, " ")
		y, _, _ := strings.Cut(b, " ")
		return number(x) - number(y)
	}) {
		t.Error("entries were told out of order")
	}
	var spells Dropped
	for i, state := range d.states {
		if state.Degraded != (i%2 == 0) {
			t.Fatalf("told %+v", d.states)
		}
		if !state.Degraded {
			spells.Critical += state.Dropped.Critical
			spells.Telemetry += state.Dropped.Telemetry
		}
	}
	if spells != s.Dropped {
		t.Errorf("told of %+v dropped, counted %+v", spells, s.Dropped)
	}
}

// audit recounts what waits.
func (d *desk) audit() {
	d.t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	var bytes int64
	var n, held [kinds]int
	for i := range d.waiting.records {
		bytes += cost(&d.waiting.records[i])
		n[d.waiting.kinds[i]]++
	}
	for k := range held {
		for _, c := range d.waiting.chunks[k] {
			held[k] += c.n
		}
	}
	if bytes != d.waiting.bytes || n != held || d.state.Degraded && bytes > d.options.Memory {
		d.t.Fatalf("%d bytes of %v records, counted as %d bytes of %v", bytes, n, d.waiting.bytes, held)
	}
}
