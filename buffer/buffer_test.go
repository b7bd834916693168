package buffer

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const (
	telemetry Lane = "device.telemetry"
	alerts    Lane = "environment.alert"
)

// small are options under which segments are used up quickly.
func small(dir string) Options {
	return Options{Dir: dir, MaxBytes: 64 << 20, SegmentBytes: minSegment, Lanes: []LaneSpec{{Name: telemetry}, {Name: alerts, Critical: true}}}
}

func open(t testing.TB, o Options) *Buffer {
	t.Helper()
	b, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

func record(lane Lane, n int) Record {
	return Record{Lane: lane, At: 1_700_000_000_000 + int64(n), Key: fmt.Appendf(nil, "device-%d", n%7), Head: fmt.Appendf(nil, "head of %d", n),
		Body: fmt.Appendf(nil, `{"n":%d,"lane":%q,"value":%d.%d}`, n, lane, n*7919%1000, n*104729%997)}
}

func records(lane Lane, from, n int) []Record {
	var rs []Record
	for i := range n {
		rs = append(rs, record(lane, from+i))
	}
	return rs
}

func commit(t testing.TB, b *Buffer, recs []Record, notes Notes) {
	t.Helper()
	if err := b.Commit(recs, notes); err != nil {
		t.Fatal(err)
	}
}

func peek(t testing.TB, b *Buffer, lane Lane, after uint64, maxBytes int) []Entry {
	t.Helper()
	es, err := b.Peek(lane, after, maxBytes)
	if err != nil {
		t.Fatal(err)
	}
	return es
}

func stats(t testing.TB, b *Buffer, lane Lane) LaneStats {
	t.Helper()
	for _, l := range b.Stats().Lanes {
		if l.Name == lane {
			return l
		}
	}
	t.Fatalf("no lane %q in %+v", lane, b.Stats())
	return LaneStats{}
}

// want checks an entry against the record it should be.
func want(t testing.TB, e Entry, sequence uint64, r Record) {
	t.Helper()
	if e.Sequence != sequence || e.Lane != r.Lane || e.At != r.At || !bytes.Equal(e.Key, r.Key) || !bytes.Equal(e.Head, r.Head) || !bytes.Equal(e.Body, r.Body) {
		t.Fatalf("got %d %q %d %s; want %d %q %d %s", e.Sequence, e.Lane, e.At, e.Body, sequence, r.Lane, r.At, r.Body)
	}
}

func TestWhatIsCommittedIsPeekedUntilAcknowledged(t *testing.T) {
	b := open(t, small(t.TempDir()))
	recs := []Record{record(telemetry, 1), record(alerts, 2), record(telemetry, 3)}
	commit(t, b, recs, Notes{"lease/fan": []byte("on")})

	es := peek(t, b, telemetry, 0, 1<<20)
	if len(es) != 2 {
		t.Fatalf("%d entries, want 2", len(es))
	}
	want(t, es[0], 1, recs[0])
	want(t, es[1], 2, recs[2])
	want(t, peek(t, b, alerts, 0, 1)[0], 3, recs[1])
	if es := peek(t, b, telemetry, 0, 1); len(es) != 1 {
		t.Fatalf("%d entries for one byte, want one", len(es))
	}
	want(t, peek(t, b, telemetry, 1, 1)[0], 2, recs[2])
	b.Ack(telemetry, 1)
	want(t, peek(t, b, telemetry, 0, 1)[0], 2, recs[2])
	b.Ack(telemetry, 2)
	if es := peek(t, b, telemetry, 0, 1); len(es) != 0 {
		t.Fatalf("%d entries after all were acknowledged", len(es))
	}
	if s := stats(t, b, telemetry); s.Waiting != 0 || s.Sent != 2 {
		t.Errorf("%+v, want 0 waiting and 2 sent", s)
	}
	if s := stats(t, b, alerts); s.Waiting != 1 || s.Sent != 0 {
		t.Errorf("%+v, want 1 waiting", s)
	}
	if string(b.Note("lease/fan")) != "on" {
		t.Errorf("note is %q", b.Note("lease/fan"))
	}
}

func TestEverythingIsThereAfterReopening(t *testing.T) {
	o := small(t.TempDir())
	b := open(t, o)
	epoch := b.Epoch()
	n := 0
	for range 200 {
		commit(t, b, append(records(telemetry, n, 40), record(alerts, n)), Notes{"a": fmt.Append(nil, n), "b": nil, "c": {}})
		n += 40
	}
	b.Ack(telemetry, 100)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if got := b.Commit(records(telemetry, 0, 1), nil); !errors.Is(got, ErrClosed) {
		t.Errorf("commit after close: %v", got)
	}

	b = open(t, o)
	if len(b.Found()) != 0 {
		t.Errorf("found %q after a clean end", b.Found())
	}
	if b.Epoch() != epoch {
		t.Errorf("epoch %s, want %s", b.Epoch(), epoch)
	}
	if s := b.Stats(); s.Segments < 3 || s.Sequence != 200*41 {
		t.Errorf("%+v, want some segments and sequence %d", s, 200*41)
	}
	if string(b.Note("a")) != fmt.Sprint(n-40) || b.Note("b") != nil || b.Note("c") == nil || len(b.Notes("")) != 2 {
		t.Errorf("notes are %q", b.Notes(""))
	}
	var after uint64
	got := 0
	for {
		es := peek(t, b, telemetry, after, 10_000)
		if len(es) == 0 {
			break
		}
		got += len(es)
		after = es[len(es)-1].Sequence
	}
	if waiting := stats(t, b, telemetry).Waiting; uint64(got) != waiting || got < 200*40-100 {
		t.Errorf("%d peeked, %d waiting", got, waiting)
	}
}

func TestOneProcessAtATime(t *testing.T) {
	o := small(t.TempDir())
	open(t, o)
	_, err := Open(o)
	if !errors.Is(err, ErrLocked) {
		t.Fatalf("second Open: %v, want ErrLocked", err)
	}
	if want := fmt.Sprint(os.Getpid()); !bytes.Contains([]byte(err.Error()), []byte(want)) {
		t.Errorf("%q does not name the process %s", err, want)
	}
}

func TestWakeAfterACommitToTheLane(t *testing.T) {
	b := open(t, small(t.TempDir()))
	commit(t, b, records(alerts, 0, 1), nil)
	select {
	case <-b.Wake(telemetry):
		t.Error("telemetry woke by an alert")
	default:
	}
	select {
	case <-b.Wake(alerts):
	case <-time.After(10 * time.Second):
		t.Error("alerts did not wake")
	}
}

func TestAcknowledgementsBecomeDurableByThemselves(t *testing.T) {
	o := small(t.TempDir())
	b := open(t, o)
	commit(t, b, records(telemetry, 0, 10), nil)
	before := b.Stats().Commits
	b.Ack(telemetry, 5)
	for deadline := time.Now().Add(20 * time.Second); b.Stats().Commits == before; {
		if time.Now().After(deadline) {
			t.Fatal("no commit of its own followed an acknowledgement")
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func TestCommitRefusesWhatNoCommitCanTake(t *testing.T) {
	b := open(t, small(t.TempDir()))
	for name, c := range map[string]struct {
		recs  []Record
		notes Notes
	}{
		"unknown lane": {[]Record{record(telemetry, 1), {Lane: "other"}}, nil},
		"large record": {[]Record{{Lane: telemetry, Body: make([]byte, maxRecord+1)}}, nil},
		"empty key":    {nil, Notes{"": {1}}},
		"long key":     {nil, Notes{string(make([]byte, maxNoteKey+1)): {1}}},
		"large note":   {records(telemetry, 0, 1), Notes{"k": make([]byte, maxNote+1)}},
	} {
		if err := b.Commit(c.recs, c.notes); err == nil {
			t.Errorf("%s: committed", name)
		}
	}
	if s := b.Stats(); s.Sequence != 0 || len(b.Notes("")) != 0 {
		t.Errorf("something of refused commits is there: %+v", s)
	}
	huge := Record{Lane: telemetry, Key: []byte("k"), Body: bytes.Repeat([]byte("0123456789abcdef"), maxRecord/16-1)}
	commit(t, b, []Record{record(telemetry, 1), huge, record(telemetry, 2)}, nil)
	es := peek(t, b, telemetry, 0, 1<<30)
	if len(es) != 3 {
		t.Fatalf("%d entries, want 3", len(es))
	}
	want(t, es[1], 2, huge)
}

func TestWhatIsSetAsideIsBounded(t *testing.T) {
	o := small(t.TempDir())
	b := open(t, o)
	const n = maxAside + 30
	var poison []uint64
	for i := range n / 10 {
		commit(t, b, records(telemetry, i*10, 10), nil)
	}
	for i := range uint64(n) {
		poison = append(poison, i+1)
	}
	b.Ack(telemetry, 500, poison...)
	commit(t, b, nil, nil)
	b.Ack(telemetry, n, poison...)
	check := func(b *Buffer) {
		t.Helper()
		if l := stats(t, b, telemetry); l.SetAside != maxAside || l.Dropped != 30 || l.Sent != 0 || l.Waiting != 0 {
			t.Errorf("%+v, want %d set aside and 30 dropped", l, maxAside)
		}
		es, err := b.SetAside(telemetry)
		if err != nil || len(es) != maxAside {
			t.Fatalf("%d set aside (%v)", len(es), err)
		}
		for i, e := range es {
			want(t, e, uint64(i+31), record(telemetry, i+30))
		}
	}
	commit(t, b, records(alerts, 0, 1), nil)
	check(b)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	check(open(t, o))
}

func TestALaneThatIsNotNamedAnyMoreKeepsItsRecords(t *testing.T) {
	o := small(t.TempDir())
	b := open(t, o)
	commit(t, b, append(records(telemetry, 0, 3), records(alerts, 0, 2)...), nil)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	few := o
	few.Lanes = []LaneSpec{{Name: "device.status"}, {Name: alerts}}
	b = open(t, few)
	if _, err := b.Peek(telemetry, 0, 1); !errors.Is(err, ErrUnknownLane) {
		t.Errorf("peek: %v", err)
	}
	if l := stats(t, b, telemetry); l.Waiting != 3 {
		t.Errorf("%+v", l)
	}
	if l := stats(t, b, alerts); l.Waiting != 2 || l.Critical {
		t.Errorf("%+v, want two that are not critical any more", l)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	b = open(t, o)
	if es := peek(t, b, telemetry, 0, 1<<20); len(es) != 3 {
		t.Errorf("%d records are left once the lane is named again", len(es))
	}
}

func TestOptionsSayAllThatIsWrong(t *testing.T) {
	_, err := Open(Options{MaxBytes: 1 << 20, Reserve: 1 << 20, SegmentBytes: 1, Lanes: []LaneSpec{{Name: "a"}, {Name: "a"}}})
	for _, word := range []string{"Dir", "segment of 1 bytes", "reserve", `"a"`} {
		if err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("%v does not speak of %s", err, word)
		}
	}
}

func TestReadersOutliveClose(t *testing.T) {
	b := open(t, small(t.TempDir()))
	commit(t, b, records(telemetry, 0, 10), nil)
	s := b.newest()
	if _, err := b.acquire(s); err != nil {
		t.Fatal(err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if s.db == nil {
		t.Error("closed under a reader")
	}
	b.release(s)
	if s.db != nil {
		t.Error("not closed after its last reader")
	}
}

func files(t testing.TB, dir, pattern string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil {
		t.Fatal(err)
	}
	return names
}
