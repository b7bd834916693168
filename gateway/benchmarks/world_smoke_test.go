package benchmarks

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"gacp-erp.internal/glasshouse/gateway/contract"
)

// TestYardstickWritesTheSame keeps the comparison honest: what the bare program gives Kafka has the shape of what the
// gateway does, and both give all of it.
func TestYardstickWritesTheSame(t *testing.T) {
	shapes := map[string]string{}
	for _, name := range []string{"bare", "gateway"} {
		world, at := newWorld(t, Surroundings{Own: true, Keep: true})
		dir := t.TempDir()
		if name == "bare" {
			startBare(t, at.MQTT, at.Kafka, dir)
		} else {
			startSlow(t, plan{broker: at.MQTT, kafka: at.Kafka, dir: dir}, 0).connected(true)
		}
		call(t, world, "World.Publish", Load{Messages: 500, QoS: 1}, new(Loaded))
		if c := arrive(t, world, 500); c.Telemetry < 500 {
			t.Errorf("%s: %d of 500 messages arrived", name, c.Telemetry)
		}
		shapes[name] = shape(t, at.Kafka)
	}
	if shapes["bare"] != shapes["gateway"] {
		t.Errorf("bare:    %s\ngateway: %s", shapes["bare"], shapes["gateway"])
	}
}

// shape is one telemetry record of Kafka with what differs each time left out: the length of the key and of each header's
// value, and the body's keys.
func shape(t *testing.T, kafka string) string {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(kafka), kgo.ConsumeTopics(contract.TopicTelemetry), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		for _, r := range client.PollFetches(ctx).Records() {
			if !strings.HasPrefix(string(r.Key), "greenhouse-sensor-") {
				continue // the gateway's own
			}
			var parts []string
			for _, h := range r.Headers {
				size := fmt.Sprint(len(h.Value))
				if h.Key == contract.HeaderSequence {
					size = "n"
				}
				parts = append(parts, h.Key+"="+size)
			}
			slices.Sort(parts)
			var body any
			if err := json.Unmarshal(r.Value, &body); err != nil {
				t.Fatal(err)
			}
			return fmt.Sprint(len(r.Key), parts, keys(body))
		}
		if ctx.Err() != nil {
			t.Fatal("Kafka holds no telemetry")
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// keys are the names in a JSON value, sorted, with those below each.
func keys(v any) string {
	object, ok := v.(map[string]any)
	if !ok {
		return ""
	}
	var names []string
	for k, v := range object {
		names = append(names, k+keys(v))
	}
	slices.Sort(names)
	return fmt.Sprint(names)
}
