package gateway

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"gacp-erp.internal/glasshouse/buffer"
	"gacp-erp.internal/glasshouse/drivers/mqtt"
	"gacp-erp.internal/glasshouse/gateway/contract"
	"gacp-erp.internal/glasshouse/gateway/journal"
	"gacp-erp.internal/glasshouse/gateway/scan"
	"gacp-erp.internal/glasshouse/gateway/uplink"
)

// open builds what needs the disk: buffer, journal, the cycle with its state of before, and the uplink, which does not
// connect yet.
func (g *Gateway) open() error {
	g.started, g.clock = time.Now(), newClock(g.config.Gateway.Location)
	var lanes []buffer.LaneSpec
	for _, l := range g.house.lanes {
		lanes = append(lanes, buffer.LaneSpec{Name: l.Name, Critical: l.Critical})
	}
	if err := g.openBuffer(buffer.Options{Dir: g.bufferDir(), MaxBytes: g.config.Buffer.MaxSize,
		Reserve: g.config.Buffer.Reserve, Lanes: lanes, Probe: g.options.Probe, Log: g.log}); err != nil {
		return err
	}
	if err := g.openLoop(); err != nil {
		return errors.Join(err, g.closeBuffer())
	}
	g.recall()
	g.greet()
	g.writer.facts.Store(g.facts())
	if len(g.config.Uplink.Brokers) > 0 {
		o, err := g.uplinkOptions()
		if err == nil {
			g.uplink, err = uplink.New(o)
		}
		if err != nil {
			return errors.Join(err, g.closeBuffer())
		}
	}
	return nil
}

// openLoop builds the journal and the cycle, which goes on from the state that the buffer holds. A state that cannot be
// read must not keep the plants without a gateway: it starts anew, and says so.
func (g *Gateway) openLoop() error {
	var store journal.Store = g.buffer
	if g.options.World.Store != nil {
		store = g.options.World.Store(store)
	}
	g.journal = journal.New(journal.Options{Store: store, Critical: g.critical, Changed: g.journalChanged, Log: g.log})
	boot := bootID()
	core, err := scan.New(g.house.scan, g.buffer.Note(noteState), string(g.buffer.Note(noteBoot)) == boot)
	if err != nil {
		g.log.Error("the state of before cannot be used; alerts and holds start anew", "error", err)
		if core, err = scan.New(g.house.scan, nil, false); err != nil {
			return err
		}
	}
	g.loop = &loop{house: g.house, core: core, clock: g.clock, inbox: g.inbox, buses: g.buses, journal: g.journal, writer: g.writer,
		asks: make(chan chan *scan.Snapshot), tell: g.options.Tell, log: g.log, boot: []byte(boot), spare: &intake{}, known: g.buffer.Note}
	return nil
}

// recallRecords is how many of the newest records recall looks at: what brokers may send without an acknowledgement, and
// as much again for what came from elsewhere meanwhile.
const recallRecords = 4 * receiveMaximum

// recall tells the drivers which messages were kept shortly before the end of the process before: their brokers may not
// have been told, and then send them again.
func (g *Gateway) recall() {
	busOf, kept := map[int]*mqtt.Driver{}, map[*mqtt.Driver][][16]byte{}
	for i := range g.house.buses {
		if d, ok := g.house.buses[i].driver.(*mqtt.Driver); ok {
			for _, device := range g.house.buses[i].devices {
				busOf[device] = d
			}
		}
	}
	if len(busOf) == 0 {
		return
	}
	entries, err := g.buffer.Newest(contract.TopicTelemetry, recallRecords)
	if err != nil {
		g.log.Warn("not all of the newest records can be read; messages that come again may be kept twice", "error", err)
	}
	for i := range entries {
		device, ok := g.house.deviceOf[string(entries[i].Key)]
		d := busOf[device]
		if !ok || d == nil {
			continue
		}
		for name, value := range contract.Headers(entries[i].Head) {
			if name != contract.HeaderEventID {
				continue
			}
			if id, err := contract.ParseID(string(value)); err == nil {
				kept[d] = append(kept[d], id)
			}
			break
		}
	}
	for d, ids := range kept {
		d.Remember(ids...)
	}
}

// critical says whether a lane's records may be dropped only last of all.
func (g *Gateway) critical(lane buffer.Lane) bool {
	for _, l := range g.house.lanes {
		if l.Name == lane {
			return l.Critical
		}
	}
	return true
}

// bootID names this boot of the machine: leases outlive a restart of the process, not one of the machine. Where the system
// does not tell, each start is a boot of its own.
func bootID() string {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return fmt.Sprintf("unknown at %d", time.Now().UnixNano())
	}
	return strings.TrimSpace(string(id))
}

// Probe reads one buffer file from end to end. It may die of a damaged one, so it runs in a process of its own.
func Probe(file string) error { return buffer.Probe(file) }
