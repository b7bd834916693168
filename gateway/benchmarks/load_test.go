package benchmarks

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// sensors is how many devices publish.
const sensors = 50

// Load is what sensors are to publish.
type Load struct {
	Messages int
	Rate     float64 // messages a second of all together; 0: as fast as the broker takes them
	QoS      byte
	Window   int // QoS 1: messages that wait for the broker's acknowledgement, of all together; 0: 1,000
}

// Loaded is how that went.
type Loaded struct {
	Seconds float64 // until the broker had all
	Began   int64   // unix ns
}

// publishers share the sensors, so that a sensor's messages stay in order.
const publishers = 2

// Publish does a load, and returns once the broker has taken it.
func (w *World) Publish(l Load, done *Loaded) error {
	began := time.Now()
	if l.Window == 0 {
		l.Window = 1000
	}
	var all sync.WaitGroup
	faults := make([]error, publishers)
	for i := range publishers {
		all.Go(func() { faults[i] = w.publish(l, i, began) })
	}
	all.Wait()
	*done = Loaded{time.Since(began).Seconds(), began.UnixNano()}
	return errors.Join(faults...)
}

// publish sends the messages of one publisher: those whose number is i, modulo publishers.
func (w *World) publish(l Load, i int, began time.Time) error {
	c, err := connect(w.MQTT, "sensors-"+string(rune('a'+i)))
	if err != nil {
		return err
	}
	defer c.Close()
	room := make(chan struct{}, l.Window/publishers)
	var acked atomic.Int64
	ended, pong := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		var buf [256]byte
		for {
			first, _, err := c.read(buf[:])
			if err != nil {
				return
			}
			switch first >> 4 {
			case pubackPacket:
				acked.Add(1)
				<-room
			case pongPacket:
				close(pong)
			}
		}
	}()
	sent := 0
	for n := i; n < l.Messages; n += publishers {
		if l.Rate > 0 {
			if wait := time.Until(began.Add(time.Duration(float64(n) / l.Rate * 1e9))); wait > 0 {
				c.out.Flush()
				time.Sleep(wait)
			}
		}
		if l.QoS > 0 {
			select {
			case room <- struct{}{}:
			default:
				c.out.Flush()
				room <- struct{}{}
			}
		}
		topic, payload := reading(n%sensors, n/sensors, 20+float64(n%500)/100, time.Now())
		sent++
		c.publish(topic, l.QoS, uint16(sent%65535+1), payload)
	}
	if err := c.out.Flush(); err != nil {
		return err
	}
	for l.QoS > 0 && int(acked.Load()) < sent {
		select {
		case <-ended:
			return errors.New("the broker hung up on the sensors")
		case <-time.After(time.Millisecond):
		}
	}
	// It answers in order: once this comes back it has read everything.
	c.packet(pingPacket<<4, nil)
	if err := c.out.Flush(); err != nil {
		return err
	}
	select {
	case <-pong:
		return nil
	case <-ended:
		return errors.New("the broker hung up on the sensors")
	}
}
