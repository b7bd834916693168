package slave

import (
	"errors"
	"net"
	"sync"
	"time"
)

var errHungUp = errors.New("hung up")

// line is the sending side of one connection.
type line struct {
	conn  Conn
	ended chan struct{}
	tasks sync.WaitGroup // what still sends
	out   chan []byte    // nil: the connection has a buffer of its own
	last  []byte         // the frame before

	turn chan struct{} // one frame at a time; a mutex held through a pause would stop the clock of a synctest bubble
}

// newLine gives a connection without a buffer (net.Pipe) one, so that a peer that sends before it has read cannot block us
// both, as it cannot over TCP.
func newLine(conn Conn) *line {
	l := &line{conn: conn, ended: make(chan struct{}), turn: make(chan struct{}, 1)}
	if _, ok := conn.(*net.TCPConn); !ok {
		l.out = make(chan []byte, 1024)
		l.tasks.Go(l.drain)
	}
	return l
}

// end closes the connection and waits for what still sends.
func (l *line) end() {
	close(l.ended)
	l.conn.Close()
	l.tasks.Wait()
}

func (l *line) drain() {
	for {
		select {
		case bytes := <-l.out:
			if _, err := l.conn.Write(bytes); err != nil {
				l.conn.Close() // ends the loop that reads; what is still put here fails at once
			}
		case <-l.ended:
			return
		}
	}
}

// send puts an answer on the wire the way its fault wants.
func (l *line) send(f Fault, frame []byte) error {
	before := l.last
	l.last = frame
	switch f.Kind {
	case Drop:
		return nil
	case HangUp:
		return errHungUp
	case Half:
		return l.write(frame[:len(frame)/2])
	case Late:
		l.tasks.Go(func() {
			select {
			case <-time.After(f.Delay):
				_ = l.write(frame) // a connection that is gone ends the loop as well
			case <-l.ended:
			}
		})
		return nil
	case ByteByByte:
		return l.dribble(frame, f.Delay)
	case Duplicate:
		return errors.Join(l.write(frame), l.write(frame))
	case Replay:
		return errors.Join(l.write(before), l.write(frame))
	}
	return l.write(frame)
}

func (l *line) write(frame []byte) error {
	l.turn <- struct{}{}
	defer func() { <-l.turn }()
	return l.put(frame)
}

// put writes bytes, or hands them to the goroutine that does. Nobody changes them afterwards.
func (l *line) put(bytes []byte) error {
	if len(bytes) == 0 {
		return nil
	}
	if l.out == nil {
		_, err := l.conn.Write(bytes)
		return err
	}
	select {
	case l.out <- bytes:
		return nil
	case <-l.ended:
		return errHungUp
	}
}

func (l *line) dribble(frame []byte, pause time.Duration) error {
	l.turn <- struct{}{}
	defer func() { <-l.turn }()
	for i := range frame {
		if err := l.put(frame[i : i+1]); err != nil {
			return err
		}
		if pause > 0 {
			time.Sleep(pause)
		}
	}
	return nil
}
