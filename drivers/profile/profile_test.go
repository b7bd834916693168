package profile

import (
	"strings"
	"testing"
	"time"
)

func TestEveryShippedProfileIsWhole(t *testing.T) {
	entries, err := files.ReadDir("profiles")
	if err != nil {
		t.Fatal(err)
	}
	if len(IDs()) != len(entries) {
		t.Errorf("%d files, %d ids: two files share an id", len(entries), len(IDs()))
	}
	for _, entry := range entries {
		data, err := files.ReadFile("profiles/" + entry.Name())
		if err != nil {
			t.Fatal(err)
		}
		p, err := Parse(data)
		if err != nil {
			t.Errorf("%s: %v", entry.Name(), err)
			continue
		}
		if p.ID+".yaml" != entry.Name() {
			t.Errorf("%s names itself %q", entry.Name(), p.ID)
		}
		if p.Datasheet == "" && p.Manufacturer != "GACP" {
			t.Errorf("%s: no datasheet; where does the map come from?", entry.Name())
		}
		if got, ok := Lookup(p.ID); !ok || got.Model != p.Model {
			t.Errorf("Lookup(%q) = %v, %v", p.ID, got, ok)
		}
	}
}

// The maps as the manufacturers publish them; a slip of a finger in a profile must not pass.
func TestRegisterMaps(t *testing.T) {
	for _, want := range []struct {
		profile, point, table, kind, words string
		address                            int
		scale                              float64
	}{
		{"xy-md02", "temperature", "input", "s16", "big", 1, 0.1},
		{"xy-md02", "humidity", "input", "u16", "big", 2, 0.1},
		{"senseair-s8", "co2", "input", "s16", "big", 3, 1},
		{"vaisala-hmp", "humidity", "holding", "f32", "little", 0, 1},
		{"vaisala-hmp", "temperature", "holding", "f32", "little", 2, 1},
		{"apogee-sq-422x", "light", "holding", "s16", "big", 40, 0.1},
	} {
		p, ok := Lookup(want.profile)
		if !ok {
			t.Errorf("%s is not shipped", want.profile)
			continue
		}
		q, ok := p.Point(want.point)
		if !ok {
			t.Errorf("%s has no %s", want.profile, want.point)
			continue
		}
		r := q.Register
		if r.Table != want.table || r.Type != want.kind || r.Address != want.address || r.Scale != want.scale || r.WordOrder != want.words {
			t.Errorf("%s.%s is at %+v, want %+v", want.profile, want.point, *r, want)
		}
	}
}

func TestRelayBoard(t *testing.T) {
	p, ok := Lookup("waveshare-relay-8")
	if !ok || len(p.Outputs) != 8 {
		t.Fatalf("waveshare-relay-8: %v, %v", p, ok)
	}
	for i, o := range p.Outputs {
		if o.Name != "relay"+string(rune('1'+i)) || o.Register.Table != "coil" || o.Register.Address != i || o.Register.Type != "bool" || o.Analog {
			t.Errorf("output %d is %+v at %+v", i, o, *o.Register)
		}
	}
}

func TestTopicsAreExpanded(t *testing.T) {
	p, _ := Lookup("tasmota-plug")
	o, ok := p.Output("switch")
	if !ok {
		t.Fatal("no switch")
	}
	if got := Expand(o.CommandTopic, "fan-3", "veg-1"); got != "cmnd/fan-3/POWER" {
		t.Errorf("command topic %q", got)
	}
	if o.On != "ON" || o.Off != "OFF" {
		t.Errorf("payloads %q and %q", o.On, o.Off)
	}
	p, _ = Lookup("gacp-sensor")
	q, _ := p.Point("light")
	if got := Expand(q.Message.Topic, "s1", "ZONE-A1"); got != "gacp/sensors/ZONE-A1/light_intensity" {
		t.Errorf("topic %q", got)
	}
	if got := Expand(q.Message.Name, "s1", "ZONE-A1"); got != "s1" {
		t.Errorf("name %q", got)
	}
}

func TestAbsentPointsOfPlatformDevicesAreNoFault(t *testing.T) {
	p, _ := Lookup("platform-device")
	for _, q := range p.Points {
		if !q.Optional {
			t.Errorf("%s is not optional", q.Name)
		}
	}
}

func TestParseDefaultsAndTimes(t *testing.T) {
	p, err := Parse([]byte("id: a\nmanufacturer: m\nmodel: n\ndescription: d\nprotocol: modbus\noffline: 2m\nmodbus: {gap: 3, interFrame: 5ms}\n" +
		"points:\n  - {name: x, quantity: q, register: {table: holding, type: u32, address: 0x10}}\n"))
	if err != nil {
		t.Fatal(err)
	}
	if p.Offline != 2*time.Minute || p.Modbus.InterFrame != 5*time.Millisecond || p.Modbus.Gap != 3 {
		t.Errorf("times: %+v", p)
	}
	if r := p.Points[0].Register; r.Address != 16 || r.Scale != 1 || r.WordOrder != "big" || r.ByteOrder != "big" || r.Bit != nil {
		t.Errorf("register %+v", *r)
	}
}

