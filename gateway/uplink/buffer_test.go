package uplink

import (
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"gacp-erp.internal/glasshouse/buffer"
)

var _ Source = (*buffer.Buffer)(nil)

// TestFromTheBuffer sends from the real buffer, over a restart of the gateway.
func TestFromTheBuffer(t *testing.T) {
	c := cluster(t)
	o := buffer.Options{Dir: t.TempDir(), Lanes: []buffer.LaneSpec{{Name: "alerts", Critical: true}, {Name: "telemetry"}}}
	open := func() *buffer.Buffer {
		b, err := buffer.Open(o)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	var ids []string
	commit := func(b *buffer.Buffer, prefix string, n int) {
		var records []buffer.Record
		for i := range n {
			id := fmt.Sprint(prefix, "-", i)
			r := record(fmt.Sprint("key-", i%7), id, 200)
			r.Lane = "telemetry"
			records, ids = append(records, r), append(ids, id)
		}
		if err := b.Commit(records, nil); err != nil {
			t.Fatal(err)
		}
	}
	waiting := func(b *buffer.Buffer) (n uint64) {
		for _, l := range b.Stats().Lanes {
			n += l.Waiting
		}
		return n
	}
	b := open()
	commit(b, "before", 1500)
	large := record("key-1", "large", 10)
	large.Lane, large.Body = "telemetry", noise(1_100_000)
	if err := b.Commit([]buffer.Record{large}, nil); err != nil {
		t.Fatal(err)
	}
	for round := range 2 {
		up := options(nil, c.ListenAddrs()...)
		up.Source = b
		u := run(t, up, quick)
		for i := range 20 {
			commit(b, fmt.Sprint("round", round, "-", i), 100)
		}
		u.until("drained", func() bool { return waiting(b) == 0 })
		u.stop()
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		b = open()
		if n := waiting(b); n != 0 {
			t.Errorf("%d wait after a restart", n)
		}
	}
	defer b.Close()
	got := all(t, "telemetry.v1", kgo.SeedBrokers(c.ListenAddrs()...))
	complete(t, got, ids)
	if epoch := header(got[0], "epoch"); epoch != b.Epoch() {
		t.Errorf("epoch %s, want %s", epoch, b.Epoch())
	}
	aside, err := b.SetAside("telemetry")
	if err != nil || len(aside) != 1 || len(aside[0].Body) != 1_100_000 {
		t.Errorf("set aside: %d, %v", len(aside), err)
	}
}
