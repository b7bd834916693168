package gateway

import (
	"context"
	"fmt"
	"os"
	"time"

	"gacp-erp.internal/glasshouse/buffer"
	"gacp-erp.internal/glasshouse/configs"
	"gacp-erp.internal/glasshouse/gateway/contract"
	"gacp-erp.internal/glasshouse/gateway/uplink"
)

// uplinkOptions are those of this gateway's uplink. The error names the file of a certificate that cannot be used.
func (g *Gateway) uplinkOptions() (uplink.Options, error) {
	o, err := linkOptions(g.config)
	o.Source, o.Lanes, o.Dial, o.Log = g.buffer, g.house.lanes, g.options.World.Kafka, g.log
	return o, err
}

// linkOptions say how to reach Kafka.
func linkOptions(c *configs.Config) (uplink.Options, error) {
	secure, err := c.Uplink.TLS.Client(os.ReadFile)
	if err != nil {
		return uplink.Options{}, fmt.Errorf("tls: %w", err)
	}
	return uplink.Options{
		Brokers:  c.Uplink.Brokers,
		TLS:      secure,
		SASL:     uplink.SASL{Mechanism: c.Uplink.SASL.Mechanism, Username: c.Uplink.SASL.Username, Password: c.Uplink.SASL.Password.Reveal()},
		ClientID: "glasshouse-" + c.Gateway.ID,
	}, nil
}

// What the platform makes its topics with.
const (
	topicPartitions = 3
	topicRetention  = 7 * 24 * time.Hour
)

// Doctor looks at the Kafka of a configuration: what can be reached, what is missing, and the commands that mend it. With
// fix it creates missing topics where it may. It needs no running gateway, and writes nothing into any topic.
func Doctor(ctx context.Context, c *configs.Config, fix bool) (*uplink.Report, error) {
	if len(c.Uplink.Brokers) == 0 {
		return nil, fmt.Errorf("uplink.brokers names no broker: this gateway keeps its events to itself")
	}
	o, err := linkOptions(c)
	if err != nil {
		return nil, err
	}
	var topics []uplink.Topic
	for _, t := range contract.Topics() {
		name := orElse(c.Uplink.Topics[t.Name], t.Name)
		o.Lanes = append(o.Lanes, uplink.Lane{Name: buffer.Lane(t.Name), Topic: name, Critical: t.Critical})
		topics = append(topics, uplink.Topic{Name: name, Partitions: topicPartitions, Retention: topicRetention})
	}
	return uplink.Doctor(ctx, o, topics, fix)
}
