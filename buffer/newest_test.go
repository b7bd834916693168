package buffer

import "testing"

func TestNewestShowsWhatIsAcknowledgedToo(t *testing.T) {
	o := small(t.TempDir())
	b := open(t, o)
	const each, commits = 40, 200 // over several segments
	for c := range commits {
		commit(t, b, append(records(telemetry, c*each, each-1), record(alerts, c*each+each-1)), nil)
	}
	if n := b.Stats().Segments; n < 3 {
		t.Fatalf("%d segments", n)
	}
	waiting := peek(t, b, telemetry, 0, 1<<20)
	b.Ack(telemetry, waiting[len(waiting)-1].Sequence)
	commit(t, b, records(telemetry, each*commits, 1), nil)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	b = open(t, o)
	for _, n := range []int{0, 1, 2, 3, 1000, each * commits * 2} {
		all := min(n, each*commits+1)
		got, err := b.Newest(telemetry, n)
		if err != nil {
			t.Fatal(err)
		}
		next := each*commits + 1 - all
		for _, e := range got {
			if next%each == each-1 && next < each*commits {
				next++ // an alert
			}
			want(t, e, uint64(next+1), record(telemetry, next))
			next++
		}
		if next != each*commits+1 {
			t.Errorf("the newest %d end at %d of %d", n, next, each*commits+1)
		}
	}
	if again := peek(t, b, telemetry, 0, 1<<20); len(again) != 1 {
		t.Errorf("%d wait, 1 should", len(again))
	}
	if _, err := b.Newest("nobody", 1); err == nil {
		t.Error("a lane that does not exist has records")
	}
}

// BenchmarkNewest is what a gateway reads at its start.
func BenchmarkNewest(b *testing.B) {
	buf := open(b, Options{Dir: b.TempDir(), Lanes: []LaneSpec{{Name: telemetry}}})
	recs := telemetryEvents(events)
	for at := 0; at < len(recs); at += 50 {
		if err := buf.Commit(recs[at:at+50], nil); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		if got, err := buf.Newest(telemetry, 4000); err != nil || len(got) != 4000 {
			b.Fatal(len(got), err)
		}
	}
}
