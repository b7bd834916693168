package mqtt

import (
	"net"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// written is a connection that remembers what was written together.
type written struct {
	net.Conn
	writes []string
}

func (w *written) Write(p []byte) (int, error) {
	w.writes = append(w.writes, string(p))
	return len(p), nil
}

func (w *written) SetWriteDeadline(time.Time) error { return nil }

func TestAcknowledgementsLeaveTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &written{}
		c := &conn{Conn: w}
		packet := func(parts ...string) {
			c.Lock()
			for _, p := range parts {
				_, _ = c.Write([]byte(p))
			}
			c.Unlock()
		}
		expect := func(what string, want ...string) {
			t.Helper()
			synctest.Wait()
			c.writing.Lock()
			defer c.writing.Unlock()
			if !slices.Equal(w.writes, want) {
				t.Errorf("%s: %q, want %q", what, w.writes, want)
			}
			w.writes = nil
		}
		for range 2 { // the timer is used again
			packet("\x40\x02", "\x00\x01")
			packet("\x40\x02", "\x00\x02")
			expect("two acknowledgements at once")
			time.Sleep(ackPause)
			expect("a moment later", "\x40\x02\x00\x01\x40\x02\x00\x02")
		}
		packet("\x40\x02", "\x00\x03")
		packet("\xc0\x00")
		expect("a ping takes along what waits, in order", "\x40\x02\x00\x03\xc0\x00")
		time.Sleep(2 * ackPause)
		expect("and nothing comes twice")
		for range ackBytes / 4 {
			packet("\x40\x02\x00\x04")
		}
		synctest.Wait()
		if len(w.writes) != 1 || len(w.writes[0]) != ackBytes {
			t.Errorf("a full buffer did not leave at once: %d writes", len(w.writes))
		}
	})
}
