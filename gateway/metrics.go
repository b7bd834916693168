package gateway

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"gacp-erp.internal/glasshouse/gateway/api"
)

// Metrics writes the Prometheus text format, from the same numbers as Status.
func (g *Gateway) Metrics(w io.Writer) error {
	s := g.Status()
	page := &page{}
	page.add("glasshouse_info", "gauge", "The running gateway.", 1, "gateway", s.Gateway, "version", s.Version, "mode", s.Mode)
	page.add("glasshouse_start_time_seconds", "gauge", "Start of the process, unix time.", float64(s.Started.Unix()))
	page.add("glasshouse_cycles_total", "counter", "Cycles since the start.", float64(s.Cycles.Number))
	page.add("glasshouse_cycle_last_seconds", "gauge", "Duration of the newest cycle.", s.Cycles.LastSeconds)
	page.add("glasshouse_cycle_max_seconds", "gauge", "Longest cycle since the start.", s.Cycles.MaxSeconds)
	page.add("glasshouse_heard_total", "counter", "Messages and answers to polls that came in: told, unsaid or invalid.", float64(s.Cycles.Heard))
	page.add("glasshouse_told_total", "counter", "Messages and answers that became a telemetry event.", float64(s.Cycles.Told))
	page.add("glasshouse_unsaid_total", "counter", "Messages and answers that no event tells of.", float64(s.Cycles.Unsaid))
	page.add("glasshouse_records_total", "counter", "Events of all kinds handed to the journal.", float64(s.Cycles.Records))
	page.add("glasshouse_events_invalid_total", "counter", "Events that broke the contract and were not kept.", float64(s.Cycles.Invalid))
	page.points(s)
	page.buses(s)
	page.buffer(s)
	_, err := io.WriteString(w, page.String())
	return err
}

// page is the text, one family after the other.
type page struct {
	strings.Builder
	family string
}

// add writes a sample; labels are name, value, name, value. A family's samples follow each other.
func (p *page) add(name, kind, help string, value float64, labels ...string) {
	if p.family != name {
		p.family = name
		fmt.Fprintf(p, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind)
	}
	p.WriteString(name)
	for i := 0; i+1 < len(labels); i += 2 {
		sep := "{"
		if i > 0 {
			sep = ","
		}
		fmt.Fprintf(p, "%s%s=%s", sep, labels[i], quote(labels[i+1]))
	}
	if len(labels) > 0 {
		p.WriteString("}")
	}
	p.WriteString(" " + strconv.FormatFloat(value, 'g', -1, 64) + "\n")
}

// quote writes a label's value as the format wants it.
func quote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(strings.ToValidUTF8(s, "?")) + `"`
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func (p *page) points(s api.Status) {
	for _, pt := range s.Points {
		if pt.Value != nil {
			p.add("glasshouse_point_value", "gauge", "Latest usable value of a point, in its unit; absent while there is none.", *pt.Value, "point", pt.ID, "zone", pt.Zone, "quantity", pt.Quantity, "unit", pt.Unit)
		}
	}
	for _, pt := range s.Points {
		p.add("glasshouse_point_good", "gauge", "1 while a point's value is good.", truth(pt.Quality == "good"), "point", pt.ID)
	}
	for _, o := range s.Outputs {
		p.add("glasshouse_output_desired", "gauge", "What an output should be.", o.Desired, "output", o.Name, "zone", o.Zone)
	}
	for _, o := range s.Outputs {
		p.add("glasshouse_output_confirmed", "gauge", "1 while the device has confirmed what an output should be.", truth(o.Confirmed), "output", o.Name)
	}
	for _, z := range s.Zones {
		for _, r := range z.Ranges {
			p.add("glasshouse_alert_firing", "gauge", "1 while a range's alert is open.", truth(r.AlertID != ""), "zone", z.Name, "quantity", r.Quantity)
		}
	}
	for _, d := range s.Devices {
		p.add("glasshouse_device_online", "gauge", "1 while a device is heard.", truth(d.Status == "online"), "device", d.ID)
	}
	p.add("glasshouse_faults", "gauge", "Faults that stand.", float64(len(s.Faults)))
}

