package gateway

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"gacp-erp.internal/glasshouse/buffer"
	"gacp-erp.internal/glasshouse/configs"
	"gacp-erp.internal/glasshouse/gateway/archive"
	"gacp-erp.internal/glasshouse/gateway/contract"
)

func TestAReplaySendsThePastAgain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t)
		w.start()
		time.Sleep(5 * time.Minute)
		from := time.Now()
		time.Sleep(5 * time.Minute)
		to := time.Now()
		time.Sleep(time.Minute)
		config, err := configs.Parse("test.yaml", []byte(w.config), os.LookupEnv, os.ReadFile)
		if err != nil {
			t.Fatal(err)
		}
		o := ReplayOptions{Config: config, Dir: w.dir, Which: archive.Selection{Topic: contract.TopicTelemetry, From: from, To: to}, Dial: w.dialKafka,
			Fault: func(err error) { t.Error(err) }}
		if _, err := Replay(t.Context(), o); !errors.Is(err, buffer.ErrLocked) {
			t.Fatalf("beside a running gateway: %v", err)
		}
		w.halt()
		before := w.records(contract.TopicTelemetry)
		sent, err := Replay(t.Context(), o)
		if err != nil || len(sent) != 1 || sent[0].Sent < 30 || sent[0].Rejected != 0 {
			t.Fatalf("sent %+v, %v", sent, err)
		}
		all := w.records(contract.TopicTelemetry)
		if len(all) != len(before)+sent[0].Sent {
			t.Errorf("Kafka had %d records, was sent %d and has %d", len(before), sent[0].Sent, len(all))
		}
		once, again := map[string]told{}, 0
		last := map[string]string{} // sequence by key
		for _, r := range all {
			if r.replayed == "" {
				once[r.id] = r
			}
		}
		for _, r := range all {
			if r.replayed == "" {
				continue
			}
			again++
			if was, ok := once[r.id]; !ok || was.sequence != r.sequence || was.key != r.key || r.replayed != "true" {
				t.Errorf("%+v was sent first as %+v", r, was)
			}
			if prev := last[r.key]; len(prev) > len(r.sequence) || len(prev) == len(r.sequence) && prev >= r.sequence {
				t.Errorf("of %s sequence %s follows %s", r.key, r.sequence, prev)
			}
			last[r.key] = r.sequence
		}
		if again != sent[0].Sent {
			t.Errorf("%d records say that they are sent again, of %d", again, sent[0].Sent)
		}
		// Sequences, all topics; and a range with nothing in it needs no Kafka.
		o.Which = archive.Selection{First: 1, Last: 10}
		sent, err = Replay(t.Context(), o)
		total := 0
		for _, s := range sent {
			total += s.Sent
		}
		if err != nil || total != 10 || len(sent) < 2 {
			t.Errorf("ten sequences: %+v, %v", sent, err)
		}
		w.sever(true)
		o.Which = archive.Selection{From: to.Add(time.Hour), To: to.Add(2 * time.Hour)}
		if sent, err := Replay(t.Context(), o); err != nil || len(sent) != 0 {
			t.Errorf("nothing: %+v, %v", sent, err)
		}
		// With Kafka away it waits until somebody stops it, and says how far it came.
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		o.Which = archive.Selection{First: 1, Last: 10}
		if _, err := Replay(ctx, o); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "before anything was sent") {
			t.Errorf("with Kafka away: %v", err)
		}
		config.Uplink.Brokers = nil
		if _, err := Replay(t.Context(), o); err == nil || !strings.Contains(err.Error(), "uplink.brokers") {
			t.Errorf("without a Kafka: %v", err)
		}
	})
}
