package uplink

import (
	"errors"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gacp-erp.internal/glasshouse/buffer"
)

func TestKafkaAwayAtTheStart(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	m := newMemory()
	ids := m.fill("telemetry", "r", 3000, 5)
	u := run(t, options(m, address), quick)
	u.until("told", func() bool { return u.Stats().Error != "" })
	if s := u.Stats(); s.Connected || !strings.HasPrefix(s.Error, "no broker of "+address+" can be reached: ") || !strings.Contains(s.Error, "refused") {
		t.Errorf("stats %+v", s)
	}
	time.Sleep(200 * time.Millisecond)
	c := cluster(t, kfake.Ports(portOf(t, address)))
	u.until("drained", func() bool { return m.left("telemetry") == 0 && u.Stats().Connected })
	complete(t, all(t, "telemetry.v1", kgo.SeedBrokers(c.ListenAddrs()...)), ids)
	if n := strings.Count(u.log.String(), "Kafka is away"); n != 1 {
		t.Errorf("the outage was logged %d times", n)
	}
	if !strings.Contains(u.log.String(), "Kafka answers again") {
		t.Error("the end of the outage was not logged")
	}
}

func TestKafkaRestartsInTheMiddle(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	open := func(ports ...int) *kfake.Cluster {
		opts := []kfake.Opt{kfake.NumBrokers(1), kfake.DataDir(dir), kfake.SeedTopics(3, "alerts.v1", "telemetry.v1")}
		if len(ports) > 0 {
			opts = append(opts, kfake.Ports(ports...))
		}
		var c *kfake.Cluster
		until(t, "kafka starts", func() (ok bool) {
			var err error
			c, err = kfake.NewCluster(opts...)
			return err == nil
		})
		return c
	}
	c := open()
	address := c.ListenAddrs()[0]
	m := newMemory()
	u := run(t, options(m, address), quick)
	var ids []string
	for round := range 3 {
		ids = append(ids, m.fill("telemetry", "round"+string(rune('a'+round)), 20000, 9)...)
		was := u.lane("telemetry").Sent
		u.until("some sent", func() bool { return u.lane("telemetry").Sent > was })
		c.Close()
		time.Sleep(20 * time.Millisecond)
		c = open(portOf(t, address))
	}
	defer func() { c.Close() }()
	u.until("drained", func() bool { return m.left("telemetry") == 0 })
	complete(t, all(t, "telemetry.v1", kgo.SeedBrokers(address)), ids)
}

func TestAMissingTopicBlocksItsLaneAlone(t *testing.T) {
	t.Parallel()
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "telemetry.v1"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	m := newMemory()
	alerts := m.fill("alerts", "a", 50, 3)
	m.fill("telemetry", "t", 500, 3)
	u := run(t, options(m, c.ListenAddrs()...), quick)
	u.until("blocked", func() bool { return u.lane("alerts").Blocked != "" })
	u.until("telemetry drained", func() bool { return m.left("telemetry") == 0 })
	s := u.lane("alerts")
	if want := "topic alerts.v1 does not exist: create it with `glasshouse uplink doctor --fix`, or ask the platform's operator"; s.Blocked != want || s.Error != "" || s.Sent != 0 {
		t.Errorf("stats %+v", s)
	}
	if !u.Stats().Connected {
		t.Error("not connected although Kafka answers")
	}
	time.Sleep(300 * time.Millisecond)
	if n := strings.Count(u.log.String(), "lane waits"); n != 1 {
		t.Errorf("the blocked lane was logged %d times", n)
	}
	if err := c.CreateTopic("alerts.v1", 2, nil); err != nil {
		t.Fatal(err)
	}
	u.until("drained", func() bool { return m.left("alerts") == 0 && u.lane("alerts").Blocked == "" })
	complete(t, all(t, "alerts.v1", kgo.SeedBrokers(c.ListenAddrs()...)), alerts)
}

func TestTopicMadeAnew(t *testing.T) {
	t.Parallel()
	c := cluster(t)
	m := newMemory()
	m.fill("telemetry", "old", 100, 3)
	u := run(t, options(m, c.ListenAddrs()...), quick)
	u.until("drained", func() bool { return m.left("telemetry") == 0 })
	if err := c.DeleteTopic("telemetry.v1"); err != nil {
		t.Fatal(err)
	}
	if err := c.CreateTopic("telemetry.v1", 2, nil); err != nil {
		t.Fatal(err)
	}
	ids := m.fill("telemetry", "new", 3000, 3)
	u.until("drained again", func() bool { return m.left("telemetry") == 0 })
	complete(t, all(t, "telemetry.v1", kgo.SeedBrokers(c.ListenAddrs()...)), ids)
}

