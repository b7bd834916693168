package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"gacp-erp.internal/glasshouse/gateway/demo"
)

func newDemo(hurry <-chan struct{}) *cobra.Command {
	o := demo.Options{Version: version, Program: os.Args[0], Probe: probeInChild, Hurry: hurry}
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Run the real gateway against a simulated greenhouse on this machine",
		Long: `Run the real gateway with its real drivers against a simulated greenhouse behind real protocols on loopback: a Modbus
TCP slave with a climate transmitter and a relay board, MQTT devices on an embedded broker, and an embedded Kafka. Time in
the greenhouse is sped up. The terminal tells what happens; other programs may join in at the addresses that it names.`,
		Example: `  glasshouse demo
  glasshouse demo --for 60s`,
		Args: exactly(0),
	}
	flags := cmd.Flags()
	flags.DurationVar(&o.For, "for", 0, "end after this time (default: at Ctrl-C)")
	flags.StringVar(&o.DataDir, "data", "glasshouse-demo", "where the gateway keeps its data and its socket")
	flags.StringVar(&o.Kafka, "kafka-listen", "", "address of the embedded Kafka (default 127.0.0.1:9092, or a free port)")
	flags.StringVar(&o.MQTT, "mqtt-listen", "", "address of the embedded MQTT broker (default 127.0.0.1:1883, or a free port)")
	flags.StringVar(&o.Modbus, "modbus-listen", "", "address of the Modbus TCP slave (default 127.0.0.1:5020, or a free port)")
	flags.Float64Var(&o.Speed, "speed", 0, "how many seconds pass in the greenhouse in one (default: fast enough for a story in a minute)")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if o.For < 0 {
			return usageError{fmt.Errorf("--for %s: want a time from now, as 60s, or none to run until Ctrl-C", o.For)}
		}
		if flags.Changed("speed") && !(o.Speed > 0) {
			return usageError{fmt.Errorf("--speed %v: want more than 0; 1 is as fast as the world", o.Speed)}
		}
		outliveReader()
		o.Out = cmd.OutOrStdout()
		return demo.Run(cmd.Context(), o)
	}
	return cmd
}