func (p *page) buses(s api.Status) {
	for _, b := range s.Buses {
		p.add("glasshouse_bus_healthy", "gauge", "1 while a bus can be reached.", truth(b.Healthy), "bus", b.Name)
	}
	for _, b := range s.Buses {
		p.add("glasshouse_bus_late_polls_total", "counter", "Polls that began over a period late.", float64(b.Late), "bus", b.Name)
	}
	for _, b := range s.Buses {
		p.add("glasshouse_bus_messages_total", "counter", "Messages that came: heard, rejected, dropped or overruns.", float64(b.Messages), "bus", b.Name)
	}
	for _, b := range s.Buses {
		p.add("glasshouse_bus_overruns_total", "counter", "QoS 1 messages beyond what was asked for; they come again.", float64(b.Overruns), "bus", b.Name)
	}
	for _, b := range s.Buses {
		p.add("glasshouse_bus_rejected_messages_total", "counter", "Messages that were refused.", float64(b.Rejected), "bus", b.Name)
	}
	for _, b := range s.Buses {
		p.add("glasshouse_bus_dropped_messages_total", "counter", "QoS 0 messages that found no room.", float64(b.Dropped), "bus", b.Name)
	}
	p.units(s, "glasshouse_unit_requests_total", "counter", "Requests to a unit.", func(u api.Unit) float64 { return float64(u.Requests) })
	p.units(s, "glasshouse_unit_errors_total", "counter", "Requests that a unit did not answer well.", func(u api.Unit) float64 { return float64(u.Errors) })
	p.units(s, "glasshouse_unit_latency_seconds", "gauge", "Mean time to an answer.", func(u api.Unit) float64 { return u.LatencySeconds })
}

func (p *page) units(s api.Status, name, kind, help string, value func(api.Unit) float64) {
	for _, b := range s.Buses {
		for _, u := range b.Units {
			p.add(name, kind, help, value(u), "bus", b.Name, "unit", u.Name)
		}
	}
}

func (p *page) buffer(s api.Status) {
	b := s.Buffer
	p.add("glasshouse_buffer_bytes", "gauge", "Size of the buffer's files.", float64(b.Bytes))
	p.add("glasshouse_buffer_max_bytes", "gauge", "Budget of the buffer's files.", float64(b.MaxBytes))
	p.add("glasshouse_buffer_room_bytes", "gauge", "What may come before raw telemetry is dropped or the disk is full, if nothing is delivered meanwhile.", float64(b.RoomBytes))
	if b.Forecast != nil {
		p.add("glasshouse_buffer_forecast_seconds", "gauge", "Until raw telemetry is dropped at this rate, if nothing is delivered meanwhile; absent while not known.", *b.Forecast)
	}
	p.add("glasshouse_buffer_gaps_total", "counter", "Gaps since the epoch began: records lost before Kafka had them.", float64(b.Gaps))
	p.add("glasshouse_buffer_segments", "gauge", "Files of the buffer.", float64(b.Segments))
	p.add("glasshouse_journal_degraded", "gauge", "1 while the disk does not take what happens.", truth(b.DegradedSince != nil))
	p.add("glasshouse_journal_memory_bytes", "gauge", "Bytes of the records that wait in memory for the disk.", float64(b.InMemory))
	p.add("glasshouse_journal_pending", "gauge", "Records that wait in memory for the disk.", float64(b.Pending))
	p.add("glasshouse_journal_stored_total", "counter", "Records stored since the start.", float64(b.Records))
	p.add("glasshouse_buffer_sequence", "counter", "Records stored since the epoch began: delivered, waiting, set aside or dropped.", float64(b.Sequence))
	p.add("glasshouse_journal_dropped_total", "counter", "Records that found no room while the disk was away.", float64(b.Dropped))
	p.add("glasshouse_journal_commits_total", "counter", "Commits since the start.", float64(b.Commits))
	p.add("glasshouse_journal_commit_seconds", "gauge", "Mean duration of a commit.", b.CommitSeconds)
	lanes := func(name, kind, help string, value func(api.Lane) float64) {
		for _, l := range b.Lanes {
			p.add(name, kind, help, value(l), "topic", l.Name)
		}
	}
	lanes("glasshouse_lane_waiting", "gauge", "Records that Kafka has not acknowledged.", func(l api.Lane) float64 { return float64(l.Waiting) })
	lanes("glasshouse_lane_delivered_total", "counter", "Records that Kafka has acknowledged since the epoch began.", func(l api.Lane) float64 { return float64(l.Delivered) })
	lanes("glasshouse_lane_sent_total", "counter", "Records that Kafka has acknowledged since the start.", func(l api.Lane) float64 { return float64(l.Sent) })
	lanes("glasshouse_lane_set_aside_total", "counter", "Records that Kafka will never take.", func(l api.Lane) float64 { return float64(l.SetAside) })
	lanes("glasshouse_lane_dropped_total", "counter", "Records that found no room in the buffer.", func(l api.Lane) float64 { return float64(l.Dropped) })
	lanes("glasshouse_lane_blocked", "gauge", "1 while Kafka refuses a topic.", func(l api.Lane) float64 { return truth(l.Blocked != "") })
	p.add("glasshouse_uplink_connected", "gauge", "1 while Kafka answers.", truth(s.Uplink.Connected))
}
