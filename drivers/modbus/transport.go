package modbus

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os"
	"sync"
	"time"

	library "github.com/goburrow/modbus"
)

const (
	dialTimeout = 3 * time.Second
	maxSilent   = 3 // requests in a row without a byte: then the connection itself is suspected
)

// protocol is a framing: how requests and answers look on the line. One goroutine uses it.
type protocol interface {
	library.Packager
	// address is the unit of the requests that follow.
	address(u *Unit)
	// connected says that the line is a new one.
	connected()
	// exchange sends a framed request and returns the answer, checked. The error is the line's own or wraps errDoubt. The
	// line's limit is the timeout unless it sets another.
	exchange(l *link, request []byte) ([]byte, error)
	// keeps says whether the connection stays in use after a doubt, and after that many requests in a row without a byte.
	keeps(doubt bool, silent int) bool
}

// conn is what a connection must be able to do.
type conn interface {
	io.ReadWriteCloser
	SetDeadline(t time.Time) error
}

// link is one connection.
type link struct {
	conn   conn
	until  time.Time     // when the call in progress ends; zero: it does not
	in     *bufio.Reader // for framings that look ahead
	used   bool          // a request was answered
	heard  bool          // something came during this exchange
	owes   bool          // a request has had no answer
	silent int           // exchanges in a row in which nothing came
	took   time.Duration // from sending the last request to its answer, or to giving up; 0: the whole exchange
	reads  int
}

// Read is the connection's, counted.
func (l *link) Read(p []byte) (int, error) {
	l.reads++
	return l.conn.Read(p)
}

// within gives what follows so much time, or as much as the call has left.
func (l *link) within(d time.Duration) error {
	limit := time.Now().Add(d)
	if !l.until.IsZero() && l.until.Before(limit) {
		limit = l.until
	}
	return l.conn.SetDeadline(limit)
}

// transport is the line with its connection, which it makes when it needs one and closes on any doubt. One goroutine uses
// it; only close may come from another.
type transport struct {
	protocol protocol
	dial     func(ctx context.Context) (conn, error)
	timeout  time.Duration
	settle   time.Duration // pause after connecting
	opened   func()        // told of each connection

	ctx      context.Context // of the call in progress: the library's Send has none
	unit     *Unit           // whom it asks
	link     *link           // nil: none
	last     time.Time       // when the line was last in use
	answered time.Time       // when the last answer was complete
	took     time.Duration   // how long the last request was waited for

	closing chan struct{}
	mu      sync.Mutex
	closed  bool
	open    conn // link's, for close
}

var _ library.Transporter = (*transport)(nil)

// begin sets what the next requests belong to.
func (t *transport) begin(ctx context.Context, u *Unit) {
	t.ctx, t.unit = ctx, u
	t.protocol.address(u)
}

// end forgets the call.
func (t *transport) end() { t.ctx, t.unit = nil, nil }

// Send does one transaction. A connection that worked before and breaks before a byte of the answer has come was closed by
// the peer while nobody looked (many do when idle): the request is sent once more on a new one. All requests may be: they
// read, or set something to a value.
func (t *transport) Send(request []byte) ([]byte, error) {
	for {
		if t.ctx.Err() != nil {
			return nil, ended(t.ctx)
		}
		if err := t.connect(); err != nil {
			return nil, err
		}
		worked := t.link.used
		answer, err := t.attempt(request)
		if err == nil {
			return answer, nil
		}
		if !worked || !errors.Is(err, errLost) || errors.Is(err, errBroken) || isTimeout(err) {
			return nil, err
		}
	}
}

// attempt is a transaction on the connection at hand, which is kept only if nothing is wrong with it.
func (t *transport) attempt(request []byte) ([]byte, error) {
	l := t.link
	if err := t.pause(t.ctx, t.unit.InterFrame-time.Since(t.last)); err != nil {
		return nil, err
	}
	l.until, _ = t.ctx.Deadline()
	if ctx := t.ctx; ctx.Done() != nil { // a deadline is in until; a call that is cancelled gives up its connection
		defer context.AfterFunc(ctx, func() {
			if errors.Is(ctx.Err(), context.Canceled) {
				l.conn.Close()
			}
		})()
	}
	err := l.within(t.timeout)
	var answer []byte
	if err == nil {
		began := time.Now()
		l.heard, l.took = false, 0
		answer, err = t.protocol.exchange(l, request)
		if t.took = l.took; l.took == 0 {
			t.took = time.Since(began)
		}
	}
	t.last = time.Now()
	if err == nil {
		l.used, l.silent, t.answered = true, 0, t.last
		return answer, nil
	}
	return nil, t.judge(l, err)
}

// judge says what an error of the line means and closes the connection where the protocol does not keep it.
func (t *transport) judge(l *link, err error) error {
	switch {
	case t.isClosed():
		err = errClosed
	case errors.Is(t.ctx.Err(), context.Canceled):
		err = ended(t.ctx)
	case errors.Is(err, errDoubt):
		l.silent = 0
		if t.protocol.keeps(true, 0) {
			return err
		}
	case errors.Is(err, errLost):
	case errors.Is(err, errEnded):
		return err
	case isTimeout(err):
		l.owes = true
		if l.silent++; l.heard {
			l.silent = 0
		}
		err = errSilent
		if t.protocol.keeps(false, l.silent) {
			return err
		}
	default:
		err = trouble{errLost, err}
	}
	t.drop()
	return err
}

// connect makes sure that there is a connection.
func (t *transport) connect() error {
	if t.link != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(t.ctx, dialTimeout)
	defer cancel()
	go func() { // close ends a dial in progress
		select {
		case <-t.closing:
			cancel()
		case <-ctx.Done():
		}
	}()
	conn, err := t.dial(ctx)
	switch {
	case t.isClosed() && err != nil:
		return errClosed
	case err != nil && errors.Is(t.ctx.Err(), context.Canceled):
		return ended(t.ctx)
	case err != nil:
		return trouble{errDial, err}
	}
	if !t.adopt(conn) {
		conn.Close()
		return errClosed
	}
	t.link = &link{conn: conn}
	t.link.in = bufio.NewReaderSize(t.link, 2*(headerSize+maxPDU))
	t.protocol.connected()
	t.opened()
	if err := t.pause(t.ctx, t.settle); err != nil {
		t.drop()
		return err
	}
	return nil
}

// adopt shows close the new connection, unless it has come too late.
func (t *transport) adopt(conn conn) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.closed {
		t.open = conn
	}
	return !t.closed
}

// drop closes the connection.
func (t *transport) drop() {
	t.link.conn.Close()
	t.link = nil
	t.mu.Lock()
	t.open = nil
	t.mu.Unlock()
}

// pause waits, unless the call ends first.
func (t *transport) pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-t.closing:
		return errClosed
	case <-ctx.Done():
		return ended(ctx)
	}
}

// close ends a call in progress and all that come later. Any goroutine; a second call does nothing.
func (t *transport) close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return nil
	}
	t.closed = true
	close(t.closing)
	if t.open == nil {
		return nil
	}
	return t.open.Close()
}

func (t *transport) isClosed() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.closed
}

func isTimeout(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }
