package gateway

import (
	"context"
	"time"
)

// thread is one goroutine of a running gateway. The zero thread has ended.
type thread struct {
	stop context.CancelFunc
	done chan struct{}
}

// start runs f until its context is cancelled.
func start(ctx context.Context, f func(context.Context)) thread {
	ctx, stop := context.WithCancel(ctx)
	t := thread{stop, make(chan struct{})}
	go func() {
		defer close(t.done)
		f(ctx)
	}()
	return t
}

// end asks a thread to end and waits; false when it takes longer than it may, or nobody wants to wait any longer.
func (t thread) end(patience time.Duration, hurry <-chan struct{}) bool {
	if t.done == nil {
		return true
	}
	t.stop()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-t.done:
		return true
	case <-timer.C:
	case <-hurry:
	}
	return false
}
