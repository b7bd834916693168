package uplink

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"
)

// Topic is a topic as it ought to be.
type Topic struct {
	Name        string
	Partitions  int32
	Replication int16         // 0: 3, or one for each broker where there are fewer
	Retention   time.Duration // 0: whatever Kafka's default is
}

// Doctor looks at a Kafka with the eyes of the uplink: brokers, TLS, log-in, version, topics, rights, clocks. Each finding
// that is not ok says what mends it. With fix it creates missing topics where it may. It writes no record. The error is a
// fault of the options; what is wrong with Kafka is in the report. Source and Lanes are not used.
func Doctor(ctx context.Context, o Options, topics []Topic, fix bool) (*Report, error) {
	if err := o.checkLink(); err != nil {
		return nil, err
	}
	pace := usual()
	pace.request = 5 * time.Second
	d := &doctor{o: o, topics: topics, fix: fix, dial: o.dialer(pace.dial), report: new(Report)}
	client, err := kgo.NewClient(append(o.reach(pace), kgo.RequestRetries(1), kgo.RetryTimeout(10*time.Second))...)
	if err != nil {
		return nil, fmt.Errorf("uplink: make a Kafka client: %w", err)
	}
	defer client.Close()
	d.client, d.admin = client, kadm.NewClient(client)
	d.examine(ctx)
	return d.report, nil
}

// doctor is one examination.
type doctor struct {
	o      Options
	topics []Topic
	fix    bool
	dial   func(ctx context.Context, network, host string) (net.Conn, error)
	client *kgo.Client
	admin  *kadm.Client
	report *Report

	brokers int
	known   []string        // our topics that exist
	stamped map[string]bool // of those, where Kafka stamps the records
}

// examine goes from the outside to the inside, and stops where nothing further can be seen.
func (d *doctor) examine(ctx context.Context) {
	d.privacy()
	if d.knock(ctx, d.o.Brokers, "") == 0 {
		return
	}
	meta, err := d.metadata(ctx)
	if err != nil {
		v := d.o.classify(err, "")
		d.report.fail("", "%s", v.words)
		return
	}
	d.cluster(ctx, meta)
	d.version(ctx)
	d.checkTopics(ctx, meta)
	d.producer(ctx)
	d.clocks(ctx)
}

// privacy looks at what anybody on the way could read.
func (d *doctor) privacy() {
	switch {
	case d.o.TLS == nil && d.o.SASL.Mechanism == "plain":
		d.report.warn("set uplink.tls.enabled to true", "the password of user %s goes over the network in clear text", d.o.SASL.Username)
	case d.o.TLS == nil:
		d.report.warn("set uplink.tls.enabled to true", "nothing is encrypted on the way to Kafka")
	}
}

// knock opens a connection to each address, all at once, and returns how many it could.
func (d *doctor) knock(ctx context.Context, addresses []string, as string) int {
	findings := make([]Report, len(addresses))
	var all sync.WaitGroup
	for i, address := range addresses {
		all.Go(func() { d.knockAt(ctx, &findings[i], address, as) })
	}
	all.Wait()
	reached := 0
	for _, f := range findings {
		if !f.Failed() {
			reached++
		}
		d.report.Findings = append(d.report.Findings, f.Findings...)
	}
	return reached
}

func (d *doctor) knockAt(ctx context.Context, r *Report, address, as string) {
	began := time.Now()
	conn, err := d.dial(ctx, "tcp", address)
	took := time.Since(began).Round(time.Millisecond)
	if err != nil {
		one := d.o
		one.Brokers = []string{address}
		fix := "look at uplink.brokers, the name servers, and at firewalls on the way"
		if as != "" {
			fix = "Kafka itself names this address to its clients: ask its operator to correct advertised.listeners, or make the address reachable from here"
		}
		r.fail(fix, "broker %s%s: %s", address, as, one.classify(err, "").words)
		return
	}
	defer conn.Close()
	secure, ok := conn.(*tls.Conn)
	if !ok {
		r.ok("broker %s%s: reached in %s", address, as, took)
		return
	}
	state := secure.ConnectionState()
	r.ok("broker %s%s: reached in %s, %s", address, as, took, tls.VersionName(state.Version))
	if leaf := state.PeerCertificates[0]; time.Until(leaf.NotAfter) < 30*24*time.Hour {
		r.warn("renew the broker's certificate", "broker %s: its certificate ends on %s", address, leaf.NotAfter.Format(time.DateOnly))
	}
}

// metadata asks for the cluster and our topics.
func (d *doctor) metadata(ctx context.Context) (*kmsg.MetadataResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	request := kmsg.NewPtrMetadataRequest()
	request.IncludeTopicAuthorizedOperations = true
	for _, t := range d.topics {
		request.Topics = append(request.Topics, kmsg.MetadataRequestTopic{Topic: kmsg.StringPtr(t.Name)})
	}
	return request.RequestWith(ctx, d.client)
}

