package mqtt

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// stamped is a telemetry message of second n.
func stamped(n int, id uint16) *incoming {
	at := noon.Add(time.Duration(n) * time.Second)
	return &incoming{topic: telemetry, qos: 1, packetID: id, at: at,
		payload: fmt.Appendf(nil, `{"timestamp":%d,"temperature":%d}`, at.UnixMilli(), n%50)}
}

func counted(d *Driver, r Reason) uint64 { return d.Stats().Rejections[r].Count }

func TestAcknowledgedOnlyWhenKept(t *testing.T) {
	d := newDriver(t, plant())
	broker := &acks{}
	for n := range 4 {
		d.receive(stamped(n, uint16(n+1)), broker)
	}
	d.receive(&incoming{topic: telemetry, payload: []byte("x"), qos: 1, packetID: 5, at: noon}, broker)
	d.Ack(99) // nothing is drained yet
	d.sendAcks()
	if len(broker.ids) != 0 {
		t.Fatalf("acknowledged %v before anybody saw them", broker.ids)
	}
	got, delivery := d.Drain(nil)
	if len(got) != 4 || delivery != 4 {
		t.Fatalf("%d readings, delivery %d", len(got), delivery)
	}
	d.receive(stamped(4, 6), broker)
	d.Ack(2)
	d.Ack(1)
	d.sendAcks()
	if !slices.Equal(broker.ids, []uint16{1, 2}) {
		t.Fatalf("acknowledged %v", broker.ids)
	}
	d.Ack(delivery)
	d.sendAcks()
	if !slices.Equal(broker.ids, []uint16{1, 2, 3, 4, 5}) {
		t.Fatalf("acknowledged %v", broker.ids)
	}
	if s := d.Stats(); s.Unacked != 1 || s.Waiting != 1 || s.Readings != 4 || s.Messages != 6 {
		t.Errorf("%+v", s)
	}
}

func TestDuplicates(t *testing.T) {
	d := newDriver(t, plant())
	first, second := &acks{}, &acks{}
	d.receive(stamped(1, 1), first)
	before, delivery := d.Drain(nil)
	d.hungUp(noon)
	d.receive(stamped(1, 1), second)
	d.sendAcks()
	if len(second.ids) != 0 {
		t.Fatal("the second copy is acknowledged before the first is kept")
	}
	d.Ack(delivery)
	d.sendAcks()
	if len(first.ids) != 0 || !slices.Equal(second.ids, []uint16{1}) {
		t.Fatalf("acknowledged %v and %v", first.ids, second.ids)
	}
	plain := func(id uint16, dup bool) *incoming {
		return &incoming{topic: "plug/lux", payload: []byte("7"), qos: 1, packetID: id, dup: dup, at: noon}
	}
	d.receive(plain(2, false), second) // unstamped: the same value again is news,
	d.receive(plain(3, false), second)
	d.receive(plain(3, true), second) // the same packet again is not
	d.receive(plain(4, true), second) // flagged, but its first copy never came
	after, _ := d.Drain(nil)
	if len(before) != 1 || len(after) != 3 || counted(d, Duplicate) != 2 {
		t.Errorf("%d then %d readings, %d duplicates", len(before), len(after), counted(d, Duplicate))
	}
	if after[0].Message.ID == after[1].Message.ID {
		t.Error("two messages with one id")
	}
}

// What an earlier process has kept comes again when its death kept the broker from hearing so.
func TestDuplicatesOfAnEarlierProcess(t *testing.T) {
	plain := func(id uint16, dup bool) *incoming {
		return &incoming{topic: "plug/lux", payload: []byte("7"), qos: 1, packetID: id, dup: dup, at: noon}
	}
	first := newDriver(t, plant())
	first.receive(stamped(1, 1), &acks{})
	first.receive(plain(2, false), &acks{})
	first.receive(plain(3, false), &acks{}) // not kept
	kept, _ := first.Drain(nil)

	second, broker := newDriver(t, plant()), &acks{}
	second.Remember(kept[0].Message.ID, kept[1].Message.ID)
	second.receive(stamped(1, 1), broker)
	later := plain(2, true)
	later.at = noon.Add(time.Minute)
	second.receive(later, broker)
	second.receive(plain(3, true), broker)
	second.receive(plain(2, false), broker) // the packet's number is free again: this is news
	if got, _ := second.Drain(nil); len(got) != 2 || counted(second, Duplicate) != 2 {
		t.Errorf("%d readings, %d duplicates", len(got), counted(second, Duplicate))
	}
	second.sendAcks()
	if len(broker.ids) != 2 {
		t.Errorf("acknowledged %v; nobody else does it for the two duplicates", broker.ids)
	}
	other := newDriver(t, func() Config { c := plant(); c.Name = "another"; return c }())
	other.Remember(kept[1].Message.ID)
	other.receive(plain(2, true), broker)
	if got, _ := other.Drain(nil); len(got) != 1 {
		t.Error("a message of another bus counts as the same")
	}
}

