package configs

import (
	"bytes"
	"encoding/json"
)

// JSONSchema is the schema of a configuration for editors, made of the very tables that the loader reads by. It is kept in
// schema.json. What needs a look at more than one place is not in it; `glasshouse check` finds that.
func JSONSchema() []byte {
	schema := objectSchema(root(&Config{}))
	schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	schema["title"] = "Glasshouse gateway"
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(schema); err != nil {
		return nil // cannot be: maps of texts and numbers
	}
	return b.Bytes()
}

// objectSchema is the schema of a mapping with known keys.
func objectSchema(fields []field) map[string]any {
	properties := map[string]any{}
	var needed []string
	for _, f := range fields {
		described := map[string]any{"description": f.doc}
		for key, v := range f.kind.schema() {
			described[key] = v
		}
		if f.kind.empty {
			described["type"] = []any{described["type"], "null"}
		}
		properties[f.key] = described
		if f.need == required {
			needed = append(needed, f.key)
		}
	}
	schema := map[string]any{"type": "object", "properties": properties, "additionalProperties": false}
	if needed != nil {
		schema["required"] = needed
	}
	return schema
}
