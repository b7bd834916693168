package configs

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
	_ "time/tzdata" // a machine without time zones tests as well
)

var update = flag.Bool("update", false, "write the golden files and schema.json anew")

const visible = "a-text-that-must-not-show"

// testEnv and testFile are what the golden files refer to.
func testEnv(name string) (string, bool) {
	switch name {
	case "VISIBLE":
		return visible, true
	case "EMPTY":
		return "", true
	}
	return "", false
}

func testFile(path string) ([]byte, error) {
	switch path {
	case "/secrets/visible":
		return []byte(visible + "\r\n"), nil
	case "/secrets/denied":
		return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrPermission}
	case "/secrets/empty":
		return []byte("\n"), nil
	case "/secrets/huge":
		return make([]byte, maxSecretFile+1), nil
	}
	return nil, fs.ErrNotExist
}

func TestFaultsAreGolden(t *testing.T) {
	names, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(names) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		_, err = Parse(filepath.Base(name), data, testEnv, testFile)
		var faults Faults
		if !errors.As(err, &faults) {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got := err.Error() + "\n"
		if strings.Contains(got, visible) || strings.Contains(got, "hunter2") {
			t.Errorf("%s: a secret shows:\n%s", name, got)
		}
		golden := strings.TrimSuffix(name, ".yaml") + ".want"
		if *update {
			if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if got != string(want) {
			t.Errorf("%s: got\n%s\nwant\n%s", name, got, want)
		}
	}
}

// least is the smallest configuration; what is added must follow its indentation.
const least = `gateway:
  id: gh-1
  facilityId: 7c1e0b1a-3c1e-4c52-9d2f-0d6a6b9d3c14
  timezone: Europe/Riga
  mode: observe
`

func mustParse(t *testing.T, text string) *Config {
	t.Helper()
	c, err := Parse("test.yaml", []byte(text), testEnv, testFile)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestSyntaxFaults(t *testing.T) {
	for _, test := range []struct{ name, text, want string }{
		{"empty", "", "test.yaml:1:1: is empty (configs/examples has whole ones)"},
		{"comments alone", "# nothing\n", "test.yaml:1:1: no documents in stream"},
		{"two documents", least + "---\n" + least, "test.yaml:1:1: expected single document, found multiple"},
		{"tab", "gateway:\n\tid: x\n", "test.yaml:2:1: found character that cannot start any token while scanning for the next token (indent with spaces, not tabs)"},
		{"colon in a text", "gateway: x: y\n", `test.yaml:1:11: mapping values are not allowed in this context (quote texts that hold a colon, and look at the indentation)`},
		{"variable without quotes", "uplink: {sasl: {password: ${X}}}\n", `test.yaml:1:28: did not find expected ',' or '}' while parsing a flow mapping (within { } and [ ] a variable needs quotes: "${NAME}")`},
		{"alias of a password", "uplink: {sasl: {password: *hunter2}}\n", "test.yaml:1:27: unknown anchor referenced"},
		{"no mapping", "hunter2\n", "test.yaml:1:1: must be a mapping, not a text (such as gateway:)"},
		{"not UTF-8", "gateway: \xff\n", "test.yaml:1:1: invalid leading UTF-8 octet (value: 255)"},
	} {
		_, err := Parse("test.yaml", []byte(test.text), nil, nil)
		if err == nil {
			t.Errorf("%s: accepted", test.name)
			continue
		}
		first, _, _ := strings.Cut(err.Error(), "\n")
		if first != test.want {
			t.Errorf("%s:\n got %s\nwant %s", test.name, first, test.want)
		}
	}
}

func TestLoadTellsWhatIsWrongWithTheFile(t *testing.T) {
	_, err := Load(filepath.Join(t.TempDir(), "none.yaml"))
	var faults Faults
	if !errors.As(err, &faults) || len(faults) != 1 || !strings.HasSuffix(err.Error(), "none.yaml: does not exist (name the configuration with -c FILE)") {
		t.Errorf("a file that is not there: %v", err)
	}
	if _, err = Load(t.TempDir()); !errors.As(err, &faults) {
		t.Errorf("a folder: %v", err)
	}
	file := filepath.Join(t.TempDir(), "glasshouse.yaml")
	secret := filepath.Join(t.TempDir(), "password")
	t.Setenv("GLASSHOUSE_TEST_USER", "somebody")
	text := least + fmt.Sprintf("uplink: {brokers: [\"k:1\"], sasl: {mechanism: plain, username: \"${GLASSHOUSE_TEST_USER}\", password: \"file:%s\"}}\n", secret)
	for path, data := range map[string]string{file: text, secret: "from-the-file\n"} {
		if err := os.WriteFile(path, []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c, err := Load(file)
	if err != nil {
		t.Fatal(err)
	}
	if c.Uplink.SASL.Username != "somebody" || c.Uplink.SASL.Password.Reveal() != "from-the-file" {
		t.Errorf("user %q, password %q", c.Uplink.SASL.Username, c.Uplink.SASL.Password.Reveal())
	}
	if c.File != file {
		t.Errorf("File is %q", c.File)
	}
}

func TestDefaults(t *testing.T) {
	c := mustParse(t, least)
	g := c.Gateway
	if g.DataDir != "/var/lib/glasshouse" || g.Socket != "/var/lib/glasshouse/glasshouse.sock" || g.Grace != 30*time.Second || g.Level != "info" || g.LogLevel() != 0 {
		t.Errorf("gateway %+v", g)
	}
	if g.Location == nil || g.Location.String() != "Europe/Riga" {
		t.Errorf("location %v", g.Location)
	}
	if c.Buffer.MaxSize != 2<<30 || c.Buffer.Reserve != 64<<20 {
		t.Errorf("buffer %+v", c.Buffer)
	}
	if !c.Uplink.TLS.Enabled || len(c.Uplink.Brokers) != 0 {
		t.Errorf("uplink %+v", c.Uplink)
	}
	c = mustParse(t, strings.Replace(least, "mode: observe", "mode: control\n  grace: 0s\n  logLevel: debug", 1)+
		"uplink: {tls: {ca: /x}}\nbuffer: {maxSize: 128MiB}\nbuses: [{name: b, mqtt: \"mqtts://h:8883\"}]\n")
	if c.Gateway.Grace != 0 || c.Gateway.Mode != Control || c.Gateway.LogLevel() >= 0 {
		t.Errorf("gateway %+v", c.Gateway)
	}
	if c.Buffer.Reserve != 32<<20 {
		t.Errorf("a small buffer's reserve is %d", c.Buffer.Reserve)
	}
	if b, ok := c.Bus("b"); !ok || b.ClientID != "glasshouse-gh-1" || !b.TLS.Enabled || b.Protocol() != "mqtt" || b.Endpoint() != "mqtts://h:8883" {
		t.Errorf("bus %+v", b)
	}
	if !c.Uplink.TLS.Enabled || c.Uplink.TLS.CA != "/x" {
		t.Errorf("tls %+v", c.Uplink.TLS)
	}
}

func TestEveryValueArrives(t *testing.T) {
	data, err := fs.ReadFile(Examples(), "greenhouse.yaml")
	if err != nil {
		t.Fatal(err)
	}
	c := mustParse(t, strings.ReplaceAll(strings.ReplaceAll(string(data), "${KAFKA_PASSWORD}", "k"), "${MQTT_PASSWORD}", "m"))
	relays := c.Devices[2]
	if o := relays.Outputs[0]; o.Output != "relay1" || o.Name != "exhaust-fan" || o.Safe != 1 || o.MinOn != time.Minute || o.MinOff != 30*time.Second || o.Line == 0 ||
		o.Path != "devices[veg1-relays].outputs.relay1" {
		t.Errorf("output %+v", o)
	}
	if o := relays.Outputs[1]; o.Safe != 0 || o.MaxRun != 4*time.Hour || o.Hold {
		t.Errorf("output %+v", o)
	}
	probe := c.Devices[3]
	if p, ok := probe.Point("temperature"); !ok || p.SensorID != "4b0e8a51-2a55-4a7e-9a53-1f0d9c1f7a11" || p.Limits != (Limits{-10, 60}) {
		t.Errorf("point %+v", p)
	}
	if p, ok := probe.Point("humidity"); !ok || p.MaxAge != time.Minute || !p.Limits.IsOpen() {
		t.Errorf("point %+v", p)
	}
	if probe.Firmware != "2.1" || probe.Unit != 240 || probe.Every != 10*time.Second {
		t.Errorf("device %+v", probe)
	}
	z, ok := c.Zone("veg-1")
	if !ok || z.Stage != "vegetative" || !z.Day.Set || z.Day.From != 6*time.Hour || z.Day.To != 24*time.Hour || len(z.PlatformIDs) != 2 {
		t.Errorf("zone %+v", z)
	}
	g := z.Ranges[0]
	if g.Quantity != "temperature" || g.Day != (Limits{22, 26}) || g.Night != (Limits{18, 22}) || g.Hysteresis != 0.3 || g.For != 30*time.Second ||
		g.KeepFor != time.Minute || g.Critical != 4 || g.Emergency != 8 || g.Within != 10*time.Minute || g.Loss != 2*time.Minute {
		t.Errorf("range %+v", g)
	}
	if len(g.Above) != 1 || g.Above[0].String() != "exhaust-fan=on" || len(g.Below) != 2 || g.Below[1].String() != "exhaust-fan=off" || g.Below[1].Line == 0 {
		t.Errorf("actions %v %v", g.Above, g.Below)
	}
	if r := z.Ranges[2]; r.Night != r.Day || r.Loss != 2*time.Minute || r.Within != 10*time.Minute {
		t.Errorf("night as day: %+v", r)
	}
	flower, _ := c.Zone("flower-1")
	if r := flower.Ranges[1]; !math.IsNaN(r.Day.Min) || r.Day.Max != 50 || r.Day.String() != "..50" {
		t.Errorf("one-sided: %+v", r.Day)
	}
	if !c.Devices[5].Outputs[0].Hold {
		t.Error("hold is lost")
	}
	if c.Uplink.SASL.Password.Reveal() != "k" || c.Buses[2].Password.Reveal() != "m" || c.Buses[1].Modbus != "tcp://10.0.0.21:502" {
		t.Errorf("buses %+v", c.Buses)
	}
	if c.Uplink.Topics["cultivation.environment.v1"] != "cultivation.environment.v1" {
		t.Errorf("topics %v", c.Uplink.Topics)
	}
}

// Text without quotes stays as it is written: versions and serial numbers are no numbers.
func TestTextsKeepTheirDigits(t *testing.T) {
	c := mustParse(t, least+
		"buses: [{name: 007, modbus: \"tcp://h:502\"}]\ndevices: [{id: 0123, profile: on, bus: 007, unit: 31, serial: 1_000, firmware: 1.10, model: 0x1F}]\n")
	d := c.Devices[0]
	if d.ID != "0123" || d.Profile != "on" || d.Bus != "007" || d.Serial != "1_000" || d.Firmware != "1.10" || d.Model != "0x1F" {
		t.Errorf("device %+v", d)
	}
}

func TestAliases(t *testing.T) {
	c := mustParse(t, least+`buses: [{name: n, modbus: "tcp://h:502"}]
devices:
  - {id: a, profile: p, bus: n, unit: 1, zone: one}
  - {id: b, profile: p, bus: n, unit: 2, zone: two}
zones:
  - {name: one, ranges: &r {temperature: {day: 20..22}}}
  - {name: two, ranges: *r}
`)
	if !reflect.DeepEqual(c.Zones[0].Ranges[0].Day, c.Zones[1].Ranges[0].Day) {
		t.Errorf("%+v and %+v", c.Zones[0].Ranges, c.Zones[1].Ranges)
	}
}

// Each device says 200 outputs, each output is one more: 1000 * 1000 values out of a few lines.
func TestAliasBombIsRefused(t *testing.T) {
	var b strings.Builder
	b.WriteString("devices:\n  - outputs: &o\n")
	for i := range 1000 {
		fmt.Fprintf(&b, "      r%d: {}\n", i)
	}
	b.WriteString(strings.Repeat("  - {outputs: *o}\n", 1000))
	_, err := Parse("test.yaml", []byte(b.String()), nil, nil)
	if err == nil || !strings.Contains(err.Error(), "holds more than") {
		t.Errorf("a million values are read")
	}
}

func TestFaultsFoundLater(t *testing.T) {
	c := mustParse(t, least+`buses: [{name: n, modbus: "tcp://h:502"}]
devices:
  - id: a
    profile: xy-md02
    bus: n
    unit: 1
    points:
      temprature: {max: 60}
`)
	d := &c.Devices[0]
	for _, test := range []struct {
		f    Fault
		want string
	}{
		{c.Fault(d.Pos, "", "", "is odd"), "test.yaml:8:5: devices[a]: is odd"},
		{c.Fault(d.Pos, ".profile", "did you mean x?", "no profile %q", "xy"), `test.yaml:9:14: devices[a].profile: no profile "xy" (did you mean x?)`},
		{c.Fault(d.Points[0].Pos, "", "", "no such point"), "test.yaml:13:19: devices[a].points.temprature: no such point"},
		{c.Fault(d.Pos, ".outputs.relay1", "", "is missing"), "test.yaml:8:5: devices[a].outputs.relay1: is missing"},
		{c.Fault(Pos{}, "gateway.mode", "", "no"), "test.yaml:5:9: gateway.mode: no"},
		{c.Fault(Pos{}, "", "", "all of it"), "test.yaml: all of it"},
	} {
		if got := test.f.Error(); got != test.want {
			t.Errorf("got %s\nwant %s", got, test.want)
		}
	}
	faults := Faults{c.Fault(d.Points[0].Pos, "", "", "late"), c.Fault(d.Pos, "", "", "early")}
	if lines := strings.Split(faults.Err().Error(), "\n"); len(lines) != 2 || !strings.HasSuffix(lines[0], "early") {
		t.Errorf("order: %v", lines)
	}
	if (Faults{}).Err() != nil {
		t.Error("no faults are an error")
	}
}
