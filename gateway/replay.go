package gateway

import (
	"context"
	"errors"
	"log/slog"
	"net"

	"gacp-erp.internal/glasshouse/buffer"
	"gacp-erp.internal/glasshouse/configs"
	"gacp-erp.internal/glasshouse/gateway/archive"
	"gacp-erp.internal/glasshouse/gateway/contract"
	"gacp-erp.internal/glasshouse/gateway/uplink"
)

// ReplayOptions say what is sent to Kafka again.
type ReplayOptions struct {
	Config *configs.Config // names the Kafka and its topics
	Dir    string          // the data directory of a gateway that does not run, or the buffer in it
	Which  archive.Selection
	Log    *slog.Logger                                                      // told what Kafka says; nil: silent
	Fault  func(error)                                                       // told of records that cannot be read
	Dial   func(ctx context.Context, network, host string) (net.Conn, error) // replaces the network; nil: TCP
}

// Replay sends a part of a stopped gateway's buffer to Kafka again, as archive.Replay does.
func Replay(ctx context.Context, o ReplayOptions) ([]archive.Replayed, error) {
	if len(o.Config.Uplink.Brokers) == 0 {
		return nil, errors.New("uplink.brokers names no broker: there is no Kafka to send to")
	}
	link, err := linkOptions(o.Config)
	if err != nil {
		return nil, err
	}
	link.Dial, link.Log = o.Dial, o.Log
	for _, t := range contract.Topics() {
		link.Lanes = append(link.Lanes, uplink.Lane{Name: buffer.Lane(t.Name), Topic: orElse(o.Config.Uplink.Topics[t.Name], t.Name), Critical: t.Critical})
	}
	return archive.Replay(ctx, o.Dir, o.Which, link, o.Fault)
}