// cluster looks at the brokers that Kafka names; they are what records go to, whatever the configuration names.
func (d *doctor) cluster(ctx context.Context, meta *kmsg.MetadataResponse) {
	id := "without a name"
	if meta.ClusterID != nil {
		id = *meta.ClusterID
	}
	login := ""
	if d.o.SASL.Mechanism != "" {
		login = fmt.Sprintf(", logged in as %s by %s", d.o.SASL.Username, d.o.SASL.Mechanism)
	}
	d.brokers = len(meta.Brokers)
	d.report.ok("cluster %s with %d broker(s)%s", id, d.brokers, login)
	var others []string
	for _, b := range meta.Brokers {
		if address := net.JoinHostPort(b.Host, strconv.Itoa(int(b.Port))); !slices.Contains(d.o.Brokers, address) {
			others = append(others, address)
		}
	}
	d.knock(ctx, others, " (as Kafka names it)")
}

// version guesses the version of Kafka by what it can do.
func (d *doctor) version(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	request := kmsg.NewPtrApiVersionsRequest()
	request.ClientSoftwareName, request.ClientSoftwareVersion = "glasshouse", "1"
	answer, err := request.RequestWith(ctx, d.client)
	if err == nil {
		err = kerr.ErrorForCode(answer.ErrorCode)
	}
	if err != nil {
		d.report.warn("", "the version of Kafka is unknown: %v", err)
		return
	}
	guess := kversion.FromApiVersionsResponse(answer).VersionGuess()
	for _, key := range answer.ApiKeys {
		if key.ApiKey == int16(kmsg.Produce) && key.MaxVersion < 5 {
			d.report.fail("update Kafka", "Kafka speaks the protocol of %s: it must be 1.0 or later, for idempotent records", guess)
			return
		}
	}
	d.report.ok("Kafka speaks the protocol of %s", strings.NewReplacer("between ", "", " and ", " to ").Replace(guess))
}

// producer asks for a producer id, the first thing that sending needs.
func (d *doctor) producer(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	request := kmsg.NewPtrInitProducerIDRequest()
	request.ProducerID, request.ProducerEpoch = -1, -1
	answer, err := request.RequestWith(ctx, d.client)
	if err == nil {
		err = kerr.ErrorForCode(answer.ErrorCode)
	}
	switch {
	case err == nil:
		d.report.ok("idempotent sending is allowed")
	case errors.Is(err, kerr.ClusterAuthorizationFailed):
		d.report.fail(d.tool("kafka-acls.sh", "--add", "--allow-principal", d.principal(), "--operation", "IdempotentWrite", "--cluster"),
			"%s may not send idempotently: the right to write to a topic brings that along, before Kafka 3.0 it needs the right IdempotentWrite", d.principal())
	default:
		d.report.fail("", "Kafka gives no producer id: %s", d.o.classify(err, "").words)
	}
}

// tool is a command of Kafka's own tools, to be run by somebody who may.
func (d *doctor) tool(name string, args ...string) string {
	words := []string{name, "--bootstrap-server", d.o.Brokers[0]}
	if d.o.TLS != nil || d.o.SASL.Mechanism != "" {
		words = append(words, "--command-config", "admin.properties")
	}
	for _, a := range args {
		if strings.ContainsAny(a, " '\"*=,") && !strings.HasPrefix(a, "--") {
			a = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
		}
		words = append(words, a)
	}
	return strings.Join(words, " ")
}

// principal is who we are for Kafka's rights.
func (d *doctor) principal() string {
	if d.o.SASL.Mechanism != "" {
		return "User:" + d.o.SASL.Username
	}
	if d.o.TLS != nil && len(d.o.TLS.Certificates) > 0 && len(d.o.TLS.Certificates[0].Certificate) > 0 {
		if leaf, err := x509.ParseCertificate(d.o.TLS.Certificates[0].Certificate[0]); err == nil {
			return "User:" + leaf.Subject.String()
		}
	}
	return "User:ANONYMOUS"
}

// clocks looks for what can be known about the difference between our clock and Kafka's. Kafka tells its time to nobody;
// what is left is whether ours is kept by NTP, and whether a record there is from our future.
func (d *doctor) clocks(ctx context.Context) {
	const (
		set  = "set the clock by NTP: timedatectl set-ntp true, or chrony"
		much = 2 * time.Second
	)
	switch synced, off, err := clockSynced(); {
	case err != nil:
		d.report.ok("whether NTP keeps this box's clock is unknown: %v", err)
	case synced:
		d.report.ok("this box's clock is kept by NTP, to %s at worst", off)
	default:
		d.report.warn(set, "nothing keeps this box's clock right: retention and the order of events on the platform go by it")
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	newest, err := d.admin.ListMaxTimestampOffsets(ctx, d.known...)
	if len(d.known) == 0 || err != nil {
		d.report.ok("how far our clock and Kafka's differ cannot be seen from here: Kafka does not tell its time")
		return
	}
	ahead, where := time.Duration(0), ""
	newest.Each(func(o kadm.ListedOffset) {
		if lead := time.Until(time.UnixMilli(o.Timestamp)); o.Err == nil && o.Offset >= 0 && lead > ahead {
			ahead, where = lead, o.Topic
		}
	})
	switch ahead = ahead.Round(time.Second); {
	case ahead < much:
		d.report.ok("no record is from our future; more about Kafka's clock cannot be seen from here: Kafka does not tell its time")
	case d.stamped[where]:
		d.report.fail(set, "our clock is at least %s behind Kafka's: it stamped a record of %s that long from now", ahead, where)
	default:
		d.report.warn(set, "the newest record of %s is stamped %s from now: our clock is behind, or that of who wrote it is ahead", where, ahead)
	}
}
