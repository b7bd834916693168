// Package gateway builds a whole gateway from its configuration and runs it: buses, cycle, journal, buffer, uplink and the
// local door, started against the direction of the data and stopped along it. It is the only importer of concrete drivers
// and decides nothing itself: that is package scan's.
package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"gacp-erp.internal/glasshouse/buffer"
	"gacp-erp.internal/glasshouse/configs"
	"gacp-erp.internal/glasshouse/gateway/api"
	"gacp-erp.internal/glasshouse/gateway/bus"
	"gacp-erp.internal/glasshouse/gateway/contract"
	"gacp-erp.internal/glasshouse/gateway/journal"
	"gacp-erp.internal/glasshouse/gateway/scan"
	"gacp-erp.internal/glasshouse/gateway/uplink"
	"gacp-erp.internal/glasshouse/rules"
)

const (
	stopTime = 9 * time.Second  // for everything after the signal to stop
	hangTime = 10 * time.Second // a cycle that does not begin for this long ends the process
)

// Event is what a cycle decided, for Options.Tell.
type Event = scan.Event

// Options is what New builds a gateway of.
type Options struct {
	Config  *configs.Config
	Version string                  // of the program
	Log     *slog.Logger            // nil: silent
	Probe   func(file string) error // reads a buffer file from end to end in a process of its own; nil: in this one
	Tell    func(Event)             // told each event as it is decided, by the cycle's goroutine: must not wait; nil: nobody
	Hurry   <-chan struct{}         // closed when a stop must not wait for Kafka any longer; nil: never
	World   World
}

// World replaces parts of the world, for tests in fake time or with faults; what is nil is the real one.
type World struct {
	Bus    func(ctx context.Context, bus string) (net.Conn, error)           // dials a bus
	Kafka  func(ctx context.Context, network, host string) (net.Conn, error) // dials Kafka
	Store  func(journal.Store) journal.Store                                 // stands before the buffer
	NoDoor bool                                                              // the local door stays shut
}

// Gateway is one gateway. Run may be called once.
type Gateway struct {
	options Options
	config  *configs.Config
	log     *slog.Logger
	house   *house
	clock   clock
	started time.Time

	inbox    *inbox
	buses    []*bus.Bus
	loop     *loop
	writer   *writer
	buffer   *buffer.Buffer
	journal  *journal.Journal
	uplink   *uplink.Uplink // nil: none configured
	homeless error          // why the buffer lies in memory; nil: it lies on the disk
	refuge   string         // where it lies then
	gaps     uint64         // number of the newest gap in the buffer that was told
	last     atomic.Pointer[scan.Snapshot]
	ready    chan struct{} // closed when Run has built everything
}

// New builds everything that needs no I/O, so that a configuration can be checked offline. The error holds every fault,
// as configs.Faults where it has a place in the file.
func New(o Options) (*Gateway, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	h, err := build(o)
	if err != nil {
		return nil, err
	}
	g := &Gateway{options: o, config: o.Config, log: o.Log, house: h, inbox: newInbox(), ready: make(chan struct{})}
	for i, b := range h.buses {
		rest := b.rest()
		g.buses = append(g.buses, bus.New(bus.Options{Index: i, Name: b.name, Driver: b.driver, Every: b.every,
			WriteTimeout: rest + 3*b.timeout, ReadTimeout: rest + 2*b.timeout, Sink: g.inbox, Log: o.Log}))
	}
	encoder, err := contract.NewEncoder(contract.Source{Gateway: o.Config.Gateway.ID, Facility: o.Config.Gateway.FacilityID,
		Build: o.Version, ConfigHash: o.Config.Hash()})
	if err != nil {
		return nil, err
	}
	g.writer = newWriter(h, encoder, o.Log)
	if _, err := scan.New(h.scan, nil, false); err != nil {
		return nil, err
	}
	return g, nil
}

