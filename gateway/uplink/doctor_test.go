package uplink

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"errors"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

func examine(t *testing.T, o Options, fix bool, topics ...Topic) *Report {
	t.Helper()
	r, err := Doctor(t.Context(), o, topics, fix)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// says checks that the report has a finding of a level whose words and fix contain these.
func says(t *testing.T, r *Report, level Level, what, fix string) {
	t.Helper()
	for _, f := range r.Findings {
		if f.Level == level && strings.Contains(f.What, what) && strings.Contains(f.Fix, fix) {
			return
		}
	}
	t.Errorf("no finding %s %q with the fix %q in\n%s", level, what, fix, r)
}

// secured is a Kafka with TLS, SCRAM and rights, and the options of a gateway that knows its certificate.
func secured(t *testing.T, acls ...kfake.ACL) (*kfake.Cluster, Options) {
	t.Helper()
	server, pool := certificate(t)
	c := cluster(t, kfake.TLS(server), kfake.EnableSASL(), kfake.EnableACLs(),
		kfake.Superuser("SCRAM-SHA-256", "admin", "admin"), kfake.User("SCRAM-SHA-256", "gh", "secret", acls...))
	o := options(newMemory(), c.ListenAddrs()...)
	o.TLS, o.SASL = &tls.Config{RootCAs: pool}, SASL{"scram-sha-256", "gh", "secret"}
	return c, o
}

// certificate makes a certificate for 127.0.0.1 and the pool that trusts it.
func certificate(t *testing.T) (*tls.Config, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "kafka"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(10 * 24 * time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}, pool
}

func right(topic string, operation kmsg.ACLOperation) kfake.ACL {
	return kfake.ACL{Name: topic, Resource: kmsg.ACLResourceTypeTopic, Pattern: kmsg.ACLResourcePatternTypeLiteral, Operation: operation, Allow: true}
}

func TestTLSAndLogIn(t *testing.T) {
	c, o := secured(t, right("alerts.v1", kmsg.ACLOperationWrite), right("telemetry.v1", kmsg.ACLOperationWrite))
	m := o.Source.(*memory)
	ids := m.fill("telemetry", "t", 2000, 3)
	u := run(t, o, quick)
	u.until("drained", func() bool { return m.left("telemetry") == 0 })
	complete(t, all(t, "telemetry.v1", kgo.SeedBrokers(c.ListenAddrs()...), kgo.DialTLSConfig(o.TLS),
		kgo.SASL(scram.Auth{User: "admin", Pass: "admin"}.AsSha256Mechanism())), ids)
	u.stop()

	for name, tt := range map[string]struct {
		tls     *tls.Config
		words   string
		blocked bool
	}{
		"unknown authority": {&tls.Config{RootCAs: x509.NewCertPool()}, "set uplink.tls.ca", true},
		"other name":        {&tls.Config{RootCAs: o.TLS.RootCAs, ServerName: "kafka-1"}, "set uplink.tls.serverName", true},
		"no TLS":            {nil, "set uplink.tls or uplink.sasl", false},
	} {
		t.Run(name, func(t *testing.T) {
			o := o
			o.TLS = tt.tls
			u := run(t, o, quick)
			u.until("told", func() bool {
				l := u.lane("alerts")
				return strings.Contains(u.Stats().Error, tt.words) && l.Blocked+l.Error != ""
			})
			if l := u.lane("alerts"); u.Stats().Connected || (l.Blocked != "") != tt.blocked || (l.Error != "") == tt.blocked {
				t.Errorf("stats %+v", u.Stats())
			}
		})
	}
	t.Run("TLS to a plain port", func(t *testing.T) {
		plain := cluster(t)
		o := options(newMemory(), plain.ListenAddrs()...)
		o.TLS = &tls.Config{InsecureSkipVerify: true}
		u := run(t, o, func(p *pace) { quick(p); p.dial = 200 * time.Millisecond })
		u.until("told", func() bool { return u.Stats().Error != "" })
		if l := u.Stats().Error; !strings.HasPrefix(l, "TLS with "+o.Brokers[0]) || !strings.Contains(l, "does not speak TLS") {
			t.Errorf("error %q", l)
		}
	})
}

func TestDoctorOfAHealthyKafka(t *testing.T) {
	c, o := secured(t, right("alerts.v1", kmsg.ACLOperationAll), right("telemetry.v1", kmsg.ACLOperationWrite))
	r := examine(t, o, false, Topic{Name: "alerts.v1", Partitions: 3, Retention: time.Hour}, Topic{Name: "telemetry.v1", Partitions: 3})
	if r.Failed() {
		t.Errorf("failed:\n%s", r)
	}
	says(t, r, OK, "broker "+c.ListenAddrs()[0]+": reached in ", "")
	says(t, r, OK, "TLS 1.3", "")
	says(t, r, Warn, "its certificate ends on ", "renew")
	says(t, r, OK, "with 1 broker(s), logged in as gh by scram-sha-256", "")
	says(t, r, OK, "Kafka speaks the protocol of ", "")
	says(t, r, OK, "topic alerts.v1: 3 partition(s), ", "")
	says(t, r, OK, "topic telemetry.v1: 3 partition(s), ", "")
	says(t, r, OK, "its settings are not ours to read", "")
	says(t, r, OK, "idempotent sending is allowed", "")
	says(t, r, OK, "Kafka does not tell its time", "")

	var b bytes.Buffer
	if err := r.Write(&b); err != nil || b.String() != r.String() || strings.Contains(b.String(), "secret") {
		t.Errorf("%v\n%s", err, b.String())
	}
	if text, err := json.Marshal(r); err != nil || !strings.HasPrefix(string(text), `{"findings":[{"level":"ok","what":"broker `) {
		t.Errorf("%v\n%s", err, text)
	}
}

func TestDoctorFindsWhatIsMissing(t *testing.T) {
	c, o := secured(t, right("alerts.v1", kmsg.ACLOperationDescribe), right("missing.v1", kmsg.ACLOperationDescribe))
	topics := []Topic{{Name: "alerts.v1", Partitions: 3}, {Name: "telemetry.v1", Partitions: 3}, {Name: "missing.v1", Partitions: 3, Retention: 7 * 24 * time.Hour}}
	tool := " --bootstrap-server " + c.ListenAddrs()[0] + " --command-config admin.properties "
	for _, fix := range []bool{false, true} {
		r := examine(t, o, fix, topics...)
		if !r.Failed() {
			t.Errorf("not failed:\n%s", r)
		}
		says(t, r, Fail, "topic alerts.v1: User:gh may not write to it", "kafka-acls.sh"+tool+"--add --allow-principal User:gh --operation Write --operation Describe --topic alerts.v1")
		says(t, r, Fail, "topic telemetry.v1: User:gh may not see it", "--topic telemetry.v1")
		says(t, r, Fail, "topic missing.v1: it does not exist", "kafka-topics.sh"+tool+"--create --topic missing.v1 --partitions 3 --replication-factor 1 --config 'retention.ms=604800000'")
		if fix {
			says(t, r, Warn, "topic missing.v1: we may not create it", "--operation Create --topic missing.v1")
		}
	}
}

func TestDoctorCreatesWhatIsMissing(t *testing.T) {
	c, o := secured(t, right("new.v1", kmsg.ACLOperationAll))
	r := examine(t, o, true, Topic{Name: "new.v1", Partitions: 5, Retention: 2 * time.Hour})
	says(t, r, OK, "topic new.v1: created", "")
	says(t, r, OK, "topic new.v1: 5 partition(s), 1 replica(s), records of at most 1048588 bytes, kept for 2h0m0s", "")
	if r.Failed() {
		t.Errorf("failed:\n%s", r)
	}
	if info := c.TopicInfo("new.v1"); info == nil {
		t.Error("the topic is not there")
	}
	if r := examine(t, o, true, Topic{Name: "new.v1", Partitions: 5}); strings.Contains(r.String(), "created") {
		t.Errorf("created twice:\n%s", r)
	}
}

// TestDoctorWaitsForWhatItCreated has a broker that hears of a new topic late, as Apache Kafka's do.
func TestDoctorWaitsForWhatItCreated(t *testing.T) {
	c := cluster(t)
	created, asked := false, 0
	c.ControlKey(int16(kmsg.CreateTopics), func(kmsg.Request) (kmsg.Response, error, bool) {
		created = true
		return nil, nil, false
	})
	c.ControlKey(int16(kmsg.Metadata), func(r kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		request := r.(*kmsg.MetadataRequest)
		if !created || len(request.Topics) != 1 || asked == 2 {
			return nil, nil, false
		}
		asked++
		answer := request.ResponseKind().(*kmsg.MetadataResponse)
		topic := kmsg.NewMetadataResponseTopic()
		topic.Topic, topic.ErrorCode = request.Topics[0].Topic, kerr.UnknownTopicOrPartition.Code
		answer.Topics = append(answer.Topics, topic)
		return answer, nil, true
	})
	r := examine(t, options(newMemory(), c.ListenAddrs()...), true, Topic{Name: "new.v1", Partitions: 3})
	says(t, r, OK, "topic new.v1: created", "")
	says(t, r, OK, "topic new.v1: 3 partition(s)", "")
}

func TestDoctorReadsTheSettings(t *testing.T) {
	c := cluster(t)
	o := options(newMemory(), c.ListenAddrs()...)
	settings := map[string]string{"cleanup.policy": "compact", "retention.ms": "1000", "max.message.bytes": "5000", "min.insync.replicas": "2"}
	if err := c.CreateTopic("odd.v1", 1, settings); err != nil {
		t.Fatal(err)
	}
	if err := c.CreateTopic("late.v1", 1, map[string]string{"message.timestamp.type": "CreateTime"}); err != nil {
		t.Fatal(err)
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(c.ListenAddrs()...), kgo.DisableClientMetrics())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if err := client.ProduceSync(t.Context(), &kgo.Record{Topic: "late.v1", Value: []byte("x"), Timestamp: time.Now().Add(30 * time.Minute)}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	r := examine(t, o, false, Topic{Name: "odd.v1", Partitions: 3, Replication: 3, Retention: 7 * 24 * time.Hour}, Topic{Name: "late.v1", Partitions: 1})
	says(t, r, Warn, "nothing is encrypted", "uplink.tls.enabled")
	says(t, r, Fail, "topic odd.v1: it is compacted", "kafka-configs.sh --bootstrap-server "+c.ListenAddrs()[0]+" --alter --entity-type topics --entity-name odd.v1 --add-config 'cleanup.policy=delete'")
	says(t, r, Fail, "min.insync.replicas is 2 with 1 replica(s)", "min.insync.replicas=1")
	says(t, r, Warn, "kept for 1s instead of 7 days", "retention.ms=604800000")
	says(t, r, Warn, "records of at most 5000 bytes", "max.message.bytes=1048588")
	says(t, r, Warn, "1 partition(s) instead of 3", "--alter --topic odd.v1 --partitions 3")
	says(t, r, Warn, "1 replica(s) instead of 3", "kafka-reassign-partitions.sh")
	says(t, r, Warn, "the newest record of late.v1 is stamped 30m0s from now", "NTP")
}

func TestDoctorAtADeadEnd(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	o := options(newMemory(), address)
	r := examine(t, o, false)
	says(t, r, Fail, "broker "+address+": no broker of "+address+" can be reached", "uplink.brokers")

	c := cluster(t, kfake.EnableSASL(), kfake.Superuser("PLAIN", "gh", "right"))
	o = options(newMemory(), c.ListenAddrs()...)
	o.SASL = SASL{"plain", "gh", "hunter2"}
	r = examine(t, o, false)
	says(t, r, Warn, "clear text", "")
	if !r.Failed() || strings.Contains(r.String(), "hunter2") {
		t.Errorf("report:\n%s", r)
	}

	// Kafka names an address that cannot be reached from here.
	c = cluster(t)
	o = options(newMemory(), "seed.test:9092")
	real := c.ListenAddrs()[0]
	o.Dial = func(ctx context.Context, network, host string) (net.Conn, error) {
		switch host {
		case "seed.test:9092":
			host = real
		case real:
			return nil, errors.New("no route")
		}
		return new(net.Dialer).DialContext(ctx, network, host)
	}
	r = examine(t, o, false)
	says(t, r, Fail, "broker "+real+" (as Kafka names it): ", "advertised.listeners")
}

func TestWords(t *testing.T) {
	o := options(newMemory(), "k1:9092", "k2:9092")
	o.SASL = SASL{"plain", "gh", "x"}
	for _, r := range rules {
		v := o.classify(r.code, "a.topic")
		if v.class != r.class || v.link != r.link || strings.Contains(v.words, "{") || len(v.words) < 20 {
			t.Errorf("%s: %+v", r.code.Message, v)
		}
	}
	for _, tt := range []struct {
		err   error
		class class
		link  bool
		words string
	}{
		{kerr.BrokerNotAvailable, retry, false, "topic a.topic: Kafka answers BROKER_NOT_AVAILABLE; trying again"},
		{&net.DNSError{Err: "no such host", Name: "k1"}, retry, true, "the name k1 of a broker cannot be resolved"},
		{&net.OpError{Op: "dial", Err: errors.New("refused")}, retry, true, "no broker of k1:9092, k2:9092 can be reached"},
		{context.DeadlineExceeded, retry, true, "no broker of k1:9092, k2:9092 answers in time"},
		{net.ErrClosed, retry, true, "the connection to Kafka (k1:9092, k2:9092) broke"},
		{errors.Join(kerr.SaslAuthenticationFailed, errors.New("x")), blocked, true, "Kafka refuses the log-in of user gh by plain: correct uplink.sasl in the configuration (x)"},
		{errors.New("odd"), retry, true, "Kafka (k1:9092, k2:9092): odd"},
		{errStuck, retry, false, "topic a.topic: no acknowledgement of what was sent"},
	} {
		if v := o.classify(tt.err, "a.topic"); v.class != tt.class || v.link != tt.link || !strings.HasPrefix(v.words, tt.words) {
			t.Errorf("%v: %+v", tt.err, v)
		}
	}
}

func TestOptions(t *testing.T) {
	_, err := New(Options{Brokers: []string{"kafka", "kafka:9092"}, SASL: SASL{Mechanism: "gssapi"}, Lanes: []Lane{{Name: "a"}, {Name: "a", Topic: "b"}}})
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{`broker "kafka": want host:port`, `SASL mechanism "gssapi": want plain, scram-sha-256, scram-sha-512`,
		"SASL needs a user name and a password", "no buffer", `lane "a" with topic ""`, `lane "a" twice`} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in %v", want, err)
		}
	}
	if _, err := Doctor(t.Context(), Options{}, nil, false); err == nil || !strings.Contains(err.Error(), "no broker") {
		t.Errorf("doctor: %v", err)
	}
}
