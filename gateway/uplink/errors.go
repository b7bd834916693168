package uplink

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// class says what follows from an error.
type class uint8

const (
	retry   class = iota // it may pass by itself: again soon
	blocked              // somebody has to do something: again now and then
	poison               // one record alone is at fault: set it aside
)

// verdict is an error as people read it.
type verdict struct {
	class class
	link  bool   // it is about reaching Kafka, not about this topic
	words string // what is wrong and what to do
}

// rule is what one of Kafka's error codes means for a record on its way. Codes without a rule are retried.
type rule struct {
	code  *kerr.Error
	class class
	link  bool
	words string // {topic}, {user}, {mechanism}
}

// rules hold for produce, metadata, producer id and log-in alike.
var rules = []rule{
	{kerr.MessageTooLarge, poison, false, "the record is larger than topic {topic} takes (max.message.bytes)"},
	{kerr.RecordListTooLarge, poison, false, "the record is larger than a segment of topic {topic}"},
	{kerr.InvalidRecord, poison, false, "Kafka holds the record to be invalid for topic {topic}"},

	{kerr.UnknownTopicOrPartition, blocked, false,
		"topic {topic} does not exist: create it with `glasshouse uplink doctor --fix`, or ask the platform's operator"},
	{kerr.InvalidTopicException, blocked, false, "{topic} is no valid name of a topic: correct uplink.topics in the configuration"},
	{kerr.TopicAuthorizationFailed, blocked, false,
		"{user} may not write to topic {topic}, or it does not exist: `glasshouse uplink doctor` prints the commands that mend it; ask the platform's operator"},
	// Since Kafka 3.0 the right to write to any topic is enough.
	{kerr.ClusterAuthorizationFailed, blocked, false,
		"{user} may not write to topic {topic}, nor to any other (before Kafka 3.0: lacks IdempotentWrite on the cluster): `glasshouse uplink doctor` prints the commands that mend it; ask the platform's operator"},
	// All records of one try carry the same time, the time of sending: no single record is at fault.
	{kerr.InvalidTimestamp, blocked, false,
		"Kafka refuses the time of sending on topic {topic}: compare this box's clock (`timedatectl`) with Kafka's, and look at message.timestamp.before.max.ms and after.max.ms"},
	{kerr.UnsupportedVersion, blocked, false, "Kafka is too old for idempotent records: it must be 1.0 or later"},
	{kerr.UnsupportedForMessageFormat, blocked, false, "topic {topic} keeps an old message format: set its message.format.version to that of Kafka"},
	{kerr.UnsupportedCompressionType, blocked, false, "topic {topic} takes no records packed with gzip: ask the platform's operator"},
	{kerr.InvalidRequiredAcks, blocked, false, "Kafka refuses acks=all on topic {topic}: ask the platform's operator"},
	{kerr.PolicyViolation, blocked, false, "a policy of Kafka forbids it on topic {topic}: ask the platform's operator"},

	{kerr.SaslAuthenticationFailed, blocked, true, "Kafka refuses the log-in of {user} by {mechanism}: correct uplink.sasl in the configuration"},
	{kerr.UnsupportedSaslMechanism, blocked, true, "Kafka does not offer the log-in {mechanism}: correct uplink.sasl.mechanism in the configuration"},
	{kerr.IllegalSaslState, blocked, true, "Kafka does not expect a log-in by {mechanism} here: look at uplink.sasl and at the port of uplink.brokers"},

	{kerr.NotEnoughReplicas, retry, false, "too few replicas of topic {topic} are in sync (min.insync.replicas): ask the platform's operator if it lasts"},
	{kerr.NotEnoughReplicasAfterAppend, retry, false, "too few replicas of topic {topic} are in sync (min.insync.replicas): ask the platform's operator if it lasts"},
	{kerr.LeaderNotAvailable, retry, false, "topic {topic} has no leader now: a broker of the cluster is down; ask the platform's operator if it lasts"},
	{kerr.UnknownTopicID, retry, false, "topic {topic} was deleted and made anew: connecting again"},
	{kerr.KafkaStorageError, retry, false, "Kafka's disk under topic {topic} fails: ask the platform's operator if it lasts"},
	{kerr.ThrottlingQuotaExceeded, retry, false, "Kafka limits how much {user} may send: ask the platform's operator for a larger quota if it lasts"},
}

