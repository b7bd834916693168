package buffer

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// openReader opens a reader on a directory and checks at the end that no byte there has changed.
func openReader(t *testing.T, dir string) *Reader {
	t.Helper()
	before := contents(t, dir)
	r, err := OpenReader(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		for name, was := range before {
			if is := contents(t, dir)[name]; !bytes.Equal(is, was) {
				t.Errorf("reading changed %s", name)
			}
		}
		if n := len(contents(t, dir)); n != len(before) {
			t.Errorf("reading made of %d files %d", len(before), n)
		}
	})
	return r
}

func contents(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	all := map[string][]byte{}
	for _, path := range files(t, dir, "*") {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		all[filepath.Base(path)] = b
	}
	return all
}

// exported gathers what a selection gives.
func exported(r *Reader, s Selection) (all []Stored, faults []error) {
	for rec, err := range r.Records(s) {
		if err != nil {
			faults = append(faults, err)
			continue
		}
		all = append(all, rec)
	}
	return all, faults
}

// faultsOf gathers what a check finds, by file.
func faultsOf(t *testing.T, r *Reader) (found []string, records uint64) {
	t.Helper()
	for c, err := range r.Verify() {
		if err != nil {
			t.Fatal(err)
		}
		records += c.Records
		for _, err := range c.Faults {
			found = append(found, c.Name+": "+err.Error())
		}
	}
	return found, records
}

func TestAReaderShowsEverythingInOrder(t *testing.T) {
	s := newSite(t)
	r := openReader(t, s.opts.Dir)
	all, faults := exported(r, Selection{})
	if len(faults) > 0 || len(all) != len(s.records) {
		t.Fatalf("%d of %d records, faults %v", len(all), len(s.records), faults)
	}
	for i, rec := range all {
		want(t, rec.Entry, uint64(i+1), s.records[uint64(i+1)])
		if rec.Epoch != s.epoch || rec.Fate != Waiting {
			t.Fatalf("%+v", rec)
		}
	}
	if found, n := faultsOf(t, r); len(found) > 0 || n != uint64(len(s.records)) {
		t.Errorf("of %d records %d are there: %q", len(s.records), n, found)
	}
	for _, c := range []struct {
		name string
		s    Selection
		has  func(Stored) bool
	}{
		{"a lane", Selection{Lane: alerts}, func(r Stored) bool { return r.Lane == alerts }},
		{"sequences", Selection{First: 100, Last: 300}, func(r Stored) bool { return r.Sequence >= 100 && r.Sequence <= 300 }},
		{"times", Selection{From: all[200].At, To: all[400].At}, func(r Stored) bool { return r.At >= all[200].At && r.At < all[400].At }},
		{"nothing", Selection{From: 1, To: 2}, func(Stored) bool { return false }},
	} {
		var want []uint64
		for _, rec := range all {
			if c.has(rec) {
				want = append(want, rec.Sequence)
			}
		}
		some, faults := exported(r, c.s)
		var got []uint64
		for _, rec := range some {
			got = append(got, rec.Sequence)
		}
		if !slices.Equal(got, want) || len(faults) > 0 {
			t.Errorf("%s: %d records, want %d; %v", c.name, len(got), len(want), faults)
		}
	}
	for range r.Records(Selection{}) {
		break // a listener may leave
	}
}

