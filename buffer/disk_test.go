package buffer

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// smallDisk is a directory on a disk of its own.
func smallDisk(t *testing.T, size string) string {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("only root can mount a small disk")
	}
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Skip("mount a small disk: ", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func TestAFullDisk(t *testing.T) {
	o := small(smallDisk(t, "2m"))
	o.MaxBytes = 1 << 30 // the disk is smaller than the budget believes
	b := open(t, o)
	n, failed := 0, 0
	for failed < 5 {
		err := b.Commit(append(noisy(telemetry, n, 20), noisy(alerts, n, 1)...), Notes{"n": fmt.Append(nil, n)})
		switch {
		case err == nil:
			n += 20
		case errors.Is(err, syscall.ENOSPC):
			failed++
		default:
			t.Fatalf("after %d records: %v", n, err)
		}
	}
	if n == 0 || !errors.Is(b.Stats().Error, syscall.ENOSPC) {
		t.Fatalf("%d records, error %v", n, b.Stats().Error)
	}
	check := func(b *Buffer) {
		t.Helper()
		if l := stats(t, b, telemetry); l.Waiting != uint64(n) || len(drain(t, b, telemetry)) != n || b.Stats().Sequence != uint64(n+n/20) {
			t.Fatalf("%+v of %d", l, n)
		}
		if got := string(b.Note("n")); got != strconv.Itoa(n-20) {
			t.Fatalf("note %q after %d", got, n)
		}
	}
	check(b)
	// What is done with makes room by itself.
	half := peek(t, b, telemetry, 0, n*600/2)
	b.Ack(telemetry, half[len(half)-1].Sequence)
	b.Ack(alerts, 1<<62)
	for deadline := time.Now().Add(30 * time.Second); ; {
		err := b.Commit(noisy(telemetry, n, 20), nil)
		if err == nil {
			break
		}
		if !errors.Is(err, syscall.ENOSPC) || time.Now().After(deadline) {
			t.Fatal(err)
		}
		settle(b)
	}
	if l := stats(t, b, telemetry); l.Dropped != 0 || l.Waiting != uint64(n+20-len(half)) || b.Stats().Error != nil {
		t.Errorf("%+v, error %v", l, b.Stats().Error)
	}
	if err := b.Close(); err != nil && !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	b = open(t, o)
	if got := drain(t, b, telemetry); len(got) != n+20-len(half) || len(b.Stats().Damaged) > 0 {
		t.Errorf("%d of %d after reopening; found %q", len(got), n+20-len(half), b.Found())
	}
}

// spoil makes every write to an open file fail, as a disk does that has gone read-only.
func spoil(t *testing.T, path string) {
	t.Helper()
	for _, link := range files(t, "/proc/self/fd", "*") {
		if to, err := os.Readlink(link); err != nil || to != path {
			continue
		}
		fd, err := strconv.Atoi(filepath.Base(link))
		if err != nil {
			t.Fatal(err)
		}
		ro, err := syscall.Open(path, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer syscall.Close(ro)
		if err := syscall.Dup3(ro, fd, syscall.O_CLOEXEC); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Skip("no /proc/self/fd")
}

func TestAHeadThatCannotBeWrittenIsLeft(t *testing.T) {
	o := small(t.TempDir())
	o.SegmentBytes = 1 << 20
	b := open(t, o)
	commit(t, b, records(telemetry, 0, 10), Notes{"n": []byte("0")})
	spoil(t, b.newest().path)
	failures := 0
	for b.Commit(records(telemetry, 10, 10), Notes{"n": []byte("1")}) != nil {
		if got := drain(t, b, telemetry); len(got) != 10 || string(b.Note("n")) != "0" || b.Stats().Error == nil {
			t.Fatalf("%d records, note %q after a commit that failed", len(got), b.Note("n"))
		}
		if failures++; failures > 5 {
			t.Fatal("the head is not left")
		}
	}
	if failures == 0 {
		t.Fatal("no commit failed")
	}
	if got := drain(t, b, telemetry); len(got) != 20 || got[19] != 20 || b.Stats().Segments != 2 {
		t.Errorf("%d records up to %d in %d segments", len(got), got[len(got)-1], b.Stats().Segments)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	b = open(t, o)
	if got := drain(t, b, telemetry); len(got) != 20 || string(b.Note("n")) != "1" || len(b.Found()) > 0 {
		t.Errorf("%d records, note %q, found %q", len(got), b.Note("n"), b.Found())
	}
}

const flushDir = "GLASSHOUSE_FLUSH_DIR"

// flushes is the process whose flushes strace makes fail: it says of each of its commits whether it was made.
func flushes(dir string) error {
	runtime.LockOSThread() // strace counts by thread
	o := small(dir)
	o.SegmentBytes = 1 << 20
	b, err := Open(o)
	if err != nil {
		return err
	}
	for i := range 12 {
		err := b.Commit(records(telemetry, i*5, 5), Notes{"commit": fmt.Append(nil, i)})
		fmt.Println(i, err == nil)
	}
	return b.Close()
}

// TestAFlushThatFails makes each of the flushes of a row of commits fail, one a run. A commit has two, and after the
// second the file shows it although it failed.
func TestAFlushThatFails(t *testing.T) {
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("needs strace to make flushes fail")
	}
	for when := 4; when < 10; when++ {
		t.Run(strconv.Itoa(when), func(t *testing.T) {
			t.Parallel()
			o := small(t.TempDir())
			o.SegmentBytes = 1 << 20
			child := exec.Command(strace, "-qq", "-f", "-o", filepath.Join(t.TempDir(), "trace"), "-e", "trace=fdatasync",
				"-e", fmt.Sprintf("inject=fdatasync:error=EIO:when=%d", when), os.Args[0])
			child.Env = append(os.Environ(), flushDir+"="+o.Dir)
			out, err := child.CombinedOutput()
			if err != nil {
				if strings.Contains(string(out), "ptrace") {
					t.Skip("strace may not trace here: ", string(out))
				}
				t.Fatalf("%v: %s", err, out)
			}
			var made []int
			for line := range strings.Lines(string(out)) {
				var i int
				var ok bool
				if _, err := fmt.Sscan(line, &i, &ok); err != nil {
					t.Fatalf("%q: %v", line, err)
				}
				if ok {
					made = append(made, i)
				}
			}
			if len(made) != 11 {
				t.Fatalf("one commit should have failed: %s", out)
			}
			b := open(t, o)
			es := peek(t, b, telemetry, 0, 1<<20)
			if len(es) != len(made)*5 || string(b.Note("commit")) != strconv.Itoa(made[10]) || len(b.Stats().Damaged) > 0 {
				t.Fatalf("%d records of commits %v, note %q, found %q", len(es), made, b.Note("commit"), b.Found())
			}
			for i, e := range es {
				want(t, e, uint64(i+1), record(telemetry, made[i/5]*5+i%5))
			}
		})
	}
}
