package main

import (
	"fmt"
	"io"
	"sync/atomic"
	"time"
)

const (
	logLines = 1024        // that may wait for who reads the log
	logTime  = time.Second // to write the last of them
)

// logWriter writes lines from a goroutine of its own. A terminal that was stopped, a pipe that nobody empties or a journal
// on a slow disk must not hold up who logs, for that is the cycle as well: what finds no room is dropped and counted.
type logWriter struct {
	lines   chan []byte
	stop    chan struct{}
	done    chan struct{}
	dropped atomic.Uint64
}

func newLogWriter(to io.Writer) *logWriter {
	l := &logWriter{lines: make(chan []byte, logLines), stop: make(chan struct{}), done: make(chan struct{})}
	go l.run(to)
	return l
}

// Write takes one line and never waits.
func (l *logWriter) Write(line []byte) (int, error) {
	select {
	case l.lines <- append([]byte(nil), line...):
	default:
		l.dropped.Add(1)
	}
	return len(line), nil
}

func (l *logWriter) run(to io.Writer) {
	defer close(l.done)
	for {
		var line []byte
		select {
		case line = <-l.lines:
		default:
			select {
			case line = <-l.lines:
			case <-l.stop:
				return
			}
		}
		_, _ = to.Write(line) // nobody is left to be told
		if n := l.dropped.Swap(0); n > 0 {
			_, _ = fmt.Fprintf(to, "glasshouse: %d lines of the log are missing here: nobody took them in time\n", n)
		}
	}
}

// close writes what waits, as far as somebody reads it.
func (l *logWriter) close() {
	close(l.stop)
	select {
	case <-l.done:
	case <-time.After(logTime):
	}
}