// classify says what an error of a lane means. It is the only place that looks into errors of Kafka and the network.
func (o Options) classify(err error, topic string) verdict {
	if code, ok := errors.AsType[*kerr.Error](err); ok {
		for _, r := range rules {
			if r.code == code {
				return verdict{r.class, r.link, o.fill(r.words, topic) + detail(err, code)}
			}
		}
		return verdict{retry, false, fmt.Sprintf("topic %s: Kafka answers %s; trying again", topic, code.Message)}
	}
	if _, ok := errors.AsType[*loginError](err); ok {
		return verdict{blocked, true, o.fill("the broker closes the connection during the log-in of {user} by {mechanism}: user name or password are most likely wrong; correct uplink.sasl in the configuration", topic)}
	}
	if v, ok := o.classifyTLS(err); ok {
		return v
	}
	return o.classifyNet(err, topic)
}

// detail adds what Kafka says beside its code.
func detail(err error, code *kerr.Error) string {
	text := err.Error()
	for _, bare := range []string{code.Error(), code.Description, code.Message} {
		text = strings.ReplaceAll(text, bare, "")
	}
	if text = strings.Trim(text, " :;\n()"); text == "" {
		return ""
	}
	return " (" + text + ")"
}

func (o Options) fill(words, topic string) string {
	user := "this gateway"
	if o.SASL.Username != "" {
		user = "user " + o.SASL.Username
	}
	mechanism := o.SASL.Mechanism
	if mechanism == "" {
		mechanism = "none"
	}
	return strings.NewReplacer("{topic}", topic, "{user}", user, "{mechanism}", mechanism).Replace(words)
}

// classifyTLS knows the faults of certificates and of plain against secure.
func (o Options) classifyTLS(err error) (verdict, bool) {
	wrap := func(format string, args ...any) (verdict, bool) {
		return verdict{blocked, true, fmt.Sprintf(format, args...)}, true
	}
	if e, ok := errors.AsType[*kgo.ErrFirstReadEOF](err); ok {
		// Perhaps only a broker that is just stopping; so it is tried as often as any broken connection.
		wants := "TLS or a log-in, set uplink.tls or uplink.sasl"
		if o.TLS != nil {
			wants = "a log-in, set uplink.sasl"
		}
		return verdict{retry, true, fmt.Sprintf("the broker (%s) closes the connection at once: if it wants %s in the configuration (%v)",
			strings.Join(o.Brokers, ", "), wants, e.Unwrap())}, true
	}
	if e, ok := errors.AsType[x509.HostnameError](err); ok {
		return wrap("the broker's certificate is for another name: %v; correct uplink.brokers or set uplink.tls.serverName", e)
	}
	if e, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return wrap("the broker's certificate is signed by nobody we trust: set uplink.tls.ca to the authority's certificate (%v)", e)
	}
	if e, ok := errors.AsType[x509.CertificateInvalidError](err); ok {
		return wrap("the broker's certificate is not valid: %v; if it is, set this box's clock", e)
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return wrap("the broker does not speak TLS on this port: correct the port in uplink.brokers, or set uplink.tls.enabled to false")
	}
	if e, ok := errors.AsType[tls.AlertError](err); ok {
		return wrap("the broker refuses our TLS: %v; it may ask for a client's certificate: set uplink.tls.cert and uplink.tls.key", e)
	}
	if e, ok := errors.AsType[*tlsError](err); ok {
		return verdict{retry, true, fmt.Sprintf("%v: perhaps the broker does not speak TLS on this port; look at the port in uplink.brokers and at uplink.tls.enabled", e)}, true
	}
	return verdict{}, false
}

// classifyNet knows the rest: nobody answers, for one reason or another.
func (o Options) classifyNet(err error, topic string) verdict {
	away := func(format string, args ...any) verdict {
		return verdict{retry, true, fmt.Sprintf(format, args...)}
	}
	brokers := strings.Join(o.Brokers, ", ")
	for _, ours := range []error{errStuck, errSlow, kgo.ErrClientClosed, kgo.ErrRecordRetries} {
		if errors.Is(err, ours) {
			return verdict{retry, false, fmt.Sprintf("topic %s: %v", topic, ours)}
		}
	}
	if e, ok := errors.AsType[*net.DNSError](err); ok {
		return away("the name %s of a broker cannot be resolved: look at uplink.brokers and this box's name servers (%v)", e.Name, e)
	}
	if e, ok := errors.AsType[*net.OpError](err); ok && e.Op == "dial" {
		return away("no broker of %s can be reached: %v", brokers, e)
	}
	timeout, isTimeout := errors.AsType[net.Error](err)
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded), isTimeout && timeout.Timeout():
		return away("no broker of %s answers in time: %v", brokers, err)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed):
		return away("the connection to Kafka (%s) broke: %v", brokers, err)
	}
	return away("Kafka (%s): %v", brokers, err)
}