func TestAMissingRightBlocks(t *testing.T) {
	c := cluster(t, kfake.EnableSASL(), kfake.EnableACLs(), kfake.Superuser("SCRAM-SHA-256", "admin", "admin"),
		kfake.User("SCRAM-SHA-256", "gh", "secret",
			kfake.ACL{Name: "telemetry.v1", Resource: kmsg.ACLResourceTypeTopic, Pattern: kmsg.ACLResourcePatternTypeLiteral, Operation: kmsg.ACLOperationWrite, Allow: true},
			kfake.ACL{Name: "alerts.v1", Resource: kmsg.ACLResourceTypeTopic, Pattern: kmsg.ACLResourcePatternTypeLiteral, Operation: kmsg.ACLOperationDescribe, Allow: true}))
	m := newMemory()
	m.fill("alerts", "a", 20, 2)
	m.fill("telemetry", "t", 200, 2)
	o := options(m, c.ListenAddrs()...)
	o.SASL = SASL{"scram-sha-256", "gh", "secret"}
	u := run(t, o, quick)
	u.until("blocked", func() bool { return u.lane("alerts").Blocked != "" })
	u.until("telemetry drained", func() bool { return m.left("telemetry") == 0 })
	if got := u.lane("alerts").Blocked; !strings.HasPrefix(got, "user gh may not write to topic alerts.v1, ") {
		t.Errorf("blocked: %s", got)
	}
	if m.left("alerts") != 20 || len(m.aside("alerts")) > 0 {
		t.Errorf("%d wait, %d were set aside", m.left("alerts"), len(m.aside("alerts")))
	}
}

func TestWrongPasswordIsToldAtOnce(t *testing.T) {
	t.Parallel()
	for _, mechanism := range []string{"plain", "scram-sha-256", "scram-sha-512"} {
		t.Run(mechanism, func(t *testing.T) {
			c := cluster(t, kfake.EnableSASL(), kfake.Superuser(strings.ToUpper(mechanism), "gh", "right"))
			m := newMemory()
			ids := m.fill("alerts", "a", 5, 1)
			o := options(m, c.ListenAddrs()...)
			o.SASL = SASL{mechanism, "gh", "hunter2"}
			u := run(t, o, quick)
			began := time.Now()
			u.until("told", func() bool { return u.lane("alerts").Blocked != "" })
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("told after %v", took)
			}
			s := u.Stats()
			if want := "log-in of user gh by " + mechanism + ": "; s.Connected || !strings.Contains(s.Error, want) || !strings.Contains(s.Error, "correct uplink.sasl") || u.lane("alerts").Blocked != s.Error {
				t.Errorf("error %q, lane %q", s.Error, u.lane("alerts").Blocked)
			}
			if strings.Contains(s.Error+u.log.String(), "hunter2") {
				t.Error("the password shows")
			}
			u.stop()

			o.SASL.Password = "right"
			u = run(t, o, quick)
			u.until("drained", func() bool { return m.left("alerts") == 0 })
			complete(t, all(t, "alerts.v1", kgo.SeedBrokers(c.ListenAddrs()...), o.reach(usual())[len(o.reach(usual()))-1]), ids)
		})
	}
}

func TestOnePoisonedRecordIsSetAsideAlone(t *testing.T) {
	for _, client := range []bool{false, true} {
		c := cluster(t)
		if err := c.DeleteTopic("telemetry.v1"); err != nil {
			t.Fatal(err)
		}
		size := 20_000 // larger than the topic takes
		if err := c.CreateTopic("telemetry.v1", 1, map[string]string{"max.message.bytes": "9000"}); err != nil {
			t.Fatal(err)
		}
		if client {
			size = 1_100_000 // larger than the client takes
		}
		m := newMemory()
		ids := m.fill("telemetry", "a", 300, 3)
		large := record("key-1", "large", 10)
		large.Body = noise(size)
		m.add("telemetry", large)
		ids = append(ids, m.fill("telemetry", "b", 300, 3)...)
		u := run(t, options(m, c.ListenAddrs()...), quick)
		u.until("drained", func() bool { return m.left("telemetry") == 0 })
		if got := m.aside("telemetry"); !slices.Equal(got, []uint64{301}) {
			t.Errorf("set aside: %v", got)
		}
		complete(t, all(t, "telemetry.v1", kgo.SeedBrokers(c.ListenAddrs()...)), ids)
		if s := u.lane("telemetry"); s.Poisoned != 1 || s.Sent != 600 || s.Blocked+s.Error != "" {
			t.Errorf("stats %+v", s)
		}
		if n := strings.Count(u.log.String(), "record set aside"); n != 1 {
			t.Errorf("logged %d times", n)
		}
	}
}

