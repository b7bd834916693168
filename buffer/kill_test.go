package buffer

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestKill ends a writing process at a random instant, again and again, and checks what is left. `go test` does it a few
// dozen times; GLASSHOUSE_TORTURE=2000 as often as that says.
func TestKill(t *testing.T) {
	kills := torture(t, 24)
	for name, budget := range map[string]int64{"all fits": 1 << 30, "small budget": 16 * minSegment} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			v := &victim{t: t, dir: dir, budget: budget, starts: []uint64{1, 1}}
			rng := rand.New(rand.NewPCG(uint64(budget), 3))
			for range (kills + 1) / 2 {
				confirmed := v.kill(time.Duration(rng.IntN(int(120 * time.Millisecond))))
				v.check(confirmed)
			}
			t.Logf("%d commits in %d lives", len(v.starts)-2, (kills+1)/2)
		})
	}
}

// torture is how often a test repeats what it does: usual times, or what GLASSHOUSE_TORTURE says.
func torture(t *testing.T, usual int) int {
	s := os.Getenv("GLASSHOUSE_TORTURE")
	if s == "" {
		return usual
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatalf("GLASSHOUSE_TORTURE: %v", err)
	}
	return n
}

const victimDir, victimBudget = "GLASSHOUSE_VICTIM_DIR", "GLASSHOUSE_VICTIM_BUDGET"

func TestMain(m *testing.M) {
	if dir := os.Getenv(victimDir); dir != "" {
		budget, _ := strconv.ParseInt(os.Getenv(victimBudget), 10, 64)
		fmt.Fprintln(os.Stderr, live(dir, budget))
		os.Exit(1)
	}
	if dir := os.Getenv(flushDir); dir != "" {
		if err := flushes(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// victim is the parent's view of the process that is killed.
type victim struct {
	t      *testing.T
	dir    string
	budget int64
	epoch  string
	starts []uint64 // the first sequence of each commit, numbered from 1
}

// batch is what commit c holds: the same whoever asks.
func batch(c int) []Record {
	recs := []Record{}
	for i := range 1 + c*7%40 {
		recs = append(recs, Record{Lane: telemetry, At: int64(c), Key: []byte("k"), Body: fmt.Appendf(nil, "%d/%d %x", c, i, c*i*7919)})
	}
	if c%5 == 0 {
		recs = append(recs, Record{Lane: alerts, At: int64(c), Body: fmt.Appendf(nil, "%d/%d", c, len(recs))})
	}
	return recs
}

// live is the life of the process that is killed: it commits, says so, and acknowledges some.
func live(dir string, budget int64) error {
	o := small(dir)
	o.MaxBytes = budget
	o.CopyNow = func(key string) bool { return key == "binding" }
	b, err := Open(o)
	if err != nil {
		return err
	}
	c, _ := strconv.Atoi(string(b.Note("commit")))
	for {
		c++
		notes := Notes{"commit": fmt.Append(nil, c)}
		if c%50 == 0 {
			notes["binding"] = fmt.Append(nil, c)
		}
		if err := b.Commit(batch(c), notes); err != nil {
			return err
		}
		fmt.Println(c)
		if c%3 != 0 {
			continue
		}
		for _, lane := range []Lane{telemetry, alerts} {
			es, err := b.Peek(lane, 0, 1500)
			if err != nil {
				return err
			}
			if len(es) > 0 {
				b.Ack(lane, es[len(es)-1].Sequence)
			}
		}
	}
}

// kill starts the process, lets it live for a while after its first commit, kills it, and returns the last commit that it
// said was durable.
func (v *victim) kill(after time.Duration) (confirmed int) {
	v.t.Helper()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), victimDir+"="+v.dir, fmt.Sprintf("%s=%d", victimBudget, v.budget))
	child.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var words strings.Builder
	child.Stderr = &words
	out, err := child.StdoutPipe()
	if err != nil {
		v.t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		v.t.Fatal(err)
	}
	timer := time.AfterFunc(after, func() { child.Process.Kill() })
	defer timer.Stop()
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if confirmed, err = strconv.Atoi(lines.Text()); err != nil {
			v.t.Errorf("the process said %q", lines.Text())
		}
	}
	child.Wait()
	if words.Len() > 0 {
		v.t.Fatalf("the process ended by itself: %s", words.String())
	}
	return confirmed
}

