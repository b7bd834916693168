//go:build e2e

package e2e

import (
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	switchTime   = 3 * time.Second        // at most from a breach to a switched coil; 250 ms of it are the poll
	cycleTime    = 250 * time.Millisecond // no cycle may take longer
	badTime      = 10 * time.Second       // for which a disk is bad
	diskTitle    = "the disk does not take what happens"
	repairTitle  = "the buffer was repaired at the start"
	memoryTitle  = "the data directory cannot be used"
	missingTitle = "records are missing"
)

// TestDiskGoesBad lets a disk go bad below the running gateway and mends it again. Meanwhile ranges are kept, messages
// acknowledged, and no cycle notices; afterwards everything is in Kafka.
func TestDiskGoesBad(t *testing.T) {
	for _, c := range []struct {
		name     string
		ills     ills
		degrades bool
		words    string // in the status
	}{
		{"full", diskFull, true, syscall.ENOSPC.Error()},
		{"EIO on write", writesFail, true, syscall.EIO.Error()},
		{"EIO on fsync", flushesFail, true, syscall.EIO.Error()},
		{"read-only", diskReadOnly, true, syscall.EROFS.Error()},
		{"fsync hangs 10 s", ills{flushHangs: time.Hour}, true, "has not ended"},
		{"fsync takes 50 ms", ills{flushTakes: 50 * time.Millisecond}, false, ""},
		{"reads take 2 s", ills{readTakes: 2 * time.Second}, false, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			s.run()
			stop := s.broker.feed(50 * time.Millisecond)
			eventually(t, "readings are acknowledged", func() error {
				if _, acked := s.broker.numbers(); acked < 20 {
					return errNotYet
				}
				return nil
			})
			calm, _ := s.swing(0)
			s.broker.latency()

			s.disk.ail(c.ills)
			began := time.Now()
			if c.degrades {
				buffer := s.degraded(true).Buffer
				if !strings.Contains(buffer.Error, c.words) {
					t.Errorf("status says %q", buffer.Error)
				}
			}
			until := time.Since(began)
			switched, times := s.swing(badTime - until)
			sent, _ := s.broker.numbers()
			eventually(t, "messages are acknowledged while the disk is bad", func() error {
				if _, acked := s.broker.numbers(); acked < sent-20 {
					return errNotYet
				}
				return nil
			})
			acks := s.broker.latency()
			bad := time.Since(began)
			s.disk.ail(ills{})
			mended := time.Now()
			s.degraded(false)
			recovered := time.Since(mended)
			stop()
			books := s.complete()
			if c.degrades {
				s.fault(diskTitle, true)
			}
			longest := s.longestCycle()
			took := s.done()
			t.Logf(c.name+": bad for %v, degraded after %v, well %v after it was mended; switched in %v at most, %d times (before: %v); longest cycle %v; slowest acknowledgement %v; stop %v; %s",
				bad.Round(time.Millisecond), until.Round(time.Millisecond), recovered.Round(time.Millisecond), switched.Round(time.Millisecond), 2*times,
				calm.Round(time.Millisecond), longest.Round(10*time.Microsecond), acks.Round(time.Millisecond), took.Round(time.Millisecond), books)
			if switched > switchTime || longest > cycleTime {
				t.Errorf("control noticed: switched after %v, longest cycle %v", switched, longest)
			}
			if n := s.disk.counted(); c.degrades && c.ills.flushHangs == 0 && n.refused == 0 {
				t.Errorf("the disk refused nothing: %+v", n)
			}
		})
	}
}

