package contract

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"testing"
)

// bodies are the golden events' bodies by topic and name.
func bodies(t testing.TB) map[string]Record {
	t.Helper()
	e, all := newEncoder(t), map[string]Record{}
	for name, encode := range golden() {
		var r Record
		if err := encode(e, &r); err != nil {
			t.Fatal(err)
		}
		all[name] = r
	}
	return all
}

// walk calls visit for every member below an object, with a function that replaces it (nil deletes it).
func walk(path string, node any, visit func(path string, value any, set func(any))) {
	switch node := node.(type) {
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(node)) {
			value := node[name]
			visit(path+"."+name, value, func(v any) { node[name] = v })
			node[name] = value
			walk(path+"."+name, value, visit)
		}
	case []any:
		for i, value := range node {
			visit(fmt.Sprintf("%s[%d]", path, i), value, func(v any) { node[i] = v })
			node[i] = value
			walk(fmt.Sprintf("%s[%d]", path, i), value, visit)
		}
	}
}

// open tells whether a path lies in an object whose members are anybody's.
func open(eventType, path string) bool {
	return strings.HasPrefix(path, ".payload.data.custom.") ||
		strings.HasPrefix(path, ".payload.metadata.") && (eventType == TypeRegistered || eventType == TypeDeviceAlertRaised)
}

// TestSchemasRefuseEveryWrongMember takes each event and makes each of its members wrong in turn: null, of another type, a
// time with an offset or without a zone, no uuid, a word that is none.
func TestSchemasRefuseEveryWrongMember(t *testing.T) {
	for name, r := range bodies(t) {
		t.Run(name, func(t *testing.T) {
			var event map[string]any
			if err := json.Unmarshal(r.Body, &event); err != nil {
				t.Fatal(err)
			}
			eventType := event["eventType"].(string)
			walk("", event, func(path string, value any, set func(any)) {
				if open(eventType, path) {
					return
				}
				wrong := []any{nil, []any{[]any{}}, map[string]any{"a": 1}}
				if text, ok := value.(string); ok {
					wrong = append(wrong, 17.5, true)
					if isISO(text) {
						wrong = append(wrong, strings.Replace(text, "Z", "+03:00", 1), strings.TrimSuffix(text, "Z"), strings.Replace(text, "T", " ", 1),
							strings.Replace(text, "T", "t", 1), "2026-02-30T12:00:00Z", "2026-03-01T24:00:00Z", "yesterday")
					}
					if isUUID(text) {
						wrong = append(wrong, text[:35], text+"0", "{"+text[1:35]+"}", strings.ReplaceAll(text, "-", ""), "urn:uuid:"+text, strings.Repeat("g", 36))
					}
					if slices.Contains([]string{".eventType", ".payload.alertType", ".payload.severity", ".payload.telemetryType", ".payload.metadata.protocol", ".payload.previousStatus",
						".payload.currentStatus", ".payload.registeredBy", ".payload.resolvedBy"}, path) || path == ".source.type" || path == ".__version" {
						wrong = append(wrong, "", "none", strings.ToUpper(text))
					}
				} else {
					wrong = append(wrong, "17")
				}
				if strings.HasSuffix(path, ".batteryLevel") {
					wrong = append(wrong, -0.1, 100.1)
				}
				if strings.HasSuffix(path, ".deviceId") || path == ".source" {
					wrong = append(wrong, "")
				}
				for _, v := range wrong {
					if accepts(path, v) {
						continue
					}
					set(v)
					body, err := json.Marshal(event)
					if err != nil {
						t.Fatal(err)
					}
					if err := Validate(r.Topic, body); !errors.Is(err, ErrInvalid) {
						t.Errorf("%s = %v is taken (%v)", path, v, err)
					}
				}
				set(value)
			})
		})
	}
}

// accepts tells of the few values that are right where they stand: the members of these objects may all be left out.
func accepts(path string, v any) bool {
	_, isObject := v.(map[string]any)
	return isObject && slices.Contains([]string{".payload.data", ".payload.data.custom", ".payload.metadata"}, path)
}

