package uplink

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// checkTopics looks at each topic, and creates what is missing if asked to.
func (d *doctor) checkTopics(ctx context.Context, meta *kmsg.MetadataResponse) {
	d.stamped = map[string]bool{}
	found := byName(meta)
	if d.fix {
		if made := d.create(ctx, found); len(made) > 0 {
			if again, err := d.created(ctx, made); err == nil {
				found = byName(again)
			}
		}
	}
	for _, want := range d.topics {
		d.checkTopic(ctx, want, found[want.Name])
	}
}

func byName(meta *kmsg.MetadataResponse) map[string]kmsg.MetadataResponseTopic {
	found := map[string]kmsg.MetadataResponseTopic{}
	for _, t := range meta.Topics {
		if t.Topic != nil {
			found[*t.Topic] = t
		}
	}
	return found
}

// create makes the topics that are missing, and returns which are there now.
func (d *doctor) create(ctx context.Context, found map[string]kmsg.MetadataResponseTopic) (made []string) {
	for _, want := range d.topics {
		// What we may not see may be missing too.
		hidden := found[want.Name].ErrorCode == kerr.TopicAuthorizationFailed.Code
		if !hidden && found[want.Name].ErrorCode != kerr.UnknownTopicOrPartition.Code {
			continue
		}
		settings := map[string]*string{}
		if want.Retention > 0 {
			settings["retention.ms"] = kmsg.StringPtr(strconv.FormatInt(want.Retention.Milliseconds(), 10))
		}
		answer, err := d.admin.CreateTopic(ctx, want.Partitions, d.replication(want), settings, want.Name)
		switch {
		case err == nil:
			d.report.ok("topic %s: created", want.Name)
			made = append(made, want.Name)
		case errors.Is(err, kerr.TopicAlreadyExists):
			made = append(made, want.Name)
		case hidden: // told by checkTopic
		case errors.Is(err, kerr.TopicAuthorizationFailed), errors.Is(err, kerr.ClusterAuthorizationFailed):
			d.report.warn(d.grant(want.Name, "Create"), "topic %s: we may not create it", want.Name)
		default:
			d.report.warn("", "topic %s: Kafka does not create it: %v %s", want.Name, err, answer.ErrMessage)
		}
	}
	return made
}

// created waits until Kafka shows what was created: its brokers hear of it one after the other, and of one topic after the
// other.
func (d *doctor) created(ctx context.Context, made []string) (*kmsg.MetadataResponse, error) {
	for end := time.Now().Add(10 * time.Second); ; {
		meta, err := d.metadata(ctx)
		if err != nil || time.Now().After(end) {
			return meta, err
		}
		if !slices.ContainsFunc(meta.Topics, func(t kmsg.MetadataResponseTopic) bool {
			unknown := t.ErrorCode == kerr.UnknownTopicOrPartition.Code && t.Topic != nil && slices.Contains(made, *t.Topic)
			return unknown || t.ErrorCode == kerr.LeaderNotAvailable.Code || t.ErrorCode == 0 && leaderless(t) > 0
		}) {
			return meta, nil
		}
		if !sleep(ctx, 200*time.Millisecond) {
			return nil, ctx.Err()
		}
	}
}

// replication is how many brokers shall keep a topic.
func (d *doctor) replication(want Topic) int16 {
	if want.Replication > 0 {
		return want.Replication
	}
	return int16(max(1, min(3, d.brokers)))
}

// checkTopic looks at one topic.
func (d *doctor) checkTopic(ctx context.Context, want Topic, found kmsg.MetadataResponseTopic) {
	err := kerr.ErrorForCode(found.ErrorCode)
	switch {
	case errors.Is(err, kerr.UnknownTopicOrPartition):
		d.report.fail(d.createCommand(want), "topic %s: it does not exist", want.Name)
		return
	case errors.Is(err, kerr.TopicAuthorizationFailed):
		d.report.fail(d.grant(want.Name, "Write", "Describe")+"\n"+d.createCommand(want)+"   # if it does not exist",
			"topic %s: %s may not see it", want.Name, d.principal())
		return
	case err != nil:
		d.report.fail("", "topic %s: %s", want.Name, d.o.classify(err, want.Name).words)
		return
	}
	d.known = append(d.known, want.Name)
	before := len(d.report.Findings)
	d.checkRights(want.Name, found.AuthorizedOperations)
	d.checkPartitions(want, found)
	settings := d.checkSettings(ctx, want, found)
	if len(d.report.Findings) == before {
		d.report.ok("topic %s: %d partition(s), %d replica(s), %s", want.Name, len(found.Partitions), replicas(found), settings)
	}
}

func (d *doctor) createCommand(want Topic) string {
	args := []string{"--create", "--topic", want.Name, "--partitions", fmt.Sprint(want.Partitions), "--replication-factor", fmt.Sprint(d.replication(want))}
	if want.Retention > 0 {
		args = append(args, "--config", fmt.Sprint("retention.ms=", want.Retention.Milliseconds()))
	}
	return d.tool("kafka-topics.sh", args...)
}

