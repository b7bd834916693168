package buffer

import (
	"math/rand/v2"
	"os"
	"testing"
	"time"
)

// noisy are records that hardly compress, so that few fill a segment.
func noisy(lane Lane, from, n int) []Record {
	rng := rand.New(rand.NewPCG(uint64(from), 11))
	recs := records(lane, from, n)
	for i := range recs {
		recs[i].Body = make([]byte, 500)
		for j := range recs[i].Body {
			recs[i].Body[j] = byte(rng.Uint32())
		}
	}
	return recs
}

// settle waits until the budget has been kept after all commits so far.
func settle(b *Buffer) { b.keepBudget() }

// drain peeks and checks that sequences rise, and returns them.
func drain(t testing.TB, b *Buffer, lane Lane) (sequences []uint64) {
	t.Helper()
	var after uint64
	for {
		es := peek(t, b, lane, after, 100_000)
		if len(es) == 0 {
			return sequences
		}
		for _, e := range es {
			if e.Sequence <= after {
				t.Fatalf("%d follows %d", e.Sequence, after)
			}
			after = e.Sequence
			sequences = append(sequences, after)
		}
	}
}

func tight(dir string) Options {
	o := small(dir)
	o.MaxBytes, o.Reserve = 16*minSegment, 4*minSegment
	return o
}

func TestArchiveGivesWayFirst(t *testing.T) {
	b := open(t, tight(t.TempDir()))
	for i := range 40 {
		commit(t, b, noisy(telemetry, i*50, 50), nil)
		es := peek(t, b, telemetry, 0, 1<<20)
		if i >= 30 {
			continue // these wait
		}
		b.Ack(telemetry, es[len(es)-1].Sequence)
	}
	settle(b)
	s := b.Stats()
	if s.Bytes > tight("").MaxBytes {
		t.Errorf("%d bytes of %d", s.Bytes, s.MaxBytes)
	}
	if s.Segments < 8 {
		t.Errorf("only %d segments are left: the archive should stay until its place is needed", s.Segments)
	}
	if l := stats(t, b, telemetry); l.Waiting != 500 || l.Dropped != 0 || l.Sent != 1500 {
		t.Errorf("%+v", l)
	}
	if got := drain(t, b, telemetry); len(got) != 500 || got[0] != 1501 {
		t.Errorf("%d records wait, the first is %d", len(got), got[0])
	}
	if g := b.Gaps(0); len(g) != 0 {
		t.Errorf("gaps %+v", g)
	}
}

