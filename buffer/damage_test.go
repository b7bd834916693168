package buffer

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	bolt "go.etcd.io/bbolt"
)

// site is a buffer's directory as a power cut leaves it, and what had been committed there.
type site struct {
	opts     Options
	epoch    string
	records  map[uint64]Record
	sequence uint64
	bolts    []string // names of the segments, the oldest first
}

// newSite fills a few segments, with notes that change.
func newSite(t testing.TB) *site {
	t.Helper()
	o := small(t.TempDir())
	o.CopyNow = func(key string) bool { return key == "binding" }
	b := open(t, o)
	s := &site{opts: o, epoch: b.Epoch(), records: map[uint64]Record{}}
	for i := range 16 {
		recs := append(noisy(telemetry, i*50, 40), noisy(alerts, i, 2)...)
		notes := Notes{"step": fmt.Append(nil, i), "fixed": []byte("stays as it is")}
		if i%4 == 0 {
			notes["binding"] = fmt.Append(nil, i)
		}
		commit(t, b, recs, notes)
		for _, r := range recs {
			s.sequence++
			s.records[s.sequence] = r
		}
	}
	s.opts.Dir = t.TempDir()
	copyDir(t, o.Dir, s.opts.Dir)
	for _, f := range files(t, s.opts.Dir, "*.bolt") {
		s.bolts = append(s.bolts, filepath.Base(f))
	}
	if len(s.bolts) < 4 {
		t.Fatalf("only %d segments", len(s.bolts))
	}
	return s
}

// copy is the same site at another place.
func (s *site) copy(t testing.TB) *site {
	c := *s
	c.opts.Dir = t.TempDir()
	copyDir(t, s.opts.Dir, c.opts.Dir)
	return &c
}

func (s *site) path(name string) string { return filepath.Join(s.opts.Dir, name) }

func (s *site) head() string { return s.path(s.bolts[len(s.bolts)-1]) }

// edit changes a file.
func edit(t testing.TB, path string, change func([]byte) []byte) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, change(b), 0o600); err != nil {
		t.Fatal(err)
	}
}

// check opens the damaged site: that must work, nothing that comes out may be wrong, what does not come out must be
// counted, and the buffer must go on. It returns how many records came out.
func (s *site) check(t testing.TB) (b *Buffer, got int) {
	t.Helper()
	b = open(t, s.opts)
	seen := map[uint64]bool{}
	for _, lane := range []Lane{telemetry, alerts} {
		var after uint64
		for {
			es := peek(t, b, lane, after, 20_000)
			if len(es) == 0 {
				break
			}
			for _, e := range es {
				if e.Sequence <= after {
					t.Fatalf("%d follows %d", e.Sequence, after)
				}
				after = e.Sequence
				want(t, e, e.Sequence, s.records[e.Sequence])
				seen[e.Sequence] = true
			}
		}
	}
	var waiting uint64
	for _, l := range b.Stats().Lanes {
		waiting += l.Waiting
	}
	if waiting != uint64(len(seen)) {
		t.Fatalf("%d wait, %d came out; found %q", waiting, len(seen), b.Found())
	}
	commit(t, b, records(telemetry, 0, 3), Notes{"step": []byte("after")})
	if q := b.Stats().Sequence; q < s.sequence+3 && b.Epoch() == s.epoch {
		t.Fatalf("sequence %d was given again; %d had been given before", q, s.sequence)
	}
	var after uint64
	all := 0
	for {
		es := peek(t, b, telemetry, after, 1<<20)
		if len(es) == 0 {
			break
		}
		all += len(es)
		after = es[len(es)-1].Sequence
	}
	if n := stats(t, b, telemetry).Waiting; n != uint64(all) || after != b.Stats().Sequence {
		t.Fatalf("%d of %d wait after another commit, up to %d of %d", all, n, after, b.Stats().Sequence)
	}
	return b, len(seen)
}

func TestAFileThatWasCutShort(t *testing.T) {
	origin := newSite(t)
	for _, keep := range []int64{0, 1, 100, 4096, 8191, 8192, 16384, 20480, 24576, 30000} {
		for _, which := range []int{0, len(origin.bolts) - 1} {
			t.Run(fmt.Sprintf("%d bytes of segment %d", keep, which), func(t *testing.T) {
				s := origin.copy(t)
				if err := os.Truncate(s.path(s.bolts[which]), keep); err != nil {
					t.Fatal(err)
				}
				b, got := s.check(t)
				if got == len(s.records) {
					t.Errorf("nothing is missing")
				}
				if len(b.Stats().Damaged) != 1 || len(files(t, s.opts.Dir, "*"+damagedSuffix)) != 1 {
					t.Errorf("damaged are %q; found %q", b.Stats().Damaged, b.Found())
				}
				if got := string(b.Note("fixed")); got != "stays as it is" {
					t.Errorf("note is %q", got)
				}
				if got := string(b.Note("binding")); got != "12" {
					t.Errorf("binding is %q", got)
				}
				if b.Epoch() != s.epoch {
					t.Errorf("epoch %s, was %s", b.Epoch(), s.epoch)
				}
				if which > 0 && len(b.Found()) == 0 {
					t.Error("nothing found")
				}
			})
		}
	}
}