// TestPowerCut cuts the power again and again under load, with Kafka away, so that only the disk can know what was
// acknowledged. What is not flushed is lost by chance.
func TestPowerCut(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	chance := rand.New(rand.NewPCG(seed, 1))
	s.away.Store(true)
	s.run()
	stop := s.broker.feed(5 * time.Millisecond)
	s.temperature(310, true)
	s.slave.SetInput(1, 1, 310)
	alert := s.opened()
	slow := ills{flushTakes: 20 * time.Millisecond} // so that much is on its way when the power goes
	s.disk.ail(slow)
	const cuts = 8
	var lost, durable int
	var back time.Duration
	for range cuts {
		time.Sleep(time.Duration(200+chance.IntN(2000)) * time.Millisecond)
		s.gateway.kill()
		lost += s.disk.cut(chance)
		s.disk.ail(slow)
		_, durable = s.broker.numbers()
		back = max(back, s.run())
		if now := s.alert(); now != alert {
			t.Errorf("the open alert %s is %s after the power cut", alert, now)
		}
		if status, err := s.status(); err != nil || len(status.Buffer.Quarantined) > 0 {
			t.Errorf("after the power cut the buffer is %+v, %v", status.Buffer, err)
		}
	}
	stop()
	s.away.Store(false)
	books := s.complete()
	if raised := s.book.find(func(e alertEvent) bool { return e.State == "raised" }); len(raised) != 1 || raised[0].Payload.AlertID != alert {
		t.Errorf("of the alert %s was told: %+v", alert, raised)
	}
	s.temperature(240, false)
	s.done()
	t.Logf("%d power cuts, %d pages lost, %d readings acknowledged at the last; reading again after %v at most; %s",
		cuts, lost, durable, back.Round(time.Millisecond), books)
}

// TestSlowReads has Kafka come back when much waits in files that are in no cache, on a disk whose reads take two seconds.
// What reads them waits; the cycle does not, nor do messages. Then the pages that are mapped leave the cache, as when memory
// is short.
func TestSlowReads(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.away.Store(true)
	s.run()
	for _, n := range []int{500, 500, 5000} { // the newest few thousand are looked at when the gateway starts
		s.sendMuch(n)
		s.nextSegment()
	}
	s.done()
	s.disk.remount()
	s.run()
	calm := s.longestCycle()
	slow := ills{readTakes: 2 * time.Second}
	s.disk.ail(slow)
	before := s.disk.counted().reads
	s.away.Store(false)
	stop := s.broker.feed(50 * time.Millisecond)
	time.Sleep(time.Second)
	s.broker.latency()
	switched, times := s.swing(12 * time.Second)
	acks, longest, reads := s.broker.latency(), s.longestCycle(), s.disk.counted().reads-before
	t.Logf("%d reads of 2 s; switched in %v at most, %d times; longest cycle %v (before: %v); slowest acknowledgement %v",
		reads, switched.Round(time.Millisecond), 2*times, longest.Round(10*time.Microsecond), calm.Round(10*time.Microsecond), acks.Round(time.Millisecond))
	if switched > switchTime || longest > cycleTime || acks > switchTime {
		t.Errorf("control noticed: switched after %v, longest cycle %v, acknowledged after %v", switched, longest, acks)
	}
	if reads < 5 {
		t.Errorf("only %d reads were slow", reads)
	}

	s.disk.evict()
	switched, times = s.swing(12 * time.Second)
	acks, longest = s.broker.latency(), s.longestCycle()
	t.Logf("with the mapped pages thrown out: switched in %v at most, %d times; longest cycle %v; slowest acknowledgement %v",
		switched.Round(time.Millisecond), 2*times, longest.Round(10*time.Microsecond), acks.Round(time.Millisecond))
	if switched > switchTime || longest > cycleTime || acks > switchTime {
		t.Errorf("control noticed: switched after %v, longest cycle %v, acknowledged after %v", switched, longest, acks)
	}
	s.disk.ail(ills{})
	stop()
	t.Log(s.complete())
	s.done()
}

