package configs

import (
	"bytes"
	"io/fs"
	"os"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v4"
)

func TestSchemaFileIsWhatTheTablesSay(t *testing.T) {
	if *update {
		if err := os.WriteFile("schema.json", JSONSchema(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	kept, err := os.ReadFile("schema.json")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(kept, JSONSchema()) {
		t.Error("schema.json is not what the tables say; go test ./configs -update writes it anew")
	}
}

func compiled(t *testing.T) *jsonschema.Schema {
	t.Helper()
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(JSONSchema()))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	compiler.DefaultDraft(jsonschema.Draft2020)
	if err := compiler.AddResource("schema.json", document); err != nil {
		t.Fatal(err)
	}
	schema, err := compiler.Compile("schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

func asAny(t *testing.T, text string) any {
	t.Helper()
	var v any
	if err := yaml.Load([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// What the loader takes editors must not mark, and what is wrong in one place they must.
func TestSchemaAgreesWithTheLoader(t *testing.T) {
	schema := compiled(t)
	names, err := fs.Glob(Examples(), "*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	texts := []string{least, least + "uplink:\nbuses:\nzones: []\n",
		least + "buses: [{name: 7, modbus: \"tcp://h\"}]\ndevices: [{id: 0123, profile: p, bus: 7, unit: 1, firmware: 1.10, outputs: {a: {name: a, safe: 0.5}, b: {name: b, safe: true}}}]\n"}
	for _, name := range names {
		data, err := fs.ReadFile(Examples(), name)
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, string(data))
	}
	for _, text := range texts {
		if _, err := Parse("test.yaml", []byte(text), anyVariable, noFiles); err != nil {
			t.Errorf("the loader refuses it: %v", err)
		}
		if err := schema.Validate(asAny(t, text)); err != nil {
			t.Errorf("the schema refuses what the loader takes: %v\n%s", err, text)
		}
	}
	for _, text := range []string{
		strings.Replace(least, "mode", "mood", 1), strings.Replace(least, "observe", "watch", 1), strings.Replace(least, "  id: gh-1\n", "", 1),
		least + "buses: {}\n", least + "buses: [{modbus: x}]\n", least + "devices: [{id: a, profile: p, bus: n, unit: 300}]\n", least + "devices: [{id: a b, profile: p, bus: n}]\n",
		least + "zones: [{name: z, ranges: {noise: {day: 1..2}}}]\n", least + "zones: [{name: z, ranges: {co2: {day: 1-2}}}]\n", least + "zones: [{name: z, ranges: {co2: {day: 1..2, for: 5}}}]\n",
		least + "zones: [{name: z, day: {from: \"6:00\", to: \"24:00\"}}]\n", least + "buffer: {maxSize: 2GB}\n", least + "uplink: {sasl: {mechanism: x, username: u, password: p}}\n",
	} {
		if _, err := Parse("test.yaml", []byte(text), nil, nil); err == nil {
			t.Errorf("the loader takes\n%s", text)
		}
		if err := schema.Validate(asAny(t, text)); err == nil {
			t.Errorf("the schema takes\n%s", text)
		}
	}
}
