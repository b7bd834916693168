package main

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"gacp-erp.internal/glasshouse/gateway/api"
	"gacp-erp.internal/glasshouse/gateway/archive"
)

func newBuffer() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "buffer",
		Short: "Look at the events that are kept on this machine",
		Args:  exactly(0),
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newBufferStats(), newBufferVerify(), newBufferExport())
	return cmd
}

func newBufferStats() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "stats",
		Short: "Show what the running gateway's buffer holds and how long its room lasts",
		Long: `Show the buffer of the running gateway: what it takes of the disk, each topic's queue, which records were lost before
Kafka had them, and how long it takes at this rate until raw telemetry is dropped if Kafka takes nothing meanwhile.`,
		Example: `  glasshouse buffer stats
  glasshouse buffer stats --json | jq .forecastSeconds/3600`,
		Args: exactly(0),
	}
	client := socketFlag(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print as JSON")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		status, err := client().Status(cmd.Context())
		if err != nil {
			return err
		}
		if asJSON {
			return printJSON(cmd.OutOrStdout(), status.Buffer)
		}
		return printBuffer(cmd.OutOrStdout(), status.Buffer)
	}
	return cmd
}

func newBufferVerify() *cobra.Command {
	return &cobra.Command{
		Use:   "verify DIR",
		Short: "Read the buffer of a stopped gateway from end to end and say what is damaged",
		Long: `Read every file of the buffer of a stopped gateway from end to end: its pages, every checksum, every record. DIR is
gateway.dataDir or the directory buffer in it; no byte there is changed. Each file is copied to $TMPDIR for the look.

Exits 1 if anything is damaged. A damaged file needs no help: the gateway passes over what cannot be read and tells of it.`,
		Example: `  glasshouse buffer verify /var/lib/glasshouse`,
		Args:    exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			faults, err := archive.Verify(cmd.Context(), args[0], cmd.OutOrStdout())
			if err == nil && faults > 0 {
				return errSaid
			}
			return err
		},
	}
}

func newBufferExport() *cobra.Command {
	var topic, from, to, format string
	cmd := &cobra.Command{
		Use:   "export DIR",
		Short: "Print the events in the buffer of a stopped gateway, one JSON line each",
		Long: `Print the events in the buffer of a stopped gateway, also those that Kafka has already, as far as they are still there:
topic, epoch, sequence, time, state, key, headers, body. First come those that were set aside, then all others in the
order of their sequences. DIR is gateway.dataDir or the directory buffer in it; no byte there is changed.

Times are as in 2026-03-01T12:00:00Z, or 2026-03-01 and "2026-03-01 12:00" in this machine's time. What is damaged is
told on stderr, and the rest printed; the exit code is 1 then.`,
		Example: `  glasshouse buffer export /var/lib/glasshouse --topic cultivation.environment.v1 | jq .body.payload
  glasshouse buffer export /var/lib/glasshouse --from 2026-03-01 --to 2026-03-02 | gzip > first-of-march.jsonl.gz`,
		Args: exactly(1),
	}
	cmd.Flags().StringVar(&topic, "topic", "", "only this topic, as the gateway calls it")
	cmd.Flags().StringVar(&from, "from", "", "only events from this time on")
	cmd.Flags().StringVar(&to, "to", "", "only events before this time")
	cmd.Flags().StringVar(&format, "format", "jsonl", "how to print them; there is only jsonl")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if format != "jsonl" {
			return usageError{fmt.Errorf("format %q: there is only jsonl", format)}
		}
		sel := archive.Selection{Topic: topic}
		for _, t := range []struct {
			text string
			to   *time.Time
		}{{from, &sel.From}, {to, &sel.To}} {
			var err error
			if *t.to, err = instant(t.text); err != nil {
				return usageError{err}
			}
		}
		damaged := false
		_, err := archive.Export(cmd.Context(), args[0], sel, cmd.OutOrStdout(), func(err error) {
			damaged = true
			fmt.Fprintf(cmd.ErrOrStderr(), "glasshouse: not exported: %v\n", err)
		})
		if err == nil && damaged {
			return errSaid
		}
		return err
	}
	return cmd
}

// instant reads a time as people type it; empty is the zero time.
func instant(text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{time.RFC3339Nano, time.DateTime, "2006-01-02 15:04", time.DateOnly} {
		if t, err := time.ParseInLocation(layout, text, time.Local); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("time %q: want it as 2026-03-01T12:00:00Z, 2026-03-01 or \"2026-03-01 12:00\"", text)
}

func printBuffer(w io.Writer, b api.Buffer) error {
	fmt.Fprintf(w, "%s, epoch %s\n%.1f of %.0f MiB in %d file(s), %.2f MiB an hour%s\n%s\n", b.Dir, b.Epoch, mebi(b.Bytes), mebi(b.MaxBytes), b.Segments,
		b.Growth/(1<<20), degraded(b), forecast(b))
	page := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(page, "\nTOPIC\tWAITING\tSET ASIDE\tDROPPED\tSENT\tSTATE")
	for _, l := range b.Lanes {
		fmt.Fprintf(page, "%s\t%d\t%d\t%d\t%d\t%s\n", l.Name, l.Waiting, l.SetAside, l.Dropped, l.Delivered, health(l.Blocked == "" && l.Error == "", l.Blocked+l.Error))
	}
	if len(b.LastGaps) > 0 {
		fmt.Fprintln(page, "\nGAP\tTOPIC\tRECORDS\tFROM\tTO\tBECAUSE")
	}
	for _, g := range b.LastGaps {
		why := "the buffer was full"
		if g.Damage {
			why = "a file was damaged"
		}
		fmt.Fprintf(page, "%d\t%s\t%d\t%s\t%s\t%s\n", g.Number, g.Topic, g.Count, g.From.Local().Format(time.DateTime), g.To.Local().Format(time.DateTime), why)
	}
	if err := page.Flush(); err != nil {
		return err
	}
	for _, name := range b.Quarantined {
		fmt.Fprintf(w, "! %s was damaged and put aside\n", name)
	}
	return nil
}

// forecast says how long the room lasts.
func forecast(b api.Buffer) string {
	if b.Forecast == nil {
		return "how long the room lasts is known once events have come for a minute"
	}
	left := time.Duration(*b.Forecast * float64(time.Second))
	words := fmt.Sprintf("%.1f hours", left.Hours())
	if left >= 72*time.Hour {
		words = fmt.Sprintf("%.0f hours (%.0f days)", left.Hours(), left.Hours()/24)
	}
	return "at this rate " + words + " until raw telemetry is dropped, if Kafka takes nothing meanwhile"
}
