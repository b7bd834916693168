package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime/debug"

	"github.com/spf13/cobra"

	"gacp-erp.internal/glasshouse/configs"
	"gacp-erp.internal/glasshouse/gateway"
)

func newRun(hurry <-chan struct{}) *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "run -c FILE",
		Short: "Run the gateway",
		Long: `Run the gateway until SIGTERM or Ctrl-C. It then sets every output to its safe value, waits until the devices confirm,
and exits 0. A second signal skips what can wait, never the safe outputs.`,
		Example: `  glasshouse check -c /etc/glasshouse/glasshouse.yaml && glasshouse run -c /etc/glasshouse/glasshouse.yaml`,
		Args:    exactly(0),
	}
	configFlag(cmd, &file)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		outliveReader()
		config, err := load(cmd, file)
		if err != nil {
			return err
		}
		lines := newLogWriter(os.Stderr)
		defer lines.close()
		log := slog.New(slog.NewTextHandler(lines, &slog.HandlerOptions{Level: config.Gateway.LogLevel()}))
		sparing()
		g, err := gateway.New(gateway.Options{Config: config, Version: version, Log: log, Probe: probeInChild, Hurry: hurry})
		if err != nil {
			return said(cmd, err)
		}
		return g.Run(cmd.Context())
	}
	return cmd
}

func newCheck() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "check -c FILE",
		Short: "Check a configuration without touching any device",
		Long: `Check a configuration with the very constructors that run uses, offline. Prints the points, what is asked of each bus
and each rule as a sentence; or every fault with its line and column, and exits 1.`,
		Args: exactly(0),
	}
	configFlag(cmd, &file)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		config, err := load(cmd, file)
		if err != nil {
			return err
		}
		g, err := gateway.New(gateway.Options{Config: config, Version: version, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			return said(cmd, err)
		}
		return g.Describe(cmd.OutOrStdout())
	}
	return cmd
}

// sparing makes the collector run when the heap has grown by two fifths, unless GOGC is set. The box is small and has other work;
// under full load this saves a third of the memory for some per cent of a processor.
func sparing() {
	const growth = 40 // per cent
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(growth)
	}
}

// configFlag adds -c.
func configFlag(cmd *cobra.Command, file *string) {
	cmd.Flags().StringVarP(file, "config", "c", "/etc/glasshouse/glasshouse.yaml", "the configuration")
}

// load reads the configuration; its faults are printed one a line with the place in the file.
func load(cmd *cobra.Command, file string) (*configs.Config, error) {
	config, err := configs.Load(file)
	if err != nil {
		return nil, said(cmd, err)
	}
	return config, nil
}

// said prints an error that has many lines as it is, and returns errSaid.
func said(cmd *cobra.Command, err error) error {
	complain(cmd.ErrOrStderr(), err)
	return errSaid
}

// complain prints the faults of a configuration, then how many they are.
func complain(w io.Writer, err error) {
	fmt.Fprintln(w, err)
	var faults configs.Faults
	if errors.As(err, &faults) {
		fmt.Fprintf(w, "%d fault(s)\n", len(faults))
	}
}
