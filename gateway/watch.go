package gateway

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"gacp-erp.internal/glasshouse/buffer"
	"gacp-erp.internal/glasshouse/gateway/contract"
	"gacp-erp.internal/glasshouse/gateway/journal"
	"gacp-erp.internal/glasshouse/gateway/scan"
	"gacp-erp.internal/glasshouse/rules"
)

// watch looks once a second at what no cycle can see: that cycles still begin, that the buffer has room, that Kafka takes
// each topic. It tells the cycle, which tells everybody. A hung cycle ends the gateway, for nothing else can.
func (g *Gateway) watch(ctx context.Context) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	told := map[string]bool{}
	tell := func(c scan.Condition) {
		if told[c.Key] != c.On {
			told[c.Key] = c.On
			g.inbox.condition(c)
		}
	}
	for {
		g.look(tell)
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if late := g.clock.now().Steady - time.Duration(g.loop.began.Load()); late > hangTime {
			return fmt.Errorf("no cycle has begun for %s: the process must be restarted", late.Round(time.Second))
		}
	}
}

// greet tells what opening the buffer found, and ends what an earlier run had told of and nobody else would end.
func (g *Gateway) greet() {
	g.gaps, _ = strconv.ParseUint(string(g.buffer.Note(noteGaps)), 10, 64)
	found := g.buffer.Found()
	g.inbox.condition(scan.Condition{Key: "buffer found", Type: "error", Severity: rules.Critical,
		Title: "the buffer was repaired at the start", Description: strings.Join(found, "; "), On: len(found) > 0})
	if g.homeless != nil {
		g.inbox.condition(scan.Condition{Key: "disk", Type: "error", Severity: rules.Critical, Title: "the data directory cannot be used",
			Description: fmt.Sprintf("%v; events are kept in memory and would not outlive a restart, and alerts have begun anew; mend the disk, then restart the gateway", g.homeless), On: true})
	} else {
		g.inbox.condition(scan.Condition{Key: "disk"})
	}
	for _, key := range []string{"journal", "journal ended", "uplink ended", "api ended"} {
		g.inbox.condition(scan.Condition{Key: key})
	}
	for _, lane := range g.house.lanes {
		g.inbox.condition(scan.Condition{Key: "lane " + string(lane.Name)})
	}
}

// look compares with what was told before: gaps in the buffer, and topics that Kafka refuses.
func (g *Gateway) look(tell func(scan.Condition)) {
	for _, gap := range g.buffer.Gaps(g.gaps) {
		g.gaps = gap.Number
		why := "the buffer was full; bring back the link to Kafka or raise buffer.maxSize"
		if gap.Damage {
			why = "a file of the buffer was damaged"
		}
		g.gap(gap.Number, fmt.Sprintf("%d records of %s%s never reached Kafka (sequences %d to %d): %s", gap.Count, gap.Lane, span(&gap), gap.First, gap.Last, why))
	}
	g.writer.facts.Store(g.facts())
	if g.uplink == nil {
		return
	}
	for _, lane := range g.uplink.Stats().Lanes {
		tell(scan.Condition{Key: "lane " + string(lane.Name), Type: "error", Severity: rules.Critical,
			Title: "Kafka does not take " + lane.Topic, Description: lane.Blocked, On: lane.Blocked != ""})
	}
}

// facts are what the gateway's own telemetry says of it, each minute.
func (g *Gateway) facts() *[]contract.Fact {
	stats, waiting := g.buffer.Stats(), uint64(0)
	for _, lane := range stats.Lanes {
		waiting += lane.Waiting
	}
	disk, link := "well", "none"
	if degraded, _ := g.journal.Degraded(); degraded {
		disk = "degraded"
	}
	if g.uplink != nil {
		link = "away"
		if g.uplink.Stats().Connected {
			link = "connected"
		}
	}
	return &[]contract.Fact{{Name: "version", Text: g.options.Version}, {Name: "mode", Text: string(g.config.Gateway.Mode)},
		{Name: "configHash", Text: g.config.Hash()}, {Name: "journal", Text: disk}, {Name: "uplink", Text: link},
		{Name: "waiting", Text: strconv.FormatUint(waiting, 10)}, {Name: "bufferBytes", Text: strconv.FormatInt(stats.Bytes, 10)}}
}

// span says when a gap's records were made, where that is known: a file that cannot be read does not tell.
func span(gap *buffer.Gap) string {
	if gap.To == 0 {
		return ""
	}
	return fmt.Sprintf(" from %s to %s", time.UnixMilli(gap.From).UTC().Format(time.RFC3339), time.UnixMilli(gap.To).UTC().Format(time.RFC3339))
}

// gap tells that records are missing, by the gap's number in the buffer if it is one of the buffer's: a fault that begins and ends at once, since nothing will bring them back.
func (g *Gateway) gap(number uint64, description string) {
	c := scan.Condition{Key: "gap", Type: "maintenance", Severity: rules.Critical, Title: "records are missing", Description: description, On: true}
	over := c
	over.On = false
	g.inbox.gap(number, c, over)
}

// journalChanged tells the cycle that the disk does not keep up, or does again, and what was lost meanwhile.
func (g *Gateway) journalChanged(s journal.State) {
	c := scan.Condition{Key: "journal", Type: "error", Severity: rules.Critical, Title: "the disk does not take what happens", On: s.Degraded}
	if s.Degraded {
		c.Description = fmt.Sprintf("%v; the newest records wait in memory and would not outlive a restart; look at the disk", s.Err)
	}
	g.inbox.condition(c)
	if d := s.Dropped; !s.Degraded && d.Critical+d.Telemetry > 0 {
		g.gap(0, fmt.Sprintf("the disk was away from %s to %s: %d telemetry and %d critical records of %s to %s were dropped", s.Since.UTC().Format(time.RFC3339),
			s.Until.UTC().Format(time.RFC3339), d.Telemetry, d.Critical, s.First.UTC().Format(time.RFC3339), s.Last.UTC().Format(time.RFC3339)))
	}
}
