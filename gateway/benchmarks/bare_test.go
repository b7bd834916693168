package benchmarks

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/eclipse/paho.golang/paho"
	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kgo"
	bolt "go.etcd.io/bbolt"

	"gacp-erp.internal/glasshouse/gateway/contract"
)

// The yardstick is the shortest program that does the gateway's work with the same libraries: MQTT in, encoding/json, a
// range, a batch in one bbolt transaction, acknowledgements after it, Kafka out behind it, the same bodies and headers.
// It has no features and gives up at the first error.

const (
	bareWait  = 5 * time.Millisecond // for a batch to fill
	bareBatch = 1000                 // messages
)

// bareReading is what a sensor sends.
type bareReading struct {
	DeviceID    string    `json:"deviceId"`
	Timestamp   time.Time `json:"timestamp"`
	Temperature float64   `json:"temperature"`
	Humidity    float64   `json:"humidity"`
}

// bareEvent is the platform's telemetry event.
type bareEvent struct {
	EventType     string      `json:"eventType"`
	CorrelationID string      `json:"correlationId"`
	Timestamp     string      `json:"timestamp"`
	Source        bareSource  `json:"source"`
	Version       string      `json:"__version"`
	Payload       barePayload `json:"payload"`
}

type bareSource struct {
	Type string `json:"type"`
	ID   string `json:"id"`
}

type barePayload struct {
	DeviceID      string       `json:"deviceId"`
	ReceivedAt    string       `json:"receivedAt"`
	TelemetryType string       `json:"telemetryType"`
	Data          bareData     `json:"data"`
	Metadata      bareMetadata `json:"metadata"`
}

type bareData struct {
	Temperature float64           `json:"temperature"`
	Humidity    float64           `json:"humidity"`
	Custom      map[string]string `json:"custom"`
}

type bareMetadata struct {
	Protocol string `json:"protocol"`
	QoS      byte   `json:"qos"`
	Retain   bool   `json:"retain"`
	Topic    string `json:"topic"`
}

// bare is the program's state.
type bare struct {
	in        chan *paho.Publish
	client    *paho.Client
	db        *bolt.DB
	kafka     *kgo.Client
	epoch     []byte
	wake      chan struct{}
	delivered atomic.Uint64 // every batch up to this is with Kafka
	alarms    atomic.Uint64
}

var bareBucket = []byte("batches")

// playBare runs the yardstick until SIGTERM: playBare BROKER KAFKA DIRECTORY.
func playBare(args []string) error {
	stopped, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	b := &bare{in: make(chan *paho.Publish, 2*bareBatch), epoch: []byte(uuid.NewString()), wake: make(chan struct{}, 1)}
	var err error
	b.db, err = bolt.Open(filepath.Join(args[2], "bare.db"), 0o600, &bolt.Options{FreelistType: bolt.FreelistMapType})
	if err != nil {
		return err
	}
	defer b.db.Close()
	if err := b.db.Update(func(tx *bolt.Tx) error {
		_, err := tx.CreateBucketIfNotExists(bareBucket)
		return err
	}); err != nil {
		return err
	}
	b.kafka, err = kgo.NewClient(kgo.SeedBrokers(args[1]), kgo.DefaultProduceTopic(contract.TopicTelemetry), kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.ProducerBatchCompression(kgo.GzipCompression().WithLevel(gzip.BestSpeed)), kgo.ProducerLinger(0), kgo.DisableClientMetrics())
	if err != nil {
		return err
	}
	defer b.kafka.Close()
	failed := make(chan error, 2)
	go func() { failed <- b.send() }()
	go func() { failed <- b.work() }()
	if err := b.listen(args[0]); err != nil {
		return err
	}
	if _, err := os.Stdout.WriteString("ready\n"); err != nil {
		return err
	}
	select {
	case err := <-failed:
		return err
	case <-stopped.Done():
		return nil
	}
}

// bufferedConn spares the library, which asks for single bytes, most of its system calls.
type bufferedConn struct {
	net.Conn
	in *bufio.Reader
}

func (c bufferedConn) Read(b []byte) (int, error) { return c.in.Read(b) }

// listen connects to the broker.
func (b *bare) listen(broker string) error {
	conn, err := net.Dial("tcp", broker)
	if err != nil {
		return err
	}
	b.client = paho.NewClient(paho.ClientConfig{Conn: bufferedConn{conn, bufio.NewReaderSize(conn, 16<<10)}, EnableManualAcknowledgment: true, SendAcksInterval: 5 * time.Millisecond,
		OnPublishReceived: []func(paho.PublishReceived) (bool, error){func(p paho.PublishReceived) (bool, error) {
			b.in <- p.Packet
			return true, nil
		}}})
	most := uint16(1000)
	ctx := context.Background()
	_, errConnect := b.client.Connect(ctx, &paho.Connect{KeepAlive: 60, ClientID: "bare", CleanStart: true, Properties: &paho.ConnectProperties{ReceiveMaximum: &most}})
	if errConnect != nil {
		return errConnect
	}
	_, err = b.client.Subscribe(ctx, &paho.Subscribe{Subscriptions: []paho.SubscribeOptions{{Topic: "devices/+/telemetry", QoS: 1}}})
	return err
}

