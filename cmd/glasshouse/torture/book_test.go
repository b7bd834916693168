package torture

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"gacp-erp.internal/glasshouse/gateway/contract"
)

// A reading's number is in its value, ppm of CO2 in steps of a hundredth.
const step = 0.01

func value(number int) float64 { return float64(number) * step }
func number(v float64) int     { return int(math.Round(v / step)) }

// book is an embedded Kafka and what has come into it, each record checked against all before it.
type book struct {
	t       *testing.T
	address string
	admin   *kadm.Client
	client  *kgo.Client
	away    atomic.Bool // Kafka hangs up on every request
	reading sync.WaitGroup
	quit    context.CancelFunc

	mu       sync.Mutex
	offsets  map[string]map[int32]int64     // what was read, by topic and partition
	readings map[int]contract.ID            // number -> event id
	newest   map[string]int                 // device -> its highest number
	places   map[string]map[int]contract.ID // epoch -> sequence -> event id
	told     map[contract.ID]bool           // the events about alerts
	open     map[string]string              // zone and quantity -> the alert that is open
	raised   int
	again    int // records that were sent a second time
	faults   []string
}

func newBook(t *testing.T) *book {
	t.Helper()
	var topics []string
	for _, topic := range contract.Topics() {
		topics = append(topics, topic.Name)
	}
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(3, topics...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	b := &book{t: t, address: cluster.ListenAddrs()[0], offsets: map[string]map[int32]int64{}, readings: map[int]contract.ID{}, newest: map[string]int{},
		places: map[string]map[int]contract.ID{}, told: map[contract.ID]bool{}, open: map[string]string{}}
	const produce = 0
	cluster.ControlKey(produce, func(kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		return nil, errors.New("away"), b.away.Load()
	})
	b.client, err = kgo.NewClient(kgo.SeedBrokers(b.address), kgo.ConsumeTopics(topics...), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchMaxWait(50*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	b.admin = kadm.NewClient(b.client)
	ctx, quit := context.WithCancel(context.Background())
	b.quit = quit
	b.reading.Go(func() {
		for ctx.Err() == nil {
			b.client.PollFetches(ctx).EachRecord(b.enter)
		}
	})
	t.Cleanup(func() { quit(); b.reading.Wait(); b.client.Close() })
	return b
}

func (b *book) fault(format string, args ...any) {
	if len(b.faults) < 20 {
		b.faults = append(b.faults, fmt.Sprintf(format, args...))
	}
}

// enter notes a record.
func (b *book) enter(r *kgo.Record) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.offsets[r.Topic] == nil {
		b.offsets[r.Topic] = map[int32]int64{}
	}
	b.offsets[r.Topic][r.Partition] = r.Offset + 1
	h := map[string]string{}
	for _, header := range r.Headers {
		h[header.Key] = string(header.Value)
	}
	id, noID := contract.ParseID(h[contract.HeaderEventID])
	sequence, noPlace := strconv.Atoi(h[contract.HeaderSequence])
	if err := errors.Join(noID, noPlace); err != nil {
		b.fault("a record of %s: %v", r.Topic, err)
		return
	}
	epoch := b.places[h[contract.HeaderEpoch]]
	if epoch == nil {
		epoch = map[int]contract.ID{}
		b.places[h[contract.HeaderEpoch]] = epoch
	}
	switch other, taken := epoch[sequence]; {
	case taken && other == id:
		b.again++
		return
	case taken:
		b.fault("%s and %s have sequence %d", other, id, sequence)
	}
	epoch[sequence] = id
	switch r.Topic {
	case contract.TopicTelemetry:
		b.telemetry(r, id)
	case contract.TopicEnvironment:
		b.alert(r, id, h[contract.HeaderAlertState])
	}
}

// telemetry checks that a reading of the load has one id and follows those of its device.
func (b *book) telemetry(r *kgo.Record, id contract.ID) {
	device := string(r.Key)
	if !strings.HasPrefix(device, "load-") {
		return
	}
	n, err := numberOf(r.Value)
	if err != nil {
		b.fault("%s: %v: %s", device, err, r.Value)
		return
	}
	if first, seen := b.readings[n]; seen {
		b.fault("%s: reading %d was stored twice, as %s and as %s", device, n, first, id)
		return
	}
	if n < b.newest[device] {
		b.fault("%s: reading %d comes after %d", device, n, b.newest[device])
	}
	b.newest[device], b.readings[n] = n, id
}

// numberOf finds the number of a telemetry event of the load. It is called for everything that waits, so it does not decode.
func numberOf(body []byte) (int, error) {
	_, rest, ok := bytes.Cut(body, []byte(`"id":"co2","value":`))
	if end := bytes.IndexAny(rest, ",}"); ok && end > 0 {
		v, err := strconv.ParseFloat(string(rest[:end]), 64)
		return number(v), err
	}
	return 0, errors.New("it has no co2")
}

// alert checks that an alert's life is one: raised once, the same id until it is resolved.
func (b *book) alert(r *kgo.Record, id contract.ID, state string) {
	var event struct {
		Payload struct{ AlertID, Zone, AlertType string }
	}
	if err := json.Unmarshal(r.Value, &event); err != nil {
		b.fault("an alert: %v", err)
		return
	}
	if b.told[id] {
		b.fault("%s about an alert was stored twice", id)
		return
	}
	b.told[id] = true
	p := event.Payload
	what := p.Zone + "/" + p.AlertType
	switch open := b.open[what]; {
	case state == "raised" && open != "":
		b.fault("%s: alert %s is raised while %s is open", what, p.AlertID, open)
	case state == "raised":
		b.open[what] = p.AlertID
		b.raised++
	case open != p.AlertID:
		b.fault("%s: alert %s is %s while %q is open", what, p.AlertID, state, open)
	case state == "resolved":
		delete(b.open, what)
	}
}

// catchUp waits until everything that Kafka has is in the book.
func (b *book) catchUp() {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	ends, err := b.admin.ListEndOffsets(ctx)
	if err = errors.Join(err, ends.Error()); err != nil {
		b.t.Fatal(err)
	}
	eventually(b.t, "the book is complete", func() (err error) {
		b.mu.Lock()
		defer b.mu.Unlock()
		ends.Each(func(o kadm.ListedOffset) {
			if read := b.offsets[o.Topic][o.Partition]; read < o.Offset {
				err = fmt.Errorf("%s/%d is read up to %d of %d", o.Topic, o.Partition, read, o.Offset)
			}
		})
		return err
	})
}

// trim has Kafka forget what the book has, which would fill the memory.
func (b *book) trim() {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	done := kadm.Offsets{}
	b.mu.Lock()
	for topic, partitions := range b.offsets {
		for partition, offset := range partitions {
			done.AddOffset(topic, partition, offset, -1)
		}
	}
	b.mu.Unlock()
	answers, err := b.admin.DeleteRecords(ctx, done)
	if err = errors.Join(err, answers.Error()); err != nil {
		b.t.Fatal(err)
	}
}

// check fails the test with what the book found.
func (b *book) check() {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.faults) > 0 {
		b.t.Fatalf("the books do not balance:\n%s", strings.Join(b.faults, "\n"))
	}
}

// has tells whether a record has come.
func (b *book) has(epoch string, sequence uint64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	_, ok := b.places[epoch][int(sequence)]
	return ok
}