func TestFlippedBitsAndZeroedPages(t *testing.T) {
	origin := newSite(t)
	rng := rand.New(rand.NewPCG(4, 2))
	rounds := torture(t, 40)
	missing := 0
	for round := range rounds {
		s := origin.copy(t)
		name := s.bolts[rng.IntN(len(s.bolts))]
		kind := []string{"bit", "page", "half"}[rng.IntN(3)]
		edit(t, s.path(name), func(b []byte) []byte {
			used := min(len(b), minSegment)
			switch kind {
			case "bit":
				for range 1 + rng.IntN(3) {
					b[rng.IntN(used)] ^= 1 << rng.IntN(8)
				}
			case "page":
				at := rng.IntN(used/pageSize) * pageSize
				clear(b[at : at+pageSize])
			case "half":
				at := rng.IntN(used/pageSize) * pageSize
				clear(b[at+pageSize/2 : at+pageSize])
			}
			return b
		})
		t.Run(fmt.Sprintf("%d %s in %s", round, kind, name), func(t *testing.T) {
			b, got := s.check(t)
			missing += len(s.records) - got
			if err := b.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
			open(t, s.opts)
		})
	}
	if missing == 0 {
		t.Error("no round lost anything: the test damages nothing")
	}
}

func TestADamagedBlockIsSkippedAndTold(t *testing.T) {
	s := newSite(t)
	part := someBlock(t, s.path(s.bolts[1]))
	edit(t, s.path(s.bolts[1]), func(b []byte) []byte {
		at := bytes.Index(b, part)
		b[at+len(part)/2] ^= 0x55
		return b
	})
	b, got := s.check(t)
	lost := len(s.records) - got
	if lost == 0 || lost > 80 {
		t.Fatalf("%d of %d records are lost by one flipped byte", lost, len(s.records))
	}
	gaps := b.Gaps(0)
	if len(gaps) != 1 || gaps[0].Count != uint64(lost) || !gaps[0].Damage {
		t.Errorf("gaps %+v, %d are lost", gaps, lost)
	}
	if len(b.Stats().Damaged) != 0 {
		t.Errorf("%q were put aside for one block", b.Stats().Damaged)
	}
	// What comes before and after can be acknowledged, and is counted right.
	b.Ack(telemetry, 1<<62)
	b.Ack(alerts, 1<<62)
	var sent, dropped uint64
	for _, l := range b.Stats().Lanes {
		sent += l.Sent
		dropped += l.Dropped
		if l.Waiting != 0 {
			t.Errorf("%+v", l)
		}
	}
	if sent != uint64(got)+3 || dropped != uint64(lost) {
		t.Errorf("%d sent, %d dropped; want %d and %d", sent, dropped, got+3, lost)
	}
}

