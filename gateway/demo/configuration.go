package demo

import (
	"fmt"
	"strconv"

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

// configuration is the gateway's, for the simulated greenhouse. The times are short since its days are.
func configuration(dataDir, kafka, modbus, mqtt string) []byte {
	return fmt.Appendf(nil, `# Written by glasshouse demo at each start. A real one: configs/examples/greenhouse.yaml
gateway:
  id: glasshouse-demo
  facilityId: 5d0f4e3a-8a0c-4c1b-9d7e-2f6b1c3a4d5e
  timezone: UTC
  mode: control
  dataDir: %s
uplink:
  brokers: [%s]
  tls: {enabled: false}
buffer: {maxSize: 256MiB, reserve: 16MiB}
buses:
  - {name: greenhouse, modbus: %s, every: 1s}
  - {name: field, mqtt: %s}
devices:
  - {id: veg1-climate, profile: xy-md02, bus: greenhouse, unit: 1, zone: veg-1}
  - id: relays
    profile: waveshare-relay-8
    bus: greenhouse
    unit: 10
    outputs:
      relay1: {name: exhaust-fan, zone: veg-1, safe: off, minOn: 5s}
      relay2: {name: heater, zone: veg-1, safe: off, maxRun: 4h}
      relay3: {name: humidifier, zone: veg-1, safe: off, maxRun: 1h}
      relay4: {name: grow-lamp, zone: veg-1, safe: off}
      relay5: {name: flower-fan, zone: flower-1, safe: off, minOn: 5s}
      relay6: {name: flower-heater, zone: flower-1, safe: off, maxRun: 4h}
      relay7: {name: dehumidifier, zone: flower-1, safe: off}
      relay8: {name: co2-valve, zone: flower-1, safe: off, maxRun: 10m}
  - {id: veg1-light, profile: platform-device, bus: field, zone: veg-1}
  - {id: flower1-climate, profile: platform-device, bus: field, zone: flower-1}
  - {id: flower1-co2, profile: platform-device, bus: field, zone: flower-1}
zones:
  - name: veg-1
    stage: vegetative
    ranges:
      temperature:
        day: 20..26
        hysteresis: 0.5
        for: 3s
        keepFor: 3s
        critical: 4
        above: [exhaust-fan=on]
        below: [heater=on]
        within: 2m
      humidity:
        day: 40..90
        hysteresis: 3
        for: 3s
        keepFor: 3s
        below: [humidifier=on]
        within: 2m
  - name: flower-1
    stage: flowering
    ranges:
      temperature:
        day: 17..25.5
        hysteresis: 0.5
        for: 3s
        keepFor: 3s
        above: [flower-fan=on]
        below: [flower-heater=on]
        within: 2m
      humidity:
        day: ..65
        hysteresis: 3
        for: 3s
        keepFor: 3s
        above: [dehumidifier=on]
        within: 2m
      co2:
        day: 600..1300
        hysteresis: 50
        for: 3s
        keepFor: 3s
        below: [co2-valve=on]
        within: 2m
`, strconv.Quote(dataDir), strconv.Quote(kafka), strconv.Quote("tcp://"+modbus), strconv.Quote("mqtt://"+mqtt))
}
