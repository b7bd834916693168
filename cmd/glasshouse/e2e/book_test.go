//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"strings"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

// book is what has come into Kafka.
type book struct {
	mu       sync.Mutex
	readings map[int]map[string]int // number -> event id -> copies
	places   map[string]string      // epoch and sequence -> event id
	clashes  int                    // places that two events have
	alerts   []alertEvent
}

// alertEvent is an event about a range or a device.
type alertEvent struct {
	Type    string `json:"eventType"`
	State   string `json:"-"` // of a range's alert
	Payload struct {
		AlertID     string `json:"alertId"`
		Zone        string `json:"zone"`
		Title       string `json:"title"`
		Description string `json:"description"`
	} `json:"payload"`
}

// newBook reads everything until the test ends.
func newBook(t *testing.T, broker string) *book {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(broker), kgo.ConsumeTopics(strings.Fields(topics)...), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	b := &book{readings: map[int]map[string]int{}, places: map[string]string{}}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			client.PollFetches(ctx).EachRecord(b.enter)
		}
	}()
	t.Cleanup(func() { cancel(); <-done; client.Close() })
	return b
}

func (b *book) enter(r *kgo.Record) {
	b.mu.Lock()
	defer b.mu.Unlock()
	headers := map[string]string{}
	for _, h := range r.Headers {
		headers[h.Key] = string(h.Value)
	}
	id, place := headers["event-id"], headers["epoch"]+"/"+headers["sequence"]
	if other, taken := b.places[place]; taken && other != id {
		b.clashes++
	}
	b.places[place] = id
	if r.Topic == "device.telemetry.v1" && string(r.Key) == "air-7" {
		var event struct {
			Payload struct{ Data struct{ Temperature float64 } }
		}
		if json.Unmarshal(r.Value, &event) == nil {
			n := number(event.Payload.Data.Temperature)
			if b.readings[n] == nil {
				b.readings[n] = map[string]int{}
			}
			b.readings[n][id]++
		}
	}
	if r.Topic == "device.alerts.v1" || r.Topic == "cultivation.environment.v1" {
		e := alertEvent{State: headers["alert-state"]}
		if json.Unmarshal(r.Value, &e) == nil {
			b.alerts = append(b.alerts, e)
		}
	}
}

// sum compares the book with what was sent.
func (b *book) sum(sent int) (missing []int, sameID, newID int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for n := range sent {
		ids := b.readings[n]
		if len(ids) == 0 {
			missing = append(missing, n)
		}
		newID += max(0, len(ids)-1)
		for _, copies := range ids {
			sameID += copies - 1
		}
	}
	return missing, sameID, newID
}

// find returns the alerts that fit.
func (b *book) find(fits func(alertEvent) bool) (found []alertEvent) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, e := range b.alerts {
		if fits(e) {
			found = append(found, e)
		}
	}
	return found
}