// TestDamagedSegment damages a file of the stopped gateway's buffer. The box starts by itself, puts the file aside and says
// so; what stood in it is counted, all else arrives, and the open alert is still the same.
func TestDamagedSegment(t *testing.T) {
	truncate := func(f *os.File, _ int64) error { return f.Truncate(6*4096 + 100) } // most of a file is not used yet
	flip := func(f *os.File, size int64) error {                                    // a bit in the head of each page but the first two
		for at := int64(2 * 4096); at < size; at += 4096 {
			b := make([]byte, 1)
			if _, err := f.ReadAt(b, at+8); err != nil {
				return err
			}
			b[0] ^= 0x40
			if _, err := f.WriteAt(b, at+8); err != nil {
				return err
			}
		}
		return nil
	}
	empty := func(f *os.File, _ int64) error { return f.Truncate(0) }
	for _, c := range []struct {
		name   string
		newest bool // or the one before
		clean  bool // the gateway was stopped, not killed
		damage func(*os.File, int64) error
	}{
		{"newest cut short", true, false, truncate},
		{"newest with flipped bits", true, false, flip},
		{"newest empty", true, false, empty},
		{"newest with flipped bits after a clean stop", true, true, flip},
		{"older cut short", false, false, truncate},
		{"older with flipped bits", false, false, flip},
		{"older with flipped bits after a clean stop", false, true, flip},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			s.away.Store(true)
			s.run()
			s.temperature(310, true)
			alert := s.opened()
			s.done() // leaves a copy of the notes
			s.run()
			first := s.send(200)
			s.nextSegment()
			second := s.send(200)
			if c.clean {
				s.done()
			} else {
				s.gateway.kill()
			}
			victim := damage(t, s.disk, c.newest, c.damage)

			began, starts := time.Now(), s.restart()
			back := time.Since(began)
			if now := s.alert(); now != alert {
				t.Errorf("the open alert %s is now %s", alert, now)
			}
			switched, _ := s.swing(0)
			s.away.Store(false)
			gone, stays := first, second
			if c.newest {
				gone, stays = second, first
			}
			s.arrived(stays)
			status := s.quarantined(victim)
			var told alertEvent
			if c.newest {
				told = s.fault(repairTitle, false)
			}
			if !c.newest || c.clean { // else the copy of the notes is too old to know what there was
				told = s.fault(missingTitle, true)
			}
			third := s.send(50)
			s.arrived(third)
			lost, sameID, newID := s.book.sum(third[1])
			var dropped uint64
			for _, lane := range status.Buffer.Lanes {
				dropped += lane.Dropped
			}
			for _, n := range lost {
				if n < gone[0] || n >= gone[1] {
					t.Errorf("reading %d was not in the damaged file and is lost", n)
				}
			}
			if newID > 0 || s.book.clashes > 0 {
				t.Errorf("%d readings have a second event id, %d places in the buffer were given twice", newID, s.book.clashes)
			}
			longest := s.longestCycle()
			s.done()
			t.Logf(c.name+": %d start(s), reading again after %v; switched in %v; longest cycle %v; %d of %d readings of the damaged file lost, %d records counted as dropped, %d twice with the same id; told: %s",
				starts, back.Round(time.Millisecond), switched.Round(time.Millisecond), longest.Round(10*time.Microsecond), len(lost), gone[1]-gone[0], dropped, sameID, told.Payload.Description)
			if starts > 2 || starts > 1 && !c.clean {
				t.Errorf("it took %d starts", starts)
			}
			if switched > switchTime || longest > cycleTime {
				t.Errorf("control noticed: switched after %v, longest cycle %v", switched, longest)
			}
		})
	}
}

