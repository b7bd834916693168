package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"gacp-erp.internal/glasshouse/gateway/api"
)

func newStatus() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show zones, outputs, buses, buffer and uplink of the running gateway",
		Example: `  glasshouse status
  glasshouse status --json | jq '.outputs[] | select(.confirmed | not)'`,
		Args: exactly(0),
	}
	client := socketFlag(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print everything as JSON")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		status, err := client().Status(cmd.Context())
		if err != nil {
			return err
		}
		if asJSON {
			return printJSON(cmd.OutOrStdout(), status)
		}
		return printStatus(cmd.OutOrStdout(), status)
	}
	return cmd
}

func newPoints() *cobra.Command {
	var asJSON, all bool
	cmd := &cobra.Command{
		Use:   "points",
		Short: "Show the latest value of every point",
		Args:  exactly(0),
	}
	client := socketFlag(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print as JSON")
	cmd.Flags().BoolVar(&all, "all", false, "also those that a device may have and has never sent")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		status, err := client().Status(cmd.Context())
		if err != nil {
			return err
		}
		if asJSON {
			return printJSON(cmd.OutOrStdout(), status.Points)
		}
		return printPoints(cmd.OutOrStdout(), status, all)
	}
	return cmd
}

func printJSON(w io.Writer, v any) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(v)
}

// printStatus prints the page that fits a terminal of 80 columns.
func printStatus(w io.Writer, s api.Status) error {
	fmt.Fprintf(w, "%s, mode %s, version %s, up %s, %d cycles\n", s.Gateway, s.Mode, s.Version, s.Now.Sub(s.Started).Round(time.Second), s.Cycles.Number)
	page := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(page, "\nZONE\tQUANTITY\tVALUE\tRANGE\tSTATE")
	for _, zone := range s.Zones {
		for _, r := range zone.Ranges {
			fmt.Fprintf(page, "%s\t%s\t%s\t%s\t%s\n", zone.Name, r.Quantity, amount(r.Value, r.Unit), limits(r.Min, r.Max), phase(r, s.Now))
		}
	}
	fmt.Fprintln(page, "\nOUTPUT\tZONE\tIS\tSHOULD BE\tBECAUSE")
	for _, o := range s.Outputs {
		fmt.Fprintf(page, "%s\t%s\t%s\t%s\t%s\n", o.Name, o.Zone, state(o.Actual, "", o.Switch), state(&o.Desired, "", o.Switch), because(o))
	}
	fmt.Fprintln(page, "\nBUS\tSTATE\tLATE\tREJECTED\tDROPPED")
	for _, b := range s.Buses {
		fmt.Fprintf(page, "%s\t%s\t%d\t%d\t%d\n", b.Name, health(b.Healthy, b.Error), b.Late, b.Rejected, b.Dropped)
	}
	fmt.Fprintln(page, "\nTOPIC\tWAITING\tSENT\tSET ASIDE\tDROPPED\tSTATE")
	for _, l := range s.Buffer.Lanes {
		fmt.Fprintf(page, "%s\t%d\t%d\t%d\t%d\t%s\n", l.Name, l.Waiting, l.Sent, l.SetAside, l.Dropped, health(l.Blocked == "" && l.Error == "", l.Blocked+l.Error))
	}
	if err := page.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(w, "\nbuffer: %.1f of %.0f MiB in %d file(s)%s\n%s\nuplink: %s\n", mebi(s.Buffer.Bytes), mebi(s.Buffer.MaxBytes), s.Buffer.Segments, degraded(s.Buffer), forecast(s.Buffer), uplink(s.Uplink))
	for _, f := range s.Faults {
		fmt.Fprintf(w, "! %s since %s: %s (%s)\n", f.Device, f.Since.Local().Format("15:04:05"), f.Title, f.Description)
	}
	return nil
}

func printPoints(w io.Writer, s api.Status, all bool) error {
	page := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(page, "POINT\tZONE\tVALUE\tQUALITY\tAGE")
	for _, p := range s.Points {
		if p.Optional && p.At == nil && !all {
			continue
		}
		age := "never"
		if p.At != nil {
			age = s.Now.Sub(*p.At).Round(time.Second).String()
		}
		quality := p.Quality
		if p.Reason != "" {
			quality += ": " + p.Reason
		}
		fmt.Fprintf(page, "%s\t%s\t%s\t%s\t%s\n", p.ID, p.Zone, state(p.Value, p.Unit, p.Switch), quality, age)
	}
	return page.Flush()
}

// number prints a value, or a dash where there is none.
func number(v *float64) string {
	if v == nil {
		return "-"
	}
	return strconv.FormatFloat(math.Round(*v*100)/100, 'f', -1, 64)
}

// state is a value, or on and off for a switch.
func state(v *float64, unit string, onOff bool) string {
	switch {
	case v == nil || !onOff:
		return amount(v, unit)
	case *v == 0:
		return "off"
	}
	return "on"
}

// amount is a value with its unit, or a dash.
func amount(v *float64, unit string) string {
	if v == nil {
		return "-"
	}
	return strings.TrimSpace(number(v) + " " + unit)
}

func limits(low, high *float64) string {
	return strings.ReplaceAll(number(low)+".."+number(high), "-..", "..")
}

func phase(r api.Range, now time.Time) string {
	words := r.Phase
	if r.Severity != "" {
		words += " (" + r.Severity + ")"
	}
	if r.Since != nil {
		words += " for " + now.Sub(*r.Since).Round(time.Second).String()
	}
	return words
}

func because(o api.Output) string {
	words := o.Why
	if words == "" {
		words = o.Holder
	}
	if o.Until != nil {
		words += " until " + o.Until.Local().Format("15:04:05")
	}
	if !o.Confirmed {
		words += " (NOT CONFIRMED)"
	}
	if len(o.Overridden) > 0 {
		words += "; instead of " + strings.Join(o.Overridden, ", ")
	}
	return words
}

func health(ok bool, words string) string {
	switch {
	case ok:
		return "ok"
	case words == "":
		return "away"
	}
	return words
}

func mebi(bytes int64) float64 { return float64(bytes) / (1 << 20) }

func degraded(b api.Buffer) string {
	if b.DegradedSince == nil {
		return ""
	}
	return fmt.Sprintf("; DEGRADED since %s: %s; %.1f MiB wait in memory, %d records dropped",
		b.DegradedSince.Local().Format("15:04:05"), b.Error, mebi(b.InMemory), b.Dropped)
}

func uplink(u api.Uplink) string {
	if !u.Configured {
		return "none configured; events stay in the buffer"
	}
	return health(u.Connected, u.Error)
}