// start is the first sequence of commit c.
func (v *victim) start(c int) uint64 {
	for len(v.starts) <= c {
		n := len(v.starts)
		v.starts = append(v.starts, v.starts[n-1]+uint64(len(batch(n-1))))
	}
	return v.starts[c]
}

// check opens what the process left.
func (v *victim) check(confirmed int) {
	v.t.Helper()
	o := small(v.dir)
	o.MaxBytes = v.budget
	b, err := Open(o)
	if err != nil {
		v.t.Fatalf("after a kill: %v", err)
	}
	defer b.Close()
	if v.epoch != "" && b.Epoch() != v.epoch {
		v.t.Fatalf("epoch %s, was %s; found %q", b.Epoch(), v.epoch, b.Found())
	}
	v.epoch = b.Epoch()
	c, _ := strconv.Atoi(string(b.Note("commit")))
	s := b.Stats()
	if c < confirmed {
		v.t.Fatalf("commit %d was durable; %d is the last one left, found %q", confirmed, c, b.Found())
	}
	if want := v.start(c+1) - 1; s.Sequence != want {
		v.t.Fatalf("sequence %d after commit %d; want %d", s.Sequence, c, want)
	}
	if want := c / 50 * 50; want > 0 && string(b.Note("binding")) != strconv.Itoa(want) {
		v.t.Errorf("note of commit %d is %q", want, b.Note("binding"))
	}
	if len(s.Damaged) > 0 || v.budget > 1<<29 && len(b.Found()) > 0 {
		v.t.Fatalf("found %q", b.Found())
	}
	var total uint64
	for _, lane := range []Lane{telemetry, alerts} {
		l := stats(v.t, b, lane)
		v.checkLane(b, l, c)
		total += l.Waiting + l.Sent + l.Dropped
		if l.Dropped > 0 && (lane == alerts || v.budget > 1<<29) {
			v.t.Errorf("%d of %s were dropped", l.Dropped, lane)
		}
	}
	if total != s.Sequence {
		v.t.Errorf("waiting, sent and dropped are %d of %d: %+v", total, s.Sequence, s.Lanes)
	}
}

// checkLane reads all that waits: it must be the right records, without a hole, up to the last commit.
func (v *victim) checkLane(b *Buffer, l LaneStats, last int) {
	v.t.Helper()
	var seen uint64
	var after, newest uint64
	for {
		es, err := b.Peek(l.Name, after, 50_000)
		if err != nil {
			v.t.Fatal(err)
		}
		if len(es) == 0 {
			break
		}
		for _, e := range es {
			c := int(e.At)
			rec := batch(c)[e.Sequence-v.start(c)]
			want(v.t, e, e.Sequence, rec)
			if rec.Lane == telemetry && newest != 0 && e.Sequence != newest+1 && batch(c - 1)[len(batch(c-1))-1].Lane == telemetry {
				v.t.Fatalf("sequence %d follows %d", e.Sequence, newest)
			}
			newest = e.Sequence
		}
		seen += uint64(len(es))
		after = newest
	}
	if seen != l.Waiting {
		v.t.Errorf("%d of %d waiting in %s can be peeked", seen, l.Waiting, l.Name)
	}
	if l.Name == telemetry && seen > 0 && newest != v.start(last)+uint64(1+last*7%40)-1 {
		v.t.Errorf("the newest of %s is %d; commit %d ended at %d", l.Name, newest, last, v.start(last+1)-1)
	}
}