func TestTelemetryIsDroppedBeforeCritical(t *testing.T) {
	o := tight(t.TempDir())
	b := open(t, o)
	var critical int
	for i := range 60 {
		recs := noisy(telemetry, i*50, 50)
		if i%3 == 0 {
			recs = append(recs, noisy(alerts, i, 2)...)
			critical += 2
		}
		commit(t, b, recs, nil)
	}
	check := func(b *Buffer) {
		t.Helper()
		settle(b)
		tel, al := stats(t, b, telemetry), stats(t, b, alerts)
		if tel.Dropped == 0 || tel.Dropped+tel.Waiting != 3000 {
			t.Errorf("%+v of 3000", tel)
		}
		if al.Dropped != 0 || al.Waiting != uint64(critical) {
			t.Errorf("%+v of %d", al, critical)
		}
		if got := drain(t, b, telemetry); uint64(len(got)) != tel.Waiting || got[len(got)-1] != 3000+uint64(critical) {
			t.Errorf("%d can be peeked, %d wait; the newest is %d", len(got), tel.Waiting, got[len(got)-1])
		}
		if got := drain(t, b, alerts); len(got) != critical || got[0] != 51 {
			t.Errorf("%d alerts can be peeked of %d, from %d", len(got), critical, got[0])
		}
		if s := b.Stats(); s.Bytes > o.MaxBytes {
			t.Errorf("%d bytes of %d", s.Bytes, s.MaxBytes)
		}
		var counted uint64
		for i, g := range b.Gaps(0) {
			counted += g.Count
			if g.Number != uint64(i+1) || g.Lane != telemetry || g.Damage || g.First > g.Last || g.From > g.To || g.At == 0 {
				t.Errorf("gap %+v", g)
			}
		}
		if counted != tel.Dropped {
			t.Errorf("gaps tell of %d, %d were dropped", counted, tel.Dropped)
		}
	}
	check(b)
	if len(files(t, o.Dir, "*.kept")) == 0 {
		t.Error("no segment was slimmed")
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	b = open(t, o)
	if len(b.Found()) > 0 {
		t.Errorf("found %q", b.Found())
	}
	check(b)

	// Once the alerts are sent, their slim files are archive like any other.
	b.Ack(alerts, 1<<62)
	b.Ack(telemetry, 1<<62)
	for i := range 30 {
		commit(t, b, noisy(telemetry, i, 50), nil)
	}
	settle(b)
	if n := len(files(t, o.Dir, "*.kept")); n != 0 {
		t.Errorf("%d slim files are left", n)
	}
	if l := stats(t, b, telemetry); l.Waiting == 0 || l.Waiting+l.Dropped+l.Sent != 4500 {
		t.Errorf("%+v of 4500", l)
	}
}

func TestCriticalGoesLastAndIsCounted(t *testing.T) {
	o := tight(t.TempDir())
	b := open(t, o)
	for i := range 60 {
		commit(t, b, append(noisy(alerts, i*50, 40), noisy(telemetry, i, 2)...), nil)
		settle(b)
		al, tel := stats(t, b, alerts), stats(t, b, telemetry)
		if al.Dropped > 0 && tel.Waiting > 2*4 {
			t.Fatalf("alerts were dropped while telemetry waited: %+v, %+v", al, tel)
		}
	}
	al := stats(t, b, alerts)
	if al.Dropped == 0 || al.Dropped+al.Waiting != 2400 {
		t.Fatalf("%+v of 2400", al)
	}
	if got := drain(t, b, alerts); uint64(len(got)) != al.Waiting || got[len(got)-1] != 60*42-2 && got[len(got)-1] != 60*42 {
		t.Errorf("%d peeked of %d, the newest is %d", len(got), al.Waiting, got[len(got)-1])
	}
	if s := b.Stats(); s.Bytes > o.MaxBytes {
		t.Errorf("%d bytes of %d", s.Bytes, o.MaxBytes)
	}
}

func TestTelemetryLeavesTheReserve(t *testing.T) {
	o := tight(t.TempDir())
	b := open(t, o)
	for i := range 60 {
		commit(t, b, noisy(telemetry, i*50, 50), nil)
	}
	settle(b)
	if s := b.Stats(); s.Bytes > o.MaxBytes-o.Reserve {
		t.Errorf("telemetry takes %d bytes, %d are for it", s.Bytes, o.MaxBytes-o.Reserve)
	}
}

func TestACrashBetweenTheSteps(t *testing.T) {
	fill := func(t *testing.T) (Options, *Buffer) {
		o := small(t.TempDir())
		b := open(t, o)
		for i := range 12 {
			commit(t, b, append(noisy(telemetry, i*50, 50), noisy(alerts, i, 1)...), nil)
		}
		return o, b
	}
	t.Run("of removing a segment", func(t *testing.T) {
		o, b := fill(t)
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		first := files(t, o.Dir, "*.bolt")[0]
		if err := os.Remove(first); err != nil {
			t.Fatal(err)
		}
		b = open(t, o)
		l := stats(t, b, telemetry)
		if len(b.Found()) != 1 || l.Dropped == 0 || l.Dropped+l.Waiting != 600 || uint64(len(drain(t, b, telemetry))) != l.Waiting {
			t.Errorf("found %q, %+v", b.Found(), l)
		}
	})
	t.Run("of slimming one", func(t *testing.T) {
		o, b := fill(t)
		dir := t.TempDir()
		copyDir(t, o.Dir, dir)
		s := b.segments[1]
		if err := b.slimSegment(s); err != nil {
			t.Fatal(err)
		}
		slimmed := stats(t, b, telemetry)
		if slimmed.Dropped == 0 || stats(t, b, alerts).Waiting != 12 {
			t.Fatalf("%+v", slimmed)
		}
		// The slim file is there, the old one is not yet gone and the catalog knows of neither.
		copyFile(t, files(t, o.Dir, "*.kept")[0], dir)
		o.Dir = dir
		b = open(t, o)
		if l := stats(t, b, telemetry); l.Dropped != slimmed.Dropped || uint64(len(drain(t, b, telemetry))) != slimmed.Waiting {
			t.Errorf("%+v, want %+v; found %q", l, slimmed, b.Found())
		}
		if got := drain(t, b, alerts); len(got) != 12 {
			t.Errorf("%d alerts of 12", len(got))
		}
		if n := len(files(t, dir, segmentName(s.number, false))); n != 0 {
			t.Error("the segment beside the slim one is still there")
		}
	})
}

func TestReadersFinishWhileTheirSegmentGoes(t *testing.T) {
	o := tight(t.TempDir())
	b := open(t, o)
	stop := make(chan struct{})
	errs := make(chan error, 1)
	go func() {
		defer close(errs)
		var after uint64
		for {
			es, err := b.Peek(telemetry, after, 20_000)
			if err != nil {
				errs <- err
				return
			}
			if len(es) > 0 {
				after = es[len(es)-1].Sequence
				continue
			}
			after = 0
			select {
			case <-stop:
				return
			default:
				time.Sleep(time.Millisecond)
			}
		}
	}()
	for i := range 80 {
		commit(t, b, noisy(telemetry, i*50, 50), nil)
	}
	close(stop)
	if err := <-errs; err != nil {
		t.Fatal(err)
	}
	settle(b)
	if l := stats(t, b, telemetry); l.Dropped == 0 || l.Dropped+l.Waiting != 4000 {
		t.Errorf("%+v of 4000", l)
	}
}
