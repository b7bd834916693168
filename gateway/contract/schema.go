package contract

import (
	"bytes"
	"embed"
	"fmt"
	"io/fs"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

//go:embed schemas/*.json
var schemaFiles embed.FS

// schemas are the compiled schemas by type of event. Compiling takes milliseconds and its result never changes, so it is
// done once, by whoever validates first.
var schemas = sync.OnceValues(compileSchemas)

// Validate holds a body against the schema of its eventType, which must be one that the topic (by its default name)
// carries. The error wraps ErrInvalid and names every place that breaks the schema. It costs about 50 µs: critical
// records can afford it each time, telemetry by sample. Safe for concurrent use.
func Validate(topic string, body []byte) error {
	all, err := schemas()
	if err != nil {
		return err
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("event on %s: %w: %w", topic, ErrInvalid, err)
	}
	event, ok := value.(map[string]any)
	if !ok {
		return fmt.Errorf("event on %s: %w: no JSON object", topic, ErrInvalid)
	}
	eventType, ok := event["eventType"].(string)
	if !ok {
		return fmt.Errorf("event on %s: %w: its eventType is missing or no string", topic, ErrInvalid)
	}
	schema := all[eventType]
	if schema == nil || !carries(topic, eventType) {
		return fmt.Errorf("event on %s: %w: %.100q does not belong there", topic, ErrInvalid, eventType)
	}
	if err := schema.Validate(value); err != nil {
		return fmt.Errorf("%s on %s: %w: %w", eventType, topic, ErrInvalid, err)
	}
	return nil
}

// Schemas gives the JSON Schemas as files, one a type of event and defs.json which they refer to.
func Schemas() fs.FS {
	files, err := fs.Sub(schemaFiles, "schemas")
	if err != nil {
		panic(err) // the name is a constant, and valid
	}
	return files
}

func compileSchemas() (map[string]*jsonschema.Schema, error) {
	compiler := jsonschema.NewCompiler()
	compiler.DefaultDraft(jsonschema.Draft2020)
	compiler.AssertFormat()
	entries, err := schemaFiles.ReadDir("schemas")
	if err != nil {
		return nil, fmt.Errorf("contract: embedded schemas: %w", err)
	}
	ids := map[string]string{}
	for _, entry := range entries {
		id, err := addSchema(compiler, entry.Name())
		if err != nil {
			return nil, fmt.Errorf("contract: embedded schema %s: %w", entry.Name(), err)
		}
		ids[strings.TrimSuffix(entry.Name(), ".json")] = id
	}
	compiled := map[string]*jsonschema.Schema{}
	for _, topic := range Topics() {
		for _, eventType := range topic.Events {
			if compiled[eventType], err = compiler.Compile(ids[eventType]); err != nil {
				return nil, fmt.Errorf("contract: embedded schema of %s: %w", eventType, err)
			}
		}
	}
	return compiled, nil
}

// addSchema gives the compiler one file under the id that it has in itself.
func addSchema(compiler *jsonschema.Compiler, name string) (id string, err error) {
	text, err := schemaFiles.ReadFile("schemas/" + name)
	if err != nil {
		return "", err
	}
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return "", err
	}
	if object, ok := document.(map[string]any); ok {
		id, _ = object["$id"].(string)
	}
	return id, compiler.AddResource(id, document)
}