// noise does not compress.
func noise(n int) []byte {
	b := make([]byte, n)
	x := uint32(1)
	for i := range b {
		x ^= x << 13
		x ^= x >> 17
		x ^= x << 5
		b[i] = byte(x)
	}
	return b
}

func TestInvalidRecordIsFoundAmongMany(t *testing.T) {
	c := cluster(t)
	// The broker refuses each request that has the record in it, as Kafka does.
	bad := "id-bad"
	c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.InvalidRecord, Count: -1, When: func(r kmsg.Request) bool {
		return slices.Contains(idsOf(t, r.(*kmsg.ProduceRequest)), bad)
	}})
	m := newMemory()
	ids := m.fill("telemetry", "a", 777, 3)
	m.add("telemetry", record("key-1", bad, 100))
	ids = append(ids, m.fill("telemetry", "b", 100, 3)...)
	u := run(t, options(m, c.ListenAddrs()...), quick)
	u.until("drained", func() bool { return m.left("telemetry") == 0 })
	if got := m.aside("telemetry"); !slices.Equal(got, []uint64{778}) {
		t.Errorf("set aside: %v", got)
	}
	complete(t, all(t, "telemetry.v1", kgo.SeedBrokers(c.ListenAddrs()...)), ids)
}

func TestLostAcknowledgementsMakeNoDuplicates(t *testing.T) {
	t.Parallel()
	c := cluster(t)
	h := c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: "telemetry.v1", Err: kerr.RequestTimedOut, Count: 4},
		kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: "telemetry.v1", Err: kerr.NotEnoughReplicasAfterAppend, Count: 3})
	m := newMemory()
	ids := m.fill("telemetry", "t", 2000, 5)
	u := run(t, options(m, c.ListenAddrs()...), quick)
	u.until("drained", func() bool { return m.left("telemetry") == 0 })
	complete(t, all(t, "telemetry.v1", kgo.SeedBrokers(c.ListenAddrs()...)), ids)
	if h.Hits() < 7 {
		t.Errorf("%d faults met", h.Hits())
	}
}

func TestRefusalsOfOnePartitionKeepTheOrder(t *testing.T) {
	for _, code := range []*kerr.Error{kerr.UnknownServerError, kerr.NotEnoughReplicas, kerr.NotLeaderForPartition, kerr.OutOfOrderSequenceNumber, kerr.KafkaStorageError, kerr.InvalidTimestamp} {
		t.Run(code.Message, func(t *testing.T) {
			t.Parallel()
			c := cluster(t)
			h := c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: "telemetry.v1", Partitions: []int32{1}, Err: code, Count: 8})
			m := newMemory()
			ids := m.fill("telemetry", "a", 3000, 11)
			u := run(t, options(m, c.ListenAddrs()...), quick)
			u.until("faults met", func() bool { return h.Hits() >= 3 })
			ids = append(ids, m.fill("telemetry", "b", 3000, 11)...)
			u.until("drained", func() bool { return m.left("telemetry") == 0 })
			complete(t, all(t, "telemetry.v1", kgo.SeedBrokers(c.ListenAddrs()...)), ids)
			if n := len(m.aside("telemetry")); n > 0 {
				t.Errorf("%d set aside", n)
			}
		})
	}
}

func TestAHungBrokerHoldsNothingUp(t *testing.T) {
	t.Parallel()
	g := newGate(t, "")
	m := newMemory()
	ids := m.fill("telemetry", "t", 1000, 3)
	o := options(m, g.Addr().String())
	o.Dial = dialTo(g.Addr().String())
	hurry := func(p *pace) {
		quick(p)
		p.request, p.drain = 300*time.Millisecond, 200*time.Millisecond
	}
	u := run(t, o, hurry)
	u.until("told", func() bool { return strings.Contains(u.Stats().Error, "answers in time") })
	if took := u.stop(); took > 3*time.Second {
		t.Errorf("Run took %v to return", took)
	}

	u = run(t, o, hurry)
	u.until("told", func() bool { return u.Stats().Error != "" })
	c := cluster(t)
	g.to(c.ListenAddrs()[0])
	u.until("drained", func() bool { return m.left("telemetry") == 0 })
	complete(t, all(t, "telemetry.v1", kgo.SeedBrokers(c.ListenAddrs()...)), ids)
}

