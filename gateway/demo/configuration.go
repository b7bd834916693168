package demo

import (
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"gacp-erp.internal/glasshouse/configs"
	"gacp-erp.internal/glasshouse/gateway/contract"
)

// topics are those that the gateway writes; the platform makes them, so the demo's Kafka has them from the start.
func topics() []string {
	var names []string
	for _, t := range contract.Topics() {
		names = append(names, t.Name)
	}
	return names
}

// configuration is the example of the demo with its folder and addresses filled in, so that glasshouse check can read it.
func configuration(dataDir, kafka, modbus, mqtt string) ([]byte, error) {
	text, err := fs.ReadFile(configs.Examples(), "demo.yaml")
	if err != nil {
		return nil, fmt.Errorf("demo: its configuration: %w", err)
	}
	values := strings.NewReplacer(`"${DEMO_DATA}"`, strconv.Quote(dataDir), "${DEMO_KAFKA}", kafka, "${DEMO_MODBUS}", modbus, "${DEMO_MQTT}", mqtt)
	return []byte("# Written by glasshouse demo at each start.\n" + values.Replace(string(text))), nil
}
