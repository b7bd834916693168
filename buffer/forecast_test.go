package buffer

import (
	"fmt"
	"log/slog"
	"math"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// lockedText is a log that is read while it is written.
type lockedText struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lockedText) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lockedText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// TestTheForecastComesTrue fills a buffer that nobody empties, in fake time, among them one that lasts a week: from the
// second hour on, each forecast must be right within a tenth.
func TestTheForecastComesTrue(t *testing.T) {
	for _, c := range []struct {
		every    time.Duration // between commits
		records  int           // of a commit
		maxBytes int64
		lasts    time.Duration // about
	}{
		{time.Minute, 40, 8 << 20, 4 * time.Hour},
		{20 * time.Minute, 40, 8 << 20, 84 * time.Hour},
		{15 * time.Minute, 60, 29 << 20, 7 * 24 * time.Hour},
	} {
		t.Run(c.lasts.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log lockedText
				o := Options{Dir: t.TempDir(), MaxBytes: c.maxBytes, Lanes: []LaneSpec{{Name: "alerts", Critical: true}, {Name: "telemetry"}},
					Log: slog.New(slog.NewTextHandler(&log, nil))}
				b := open(t, o)
				if s := b.Stats(); s.Growth != 0 {
					t.Errorf("it grows by %g bytes a second before anything was measured", s.Growth)
				}
				began := time.Now()
				told := map[time.Duration]time.Duration{} // forecast by age
				for n := 0; ; n++ {
					commit(t, b, noisy("telemetry", n*c.records, c.records), Notes{"state": fmt.Appendf(nil, "%d", n)})
					time.Sleep(c.every)
					settle(b)
					if stats(t, b, "telemetry").Dropped > 0 {
						break
					}
					s := b.Stats()
					if left, known := s.Forecast(); known && time.Since(began) > time.Hour {
						told[time.Since(began)] = left
					}
				}
				end, worst := time.Since(began), 0.0
				for at, left := range told {
					off := math.Abs((at + left - end).Seconds())
					if off > 0.1*(end-at).Seconds()+2*c.every.Seconds() {
						t.Errorf("after %v %v were left, and it was %v", at, left, end-at)
					}
					if end-at > end/4 {
						worst = max(worst, off/(end-at).Seconds())
					}
				}
				if end < c.lasts*9/10 || end > c.lasts*11/10 {
					t.Errorf("it lasted for %v, and is to be about %v", end, c.lasts)
				}
				t.Logf("the first drop came after %v; forecasts were off by at most %.1f %%", end, worst*100)
				if lines := strings.Count(log.String(), "is dropped within a day"); c.every == time.Minute && lines != 1 {
					t.Errorf("the log has %d lines that it comes within a day:\n%s", lines, log.String())
				}
				time.Sleep(25 * time.Hour) // nothing happens any more
				if s := b.Stats(); s.Growth != 0 {
					t.Errorf("after a still day it grows by %g bytes a second", s.Growth)
				}
				b.Ack("telemetry", math.MaxUint64)
				before := b.Stats().Room
				commit(t, b, noisy("telemetry", 0, 40), nil)
				if s := b.Stats(); s.Room <= c.maxBytes/2 || s.Room > before {
					t.Errorf("with nothing waiting %d bytes are left, then %d", before, s.Room)
				}
				if err := b.Close(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func TestTheDiskMayHaveLessThanTheBudget(t *testing.T) {
	b := open(t, small(t.TempDir()))
	for i := range 10 {
		commit(t, b, noisy(telemetry, i*50, 50), nil)
	}
	left := func(free int64) int64 {
		b.mu.Lock()
		b.growth.take(time.Now(), free)
		b.mu.Unlock()
		return b.Stats().Room
	}
	if plenty, silent := left(1<<40), left(-1); plenty != silent || plenty < 32<<20 {
		t.Errorf("%d bytes with a large disk, %d with one that says nothing", plenty, silent)
	}
	if got := left(5 << 20); got != 5<<20 {
		t.Errorf("%d bytes on a disk with 5 MiB", got)
	}
	before := b.growth.grown
	commit(t, b, noisy(telemetry, 0, 50), nil)
	if got, want := b.Stats().Room, 5<<20-(b.growth.grown-before); got != want {
		t.Errorf("%d bytes after a commit, want %d", got, want)
	}
	b.Ack(telemetry, math.MaxUint64) // all but the head is archive
	if got := left(0); got < 100<<10 {
		t.Errorf("%d bytes on a full disk with an archive", got)
	}
	if free := freeBytes(b.opts.Dir); free <= 0 {
		t.Errorf("the disk has %d bytes", free)
	}
	if free := freeBytes("/nowhere"); free != -1 {
		t.Errorf("no disk has %d bytes", free)
	}
}