// grant is the command that gives us rights on a topic.
func (d *doctor) grant(topic string, operations ...string) string {
	args := []string{"--add", "--allow-principal", d.principal()}
	for _, o := range operations {
		args = append(args, "--operation", o)
	}
	return d.tool("kafka-acls.sh", append(args, "--topic", topic)...)
}

// checkRights looks at what we may do with a topic.
func (d *doctor) checkRights(topic string, bits int32) {
	const unknown = -1 << 31 // an old Kafka says nothing
	if bits == unknown {
		return
	}
	if bits&(1<<kmsg.ACLOperationWrite) == 0 {
		d.report.fail(d.grant(topic, "Write", "Describe"), "topic %s: %s may not write to it", topic, d.principal())
	}
}

// leaderless counts the partitions that nobody leads.
func leaderless(t kmsg.MetadataResponseTopic) int {
	n := 0
	for _, p := range t.Partitions {
		if p.Leader < 0 {
			n++
		}
	}
	return n
}

// replicas is the least number of brokers that keep a partition.
func replicas(t kmsg.MetadataResponseTopic) int {
	least := 0
	for i, p := range t.Partitions {
		if n := len(p.Replicas); i == 0 || n < least {
			least = n
		}
	}
	return least
}

// checkPartitions looks at how a topic is spread over the brokers.
func (d *doctor) checkPartitions(want Topic, found kmsg.MetadataResponseTopic) {
	if n := leaderless(found); n > 0 {
		d.report.fail("bring its brokers back", "topic %s: %d of %d partition(s) have no leader; what belongs there waits", want.Name, n, len(found.Partitions))
	}
	behind := 0
	for _, p := range found.Partitions {
		if len(p.ISR) < len(p.Replicas) {
			behind++
		}
	}
	if behind > 0 {
		d.report.warn("bring its brokers back", "topic %s: replicas of %d partition(s) are not in sync", want.Name, behind)
	}
	if n := len(found.Partitions); n < int(want.Partitions) {
		d.report.warn(d.tool("kafka-topics.sh", "--alter", "--topic", want.Name, "--partitions", fmt.Sprint(want.Partitions))+
			"   # moves keys to other partitions: best while nothing is sent",
			"topic %s: %d partition(s) instead of %d", want.Name, n, want.Partitions)
	}
	if n, should := replicas(found), int(d.replication(want)); n < should {
		d.report.warn("give its partitions more replicas with kafka-reassign-partitions.sh",
			"topic %s: %d replica(s) instead of %d; losing a broker loses records", want.Name, n, should)
	}
}

// checkSettings looks at the settings of a topic and returns them in words.
func (d *doctor) checkSettings(ctx context.Context, want Topic, found kmsg.MetadataResponseTopic) string {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	all, err := d.admin.DescribeTopicConfigs(ctx, want.Name)
	if err == nil {
		_, err = all.On(want.Name, nil)
	}
	if err != nil || all[0].Err != nil {
		return "its settings are not ours to read"
	}
	settings := map[string]string{}
	for _, c := range all[0].Configs {
		settings[c.Key] = c.MaybeValue()
	}
	d.stamped[want.Name] = settings["message.timestamp.type"] == "LogAppendTime"
	set := func(pair string) string {
		return d.tool("kafka-configs.sh", "--alter", "--entity-type", "topics", "--entity-name", want.Name, "--add-config", pair)
	}
	if strings.Contains(settings["cleanup.policy"], "compact") {
		d.report.fail(set("cleanup.policy=delete"), "topic %s: it is compacted; Kafka deletes all but the newest event of each device", want.Name)
	}
	if least, ok := number(settings["min.insync.replicas"]); ok && least > int64(replicas(found)) {
		d.report.fail(set(fmt.Sprint("min.insync.replicas=", replicas(found))),
			"topic %s: min.insync.replicas is %d with %d replica(s); nothing can ever be written", want.Name, least, replicas(found))
	}
	keeps, hasKeeps := number(settings["retention.ms"])
	if wanted := want.Retention.Milliseconds(); hasKeeps && keeps >= 0 && keeps < wanted {
		d.report.warn(set(fmt.Sprint("retention.ms=", wanted)), "topic %s: records are kept for %s instead of %s", want.Name, days(keeps), days(wanted))
	}
	most, hasMost := number(settings["max.message.bytes"])
	if hasMost && most < largest {
		d.report.warn(set("max.message.bytes=1048588"), "topic %s: it takes records of at most %d bytes; larger ones are set aside", want.Name, most)
	}
	words := fmt.Sprintf("records of at most %d bytes", most)
	if hasKeeps && keeps >= 0 {
		words += ", kept for " + days(keeps)
	} else if hasKeeps {
		words += ", kept for ever"
	}
	return words
}

func number(s string) (int64, bool) {
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil
}

// days prints ms as people say it.
func days(ms int64) string {
	if d := time.Duration(ms) * time.Millisecond; d < 48*time.Hour {
		return d.String()
	}
	return fmt.Sprintf("%.4g days", float64(ms)/float64(24*time.Hour/time.Millisecond))
}