func TestABrokerThatHangsWithRecordsInFlight(t *testing.T) {
	t.Parallel()
	c := cluster(t)
	// Produce requests are swallowed: the broker waits and never answers.
	hang := make(chan struct{})
	hung := 0
	c.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		if hung++; hung > 1 {
			return nil, nil, false
		}
		c.SleepControl(func() { <-hang })
		return nil, errors.New("gone"), true
	})
	m := newMemory()
	ids := m.fill("telemetry", "t", 1000, 3)
	u := run(t, options(m, c.ListenAddrs()...), func(p *pace) {
		quick(p)
		p.slow, p.stuck = 100*time.Millisecond, time.Second
	})
	u.until("in flight", func() bool { return u.lane("telemetry").InFlight > 0 })
	// The client is given up, and another one sends the same records.
	u.until("told", func() bool { return strings.Contains(u.lane("telemetry").Error, "still waiting") })
	u.until("drained", func() bool { return m.left("telemetry") == 0 })
	close(hang)
	complete(t, all(t, "telemetry.v1", kgo.SeedBrokers(c.ListenAddrs()...)), ids)
	if s := u.lane("telemetry"); s.Retried == 0 {
		t.Errorf("stats %+v", s)
	}
}

func TestStopDrainsWhatWaits(t *testing.T) {
	t.Parallel()
	c := cluster(t)
	m := newMemory()
	u := run(t, options(m, c.ListenAddrs()...), nil)
	u.until("connected", func() bool { return u.Stats().Connected })
	ids := m.fill("telemetry", "t", 20000, 3)
	if took := u.stop(); took > 8*time.Second {
		t.Errorf("Run took %v to return", took)
	}
	if n := m.left("telemetry"); n != 0 {
		t.Errorf("%d are left", n)
	}
	complete(t, all(t, "telemetry.v1", kgo.SeedBrokers(c.ListenAddrs()...)), ids)
}

func TestStopInTheMiddleOfAHang(t *testing.T) {
	t.Parallel()
	c := cluster(t)
	g := newGate(t, c.ListenAddrs()[0])
	m := newMemory()
	m.endless = 1_000_000
	o := options(m, g.Addr().String())
	o.Dial = dialTo(g.Addr().String())
	u := run(t, o, func(p *pace) { quick(p); p.drain = 300 * time.Millisecond })
	u.until("some sent", func() bool { return u.lane("telemetry").Sent > 1000 })
	c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.RequestTimedOut, Count: -1})
	if took := u.stop(); took > 4*time.Second {
		t.Errorf("Run took %v to return", took)
	}
}

func TestMemoryIsBoundWhateverWaits(t *testing.T) {
	t.Parallel()
	c := cluster(t, kfake.BlackholeProduce())
	m := newMemory()
	m.endless = 1_000_000
	u := run(t, options(m, c.ListenAddrs()...), func(p *pace) { p.drain = 100 * time.Millisecond })
	u.until("many sent", func() bool { return u.lane("telemetry").Sent > 100_000 })
	c.Close()
	u.until("away", func() bool {
		return u.Stats().Error != "" || u.lane("telemetry").Error != "" || u.lane("telemetry").InFlight > 0
	})
	u.stop()
	m.mu.Lock()
	defer m.mu.Unlock()
	l := m.lane("telemetry")
	if most := usual().window[2]; l.bytes > most || l.held*400 > 3*most {
		t.Errorf("asked for %d bytes at once, held %d records", l.bytes, l.held)
	}
}

func TestABufferThatCannotBeRead(t *testing.T) {
	c := cluster(t)
	m := newMemory()
	ids := m.fill("alerts", "a", 10, 1)
	m.lane("alerts").err = errors.New("disk gone")
	u := run(t, options(m, c.ListenAddrs()...), quick)
	u.until("told", func() bool { return u.lane("alerts").Error == "read the buffer: disk gone" })
	m.mu.Lock()
	m.lane("alerts").err = nil
	m.mu.Unlock()
	u.until("drained", func() bool { return m.left(buffer.Lane("alerts")) == 0 })
	complete(t, all(t, "alerts.v1", kgo.SeedBrokers(c.ListenAddrs()...)), ids)
}