// Run runs the gateway until ctx ends, and stops it safely: outputs at their safe values and confirmed, everything
// committed, what Kafka takes within a few seconds sent. An error says what could not be started, that the cycle hung, or
// which outputs did not confirm. Trouble with Kafka, the disk or the local door is told and ends nothing.
func (g *Gateway) Run(ctx context.Context) error {
	if err := g.open(); err != nil {
		return err
	}
	defer func() {
		if err := g.closeBuffer(); err != nil {
			g.log.Error("the buffer was not closed in order; the next start will look through it", "error", err)
		}
	}()
	g.log.Info("gateway starts", "gateway", g.config.Gateway.ID, "mode", g.config.Gateway.Mode, "version", g.options.Version,
		"points", len(g.house.points), "outputs", len(g.house.outputs), "rules", len(g.house.specs))
	// Against the data flow: the journal stands before anything is read, the doors open last. What must outlive the signal
	// to stop has a context of its own.
	own := context.WithoutCancel(ctx)
	var t crew
	failure := make(chan error, 1)
	t.journal = start(own, g.told("journal", g.journal.Run))
	if g.uplink != nil {
		t.uplink = start(own, g.told("uplink", g.uplink.Run))
	}
	t.buses = start(own, g.runBuses)
	t.loop = start(ctx, func(ctx context.Context) { t.unconfirmed = g.loop.run(ctx) })
	t.watch = start(ctx, func(ctx context.Context) {
		if err := g.watch(ctx); err != nil {
			failure <- err
		}
	})
	if !g.options.World.NoDoor {
		t.doors = start(ctx, g.told("api", api.NewServer(g.Socket(), g, g.log).Serve))
	}
	close(g.ready)

	var err error
	select {
	case <-ctx.Done():
	case err = <-failure:
		g.log.Error("stopping", "error", err)
	}
	return errors.Join(err, g.stop(&t))
}

// crew are the threads of a running gateway.
type crew struct {
	journal, uplink, buses, loop, watch, doors thread
	unconfirmed                                []string // outputs; valid once loop has ended
}

// told runs a thread that must not end the gateway: what ends it is a fault that everybody hears of.
func (g *Gateway) told(name string, run func(context.Context) error) func(context.Context) {
	return func(ctx context.Context) {
		if err := run(ctx); err != nil {
			g.log.Error(name+" has ended", "error", err)
			g.inbox.condition(scan.Condition{Key: name + " ended", Type: "error", Severity: rules.Critical,
				Title: "the gateway runs without its " + name, Description: err.Error() + "; restart the gateway once that is mended", On: true})
		}
	}
}

// stop ends the threads along the data flow, each in the time it may take.
func (g *Gateway) stop(t *crew) error {
	began := time.Now()
	t.doors.end(time.Second, nil)
	if !t.loop.end(settleTime+time.Second, nil) {
		return g.emergencyStop()
	}
	t.watch.end(time.Second, nil)
	g.log.Info("the outputs are where a stop leaves them", "unconfirmed", t.unconfirmed, "took", time.Since(began).Round(time.Millisecond))
	// The journal commits what the last cycle left while the buses hang up; Kafka gets the rest of the time.
	g.inbox.close()
	t.buses.stop()
	if !t.journal.end(3*time.Second, nil) {
		g.log.Error("the disk did not take the last records in time")
	}
	t.buses.end(2*time.Second, nil)
	if !t.uplink.end(stopTime-time.Since(began), g.options.Hurry) {
		g.log.Warn("the uplink did not end in time; what it had not sent stays in the buffer")
	}
	g.log.Info("stopped", "took", time.Since(began).Round(time.Millisecond))
	if len(t.unconfirmed) > 0 {
		return fmt.Errorf("these outputs did not confirm their safe values: %s; look at the devices", strings.Join(t.unconfirmed, ", "))
	}
	return nil
}

// emergencyStop sends every output its safe value past a cycle that hangs. Nobody can confirm it.
func (g *Gateway) emergencyStop() error {
	g.inbox.close() // a bus that waits for the cycle to take what it has read would write nothing
	if g.config.Gateway.Mode == configs.Control {
		for i := range g.house.scan.Outputs {
			o := &g.house.scan.Outputs[i]
			if !o.Hold {
				g.buses[g.house.outputs[i].bus].Write(bus.Write{Output: i, Point: g.house.points[o.Point].ID, Value: o.Safe, Safety: true})
			}
		}
		time.Sleep(2 * time.Second)
	}
	return errors.New("the cycle did not end; safe values were sent, but nobody has seen them confirmed: look at the devices")
}

// runBuses runs all buses until ctx ends.
func (g *Gateway) runBuses(ctx context.Context) {
	var all sync.WaitGroup
	for _, b := range g.buses {
		all.Go(func() { b.Run(ctx) })
	}
	all.Wait()
}

// Socket is the path of the local door.
func (g *Gateway) Socket() string {
	if g.config.Gateway.Socket != "" {
		return g.config.Gateway.Socket
	}
	return filepath.Join(g.config.Gateway.DataDir, "glasshouse.sock")
}

// Ready is closed when everything runs.
func (g *Gateway) Ready() <-chan struct{} { return g.ready }
