package gateway

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"gacp-erp.internal/glasshouse/buffer"
)

const (
	openTime    = 30 * time.Second // for the disk to give the buffer
	closeTime   = 2 * time.Second  // for the disk to take its end
	refugeBytes = 64 << 20         // what a buffer in memory may take
	memoryDir   = "/dev/shm"       // a file system in memory
)

// opened is how opening a buffer ended.
type opened struct {
	buffer *buffer.Buffer
	err    error
}

// openBuffer opens the buffer. A disk that has failed, or does not answer, must not keep the plants without a gateway: then
// the buffer lies in memory and the gateway says so until it is started again. What a person got wrong is an error.
func (g *Gateway) openBuffer(o buffer.Options) (err error) {
	answer := make(chan opened, 1)
	go func() {
		b, err := buffer.Open(o)
		answer <- opened{b, err}
	}()
	patience := time.NewTimer(openTime)
	defer patience.Stop()
	select {
	case a := <-answer:
		if a.err == nil || !diskFailed(a.err) {
			g.buffer = a.buffer
			return a.err
		}
		g.homeless = a.err
	case <-patience.C:
		g.homeless = fmt.Errorf("the disk of %s has not answered for %s", o.Dir, openTime)
		go func() {
			if late := <-answer; late.err == nil {
				_ = late.buffer.Close() // nobody has written to it
			}
		}()
	}
	return g.takeRefuge(o)
}

// diskFailed tells a disk that has failed from what a person got wrong.
func diskFailed(err error) bool {
	for _, errno := range []syscall.Errno{syscall.EROFS, syscall.ENOSPC, syscall.EDQUOT, syscall.EIO} {
		if errors.Is(err, errno) {
			return true
		}
	}
	return errors.Is(err, buffer.ErrDamaged)
}

// takeRefuge opens a buffer in memory instead.
func (g *Gateway) takeRefuge(o buffer.Options) (err error) {
	g.log.Error("the data directory cannot be used: events are kept in memory only, and earlier state is not known", "error", g.homeless)
	if g.refuge, err = os.MkdirTemp(memoryDir, "glasshouse-"); err != nil {
		return errors.Join(g.homeless, fmt.Errorf("keep events in memory instead: %w", err))
	}
	o.Dir, o.MaxBytes, o.Reserve = g.refuge, min(o.MaxBytes, refugeBytes), 0
	if g.buffer, err = buffer.Open(o); err != nil {
		return errors.Join(g.homeless, fmt.Errorf("keep events in memory instead: %w", err), os.RemoveAll(g.refuge))
	}
	return nil
}

// closeBuffer closes the buffer, unless the disk does not answer.
func (g *Gateway) closeBuffer() error {
	closed := make(chan error, 1)
	go func() { closed <- g.buffer.Close() }()
	patience := time.NewTimer(closeTime)
	defer patience.Stop()
	var err error
	select {
	case err = <-closed:
	case <-patience.C:
		err = fmt.Errorf("the disk has not answered for %s", closeTime)
	}
	if g.refuge != "" {
		err = errors.Join(err, os.RemoveAll(g.refuge))
	}
	return err
}

// bufferDir is where the buffer lies.
func (g *Gateway) bufferDir() string {
	if g.refuge != "" {
		return g.refuge
	}
	return filepath.Join(g.config.Gateway.DataDir, "buffer")
}
