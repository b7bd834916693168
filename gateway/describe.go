package gateway

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"gacp-erp.internal/glasshouse/configs"
	"gacp-erp.internal/glasshouse/drivers/modbus"
)

// Describe prints what the configuration comes to: points, outputs, what is asked of each bus, each rule as a sentence.
func (g *Gateway) Describe(w io.Writer) error {
	c := g.config
	fmt.Fprintf(w, "%s: gateway %s, mode %s, time zone %s, configuration %s\n", c.File, c.Gateway.ID, c.Gateway.Mode, c.Gateway.Timezone, c.Hash())
	page := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(page, "\nPOINT\tZONE\tUNIT\tCAN BE\tSTALE AFTER")
	optional := map[int][]string{} // by device
	for i := range g.house.points {
		p := &g.house.points[i]
		if p.quantity == "output" {
			continue
		}
		if p.Optional {
			optional[p.device] = append(optional[p.device], p.name)
			continue
		}
		limits := ""
		if p.Min < p.Max {
			limits = configs.Limits{Min: p.Min, Max: p.Max}.String()
		}
		age := "never"
		if p.MaxAge > 0 {
			age = short(p.MaxAge)
		}
		doubt := ""
		if p.doubtful {
			doubt = " (unverified profile: uncertain)"
		}
		fmt.Fprintf(page, "%s\t%s\t%s\t%s\t%s%s\n", p.ID, p.Zone, p.unit, limits, age, doubt)
	}
	for i := range g.house.devices {
		if names := optional[i]; names != nil {
			fmt.Fprintf(page, "%s.…\t%s\t\t\twhat it sends of: %s\n", g.house.devices[i].id, g.house.devices[i].zone, strings.Join(names, ", "))
		}
	}
	if len(g.house.outputs) > 0 {
		fmt.Fprintln(page, "\nOUTPUT\tZONE\tPOINT\tSAFE\tLIMITS")
	}
	for i := range g.house.outputs {
		o := &g.house.scan.Outputs[i]
		fmt.Fprintf(page, "%s\t%s\t%s\t%s\t%s\n", o.Name, o.Zone, g.house.points[o.Point].ID, g.word(i, o.Safe), limits(o.MinOn, o.MinOff, o.MaxRun, o.Hold))
	}
	if err := page.Flush(); err != nil {
		return err
	}
	g.describeBuses(w)
	fmt.Fprintln(w, "\nRULES")
	if len(g.house.specs) == 0 {
		fmt.Fprintln(w, "none: nothing is decided; add ranges to the zones")
	}
	for i := range g.house.specs {
		fmt.Fprintf(w, "- %s\n", g.house.rules.set.Sentence(i))
	}
	g.describeBuffer(w)
	return nil
}

// word is a value as people say it.
func (g *Gateway) word(output int, v float64) string {
	switch {
	case g.house.outputs[output].analog:
		return strconv.FormatFloat(v, 'g', -1, 64)
	case v != 0:
		return "on"
	}
	return "off"
}

// short is 2m and not 2m0s.
func short(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// limits are an output's safety limits in words.
func limits(minOn, minOff, maxRun time.Duration, hold bool) string {
	var words []string
	for _, one := range []struct {
		name string
		d    time.Duration
	}{{"minOn", minOn}, {"minOff", minOff}, {"maxRun", maxRun}} {
		if one.d > 0 {
			words = append(words, one.name+" "+short(one.d))
		}
	}
	if hold {
		words = append(words, "stays as it is at a stop")
	}
	return strings.Join(words, ", ")
}

func (g *Gateway) describeBuses(w io.Writer) {
	for i := range g.house.buses {
		b := &g.house.buses[i]
		fmt.Fprintf(w, "\nBUS %s at %s\n", b.name, b.endpoint)
		if d, ok := b.driver.(*modbus.Driver); ok {
			for _, line := range d.Plan() {
				fmt.Fprintf(w, "- %s\n", line)
			}
		} else {
			fmt.Fprintf(w, "- listens to %d device(s)\n", len(b.devices))
		}
	}
}

// bytesPerEvent is what a telemetry event takes in the buffer at small commits, as make bench measures it.
const bytesPerEvent = 380

// describeBuffer says how long the buffer lasts while Kafka is away. MQTT devices speak when they like: not counted.
func (g *Gateway) describeBuffer(w io.Writer) {
	perHour := 60.0 // the gateway's own
	for i := range g.house.buses {
		for _, r := range g.house.buses[i].driver.Requests() {
			every := r.Every
			if every == 0 {
				every = defaultEvery
			}
			perHour += float64(time.Hour) / float64(every)
		}
	}
	room := float64(g.config.Buffer.MaxSize - g.config.Buffer.Reserve)
	fmt.Fprintf(w, "\nBUFFER\n- %.0f events an hour are polled; with Kafka away %d MiB last about %.0f days before raw telemetry is dropped\n",
		perHour, g.config.Buffer.MaxSize>>20, room/bytesPerEvent/perHour/24)
	if len(g.config.Uplink.Brokers) == 0 {
		fmt.Fprintln(w, "- no uplink is configured: events stay in the buffer")
	}
}
