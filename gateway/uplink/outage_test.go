package uplink

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

// virtual is a Kafka in fake time that can be stopped and started with what it held.
type virtual struct {
	t       *testing.T
	network *kfake.VirtualNetwork
	dir     string
	cluster *kfake.Cluster
}

const virtualPort = 9092

func newVirtual(t *testing.T) *virtual {
	t.Helper()
	return &virtual{t: t, network: new(kfake.VirtualNetwork), dir: t.TempDir()}
}

func (v *virtual) start() {
	v.t.Helper()
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.Ports(virtualPort), kfake.ListenFn(v.network.Listen), kfake.DataDir(v.dir),
		kfake.SeedTopics(3, "alerts.v1", "telemetry.v1"))
	if err != nil {
		v.t.Fatal(err)
	}
	v.cluster = c
}

func (v *virtual) options(m *memory) Options {
	o := options(m, fmt.Sprintf("localhost:%d", virtualPort))
	o.Dial = v.network.DialContext
	return o
}

func (v *virtual) all(topic string) []*kgo.Record {
	return all(v.t, topic, kgo.SeedBrokers(fmt.Sprintf("localhost:%d", virtualPort)), kgo.Dialer(v.network.DialContext))
}

// TestHoursWithoutKafka stops Kafka and starts it three hours later.
func TestHoursWithoutKafka(t *testing.T) {
	t.Parallel()
	v := newVirtual(t)
	synctest.Test(t, func(t *testing.T) {
		v.start()
		m := newMemory()
		u := run(t, v.options(m), nil)
		ids := m.fill("telemetry", "before", 500, 5)
		time.Sleep(time.Second)
		if n := m.left("telemetry"); n != 0 {
			t.Fatalf("%d are left", n)
		}
		v.cluster.Close()
		alerts := m.fill("alerts", "a", 1, 1)
		for hour := range 3 {
			ids = append(ids, m.fill("telemetry", fmt.Sprint("hour", hour), 100, 5)...)
			time.Sleep(time.Hour)
		}
		if s := u.Stats(); s.Connected || !strings.Contains(s.Error, "localhost:9092") {
			t.Errorf("stats %+v", s)
		}
		v.start()
		back := time.Now()
		for m.left("telemetry")+m.left("alerts") > 0 && time.Since(back) < time.Minute {
			time.Sleep(100 * time.Millisecond)
		}
		if took := time.Since(back); took > 10*time.Second {
			t.Errorf("drained after %v", took)
		}
		complete(t, v.all("telemetry.v1"), ids)
		complete(t, v.all("alerts.v1"), alerts)
		if s := u.Stats(); !s.Connected || s.Error != "" || u.lane("telemetry").Error != "" {
			t.Errorf("stats %+v", s)
		}
		if n := strings.Count(u.log.String(), "\n"); n > 10 {
			t.Errorf("%d lines of log for one outage", n)
		}
		if took := u.stop(); took > 8*time.Second {
			t.Errorf("Run took %v to return", took)
		}
		v.cluster.Close()
	})
}

// TestASilentLinkHealsByItself cuts a link so that nothing breaks and nothing comes through, as mobile networks do, for an
// hour, with records in flight.
func TestASilentLinkHealsByItself(t *testing.T) {
	t.Parallel()
	v := newVirtual(t)
	synctest.Test(t, func(t *testing.T) {
		v.start()
		m := newMemory()
		o := v.options(m)
		var air air
		o.Dial = air.over(v.network.DialContext)
		u := run(t, o, nil)
		ids := m.fill("telemetry", "before", 500, 5)
		time.Sleep(time.Second)
		air.silent(true)
		ids = append(ids, m.fill("telemetry", "during", 500, 5)...)
		time.Sleep(time.Minute)
		if s := u.Stats(); s.Connected || !strings.Contains(s.Error, "can be reached") {
			t.Errorf("after a minute of silence: %+v", s)
		}
		time.Sleep(time.Hour)
		if n := u.lane("telemetry").InFlight; n == 0 {
			t.Error("nothing is in flight: the test does not test what it should")
		}
		air.silent(false)
		back := time.Now()
		for m.left("telemetry") > 0 && time.Since(back) < 10*time.Minute {
			time.Sleep(time.Second)
		}
		if took := time.Since(back); took > time.Minute {
			t.Errorf("drained after %v", took)
		}
		complete(t, v.all("telemetry.v1"), ids)
		air.silent(true)
		m.fill("telemetry", "last", 10, 1)
		time.Sleep(time.Second)
		if took := u.stop(); took > 8*time.Second {
			t.Errorf("Run took %v to return from a silent link", took)
		}
		v.cluster.Close()
	})
}

// air is what connections go through; while it is silent, written bytes vanish and nothing can be dialled.
type air struct {
	mu  sync.Mutex
	off bool
}

func (a *air) silent(off bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.off = off
}

func (a *air) isSilent() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.off
}

func (a *air) over(dial func(context.Context, string, string) (net.Conn, error)) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, host string) (net.Conn, error) {
		if a.isSilent() {
			<-ctx.Done()
			return nil, &net.OpError{Op: "dial", Net: network, Err: ctx.Err()}
		}
		conn, err := dial(ctx, network, host)
		if err != nil {
			return nil, err
		}
		return &airConn{Conn: conn, air: a}, nil
	}
}

type airConn struct {
	net.Conn
	air  *air
	lost bool
}

func (c *airConn) Write(b []byte) (int, error) {
	if c.lost = c.lost || c.air.isSilent(); c.lost {
		return len(b), nil
	}
	return c.Conn.Write(b)
}