const head = "id: a\nmanufacturer: m\nmodel: n\ndescription: d\n"

func TestParseTellsAllFaults(t *testing.T) {
	for _, test := range []struct {
		name, text string
		want       []string // a part of each line, in order
	}{
		{"empty", "", []string{"no documents"}},
		{"syntax", "id: [", []string{"line 2, column 1"}},
		{"unknown keys, all of them", head + "protocol: modbus\npints: []\nmodbus: {gab: 1}\n",
			[]string{"line 1, column 1: a device has at least one", `unknown key "pints"`, `unknown key "gab"`}},
		{"missing texts", "id: 1a\nprotocol: tcp\n", []string{"at least one", "description: is missing", "manufacturer: is missing", "model: is missing", "id: must be 1 to 64", `"tcp" is not one of modbus, mqtt`}},
		{"register", head + "protocol: modbus\npoints:\n  - {name: x, quantity: q, min: 5, max: 5, register: {table: inputs, address: 70000, type: u16, wordOrder: middle, bit: 16}}\n",
			[]string{"points.0.max: min 5 must be below max 5", `"inputs" is not one of`, "70000 is beyond", `"middle"`, "is for type bool in a register"}},
		{"bit", head + "protocol: modbus\npoints:\n  - {name: x, quantity: q, register: {table: input, address: 1, type: bool, bit: 16}}\n", []string{"16 is not 0 to 15"}},
		{"read back as something else", head + "protocol: modbus\noutputs:\n  - {name: x, analog: true, max: 9, register: {table: holding, address: 1, type: u16}, readBack: {table: discrete, address: 70000, type: bool}}\n",
			[]string{"cannot be read back from the discrete table", "70000 is beyond"}},
		{"a wide value at the very end", head + "protocol: modbus\npoints:\n  - {name: x, quantity: q, register: {table: input, address: 65535, type: f32}}\n", []string{"65535 is beyond"}},
		{"bare number as time", head + "protocol: modbus\noffline: 30\npoints:\n  - {name: x, quantity: q, register: {table: coil, address: 1}}\n", []string{"`30` must be a time with a unit"}},
		{"shorter than can be meant", head + "protocol: modbus\nmodbus: {interFrame: 3us}\npoints:\n  - {name: x, quantity: q, register: {table: coil, address: 1}}\n", []string{"interFrame: must be 0 or at least 1ms"}},
		{"not finite", head + "protocol: modbus\npoints:\n  - {name: x, quantity: q, register: {table: input, type: u16, address: 1, scale: .nan}}\n", []string{"scale and offset must be numbers"}},
		{"the other protocol's", head + "protocol: mqtt\nmodbus: {gap: 1}\nmqtt: {mapping: platform}\npoints:\n  - {name: x, quantity: q, register: {table: coil, address: 1}}\n",
			[]string{"modbus: is for protocol modbus", "message: is missing", "register: is for protocol modbus"}},
		{"output that cannot be written", head + "protocol: modbus\noutputs:\n  - {name: x, register: {table: discrete, address: 1}}\n", []string{"discrete cannot be written"}},
		{"no state to confirm", head + "protocol: mqtt\nmqtt: {mapping: paths}\noutputs:\n  - {name: x, commandTopic: a/+, \"on\": a, \"off\": A}\n",
			[]string{"stateTopic: is missing", `"a/+" is no topic`, "on and off are the same"}},
		{"placeholder", head + "protocol: mqtt\nmqtt: {mapping: paths}\npoints:\n  - {name: x, quantity: q, message: {topic: \"a/{user}\"}}\n", []string{"no topic"}},
		{"twice", head + "protocol: modbus\npoints:\n  - {name: x, quantity: q, register: {table: coil, address: 1}}\noutputs:\n  - {name: x, register: {table: coil, address: 1}}\n",
			[]string{`"x" is there twice`}},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := Parse([]byte(test.text))
			if err == nil {
				t.Fatal("accepted")
			}
			lines := strings.Split(err.Error(), "\n")
			if len(lines) != len(test.want) {
				t.Fatalf("%d faults, want %d:\n%v", len(lines), len(test.want), err)
			}
			for i, want := range test.want {
				if !strings.Contains(lines[i], want) || !strings.HasPrefix(lines[i], "line ") {
					t.Errorf("fault %d is %q, want %q", i, lines[i], want)
				}
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	entries, err := files.ReadDir("profiles")
	if err != nil {
		f.Fatal(err)
	}
	for _, entry := range entries {
		data, err := files.ReadFile("profiles/" + entry.Name())
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := Parse(data)
		if (p == nil) == (err == nil) {
			t.Fatalf("profile %v and error %v", p, err)
		}
		if p != nil && (p.ID == "" || len(p.Points)+len(p.Outputs) == 0) {
			t.Fatalf("accepted %+v", p)
		}
	})
}
