package archive

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"gacp-erp.internal/glasshouse/buffer"
	"gacp-erp.internal/glasshouse/gateway/contract"
	"gacp-erp.internal/glasshouse/gateway/uplink"
)

// Replayed is what a replay has sent.
type Replayed struct {
	Topic    string // as the gateway calls it
	Sent     int    // records
	Rejected int    // records that Kafka will never take
	Last     uint64 // everything up to this sequence was sent
}

// Replay sends the records that are meant to Kafka once more, lane by lane, as they were sent the first time: the same
// event ids, keys, epoch and sequences, with the header `replayed` besides. What waits is sent too, what was set aside is
// not. While Kafka is away or refuses it waits and o.Log says why, until ctx ends. Damage is told to fault and passed over.
// The lanes' results are right also with an error.
func Replay(ctx context.Context, dir string, s Selection, o uplink.Options, fault func(error)) (all []Replayed, err error) {
	sel, err := s.records()
	if err != nil {
		return nil, err
	}
	r, err := open(dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	lanes := o.Lanes
	for _, lane := range lanes {
		if s.Topic != "" && buffer.Lane(s.Topic) != lane.Name {
			continue
		}
		sel.Lane, o.Lanes = lane.Name, []uplink.Lane{lane}
		done, err := replayLane(ctx, r, sel, o, fault)
		if done.Sent+done.Rejected > 0 || err != nil {
			all = append(all, done)
		}
		if err != nil {
			return all, fmt.Errorf("replay %s: %w", lane.Name, explain(dir, err))
		}
	}
	return all, nil
}

// replayLane runs an uplink of its own until everything of one lane has gone.
func replayLane(ctx context.Context, r *buffer.Reader, sel buffer.Selection, o uplink.Options, fault func(error)) (Replayed, error) {
	next, stop := iter.Pull2(r.Records(sel))
	defer stop()
	f := &feed{next: next, fault: fault, epoch: r.Epoch(), done: Replayed{Topic: string(sel.Lane)}}
	if f.fetch(); f.ahead == nil {
		return f.done, f.err // nothing to send: Kafka is not needed
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	f.all = cancel
	o.Source = f
	u, err := uplink.New(o)
	if err != nil {
		return f.done, err
	}
	err = u.Run(ctx)
	switch {
	case err != nil || f.err != nil:
		return f.done, errors.Join(err, f.err)
	case !f.empty() && f.done.Last == 0:
		return f.done, fmt.Errorf("it was stopped before anything was sent: %w", context.Cause(ctx))
	case !f.empty():
		return f.done, fmt.Errorf("it was stopped; everything up to sequence %d was sent: %w", f.done.Last, context.Cause(ctx))
	}
	return f.done, nil
}

// feed is an uplink's source of one lane: it hands out each record once. Only the one pump calls it.
type feed struct {
	next  func() (buffer.Stored, error, bool)
	fault func(error)
	epoch string
	all   func()        // called when everything has gone
	ahead *buffer.Entry // read and not handed out; nil: there is no more
	out   []uint64      // sequences handed out and not acknowledged
	done  Replayed
	err   error // ended the reading
}

var _ uplink.Source = (*feed)(nil)

// fetch reads one record ahead.
func (f *feed) fetch() {
	f.ahead = nil
	for {
		rec, err, more := f.next()
		switch {
		case !more:
			return
		case errors.Is(err, buffer.ErrDamaged):
			f.fault(err)
			continue
		case err != nil:
			f.err = err
			return
		case rec.Fate == buffer.SetAside:
			continue // Kafka does not take it
		case rec.Epoch != f.epoch:
			f.fault(fmt.Errorf("sequence %d of %s is of the older epoch %s and is not sent", rec.Sequence, rec.Lane, rec.Epoch))
			continue
		}
		rec.Head = contract.AppendHeader(rec.Head, contract.HeaderReplayed, "true")
		f.ahead = &rec.Entry
		return
	}
}

// Peek hands out what comes next.
func (f *feed) Peek(_ buffer.Lane, _ uint64, maxBytes int) ([]buffer.Entry, error) {
	var entries []buffer.Entry
	for size := 0; f.ahead != nil && (size < maxBytes || len(entries) == 0); f.fetch() {
		entries = append(entries, *f.ahead)
		f.out = append(f.out, f.ahead.Sequence)
		size += len(f.ahead.Key) + len(f.ahead.Head) + len(f.ahead.Body)
	}
	return entries, nil
}

// Ack counts what has gone, and ends the uplink behind the last one.
func (f *feed) Ack(_ buffer.Lane, upTo uint64, poison ...uint64) {
	n := 0
	for n < len(f.out) && f.out[n] <= upTo {
		n++
	}
	f.out = f.out[n:]
	f.done.Sent += n - len(poison)
	f.done.Rejected += len(poison)
	f.done.Last = upTo
	if f.empty() {
		f.all()
	}
}

func (f *feed) empty() bool { return f.ahead == nil && len(f.out) == 0 }

// Wake never has a value: nothing is added.
func (f *feed) Wake(buffer.Lane) <-chan struct{} { return nil }

// Epoch is the buffer's.
func (f *feed) Epoch() string { return f.epoch }
