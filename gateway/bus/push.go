package bus

import (
	"context"
	"time"

	"gacp-erp.internal/glasshouse/drivers"
)

const (
	linkEvery  = time.Second // between two looks at a driver's connection
	drainPause = time.Second // after a panic
	keepBurst  = 8192        // readings of memory that are kept for the next draining
)

// drain is the goroutine that takes what devices say by themselves.
func (b *Bus) drain(ctx context.Context) {
	var ready <-chan struct{}
	if err := b.guard("starting", b.options.Name, func() error { ready = b.pusher.Ready(); return nil }); err != nil {
		b.judge(err)
		return
	}
	look := time.NewTicker(linkEvery)
	defer look.Stop()
	if b.linker == nil {
		look.Stop()
	}
	var rs []drivers.Reading
	for {
		select {
		case <-ctx.Done():
			return
		case <-look.C:
			b.judge(b.guard("looking at", b.options.Name, b.linker.Link))
			continue
		case _, open := <-ready:
			if !open {
				return
			}
		}
		var err error
		if rs, err = b.take(rs); err != nil {
			b.judge(err)
			select {
			case <-ctx.Done():
			case <-time.After(drainPause):
			}
		}
	}
}

// take drains once and hands over what there was. It gives back rs to be used again.
func (b *Bus) take(rs []drivers.Reading) ([]drivers.Reading, error) {
	var upTo drivers.Delivery
	err := b.guard("draining", b.options.Name, func() error {
		rs, upTo = b.pusher.Drain(rs[:0])
		return nil
	})
	if err != nil || len(rs) == 0 {
		return rs, err
	}
	b.sink.Readings(b.options.Index, rs, upTo)
	b.mu.Lock()
	b.counts.readings += uint64(len(rs))
	if b.linker == nil {
		b.found(time.Now())
	}
	b.mu.Unlock()
	if cap(rs) > keepBurst {
		return nil, nil
	}
	clear(rs) // lets go of the messages
	return rs, nil
}

// judge takes the driver's word for whether the bus can be reached.
func (b *Bus) judge(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err == nil {
		b.found(time.Now())
		return
	}
	b.counts.errors++
	b.lost(err, time.Now())
}
