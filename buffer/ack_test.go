package buffer

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// after opens what a process that dies now would leave.
func after(t *testing.T, o Options) *Buffer {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(o.Dir)); err != nil {
		t.Fatal(err)
	}
	o.Dir = dir
	return open(t, o)
}

// What is acknowledged and not durably so is delivered again: that must not be any number of records.
func TestManyAcknowledgementsBecomeDurableAtOnce(t *testing.T) {
	o := Options{Dir: t.TempDir(), Lanes: []LaneSpec{{Name: telemetry}, {Name: alerts, Critical: true}}}
	b := open(t, o)
	const all = 3 * ackBurst
	commit(t, b, slices.Concat(records(telemetry, 0, all), records(alerts, all, 10)), nil)
	const step = 500
	for upTo := uint64(step); upTo <= all; upTo += step {
		b.Ack(telemetry, upTo)
		b.Ack(alerts, all+upTo/step%10)
		died := after(t, o)
		if again := stats(t, died, telemetry).Waiting - (all - upTo); again >= ackBurst {
			t.Fatalf("%d of %d records that were acknowledged wait again", again, upTo)
		}
		if err := died.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	b.Ack(telemetry, all) // too late, and no fault
}

func TestAKillWhileTheNotesAreCopiedLeavesNoDamage(t *testing.T) {
	o := small(t.TempDir())
	b := open(t, o)
	commit(t, b, nil, Notes{"a": []byte("1")})
	for _, name := range copyNames {
		if err := os.WriteFile(filepath.Join(o.Dir, name+newSuffix), []byte(copyMagic[:5]), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	died := after(t, o)
	if found := died.Found(); len(found) > 0 {
		t.Errorf("found %q", found)
	}
	if v := died.Note("a"); string(v) != "1" {
		t.Errorf("the note is %q", v)
	}
	if err := died.Close(); err != nil { // copies, past what was left
		t.Fatal(err)
	}
	died = open(t, died.opts)
	if found := died.Found(); len(found) > 0 || died.copies.generation == 0 {
		t.Errorf("found %q, generation %d", found, died.copies.generation)
	}
}