// TestSchemasAskForWhatIsRequired deletes each member in turn: the seeds say which may go.
func TestSchemasAskForWhatIsRequired(t *testing.T) {
	optional := map[string]string{
		TypeAlert:               ".eventVersion .causationId .payload.autoCorrection .payload.autoCorrection.successful .payload.autoCorrection.actions .payload.affectedBatches",
		TypeTelemetry:           ".__version .payload.metadata .payload.metadata.qos .payload.metadata.retain .payload.metadata.topic .payload.data.*",
		TypeStatusChanged:       ".__version .source.version .payload.reason .payload.metadata .payload.metadata.*",
		TypeRegistered:          ".__version .source.version .payload.hardwareRevision .payload.serialNumber .payload.capabilities .payload.metadata .payload.metadata.*",
		TypeDeviceAlertRaised:   ".__version .source.version .payload.triggerValue .payload.thresholdValue .payload.metadata .payload.metadata.*",
		TypeDeviceAlertResolved: ".__version .source.version .payload.resolutionReason .payload.userId",
	}
	required := []string{".id", ".value", ".state"} // of an input
	for name, r := range bodies(t) {
		t.Run(name, func(t *testing.T) {
			var event map[string]any
			if err := json.Unmarshal(r.Body, &event); err != nil {
				t.Fatal(err)
			}
			eventType := event["eventType"].(string)
			var remove func(path string, node any)
			remove = func(path string, node any) {
				if list, ok := node.([]any); ok {
					for i := range list {
						remove(fmt.Sprintf("%s[%d]", path, i), list[i])
					}
				}
				object, ok := node.(map[string]any)
				if !ok {
					return
				}
				for _, member := range slices.Sorted(maps.Keys(object)) {
					value, at := object[member], path+"."+member
					delete(object, member)
					body, err := json.Marshal(event)
					if err != nil {
						t.Fatal(err)
					}
					may := slices.ContainsFunc(strings.Fields(optional[eventType]), func(o string) bool {
						before, any := strings.CutSuffix(o, "*")
						return at == o || any && strings.HasPrefix(at, before)
					})
					if i := strings.LastIndexByte(at, ']'); i >= 0 {
						may = !slices.Contains(required, at[i+1:])
					}
					if err := Validate(r.Topic, body); (err == nil) != may {
						t.Errorf("without %s: %v, want it taken: %v", at, err, may)
					}
					object[member] = value
					remove(at, value)
				}
			}
			remove("", event)
		})
	}
}

// TestSchemasAreOpen adds what the platform would pass over, and writes what it takes in other forms.
func TestSchemasAreOpen(t *testing.T) {
	all := bodies(t)
	change := func(name, old, new string) {
		t.Helper()
		r := all[name]
		body := strings.Replace(string(r.Body), old, new, 1)
		if body == string(r.Body) {
			t.Fatalf("%s holds no %s", name, old)
		}
		if err := Validate(r.Topic, []byte(body)); err != nil {
			t.Errorf("%s with %s: %v", name, new, err)
		}
	}
	for name := range all {
		change(name, `{"eventType"`, `{"ours":null,"eventType"`)
		change(name, `"payload":{`, `"payload":{"ours":null,`)
	}
	change("alert-raised", `"min":22`, `"min":22,"ours":1`)
	change("alert-raised", `"timestamp":"2026-03-01T12:00:00.123Z"`, `"timestamp":"2026-03-01T12:00:00Z"`)
	change("alert-raised", `"timestamp":"2026-03-01T12:00:00.123Z"`, `"timestamp":"2026-03-01T12:00:00.123456789Z"`)
	change("alert-raised", `"eventVersion":"1.0"`, `"eventVersion":"1.7"`)
	change("alert-raised", alertID, "00000000-0000-0000-0000-000000000000")
	change("alert-raised", alertID, strings.ToUpper(alertID))
	change("alert-raised", `"source":`, `"userId":"`+alertID+`","auditContext":{"ipAddress":"10.0.0.7"},"source":`)
	change("telemetry-mqtt", `"timestamp":"2026-03-01T11:59:59.123Z"`, `"timestamp":1772366399123`)
	change("telemetry-modbus", `"custom":{`, `"custom":{"any":[1,null,{}],`)
}