// work makes batches durable and acknowledges them.
func (b *bare) work() error {
	var batch []*paho.Publish
	timer := time.NewTimer(time.Hour)
	var number, deleted uint64
	for {
		batch = append(batch[:0], <-b.in)
		timer.Reset(bareWait)
	fill:
		for len(batch) < bareBatch {
			select {
			case m := <-b.in:
				batch = append(batch, m)
			case <-timer.C:
				break fill
			}
		}
		value, err := b.pack(batch)
		if err != nil {
			return err
		}
		number++
		delivered := b.delivered.Load()
		if err := b.db.Update(func(tx *bolt.Tx) error {
			bucket := tx.Bucket(bareBucket)
			bucket.FillPercent = 1
			for ; deleted < delivered; deleted++ {
				if err := bucket.Delete(binary.BigEndian.AppendUint64(nil, deleted+1)); err != nil {
					return err
				}
			}
			return bucket.Put(binary.BigEndian.AppendUint64(nil, number), value)
		}); err != nil {
			return err
		}
		select {
		case b.wake <- struct{}{}:
		default:
		}
		for _, m := range batch {
			if err := b.client.Ack(m); err != nil {
				return err
			}
		}
	}
}

// pack decodes, judges and encodes a batch: each event with its size before it.
func (b *bare) pack(batch []*paho.Publish) ([]byte, error) {
	var value []byte
	for _, m := range batch {
		var r bareReading
		if err := json.Unmarshal(m.Payload, &r); err != nil {
			return nil, err
		}
		if r.Temperature < lowest || r.Temperature > highest {
			b.alarms.Add(1)
		}
		const stamp = "2006-01-02T15:04:05.000Z"
		event, err := json.Marshal(&bareEvent{"device.telemetry.received", uuid.Must(uuid.NewV7()).String(), r.Timestamp.UTC().Format(stamp),
			bareSource{"device", r.DeviceID}, "v1", barePayload{r.DeviceID, time.Now().UTC().Format(stamp), "sensors",
				bareData{r.Temperature, r.Humidity, map[string]string{"facilityId": facility, "zone": "zone-0"}}, bareMetadata{"mqtt", m.QoS, m.Retain, m.Topic}}})
		if err != nil {
			return nil, err
		}
		value = append(append(value, byte(len(r.DeviceID))), r.DeviceID...)
		value = append(binary.BigEndian.AppendUint16(value, uint16(len(event))), event...)
	}
	return value, nil
}

// send gives Kafka what is durable, a few batches at a time.
func (b *bare) send() error {
	var next, sequence uint64 = 1, 0
	for range b.wake {
		for {
			var records []*kgo.Record
			err := b.db.View(func(tx *bolt.Tx) error {
				for bucket := tx.Bucket(bareBucket); len(records) < 4*bareBatch; next++ {
					value := bytes.Clone(bucket.Get(binary.BigEndian.AppendUint64(nil, next)))
					if value == nil {
						return nil
					}
					for len(value) > 0 {
						sequence++
						var r *kgo.Record
						r, value = b.record(value, sequence)
						records = append(records, r)
					}
				}
				return nil
			})
			if err != nil {
				return err
			}
			if len(records) == 0 {
				break
			}
			if err := b.kafka.ProduceSync(context.Background(), records...).FirstErr(); err != nil {
				return err
			}
			b.delivered.Store(next - 1)
		}
	}
	return errors.New("nobody wakes the sender any more")
}

// record takes one event off a batch.
func (b *bare) record(value []byte, sequence uint64) (*kgo.Record, []byte) {
	device, value := value[1:1+value[0]], value[1+value[0]:]
	size := 2 + int(binary.BigEndian.Uint16(value))
	event, rest := value[2:size], value[size:]
	_, id, _ := bytes.Cut(event, []byte(`"correlationId":"`))
	id = id[:36]
	header := func(key, value string) kgo.RecordHeader { return kgo.RecordHeader{Key: key, Value: []byte(value)} }
	return &kgo.Record{Key: device, Value: event, Headers: []kgo.RecordHeader{
		{Key: contract.HeaderEventID, Value: id}, header(contract.HeaderEventType, "device.telemetry.received"),
		{Key: contract.HeaderCorrelationID, Value: id}, header(contract.HeaderContentType, "application/json"),
		header(contract.HeaderSchemaVersion, "v1"), header(contract.HeaderGatewayID, gatewayID),
		{Key: contract.HeaderEpoch, Value: b.epoch}, {Key: contract.HeaderSequence, Value: strconv.AppendUint(nil, sequence, 10)},
	}}, rest
}
