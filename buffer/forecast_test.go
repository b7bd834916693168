package buffer

import (
	"bytes"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestTheForecastComesTrue fills a buffer that nobody empties, in fake time, among them one that lasts a week: from the
// second hour on, each forecast must be right within a tenth.
func TestTheForecastComesTrue(t *testing.T) {
	for _, c := range []struct {
		every    time.Duration // between commits
		maxBytes int64
		lasts    time.Duration // about
	}{
		{time.Minute, 8 << 20, 4 * time.Hour},
		{20 * time.Minute, 8 << 20, 84 * time.Hour},
		{5 * time.Minute, 58 << 20, 7 * 24 * time.Hour},
	} {
		t.Run(c.lasts.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log bytes.Buffer
				o := Options{Dir: t.TempDir(), MaxBytes: c.maxBytes, Lanes: []LaneSpec{{Name: "alerts", Critical: true}, {Name: "telemetry"}},
					Log: slog.New(slog.NewTextHandler(&log, nil))}
				b := open(t, o)
				if s := b.Stats(); s.Growth != 0 {
					t.Errorf("it grows by %g bytes a second before anything was measured", s.Growth)
				}
				began := time.Now()
				told := map[time.Duration]time.Duration{} // forecast by age
				for n := 0; ; n++ {
					commit(t, b, noisy("telemetry", n*40, 40), Notes{"state": fmt.Appendf(nil, "%d", n)})
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
