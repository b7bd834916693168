package configs

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"
)

const password = "correct horse battery"

// everyForm prints v in all ways that anything here prints.
func everyForm(t *testing.T, v any) string {
	t.Helper()
	var b bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d", "%10.3s"} {
		fmt.Fprintf(&b, verb+"\n", v)
	}
	asJSON, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	asYAML, err := yaml.Dump(v)
	if err != nil {
		t.Fatal(err)
	}
	b.Write(asJSON)
	b.Write(asYAML)
	slog.New(slog.NewTextHandler(&b, nil)).Info("text", "v", v)
	slog.New(slog.NewJSONHandler(&b, nil)).Info("json", "v", v)
	return b.String()
}

func TestSecretNeverShows(t *testing.T) {
	secret := NewSecret(password)
	unexported := struct {
		Name   string
		inside struct{ s Secret }
	}{Name: "x"}
	unexported.inside.s = secret
	for name, v := range map[string]any{
		"alone": secret, "pointer": &secret, "list": []Secret{secret}, "map": map[string]Secret{"a": secret}, "field": struct{ S Secret }{secret},
	} {
		if got := everyForm(t, v); strings.Contains(got, password) || strings.Contains(got, fmt.Sprintf("%x", password)) {
			t.Errorf("%s shows:\n%s", name, got)
		}
	}
	// Printers cannot ask the methods of an unexported field.
	if got := fmt.Sprintf("%v %+v %#v", unexported, unexported, unexported); strings.Contains(got, password) {
		t.Errorf("an unexported field shows: %s", got)
	}
	if secret.Reveal() != password || secret.Empty() || !(Secret{}).Empty() {
		t.Error("Reveal does not give the text")
	}
	if s := fmt.Sprintf("%s %v", secret, Secret{}); s != "*** ***" {
		t.Errorf("with and without a text differ: %s", s)
	}
}

const withSecrets = least + `uplink:
  brokers: ["${HOST}:9092"]
  sasl: {mechanism: plain, username: u, password: "${PASSWORD}"}
buses:
  - {name: field, mqtt: "mqtt://h", username: u, password: file:/password}
  - {name: meadow, mqtt: "mqtt://i", username: u, password: %q}
`

func parseWithSecrets(t *testing.T, secret string) *Config {
	t.Helper()
	c, err := Parse("test.yaml", fmt.Appendf(nil, withSecrets, secret), func(name string) (string, bool) {
		return map[string]string{"PASSWORD": secret, "HOST": "kafka"}[name], true
	}, func(string) ([]byte, error) { return []byte(secret), nil })
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestConfigNeverShowsASecret(t *testing.T) {
	c := parseWithSecrets(t, password)
	if c.Uplink.SASL.Password.Reveal() != password || c.Buses[0].Password.Reveal() != password || c.Buses[1].Password.Reveal() != password {
		t.Fatal("the secrets did not arrive")
	}
	for name, v := range map[string]any{"config": *c, "pointer": c, "uplink": c.Uplink, "buses": c.Buses} {
		text := fmt.Sprintf("%v %+v %#v %s", v, v, v, v)
		asJSON, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if text += string(asJSON); strings.Contains(text, password) {
			t.Errorf("%s shows: %s", name, text)
		}
	}
	f := c.Fault(c.Buses[0].Pos, "", "not "+password, "broker says: user u, password %q is wrong", password)
	if strings.Contains(f.Error(), password) {
		t.Errorf("a later fault shows: %s", f.Error())
	}
}

// A secret that quoting changes, or that another begins with, is hidden all the same.
func TestRedactionOfAwkwardSecrets(t *testing.T) {
	c := parseWithSecrets(t, `a"b\c`)
	if f := c.Fault(Pos{}, "", "", "%q", `a"b\c`); f.Message != `"${PASSWORD}"` {
		t.Errorf("quoted: %s", f.Message)
	}
	r := &reader{}
	r.keep("longer", "L")
	r.keep("longer still", "S")
	if got := r.redactor()("longer still, longer"); got != "S, L" {
		t.Errorf("got %q", got)
	}
}

func TestHash(t *testing.T) {
	a, b := parseWithSecrets(t, password), parseWithSecrets(t, "another one")
	if len(a.Hash()) != 12 || a.Hash() != b.Hash() {
		t.Errorf("hash %q, and %q with other secrets", a.Hash(), b.Hash())
	}
	same := mustParse(t, "# a comment\n\n"+strings.Replace(least, "id: gh-1", `"id":   "gh-1"`, 1)+"uplink:\nbuffer: {maxSize: 2048MiB}\n")
	plain := mustParse(t, least)
	if same.Hash() != plain.Hash() {
		t.Error("layout changes the hash")
	}
	seen := map[string]string{plain.Hash(): least}
	device := "buses: [{name: n, modbus: \"tcp://h:502\"}]\ndevices: [{id: a, profile: p, bus: n, unit: 1, zone: z}]\n"
	for _, text := range []string{
		strings.Replace(least, "observe", "control", 1), least + "buffer: {maxSize: 1GiB}\n", least + device + "zones: [{name: z}]\n",
		least + device + "zones: [{name: z, ranges: {temperature: {day: 20..}}}]\n", least + device + "zones: [{name: z, ranges: {temperature: {day: ..20}}}]\n",
		least + device + "zones: [{name: z, ranges: {temperature: {day: ..20, critical: 1}}}]\n",
	} {
		h := mustParse(t, text).Hash()
		if other, twice := seen[h]; twice {
			t.Errorf("one hash for\n%s\nand\n%s", text, other)
		}
		seen[h] = text
	}
}

// A hash is in the headers of alerts that are kept for years: it must not change with the program.
func TestHashIsStable(t *testing.T) {
	data, err := fs.ReadFile(Examples(), "demo.yaml")
	if err != nil {
		t.Fatal(err)
	}
	c, err := Parse("demo.yaml", data, anyVariable, noFiles)
	if err != nil {
		t.Fatal(err)
	}
	golden := "testdata/demo.hash"
	if *update {
		if err := os.WriteFile(golden, []byte(c.Hash()+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if c.Hash()+"\n" != string(want) {
		t.Errorf("hash %s, was %s", c.Hash(), want)
	}
}
