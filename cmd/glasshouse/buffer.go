package main

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"gacp-erp.internal/glasshouse/gateway/api"
)

func newBuffer() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "buffer",
		Short: "Look at the events that are kept on this machine",
		Args:  exactly(0),
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newBufferStats(), newBufferVerify(), newBufferExport(), newBufferReplay())
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

func printBuffer(w io.Writer, b api.Buffer) error {
	fmt.Fprintf(w, "%s, epoch %s\n%.1f of %.0f MiB in %d file(s)%s%s\n%s\n", b.Dir, b.Epoch, mebi(b.Bytes), mebi(b.MaxBytes), b.Segments,
		growth(b), degraded(b), forecast(b))
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

// growth says what is added in an hour, once that is known.
func growth(b api.Buffer) string {
	if b.Growth == 0 {
		return ""
	}
	return fmt.Sprintf(", %.2f MiB an hour", b.Growth/(1<<20))
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
