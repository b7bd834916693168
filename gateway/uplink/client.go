package uplink

import (
	"compress/gzip"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

// largest is what a batch of records may take, uncompressed: the default of Kafka's max.message.bytes less its overhead.
const largest = 1_000_000

// prepare makes the options that all clients have in common and has the library check them.
func (u *Uplink) prepare() error {
	// gzip, since it is what every consumer can unpack: kafkajs, which the platform reads with, ends at a record in snappy,
	// lz4 or zstd. One compressor for all clients: its encoders are the largest thing a client owns.
	compressor, err := kgo.DefaultCompressor(kgo.GzipCompression().WithLevel(gzip.BestSpeed))
	if err != nil {
		return fmt.Errorf("uplink: gzip: %w", err)
	}
	u.base = append(u.o.reach(u.pace),
		kgo.WithLogger(libraryLog{u.log}),
		kgo.RetryBackoffFn(backoff),
		kgo.RequestRetries(len(u.o.Brokers)), // each of them
		kgo.RetryTimeout(u.pace.patience()),
		kgo.MetadataMinAge(u.pace.refresh),

		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)), // Java's murmur2
		kgo.WithCompressor(compressor),
		kgo.ProducerBatchMaxBytes(largest),
		kgo.ProduceRequestTimeout(u.pace.replica),
		// The pump bounds what it hands over, in records and bytes; the client must never refuse or wait.
		kgo.MaxBufferedRecords(1<<20),
		kgo.ManualFlushing(),
		// A refusal that Kafka repeats comes back to be told. Records whose fate is unknown are never given up by this.
		kgo.RecordRetries(5),
		kgo.UnknownTopicRetries(2),
	)
	return kgo.ValidateOpts(u.base...)
}

// reach makes the options that it takes to talk to the cluster at all.
func (o Options) reach(p pace) []kgo.Opt {
	opts := []kgo.Opt{
		kgo.SeedBrokers(o.Brokers...),
		kgo.Dialer(o.dialer(p.dial)),
		kgo.RequestTimeoutOverhead(p.request),
		kgo.DisableClientMetrics(),
	}
	if o.ClientID != "" {
		opts = append(opts, kgo.ClientID(o.ClientID))
	}
	switch s := o.SASL; s.Mechanism {
	case "plain":
		opts = append(opts, kgo.SASL(plain.Auth{User: s.Username, Pass: s.Password}.AsMechanism()))
	case "scram-sha-256":
		opts = append(opts, kgo.SASL(scram.Auth{User: s.Username, Pass: s.Password}.AsSha256Mechanism()))
	case "scram-sha-512":
		opts = append(opts, kgo.SASL(scram.Auth{User: s.Username, Pass: s.Password}.AsSha512Mechanism()))
	}
	return opts
}

// dialer opens a connection and, if configured, TLS over it, all within the limit.
func (o Options) dialer(limit time.Duration) func(ctx context.Context, network, host string) (net.Conn, error) {
	dial := o.Dial
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	return func(ctx context.Context, network, host string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, limit)
		defer cancel()
		conn, err := dial(ctx, network, host)
		if err != nil || o.TLS == nil {
			return conn, err
		}
		secure := tls.Client(conn, serverName(o.TLS, host))
		if err := secure.HandshakeContext(ctx); err != nil {
			conn.Close()
			return nil, &tlsError{host: host, err: err}
		}
		return secure, nil
	}
}

// serverName returns a configuration that expects the certificate of the host, unless another name is configured.
func serverName(c *tls.Config, address string) *tls.Config {
	c = c.Clone()
	if c.ServerName == "" {
		if host, _, err := net.SplitHostPort(address); err == nil {
			c.ServerName = host
		}
	}
	return c
}

// tlsError is a TCP connection over which TLS could not be agreed.
type tlsError struct {
	host string
	err  error
}

func (e *tlsError) Error() string { return fmt.Sprintf("TLS with %s: %v", e.host, e.err) }
func (e *tlsError) Unwrap() error { return e.err }

// backoff is the client's own pause between tries: 250 ms to 2 s, spread so that many gateways do not come back at once.
func backoff(fails int) time.Duration {
	d := min(250*time.Millisecond<<min(max(fails-1, 0), 4), 2*time.Second)
	return d*3/4 + rand.N(d/4)
}

