// Package demo is the simulated world of `glasshouse demo`: a greenhouse behind real protocols, an MQTT broker and a Kafka,
// all on this machine, and the real gateway beside them, told as a story on a terminal. Nothing of it is in the way of a
// gateway that runs in earnest.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"gacp-erp.internal/glasshouse/configs"
	"gacp-erp.internal/glasshouse/drivers/sim"
	"gacp-erp.internal/glasshouse/drivers/sim/slave"
	"gacp-erp.internal/glasshouse/gateway"
)

// Options of a demo. An address left empty is the usual port on loopback, or a free one when that is taken.
type Options struct {
	Version             string                  // of the program
	For                 time.Duration           // ends after this time; 0: when the context ends
	DataDir             string                  // of the gateway; made if need be. "": glasshouse-demo
	Kafka, MQTT, Modbus string                  // where to listen
	Speed               float64                 // seconds that pass in the greenhouse in one; 0: sim.DefaultSpeed
	Seed                uint64                  // of its weather
	Out                 io.Writer               // where the story is told
	Program             string                  // how this program was called, for the commands that the story names; "": glasshouse
	Log                 *slog.Logger            // of the gateway; nil: gateway.log in DataDir
	Probe               func(file string) error // see gateway.Options
	Hurry               <-chan struct{}         // see gateway.Options
}

const defaultDir = "glasshouse-demo"

// The usual ports. Modbus' own, 502, needs root.
const (
	usualKafka  = "127.0.0.1:9092"
	usualMQTT   = "127.0.0.1:1883"
	usualModbus = "127.0.0.1:5020"
)

// Run runs a demo until For is over or ctx ends, and leaves nothing running. An error says what could not be started, or
// what the gateway ended with.
func Run(ctx context.Context, o Options) (err error) {
	if o.DataDir == "" {
		o.DataDir = defaultDir
	}
	if o.Speed <= 0 {
		o.Speed = sim.DefaultSpeed
	}
	if o.Program == "" {
		o.Program = "glasshouse"
	}
	w, err := open(o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	config, file, err := w.configure(o)
	if err != nil {
		return err
	}
	log := o.Log
	if log == nil {
		logFile, err := os.Create(filepath.Join(o.DataDir, "gateway.log"))
		if err != nil {
			return fmt.Errorf("log of the gateway: %w", err)
		}
		defer logFile.Close()
		log = slog.New(slog.NewTextHandler(logFile, nil))
	}
	s := newStory(o.Out)
	g, err := gateway.New(gateway.Options{Config: config, Version: o.Version, Log: log, Probe: o.Probe, Tell: s.tell, Hurry: o.Hurry})
	if err != nil {
		return fmt.Errorf("the demo's own configuration %s does not hold: %w", file, err)
	}
	s.welcome(w, o, file, g.Socket())
	if err := w.play(ctx, o, g, s); err != nil {
		return err
	}
	return s.books(context.WithoutCancel(ctx), w.kafkaAddress)
}

// world is what surrounds the gateway.
type world struct {
	kafka        *kfake.Cluster
	kafkaAddress string
	broker       *broker
	slave        *slave.Slave
	greenhouse   *sim.Greenhouse
}

// open starts everything but the gateway and the time in the greenhouse.
func open(o Options) (*world, error) {
	w := &world{}
	err := errors.Join(
		listen(o.Kafka, usualKafka, func(address string) (err error) {
			w.kafka, w.kafkaAddress, err = newKafka(address, topics())
			return err
		}),
		listen(o.MQTT, usualMQTT, func(address string) (err error) {
			w.broker, err = newBroker(address)
			return err
		}),
		listen(o.Modbus, usualModbus, func(address string) (err error) {
			if w.slave, err = slave.Listen(address); err != nil {
				return fmt.Errorf("%w; choose another address with --modbus-listen", err)
			}
			return nil
		}),
	)
	if err != nil {
		return nil, errors.Join(err, w.close())
	}
	w.greenhouse = sim.New(sim.Options{Seed: o.Seed, Speed: o.Speed, Publish: w.broker.publish})
	w.greenhouse.Attach(w.slave)
	return w, nil
}

// listen opens something at the address that was asked for, or else at the usual one or a free one.
func listen(asked, usual string, open func(address string) error) error {
	if asked != "" {
		return open(asked)
	}
	if open(usual) == nil {
		return nil
	}
	return open("127.0.0.1:0")
}

// configure writes the gateway's configuration where a user can look at it, and loads it as any other.
func (w *world) configure(o Options) (*configs.Config, string, error) {
	dir, err := filepath.Abs(o.DataDir)
	if err != nil {
		return nil, "", fmt.Errorf("data directory %s: %w", o.DataDir, err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, "", fmt.Errorf("data directory: %w; choose another with --data", err)
	}
	if c, err := net.Dial("unix", filepath.Join(dir, "glasshouse.sock")); err == nil {
		c.Close()
		return nil, "", fmt.Errorf("a gateway runs in %s already; stop it, or choose another directory with --data", o.DataDir)
	}
	file := filepath.Join(o.DataDir, "glasshouse.yaml")
	text, err := configuration(dir, w.kafkaAddress, w.slave.Addr(), w.broker.address())
	if err != nil {
		return nil, "", err
	}
	if err := os.WriteFile(file, text, 0o644); err != nil {
		return nil, "", fmt.Errorf("configuration of the demo: %w", err)
	}
	config, err := configs.Load(file)
	return config, file, err
}

// play runs the gateway and the time in the greenhouse.
func (w *world) play(ctx context.Context, o Options, g *gateway.Gateway, s *story) error {
	if o.For > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, o.For)
		defer cancel()
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	// The greenhouse and its teller outlive the gateway: its last word is that the outputs are safe.
	outside, end := context.WithCancel(context.WithoutCancel(ctx))
	greenhouse, told := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(greenhouse)
		if err := w.greenhouse.Run(outside); err != nil {
			stop(err) // nothing would come any more
		}
	}()
	go func() {
		defer close(told)
		s.run(outside, ctx.Done(), g.Status, w.greenhouse)
	}()
	err := g.Run(ctx)
	end()
	<-greenhouse
	<-told
	cause := context.Cause(ctx)
	if err == nil && !errors.Is(cause, context.Canceled) && !errors.Is(cause, context.DeadlineExceeded) {
		err = cause
	}
	if err == nil {
		s.say("stopped: the outputs are at their safe values, confirmed by the relay board")
	}
	return err
}

// close ends what was opened.
func (w *world) close() error {
	var err error
	if w.slave != nil {
		err = errors.Join(err, w.slave.Close())
	}
	if w.broker != nil {
		err = errors.Join(err, w.broker.close())
	}
	if w.kafka != nil {
		w.kafka.Close()
	}
	return err
}
