package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"gacp-erp.internal/glasshouse/gateway/api"
)

// newRoot lists the commands. The channel hurry is closed when somebody asks a second time to stop.
func newRoot(hurry <-chan struct{}) *cobra.Command {
	root := &cobra.Command{
		Use:   "glasshouse",
		Short: "Gateway and facility controller for greenhouses",
		Long: `Glasshouse reads the sensors of a greenhouse, keeps each zone's climate in its range by switching fans, heaters
and valves, and tells the central platform, also about what happened while the network was away.

Try it without any hardware: glasshouse demo`,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError{fmt.Errorf("%q is no command; see glasshouse --help", args[0])}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usageError{fmt.Errorf("%w; see %s --help", err, cmd.CommandPath())}
	})
	root.AddCommand(newRun(hurry), newCheck(), newDemo(hurry), newStatus(), newPoints(), newWrite(), newRelease(), newUplink(), newBuffer(), newOutputs(), newMQTT(), newVersion(), newProbe())
	root.CompletionOptions.HiddenDefaultCmd = true
	return root
}

// exactly is cobra.ExactArgs with exit code 2.
func exactly(n int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) == n:
			return nil
		case cmd.HasSubCommands():
			return usageError{fmt.Errorf("%q is no command of %s; see %s --help", args[0], cmd.Name(), cmd.CommandPath())}
		}
		return usageError{fmt.Errorf("%s takes %d argument(s), got %d; see %s --help", cmd.Name(), n, len(args), cmd.CommandPath())}
	}
}

// socketFlag adds --socket and returns how to find the running gateway.
func socketFlag(cmd *cobra.Command) func() *api.Client {
	path := cmd.Flags().String("socket", "", "the gateway's socket (default $GLASSHOUSE_SOCKET, else the usual places)")
	return func() *api.Client { return api.NewClient(findSocket(*path)) }
}

// findSocket returns the socket to ask: the flag, the environment, else the first of the usual places that exists.
func findSocket(flag string) string {
	if flag != "" {
		return flag
	}
	if env := os.Getenv("GLASSHOUSE_SOCKET"); env != "" {
		return env
	}
	places := []string{"/run/glasshouse/glasshouse.sock", "/var/lib/glasshouse/glasshouse.sock", "./glasshouse-demo/glasshouse.sock"}
	for _, place := range places {
		if _, err := os.Stat(place); !errors.Is(err, fs.ErrNotExist) {
			return place
		}
	}
	return places[1]
}
