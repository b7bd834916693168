package main

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/spf13/cobra"

	"gacp-erp.internal/glasshouse/gateway"
	"gacp-erp.internal/glasshouse/gateway/archive"
)

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
	var format string
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
	selection := selectionFlags(cmd)
	cmd.Flags().StringVar(&format, "format", "jsonl", "how to print them; there is only jsonl")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if format != "jsonl" {
			return usageError{fmt.Errorf("format %q: there is only jsonl", format)}
		}
		sel, err := selection()
		if err != nil {
			return err
		}
		damaged := false
		_, err = archive.Export(cmd.Context(), args[0], sel, cmd.OutOrStdout(), func(err error) {
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

func newBufferReplay() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "replay DIR -c FILE",
		Short: "Send events from the buffer of a stopped gateway to Kafka again",
		Long: `Send events from the buffer of a stopped gateway to Kafka again, also those that Kafka had already, as far as they are
still there. They are sent as the first time, with the same event ids, and with the header "replayed" besides; consumers
that know an event id take it once. DIR is gateway.dataDir or the directory buffer in it; no byte there is changed. FILE is
the configuration that names the Kafka.

It needs a range: --from and --to, or --first and --last. While Kafka is away it waits; Ctrl-C ends it and says how far it
has come. What is damaged is told on stderr and passed over; the exit code is 1 then.`,
		Example: `  glasshouse buffer replay /var/lib/glasshouse --from "2026-03-01 12:00" --to "2026-03-01 18:00" --topic device.telemetry.v1
  glasshouse buffer replay /var/lib/glasshouse --first 120000 --last 125000`,
		Args: exactly(1),
	}
	configFlag(cmd, &file)
	selection := selectionFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		sel, err := selection()
		if err != nil {
			return err
		}
		if (sel.From.IsZero() || sel.To.IsZero()) && (sel.First == 0 || sel.Last == 0) {
			return usageError{errors.New("replay needs a range: --from and --to, or --first and --last")}
		}
		config, err := load(cmd, file)
		if err != nil {
			return err
		}
		damaged := false
		log := slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: slog.LevelWarn}))
		sent, err := gateway.Replay(cmd.Context(), gateway.ReplayOptions{Config: config, Dir: args[0], Which: sel, Log: log, Fault: func(err error) {
			damaged = true
			fmt.Fprintf(cmd.ErrOrStderr(), "glasshouse: not sent: %v\n", err)
		}})
		total := 0
		for _, s := range sent {
			total += s.Sent
			damaged = damaged || s.Rejected > 0
			fmt.Fprintf(cmd.OutOrStdout(), "%s: %d sent again, up to sequence %d; %d rejected\n", s.Topic, s.Sent, s.Last, s.Rejected)
		}
		fmt.Fprintf(cmd.OutOrStdout(), "%d records sent again\n", total)
		if err == nil && damaged {
			return errSaid
		}
		return err
	}
	return cmd
}

// selectionFlags adds the flags that say which records are meant, and returns how to read them.
func selectionFlags(cmd *cobra.Command) func() (archive.Selection, error) {
	var sel archive.Selection
	var from, to string
	cmd.Flags().StringVar(&sel.Topic, "topic", "", "only this topic, as the gateway calls it")
	cmd.Flags().StringVar(&from, "from", "", "only events from this time on")
	cmd.Flags().StringVar(&to, "to", "", "only events before this time")
	cmd.Flags().Uint64Var(&sel.First, "first", 0, "only events from this sequence on")
	cmd.Flags().Uint64Var(&sel.Last, "last", 0, "only events up to this sequence")
	return func() (archive.Selection, error) {
		var errs [2]error
		sel.From, errs[0] = instant(from)
		sel.To, errs[1] = instant(to)
		if err := errors.Join(errs[:]...); err != nil {
			return sel, usageError{err}
		}
		return sel, nil
	}
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