// someBlock is the second part of a block of telemetry in a segment.
func someBlock(t *testing.T, path string) (part []byte) {
	t.Helper()
	db, err := openSealed(path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	err = db.View(func(tx *bolt.Tx) error {
		c := tx.Bucket(bucketBlocks).Cursor()
		c.Seek(partKey(nil, 0, 0, 0))
		_, v := c.Next()
		part = bytes.Clone(v)
		return nil
	})
	if err != nil || len(part) != partBytes {
		t.Fatalf("%d bytes, %v", len(part), err)
	}
	return part
}

func TestEverythingIsLost(t *testing.T) {
	s := newSite(t)
	for _, name := range s.bolts {
		edit(t, s.path(name), func(b []byte) []byte { clear(b); return b })
	}
	t.Run("but the copy of the notes", func(t *testing.T) {
		b, got := s.copy(t).check(t)
		if got != 0 || b.Epoch() != s.epoch || string(b.Note("binding")) != "12" || len(b.Stats().Damaged) != len(s.bolts) {
			t.Errorf("%d records, epoch %s of %s, binding %q, found %q", got, b.Epoch(), s.epoch, b.Note("binding"), b.Found())
		}
	})
	t.Run("and the copies", func(t *testing.T) {
		s := s.copy(t)
		for _, name := range copyNames {
			edit(t, s.path(name), func(b []byte) []byte { b[len(b)/2] ^= 1; return b })
		}
		b, _ := s.check(t)
		if b.Epoch() == s.epoch || len(b.Notes("")) != 1 || !strings.Contains(strings.Join(b.Found(), "\n"), "new epoch") {
			t.Errorf("epoch %s of %s, notes %q, found %q", b.Epoch(), s.epoch, b.Notes(""), b.Found())
		}
	})
}

func TestTheNewerCopyOfTheNotesWins(t *testing.T) {
	o := small(t.TempDir())
	o.CopyNow = func(key string) bool { return key == "binding" }
	b := open(t, o)
	for i := range 5 {
		commit(t, b, nil, Notes{"binding": fmt.Append(nil, i), "lease": fmt.Append(nil, i)})
		commit(t, b, nil, Notes{"lease": []byte("newer than the copy")})
	}
	s := &site{opts: o}
	s.opts.Dir = t.TempDir()
	copyDir(t, o.Dir, s.opts.Dir)
	for _, f := range files(t, s.opts.Dir, "*.bolt") {
		s.bolts = append(s.bolts, filepath.Base(f))
		edit(t, f, func(b []byte) []byte { clear(b); return b })
	}
	newest, faults := readCopies(s.opts.Dir)
	if len(faults) > 0 || string(newest.notes["binding"]) != "4" || string(newest.notes["lease"]) != "4" {
		t.Fatalf("the newest copy says %q; %q", newest.notes, faults)
	}
	older := s.copy(t)
	edit(t, older.path(copyNames[newest.generation%2]), func(b []byte) []byte { return b[:len(b)-1] })
	for want, s := range map[string]*site{"4": s, "3": older} {
		b := open(t, s.opts)
		if got := string(b.Note("binding")); got != want || string(b.Note("lease")) != want {
			t.Errorf("binding %q, lease %q; want %s; found %q", got, b.Note("lease"), want, b.Found())
		}
		if b.Epoch() != newest.epoch || len(b.Found()) == 0 {
			t.Errorf("epoch %s, found %q", b.Epoch(), b.Found())
		}
	}
}

func TestADamagedNoteComesFromTheCopy(t *testing.T) {
	s := newSite(t)
	edit(t, s.head(), func(b []byte) []byte {
		n := 0
		for at := 0; ; n++ {
			i := strings.Index(string(b[at:]), "stays as it is")
			if i < 0 {
				break
			}
			b[at+i] = 'S'
			at += i + 1
		}
		if n == 0 {
			t.Fatal("the note is not in the file")
		}
		return b
	})
	b, got := s.check(t)
	if string(b.Note("fixed")) != "stays as it is" || got != len(s.records) || len(b.Found()) != 1 {
		t.Errorf("note %q, %d of %d records, found %q", b.Note("fixed"), got, len(s.records), b.Found())
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if b = open(t, s.opts); len(b.Found()) != 0 || string(b.Note("fixed")) != "stays as it is" {
		t.Errorf("found %q once it was repaired", b.Found())
	}
}

// TestProbe uses a probe that ends as a child does that bbolt takes down, and one that cannot be started.
func TestProbeByAnotherProcess(t *testing.T) {
	s := newSite(t)
	var probed []string
	s.opts.Probe = func(file string) error {
		probed = append(probed, filepath.Base(file))
		return nil
	}
	s.copy(t).check(t)
	if !slices.Contains(probed, s.bolts[len(s.bolts)-1]) || !slices.Contains(probed, s.bolts[0]) {
		t.Errorf("probed %q of %q after an unclean end", probed, s.bolts)
	}
	s.opts.Probe = func(file string) error {
		if filepath.Base(file) != s.bolts[0] {
			return nil
		}
		return fmt.Errorf("probe: %w", exec.Command("false").Run())
	}
	b, _ := s.copy(t).check(t)
	if got := b.Stats().Damaged; len(got) != 1 || got[0] != s.bolts[0]+damagedSuffix {
		t.Errorf("put aside are %q", got)
	}
	s.opts.Probe = func(string) error { return errors.New("fork: out of memory") }
	b, got := s.copy(t).check(t)
	if len(b.Stats().Damaged) != 0 || got != len(s.records) {
		t.Errorf("a probe that could not be made condemned %q", b.Stats().Damaged)
	}
}

func TestProbeSaysWhatIsDamaged(t *testing.T) {
	s := newSite(t)
	if err := Probe(s.head()); err != nil {
		t.Errorf("a whole file: %v", err)
	}
	if err := Probe(s.path("nothing")); err == nil || errors.Is(err, ErrDamaged) {
		t.Errorf("no file: %v", err)
	}
	if err := os.Truncate(s.head(), 20_000); err != nil {
		t.Fatal(err)
	}
	if err := Probe(s.head()); !errors.Is(err, ErrDamaged) {
		t.Errorf("a short file: %v", err)
	}
}