// damage does harm to a segment and returns its name.
func damage(t *testing.T, d *disk, newest bool, harm func(*os.File, int64) error) string {
	t.Helper()
	d.unmount() // and so nothing is cached
	files, err := filepath.Glob(filepath.Join(d.live, "data", "buffer", "*.bolt"))
	if err != nil || len(files) < 2 {
		t.Fatalf("the segments are %q, %v", files, err)
	}
	file := files[len(files)-1]
	if !newest {
		file = files[len(files)-2]
	}
	f, err := os.OpenFile(file, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err == nil {
		err = harm(f, info.Size())
	}
	if err := errors.Join(err, d.mount()); err != nil {
		t.Fatal(err)
	}
	return filepath.Base(file)
}

// TestStopOnABadDisk asks the gateway to stop while its disk is bad: the outputs are safe at once, and it ends.
func TestStopOnABadDisk(t *testing.T) {
	for _, c := range []struct {
		name string
		ills ills
	}{
		{"full", diskFull},
		{"EIO on fsync", flushesFail},
		{"read-only", diskReadOnly},
		{"fsync hangs", ills{flushTakes: time.Hour}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			s.run()
			s.temperature(310, true)
			s.disk.ail(c.ills)
			s.send(5)
			s.degraded(true)
			began := time.Now()
			if err := s.gateway.cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			safe := eventually(t, "the fan is off", func() error {
				if s.slave.Coils(10, 0, 1)[0] {
					return errNotYet
				}
				return nil
			})
			eventually(t, "the gateway has done all that it can", func() error {
				if !strings.Contains(s.gateway.log.String(), "the buffer was not closed in order") {
					return errNotYet
				}
				return nil
			})
			done := time.Since(began)
			s.disk.ail(ills{})
			<-s.gateway.done // a process does not end before the kernel has its flush back
			code := s.gateway.cmd.ProcessState.ExitCode()
			t.Logf(c.name+": safe after %v, done after %v, ended after %v, exit code %d", safe.Round(time.Millisecond), done.Round(time.Millisecond), time.Since(began).Round(time.Millisecond), code)
			if safe > switchTime || done > 12*time.Second || code != 0 {
				t.Errorf("safe after %v, done after %v, exit code %d", safe, done, code)
			}
			s.run() // and what was kept is there
			s.arrived(s.send(5))
			s.done()
		})
	}
}

// TestStartOnABadDisk starts the gateway on a disk that is bad from the start: it keeps the ranges and delivers, and says
// that it would forget.
func TestStartOnABadDisk(t *testing.T) {
	for _, c := range []struct {
		name string
		ills ills
		used bool // an earlier run has left its buffer there
	}{
		{"full", diskFull, true},
		{"full and empty", diskFull, false},
		{"EIO on write", writesFail, true},
		{"EIO on fsync", flushesFail, true},
		{"EIO on fsync and empty", flushesFail, false},
		{"read-only", diskReadOnly, true},
		{"reads take 2 s", ills{readTakes: 2 * time.Second}, true},
		{"fsync hangs", ills{flushTakes: time.Hour}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			if c.used {
				s.run()
				s.send(20)
				s.gateway.kill()
				s.disk.remount()
			}
			s.disk.ail(c.ills)
			back := s.run()
			switched, _ := s.swing(4 * time.Second)
			sent := s.send(20)
			status := s.degraded(true)
			acks, longest := s.broker.latency(), s.longestCycle()
			if strings.HasPrefix(status.Buffer.Dir, s.disk.path) {
				s.disk.ail(ills{}) // the disk could be read: what waits goes there now
				s.degraded(false)
			} else {
				s.fault(memoryTitle, false)
			}
			s.arrived(sent)
			s.disk.ail(ills{})
			took := s.done()
			second := s.run() // the disk is well again
			s.degraded(false)
			books := s.complete()
			s.done()
			t.Logf(c.name+": reading after %v; switched in %v; longest cycle %v; slowest acknowledgement %v; buffer in %s (%s); stop %v; on the mended disk reading after %v; %s",
				back.Round(time.Millisecond), switched.Round(time.Millisecond), longest.Round(10*time.Microsecond), acks.Round(time.Millisecond), status.Buffer.Dir, status.Buffer.Error,
				took.Round(time.Millisecond), second.Round(time.Millisecond), books)
			if switched > switchTime || longest > cycleTime {
				t.Errorf("control noticed: switched after %v, longest cycle %v", switched, longest)
			}
		})
	}
}