func TestSchemasRefuse(t *testing.T) {
	all := bodies(t)
	for _, tt := range []struct{ name, old, new string }{
		{"alert-raised", `"eventVersion":"1.0"`, `"eventVersion":"1"`},
		{"alert-raised", `"source":`, `"userId":"me","source":`},
		{"alert-raised", `"source":`, `"sessionId":"s","source":`},
		{"alert-raised", `"source":`, `"auditContext":{"ipAddress":"here"},"source":`},
		{"telemetry-mqtt", `"timestamp":"2026-03-01T11:59:59.123Z"`, `"timestamp":-1`},
		{"telemetry-mqtt", `"timestamp":"2026-03-01T11:59:59.123Z"`, `"timestamp":0`},
		{"telemetry-mqtt", `"timestamp":"2026-03-01T11:59:59.123Z"`, `"timestamp":1.5`},
		{"telemetry-mqtt", `"protocol":"mqtt"`, `"protocol":"modbus"`},
		{"telemetry-mqtt", `"qos":1`, `"qos":3`},
		{"telemetry-mqtt", `"qos":1`, `"qos":1.5`},
	} {
		r := all[tt.name]
		body := strings.Replace(string(r.Body), tt.old, tt.new, 1)
		if body == string(r.Body) {
			t.Fatalf("%s holds no %s", tt.name, tt.old)
		}
		if err := Validate(r.Topic, []byte(body)); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s with %s: %v", tt.name, tt.new, err)
		}
	}
}

func TestValidateRefusesWhatIsNoEvent(t *testing.T) {
	alert := bodies(t)["alert-raised"]
	for _, tt := range []struct{ topic, body, want string }{
		{TopicEnvironment, ``, "EOF"},
		{TopicEnvironment, `{`, "EOF"},
		{TopicEnvironment, `[]`, "no JSON object"},
		{TopicEnvironment, `null`, "no JSON object"},
		{TopicEnvironment, `{}`, "eventType is missing"},
		{TopicEnvironment, `{"eventType":1}`, "eventType is missing"},
		{TopicEnvironment, `{"eventType":"plant.created"}`, `"plant.created" does not belong there`},
		{TopicEnvironment, string(alert.Body) + `{}`, "invalid character"},
		{TopicTelemetry, string(alert.Body), `"environment.alert" does not belong there`},
		{"nowhere", string(alert.Body), "does not belong there"},
	} {
		if err := Validate(tt.topic, []byte(tt.body)); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s on %s: %v, want %q", tt.body, tt.topic, err, tt.want)
		}
	}
}

// TestSchemaFiles proves that each type of event has a file of its name, which says where it comes from.
func TestSchemaFiles(t *testing.T) {
	want := []string{"defs.json"}
	for _, topic := range Topics() {
		for _, eventType := range topic.Events {
			want = append(want, eventType+".json")
		}
	}
	slices.Sort(want)
	found, err := fs.Glob(Schemas(), "*.json")
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(found, want) {
		t.Errorf("files %v, want %v", found, want)
	}
	for _, name := range found {
		text, err := fs.ReadFile(Schemas(), name)
		if err != nil {
			t.Fatal(err)
		}
		var schema struct {
			Schema  string `json:"$schema"`
			ID      string `json:"$id"`
			Comment string `json:"$comment"`
		}
		if err := json.Unmarshal(text, &schema); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if schema.Schema != "https://json-schema.org/draft/2020-12/schema" || !strings.HasSuffix(schema.ID, "/"+name) || schema.Comment == "" {
			t.Errorf("%s begins with %+v", name, schema)
		}
		if strings.Contains(string(text), "additionalProperties") {
			t.Errorf("%s is not open to unknown keys", name)
		}
	}
}