// link is one client and what the pump must know about it.
type link struct {
	client *kgo.Client
	taken  atomic.Int64 // records that lie ready in their partitions, see attempt.start
	tried  bool         // it has carried a record
	login  atomic.Bool  // a connection broke in the middle of the log-in
}

// OnProduceRecordPartitioned counts what lies ready. The client calls it before Produce returns once it knows the topic.
func (l *link) OnProduceRecordPartitioned(*kgo.Record, int32) { l.taken.Add(1) }

// OnBrokerE2E notices connections that break during the log-in: that is how some brokers refuse a password.
func (l *link) OnBrokerE2E(_ kgo.BrokerMetadata, key int16, e kgo.BrokerE2E) {
	if err := e.Err(); key == int16(kmsg.SASLAuthenticate) && (errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET)) {
		l.login.Store(true)
	}
}

var (
	_ kgo.HookProduceRecordPartitioned = (*link)(nil)
	_ kgo.HookBrokerE2E                = (*link)(nil)
)

// loginError is a connection that broke during the log-in.
type loginError struct{ err error }

func (e *loginError) Error() string {
	return "the connection broke during the log-in: " + e.err.Error()
}
func (e *loginError) Unwrap() error { return e.err }

// open makes a client; no I/O.
func (u *Uplink) open() (*link, error) {
	l := new(link)
	client, err := kgo.NewClient(append(u.base[:len(u.base):len(u.base)], kgo.WithHooks(l))...)
	if err != nil {
		return nil, fmt.Errorf("uplink: make a Kafka client: %w", err)
	}
	l.client = client
	return l, nil
}

// ask opens a client and asks Kafka for the topic, so that a wrong password, a missing topic or right is known at once and
// in words, and not as a record that times out.
func (u *Uplink) ask(ctx context.Context, topic string) (*link, error) {
	l, err := u.open()
	if err != nil {
		return nil, err
	}
	if err := l.ask(ctx, u.pace, topic); err != nil {
		l.client.Close()
		if l.login.Load() {
			err = &loginError{err}
		}
		return nil, err
	}
	return l, nil
}

// ask asks for one topic over this client.
func (l *link) ask(ctx context.Context, p pace, topic string) error {
	ctx, cancel := context.WithTimeout(ctx, p.patience())
	defer cancel()
	request := kmsg.NewPtrMetadataRequest()
	request.Topics = []kmsg.MetadataRequestTopic{{Topic: &topic}}
	answer, err := request.RequestWith(ctx, l.client)
	if err != nil {
		return err
	}
	if len(answer.Topics) != 1 {
		return fmt.Errorf("asked for one topic, got %d", len(answer.Topics))
	}
	found := answer.Topics[0]
	if err := kerr.ErrorForCode(found.ErrorCode); err != nil {
		return err
	}
	for _, partition := range found.Partitions {
		if partition.Leader >= 0 {
			return nil
		}
	}
	return kerr.LeaderNotAvailable
}

// closeWithin ends a client. False: it did not end in time, and is left behind.
func (l *link) closeWithin(limit time.Duration) bool {
	done := make(chan struct{})
	go func() {
		defer close(done)
		l.client.Close()
	}()
	select {
	case <-done:
		return true
	case <-time.After(limit):
		return false
	}
}

// libraryLog passes what the Kafka client tells to the debug level: its warnings are about single tries, ours about states.
type libraryLog struct{ log *slog.Logger }

func (l libraryLog) Level() kgo.LogLevel {
	if l.log.Enabled(context.Background(), slog.LevelDebug) {
		return kgo.LogLevelWarn
	}
	return kgo.LogLevelNone
}

func (l libraryLog) Log(_ kgo.LogLevel, text string, pairs ...any) {
	l.log.Debug("kafka client: "+text, pairs...)
}

var (
	// errSlow is told while an acknowledgement is overdue.
	errSlow = errors.New("no acknowledgement of what was sent, though Kafka answers; still waiting")
	// errStuck is returned when a client was given up because it got no acknowledgement although Kafka answers others.
	errStuck = errors.New("no acknowledgement of what was sent, though Kafka answers; sending it again over a new connection")
	// errLeft is returned when a client did not end in time.
	errLeft = errors.New("the Kafka client did not end")
)
