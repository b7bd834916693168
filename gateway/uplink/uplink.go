// Package uplink carries what waits in the buffer to Kafka, one pump for each lane.
//
// A pump takes the oldest records of its lane as a window, hands them to a Kafka client of its own, and acknowledges to
// the buffer what Kafka has acknowledged and everything before it. While one window is under way the next one is read, so
// memory holds two windows a lane however much waits. Nothing here ever blocks who writes to the buffer.
//
// The order of one key is kept whatever fails. A client sends nothing before the whole window has been handed to it, a
// refused batch takes everything behind it in its partition back with it, and the next window waits until this one is
// done; so nothing overtakes a record that has to be sent again.
//
// It delivers at least once. Within one client Kafka drops what is sent twice (idempotent producer). When a client has to
// be replaced, at most one window may arrive again, with the same event ids.
//
// It is not a general producer: it makes no events, knows no schema, and reads nothing from Kafka.
package uplink

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"gacp-erp.internal/glasshouse/buffer"
)

// Source is where the records wait: the buffer. Its methods are called from the goroutines of the pumps, one lane by one
// goroutine.
type Source interface {
	// Peek returns the oldest waiting records of a lane with a sequence above after, about maxBytes of them and at least
	// one if there is one. They are copies and belong to the caller.
	Peek(lane buffer.Lane, after uint64, maxBytes int) ([]buffer.Entry, error)
	// Ack says that everything up to a sequence has left, but for poison, which Kafka will never take.
	Ack(lane buffer.Lane, upTo uint64, poison ...uint64)
	// Wake has a value after records were added to the lane.
	Wake(lane buffer.Lane) <-chan struct{}
	// Epoch names the life of the buffer that its sequences count in.
	Epoch() string
}

// SASL is how to log in. An empty Mechanism: not at all.
type SASL struct {
	Mechanism string // plain, scram-sha-256 or scram-sha-512
	Username  string
	Password  string
}

// Lane is a lane of the buffer and the topic that it goes to.
type Lane struct {
	Name     buffer.Lane
	Topic    string
	Critical bool // told in Stats; each lane has its own connections, so none waits behind another
}

// Options say where Kafka is and what goes there.
type Options struct {
	Brokers  []string    // host:port, some of the cluster's brokers
	TLS      *tls.Config // nil: plain text. ServerName empty: the broker's host
	SASL     SASL
	ClientID string // shown in Kafka's logs and quotas
	Source   Source
	Lanes    []Lane
	// Dial replaces the network; nil: TCP. TLS runs over what it returns.
	Dial func(ctx context.Context, network, host string) (net.Conn, error)
	Log  *slog.Logger // nil: none
}

// Uplink sends. Its zero value is not usable: see New.
type Uplink struct {
	o     Options
	pace  pace
	base  []kgo.Opt // what all clients have in common
	log   *slog.Logger
	pumps []*pump

	mu    sync.Mutex
	up    int       // lanes that Kafka answers
	away  string    // the newest reason why Kafka was not reached
	since time.Time // since when no lane reaches it; zero: one does, or none has failed yet
}

// pace holds all durations and sizes, so that tests can hurry.
type pace struct {
	dial    time.Duration // TCP and TLS
	request time.Duration // without what the broker may wait for its replicas
	replica time.Duration // what the broker may wait for its replicas
	retry   [2]time.Duration
	blocked [2]time.Duration
	refresh time.Duration // least time between the client's own looks for new leaders
	idle    time.Duration // a lane with nothing to send asks for its topic this often
	probe   [2]time.Duration
	slow    time.Duration // no answer for so long although Kafka answers others: tell it
	stuck   time.Duration // no answer for so long although Kafka answers others: a new client
	drain   time.Duration // after Run's context ended
	close   time.Duration // for a client to end
	window  [3]int        // bytes of one window: least, first, most
}

// patience is how long one question to Kafka may take, with all its tries.
func (p pace) patience() time.Duration { return p.dial + 2*p.request }

// usual is the pace of a gateway. The contract asks for 10 s to connect and 30 s for a request.
func usual() pace {
	return pace{
		dial:    10 * time.Second,
		request: 10 * time.Second,
		replica: 20 * time.Second,
		retry:   [2]time.Duration{500 * time.Millisecond, 4 * time.Second},
		blocked: [2]time.Duration{time.Second, 30 * time.Second},
		refresh: time.Second,
		idle:    30 * time.Second,
		probe:   [2]time.Duration{5 * time.Second, 30 * time.Second},
		slow:    15 * time.Second,
		stuck:   2 * time.Minute,
		drain:   5 * time.Second,
		close:   2 * time.Second,
		window:  [3]int{16 << 10, 256 << 10, 3 << 20},
	}
}

// New checks the options and does no I/O. It reports all faults.
func New(o Options) (*Uplink, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if err := o.check(); err != nil {
		return nil, err
	}
	u := &Uplink{o: o, pace: usual(), log: o.Log}
	if err := u.prepare(); err != nil {
		return nil, err
	}
	for _, lane := range o.Lanes {
		u.pumps = append(u.pumps, newPump(u, lane))
	}
	return u, nil
}

// check finds the faults that need no Kafka.
func (o Options) check() error {
	faults := []error{o.checkLink()}
	if o.Source == nil {
		faults = append(faults, errors.New("uplink: no buffer to read from"))
	}
	if len(o.Lanes) == 0 {
		faults = append(faults, errors.New("uplink: no lane to send"))
	}
	seen := map[buffer.Lane]bool{}
	for _, lane := range o.Lanes {
		if lane.Name == "" || lane.Topic == "" {
			faults = append(faults, fmt.Errorf("uplink: lane %q with topic %q: both need a name", lane.Name, lane.Topic))
		}
		if seen[lane.Name] {
			faults = append(faults, fmt.Errorf("uplink: lane %q twice", lane.Name))
		}
		seen[lane.Name] = true
	}
	return errors.Join(faults...)
}

// checkLink finds the faults of what it takes to reach Kafka.
func (o Options) checkLink() error {
	var faults []error
	if len(o.Brokers) == 0 {
		faults = append(faults, errors.New("uplink: no broker: name at least one as host:port"))
	}
	for _, broker := range o.Brokers {
		if host, port, err := net.SplitHostPort(broker); err != nil || host == "" || port == "" {
			faults = append(faults, fmt.Errorf("uplink: broker %q: want host:port, such as kafka-1:9092", broker))
		}
	}
	known := []string{"", "plain", "scram-sha-256", "scram-sha-512"}
	if !slices.Contains(known, o.SASL.Mechanism) {
		faults = append(faults, fmt.Errorf("uplink: SASL mechanism %q: want %s", o.SASL.Mechanism, strings.Join(known[1:], ", ")))
	}
	if o.SASL.Mechanism != "" && (o.SASL.Username == "" || o.SASL.Password == "") {
		faults = append(faults, errors.New("uplink: SASL needs a user name and a password"))
	}
	return errors.Join(faults...)
}

// Run sends until ctx ends, then for at most 5 s more what still waits in the lanes that work, and returns within a few
// seconds of that even if Kafka hangs. It returns nil; what goes wrong is told by Stats and mends itself. Call it once.
func (u *Uplink) Run(ctx context.Context) error {
	hard, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() {
		select {
		case <-time.After(u.pace.drain):
			cancel()
		case <-hard.Done():
		}
	})()
	var pumps sync.WaitGroup
	for _, p := range u.pumps {
		pumps.Go(func() { p.run(ctx, hard) })
	}
	pumps.Wait()
	return nil
}