func TestOnlyTheNewestAreRemembered(t *testing.T) {
	r := newRing[int](3)
	for n := range 100 {
		r.add(n)
		r.add(n)
	}
	if len(r.known) != 3 || !r.has(97) || !r.has(99) || r.has(96) {
		t.Errorf("%v", r.known)
	}
}

func TestFloodIsBoundedAndCounted(t *testing.T) {
	c := plant()
	c.QoS0, c.ReceiveMaximum = 10, 5
	d := newDriver(t, c)
	for n := range 100 {
		m := stamped(n, 0)
		m.qos = 0
		if !d.receive(m, nil) {
			t.Fatal("a flood of QoS 0 drops the connection")
		}
	}
	got, _ := d.Drain(nil)
	if s := d.Stats(); len(got) != 10 || s.Dropped != 90 {
		t.Errorf("%d readings, %d dropped", len(got), s.Dropped)
	}
	broker := &acks{}
	for n := 100; n < 120; n++ {
		taken := d.receive(stamped(n, uint16(n)), broker)
		if taken != (n < 110) {
			t.Errorf("message %d taken: %v", n, taken)
		}
	}
	got, delivery := d.Drain(nil)
	d.Ack(delivery)
	if d.receive(stamped(111, 111), broker) {
		t.Error("taken after some before it were refused")
	}
	d.hungUp(noon)
	if s := d.Stats(); len(got) != 10 || s.Overruns != 11 {
		t.Errorf("%d readings, %+v", len(got), s)
	}
	for n := 110; n < 120; n++ { // they come again
		d.receive(stamped(n, uint16(n)), broker)
	}
	if again, _ := d.Drain(nil); len(again) != 10 || again[0].Value != 10 {
		t.Errorf("%s", text(again))
	}
}

// A broker that sends more than it may is held back while the owner makes room, and hung up on when it does not.
func TestBrokerIsHeldBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := plant()
		c.ReceiveMaximum = 5
		d := newDriver(t, c)
		began := time.Now()
		now := func(n int) *incoming {
			m := stamped(n, uint16(n))
			m.payload, m.at = fmt.Appendf(nil, `{"timestamp":%d,"temperature":%d}`, began.UnixMilli()+int64(n), n%50), time.Now()
			return m
		}
		for n := range 10 {
			d.receive(now(n), &acks{})
		}
		if waited := time.Since(began); waited != 0 {
			t.Errorf("waited %s with room left", waited)
		}
		taken := make(chan bool)
		go func() { taken <- d.receive(now(10), &acks{}) }()
		time.Sleep(time.Second)
		_, delivery := d.Drain(nil)
		synctest.Wait()
		select {
		case <-taken:
			t.Fatal("taken while twice the Receive Maximum waits for its acknowledgement")
		default:
		}
		d.Ack(delivery)
		d.sendAcks()
		if !<-taken {
			t.Error("refused though there is room again")
		}
		for n := 11; n < 20; n++ {
			d.receive(now(n), &acks{})
		}
		began = time.Now()
		if d.receive(now(20), &acks{}) || time.Since(began) < patience || time.Since(began) > 2*patience {
			t.Errorf("given up after %s", time.Since(began))
		}
		began = time.Now()
		if d.receive(now(21), &acks{}) || time.Since(began) != 0 {
			t.Error("after one that was refused another had its chance")
		}
		d.hungUp(time.Now())
		d.Drain(nil)
		for n := range 10 {
			d.receive(now(100+n), &acks{})
		}
		go func() { taken <- d.receive(now(110), &acks{}) }()
		time.Sleep(time.Second)
		if err := d.Close(); err != nil {
			t.Error(err)
		}
		<-taken // Close ends the wait
	})
}

func TestWaitingBytesAreBounded(t *testing.T) {
	d := newDriver(t, plant())
	large := make([]byte, maxPayload)
	for i := range large {
		large[i] = ' '
	}
	copy(large, "1")
	for range 1000 {
		d.receive(&incoming{topic: "plug/lux", payload: large, at: noon}, nil)
	}
	if got, _ := d.Drain(nil); len(got) != maxInbox/maxPayload || d.Stats().Dropped != 1000-maxInbox/maxPayload {
		t.Errorf("%d waiting, %d dropped", len(got), d.Stats().Dropped)
	}
}

func TestReadyTellsOfWhatCame(t *testing.T) {
	d := newDriver(t, plant())
	select {
	case <-d.Ready():
		t.Fatal("ready for nothing")
	default:
	}
	d.receive(stamped(1, 1), &acks{})
	<-d.Ready()
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if _, open := <-d.Ready(); open {
		t.Error("still open")
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	d.receive(stamped(2, 2), &acks{}) // too late, and no panic
}