func TestAReaderKnowsWhatWasAcknowledged(t *testing.T) {
	o := small(t.TempDir())
	b := open(t, o)
	commit(t, b, records(telemetry, 0, 10), nil)
	commit(t, b, records(alerts, 0, 5), nil)
	b.Ack(telemetry, 6, 3, 4)
	if _, err := OpenReader(o.Dir); !errors.Is(err, ErrLocked) {
		t.Fatalf("a running buffer gave %v", err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	r := openReader(t, o.Dir)
	all, faults := exported(r, Selection{})
	var got []string
	for _, rec := range all {
		got = append(got, string(rec.Body)+[]string{"?", " waits", " done", " aside"}[rec.Fate])
		want(t, rec.Entry, rec.Sequence, record(rec.Lane, int(rec.Sequence-1)%10))
	}
	if len(all) != 15 || len(faults) > 0 || all[0].Sequence != 3 || all[1].Sequence != 4 || all[2].Sequence != 1 || all[14].Sequence != 15 {
		t.Errorf("%q, %v", got, faults)
	}
	for _, rec := range all {
		fate := Waiting
		switch {
		case rec.Sequence == 3 || rec.Sequence == 4:
			fate = SetAside
		case rec.Sequence <= 6:
			fate = Done
		}
		if rec.Fate != fate {
			t.Errorf("%d is of fate %d, want %d", rec.Sequence, rec.Fate, fate)
		}
	}
	if found, _ := faultsOf(t, r); len(found) > 0 {
		t.Errorf("%q", found)
	}
	// A gateway may start while somebody reads.
	again := open(t, o)
	if _, faults := exported(r, Selection{}); len(faults) != 1 || !errors.Is(faults[0], ErrLocked) {
		t.Errorf("with a buffer running beside it: %v", faults)
	}
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestAReaderOfASlimmedBuffer(t *testing.T) {
	o := tight(t.TempDir())
	b := open(t, o)
	for i := range 40 {
		commit(t, b, append(noisy(telemetry, i*50, 50), records(alerts, i, 1)...), nil)
		settle(b)
	}
	waiting := map[Lane]uint64{telemetry: stats(t, b, telemetry).Waiting, alerts: stats(t, b, alerts).Waiting}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if len(files(t, o.Dir, "*.kept")) == 0 {
		t.Fatal("nothing was slimmed")
	}
	r := openReader(t, o.Dir)
	for lane, n := range waiting {
		if all, faults := exported(r, Selection{Lane: lane}); uint64(len(all)) != n || len(faults) > 0 {
			t.Errorf("%d of %d records of %s, %v", len(all), n, lane, faults)
		}
	}
	if found, _ := faultsOf(t, r); len(found) > 0 {
		t.Errorf("%q", found)
	}
}

func TestAReaderSaysWhatIsDamaged(t *testing.T) {
	whole := newSite(t)
	flip := func(t *testing.T, path string, at int) {
		edit(t, path, func(b []byte) []byte { b[at] ^= 0x55; return b })
	}
	for _, c := range []struct {
		name   string
		damage func(t *testing.T, s *site)
		says   []string
		lost   int // records at most
	}{
		{"a block", func(t *testing.T, s *site) {
			part := someBlock(t, s.path(s.bolts[1]))
			edit(t, s.path(s.bolts[1]), func(b []byte) []byte { b[bytes.Index(b, part)+len(part)/2] ^= 0x55; return b })
		}, []string{"00000002.bolt: lane \"device.telemetry\", sequences ", "checksum is wrong"}, 40},
		{"a meta page", func(t *testing.T, s *site) { flip(t, s.path(s.bolts[1]), pageHeader+20) }, []string{"one of its two meta pages"}, 42},
		{"cut short", func(t *testing.T, s *site) {
			edit(t, s.path(s.bolts[2]), func(b []byte) []byte { return b[:3*pageSize] })
		}, []string{"00000003.bolt: "}, 200},
		{"the head is gone", func(t *testing.T, s *site) {
			edit(t, s.head(), func([]byte) []byte { return nil })
		}, []string{filepath.Base(whole.head()) + ": "}, 200},
		{"missing", func(t *testing.T, s *site) {
			if err := os.Remove(s.path(s.bolts[1])); err != nil {
				t.Fatal(err)
			}
		}, []string{"00000002.bolt: lane", "it had records that waited"}, 200},
		{"a copy of the notes", func(t *testing.T, s *site) { flip(t, s.path(copyNames[0]), 60) }, []string{"notes.a, notes.b: ", "checksum is wrong"}, 0},
		{"put aside", func(t *testing.T, s *site) {
			if _, err := quarantine(s.path(s.bolts[1])); err != nil {
				t.Fatal(err)
			}
		}, []string{"00000002.bolt.damaged: it was put aside", "00000002.bolt: lane"}, 200},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := whole.copy(t)
			c.damage(t, s)
			r := openReader(t, s.opts.Dir)
			found, _ := faultsOf(t, r)
			for _, says := range c.says {
				if !strings.Contains(strings.Join(found, "\n"), says) {
					t.Errorf("got %q, want %q", found, says)
				}
			}
			all, _ := exported(r, Selection{})
			if lost := len(s.records) - len(all); lost > c.lost {
				t.Errorf("%d records are lost", lost)
			}
			var last uint64
			for _, rec := range all {
				if rec.Sequence <= last {
					t.Fatalf("%d follows %d", rec.Sequence, last)
				}
				last = rec.Sequence
				rec.Lane = s.records[last].Lane // where nothing tells the names, it is a number
				want(t, rec.Entry, last, s.records[last])
			}
		})
	}
}

func TestNoBufferThere(t *testing.T) {
	if _, err := OpenReader(t.TempDir()); !errors.Is(err, ErrNoBuffer) {
		t.Errorf("an empty directory gave %v", err)
	}
	if _, err := OpenReader(filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no directory gave %v", err)
	}
}
