package main

import (
	"github.com/spf13/cobra"

	"gacp-erp.internal/glasshouse/gateway"
)

func newUplink() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "uplink",
		Short: "Look at the way to Kafka",
		Args:  exactly(0),
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newUplinkDoctor())
	return cmd
}

func newUplinkDoctor() *cobra.Command {
	var file string
	var fix, asJSON bool
	cmd := &cobra.Command{
		Use:   "doctor -c FILE",
		Short: "Find out what keeps events from reaching Kafka, and how to mend it",
		Long: `Look at the Kafka of a configuration: brokers, TLS, log-in, version, topics, rights and clocks. Below each finding that
is not ok stands the command that mends it, for somebody who may run Kafka's own tools (in admin.properties stands how
they log in). With --fix missing topics are created where that is allowed. No gateway need run, and no record is written.

Exits 1 if something keeps events from getting through.`,
		Example: `  glasshouse uplink doctor -c /etc/glasshouse/glasshouse.yaml
  glasshouse uplink doctor --fix --json | jq -r '.findings[] | select(.level == "fail") | .fix'`,
		Args: exactly(0),
	}
	configFlag(cmd, &file)
	cmd.Flags().BoolVar(&fix, "fix", false, "create missing topics where allowed")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the findings as JSON")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		config, err := load(cmd, file)
		if err != nil {
			return err
		}
		report, err := gateway.Doctor(cmd.Context(), config, fix)
		if err != nil {
			return err
		}
		if asJSON {
			err = printJSON(cmd.OutOrStdout(), report)
		} else {
			err = report.Write(cmd.OutOrStdout())
		}
		if err == nil && report.Failed() {
			return errSaid
		}
		return err
	}
	return cmd
}
