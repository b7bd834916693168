package gateway

import (
	"os"
	"strings"
	"testing"

	"gacp-erp.internal/glasshouse/configs"
)

const mosquittoHouse = `
gateway:
  id: gh-riga-01
  facilityId: 7c1e0b1a-3c1e-4c52-9d2f-0d6a6b9d3c14
  timezone: Europe/Riga
  mode: observe
  dataDir: /tmp/x
buses:
  - {name: north, modbus: "tcp://10.0.0.20:502"}
  - {name: field, mqtt: "mqtts://broker.gacp-erp.internal:8884", tls: {ca: /nowhere/ca.pem, cert: /nowhere/gh.pem, key: /nowhere/gh.key}}
devices:
  - {id: veg1-climate, profile: xy-md02, bus: north, unit: 1, zone: veg-1}
  - {id: air-7, profile: platform-device, bus: field, zone: veg-1}
  - {id: air-8, profile: platform-device, bus: field, zone: veg-1, user: grower-1}
  - {id: leaf-1, profile: gacp-sensor, bus: field, zone: veg-1}
  - {id: fan-1, profile: tasmota-plug, bus: field, zone: veg-1, outputs: {switch: {name: exhaust-fan, safe: off}}}
  - {id: meter-1, profile: tasmota-plug, bus: field, zone: veg-1}
zones:
  - {name: veg-1, platformIds: [ZONE-VEG1]}
`

// TestMosquittoFiles holds the files to testdata; run with -update after a change that is meant.
func TestMosquittoFiles(t *testing.T) {
	files, err := Mosquitto(loadable(t, "test.yaml", mosquittoHouse), MosquittoOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for file, got := range map[string][]byte{"testdata/mosquitto.conf": files.Config, "testdata/mosquitto.acl": files.ACL} {
		if *update {
			if err := os.WriteFile(file, got, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != string(want) {
			t.Errorf("not as in %s; look at the difference, then run with -update:\n%s", file, got)
		}
	}
}

// TestMosquittoRights: whatever else a device may do, no right but the gateway's reaches beyond its own name.
func TestMosquittoRights(t *testing.T) {
	files, err := Mosquitto(loadable(t, "test.yaml", mosquittoHouse), MosquittoOptions{Bus: "field", Dir: "/srv/broker"})
	if err != nil {
		t.Fatal(err)
	}
	user, rights := "", 0
	for line := range strings.Lines(string(files.ACL)) {
		fields := strings.Fields(line)
		switch {
		case len(fields) == 0 || strings.HasPrefix(line, "#"):
		case fields[0] == "user":
			user = fields[1]
		case fields[0] != "topic" || len(fields) != 3 || user == "":
			t.Errorf("no right: %s", line)
		case user != "gh-riga-01":
			rights++
			own := strings.Contains(fields[2], "/"+user+"/") || user == "leaf-1" && strings.HasPrefix(fields[2], "gacp/sensors/ZONE-VEG1/")
			if !own || strings.Contains(strings.TrimPrefix(fields[2], "users/+/"), "+") || strings.Contains(fields[2], "#") {
				t.Errorf("%s may %s", user, line)
			}
		}
	}
	if rights == 0 {
		t.Error("nobody may do anything")
	}
	if conf := string(files.Config); strings.Contains(conf, MosquittoDir) || !strings.Contains(conf, "\nacl_file /srv/broker/glasshouse.acl\n") {
		t.Errorf("the files are not looked for in /srv/broker:\n%s", conf)
	}
}

// TestMosquittoFaults: what cannot be made is told, with the place in the file where it has one.
func TestMosquittoFaults(t *testing.T) {
	const second = "\n  - {name: yard, mqtt: \"mqtt://10.0.0.9\"}\ndevices:"
	for name, tt := range map[string]struct{ old, to, bus, dir, want string }{
		"no such bus":    {bus: "feild", want: `no MQTT bus is called "feild" (did you mean "field"?)`},
		"modbus":         {bus: "north", want: `no MQTT bus is called "north"`},
		"which":          {old: "\ndevices:", to: second, want: "the MQTT buses are field, yard"},
		"profile":        {old: "profile: gacp-sensor", to: "profile: gacp-sensr", want: `no profile is called "gacp-sensr"`},
		"zone":           {old: "ZONE-VEG1", to: `"ZONE\nuser x"`, want: "cannot stand in Mosquitto's ACL"},
		"folder":         {dir: "/etc\nuser x", want: "Mosquitto cannot name it"},
		"another's name": {old: "{id: meter-1,", to: "{id: air 7,", want: "id"},
	} {
		t.Run(name, func(t *testing.T) {
			text := strings.Replace(mosquittoHouse, tt.old, tt.to, 1)
			config, err := configs.Parse("test.yaml", []byte(text), func(string) (string, bool) { return "", false }, os.ReadFile)
			if err == nil {
				_, err = Mosquitto(config, MosquittoOptions{Bus: tt.bus, Dir: tt.dir})
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
	const modbusOnly = `
gateway: {id: gh-1, facilityId: 7c1e0b1a-3c1e-4c52-9d2f-0d6a6b9d3c14, timezone: UTC, mode: observe, dataDir: /tmp/x}
buses:
  - {name: north, modbus: "tcp://10.0.0.20:502"}
`
	if _, err := Mosquitto(loadable(t, "test.yaml", modbusOnly), MosquittoOptions{}); err == nil || !strings.Contains(err.Error(), "no MQTT bus") {
		t.Errorf("without an MQTT bus: %v", err)
	}
}
