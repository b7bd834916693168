package demo

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"gacp-erp.internal/glasshouse/gateway/contract"
)

// books reads everything back from Kafka as any consumer would, and says what is there.
func (s *story) books(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	client, err := kgo.NewClient(kgo.SeedBrokers(address), kgo.ConsumeTopics(topics()...), kgo.DisableClientMetrics(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		return fmt.Errorf("reading Kafka back: %w", err)
	}
	defer client.Close()
	ends, err := kadm.NewClient(client).ListEndOffsets(ctx, topics()...)
	if err = errors.Join(err, ends.Error()); err != nil {
		return fmt.Errorf("reading Kafka back: %w", err)
	}
	waiting := int64(0)
	ends.Each(func(o kadm.ListedOffset) { waiting += o.Offset })
	count, seen, twice := map[string]int{}, map[string]bool{}, 0
	for waiting > 0 {
		fetched := client.PollFetches(ctx)
		if err := errors.Join(fetched.Err0(), ctx.Err()); err != nil {
			return fmt.Errorf("reading Kafka back, %d records from the end: %w", waiting, err)
		}
		fetched.EachRecord(func(r *kgo.Record) {
			waiting--
			what := r.Topic
			for _, h := range r.Headers {
				switch h.Key {
				case "alert-state":
					what = string(h.Value)
				case "event-id":
					if seen[string(h.Value)] {
						twice++
					}
					seen[string(h.Value)] = true
				}
			}
			count[what]++
		})
	}
	again := "none of them twice"
	if twice > 0 {
		again = fmt.Sprintf("%d of them twice", twice)
	}
	s.say("read back from Kafka: %s, %s raised and %d resolved, %s; %s", many(count[contract.TopicTelemetry], "telemetry record"),
		many(count["raised"], "alert"), count["resolved"], many(count[contract.TopicDeviceEvents]+count[contract.TopicDeviceAlerts], "device event"), again)
	return nil
}

// many is a number of things.
func many(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// port is that of host:port.
func port(address string) string {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	return port
}
