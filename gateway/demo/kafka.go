package demo

import (
	"fmt"
	"net"
	"strconv"

	"github.com/twmb/franz-go/pkg/kfake"
)

// newKafka starts the embedded Kafka with the topics; any Kafka client can read it. ":0" takes a free port. What it holds
// is kept in memory and gone with it.
func newKafka(address string, topics []string) (*kfake.Cluster, string, error) {
	_, text, err := net.SplitHostPort(address)
	if err != nil {
		return nil, "", fmt.Errorf("kafka address %q: %w", address, err)
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		return nil, "", fmt.Errorf("kafka address %q: %w", address, err)
	}
	options := []kfake.Opt{
		kfake.NumBrokers(1),
		kfake.SeedTopics(3, topics...),
		kfake.ListenFn(func(network, _ string) (net.Listener, error) { return net.Listen(network, address) }),
	}
	if port != 0 {
		options = append(options, kfake.Ports(port))
	}
	cluster, err := kfake.NewCluster(options...)
	if err != nil {
		return nil, "", fmt.Errorf("kafka: %w; choose another address with --kafka-listen", err)
	}
	return cluster, cluster.ListenAddrs()[0], nil
}
