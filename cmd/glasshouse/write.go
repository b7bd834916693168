package main

import (
	"errors"
	"fmt"
	"os/user"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"gacp-erp.internal/glasshouse/gateway/api"
)

func newWrite() *cobra.Command {
	var hold time.Duration
	var reason string
	cmd := &cobra.Command{
		Use:   "write OUTPUT VALUE --for DURATION --reason TEXT",
		Short: "Hold an output at a value by hand, for a while",
		Long: `Hold an output at an absolute value for a while, against the rules. The output's safety limits still hold. It ends by
itself, by glasshouse release, and when the gateway restarts after a reboot.`,
		Example: `  glasshouse write exhaust-fan on --for 30m --reason "spraying"`,
		Args:    exactly(2),
	}
	client := socketFlag(cmd)
	cmd.Flags().DurationVar(&hold, "for", 0, "how long, at most 24h (required)")
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the record (required)")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		value, err := setpoint(args[1])
		if err != nil {
			return usageError{err}
		}
		if hold <= 0 || reason == "" {
			return usageError{errors.New("write needs --for and --reason: nothing is held without an end and a why")}
		}
		return submit(cmd, client(), api.Write{Output: args[0], Value: value, For: hold, By: operator(), Reason: reason})
	}
	return cmd
}

func newRelease() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "release OUTPUT",
		Short: "End a hold by hand and give the output back to the rules",
		Args:  exactly(1),
	}
	client := socketFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return submit(cmd, client(), api.Write{Output: args[0], Release: true, By: operator()})
	}
	return cmd
}

// submit hands the wish over and prints the receipt.
func submit(cmd *cobra.Command, client *api.Client, wish api.Write) error {
	receipt, err := client.Submit(cmd.Context(), wish)
	if err != nil {
		return err
	}
	if !receipt.Accepted {
		return fmt.Errorf("%s: refused: %s", wish.Output, receipt.Note)
	}
	words := wish.Output + ": accepted"
	if receipt.Until != nil {
		words += " until " + receipt.Until.Local().Format("2006-01-02 15:04:05")
	}
	if receipt.Note != "" {
		words += "; " + receipt.Note
	}
	if !receipt.Durable {
		words += "; the disk is away, so a restart would forget it"
	}
	fmt.Fprintln(cmd.OutOrStdout(), words)
	return nil
}

// setpoint reads on, off or a number.
func setpoint(text string) (float64, error) {
	switch text {
	case "on":
		return 1, nil
	case "off":
		return 0, nil
	}
	v, err := strconv.ParseFloat(text, 64)
	if err != nil || v-v != 0 {
		return 0, fmt.Errorf("value %q: want on, off or a number", text)
	}
	return v, nil
}

// operator is who asks, as the system knows them.
func operator() string {
	if who, err := user.Current(); err == nil {
		return who.Username
	}
	return "unknown"
}
