package contract

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"
)

const (
	erpText = `{"eventId":"e","eventType":"plant.created","timestamp":"2026-03-01T12:00:00Z","correlationId":"c","source":"erp","payload":{}}`
	hubText = `{"eventType":"device.command.rpc","correlationId":"bind_17_x","timestamp":"2026-03-01T12:00:00.5Z","source":{"type":"backend","id":"s"},"payload":{"a":[1]}}`
)

func TestParse(t *testing.T) {
	erp, err := Parse([]byte(erpText))
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	if err != nil || erp.Hub || erp.EventType != "plant.created" || erp.EventID != "e" || erp.CorrelationID != "c" || erp.Version != "1.0" || erp.Source != "erp" || !erp.At.Equal(at) || string(erp.Payload) != "{}" {
		t.Errorf("%+v, %v", erp, err)
	}
	hub, err := Parse([]byte(hubText))
	if err != nil || !hub.Hub || hub.EventID != "" || hub.CorrelationID != "bind_17_x" || hub.Version != "v1" || hub.Source != "s" || hub.SourceType != "backend" ||
		!hub.At.Equal(at.Add(500*time.Millisecond)) || string(hub.Payload) != `{"a":[1]}` {
		t.Errorf("%+v, %v", hub, err)
	}
}

func TestParseVariants(t *testing.T) {
	for _, tt := range []struct {
		text, old, new string
		want           error
	}{
		{erpText, `"source":`, `"eventVersion":"1.7","source":`, nil},
		{erpText, `"source":`, `"eventVersion":"2.0","source":`, ErrVersion},
		{erpText, `"source":`, `"eventVersion":"0.9","source":`, ErrVersion},
		{erpText, `"source":`, `"eventVersion":"1","source":`, ErrInvalid},
		{erpText, `"source":`, `"eventVersion":"","source":`, ErrInvalid},
		{erpText, `"source":`, `"eventVersion":null,"source":`, ErrInvalid},
		{erpText, `"source":`, `"eventVersion":"1.0.0","source":`, ErrInvalid},
		{erpText, `"source":`, `"causationId":null,"source":`, ErrInvalid},
		{erpText, `"source":`, `"causationId":"x","source":`, nil},
		{erpText, `"source":`, `"EVENTTYPE":"other","source":`, nil},
		{erpText, `"source":"erp"`, `"source":""`, ErrInvalid},
		{erpText, `"source":"erp"`, `"source":null`, ErrInvalid},
		{erpText, `"source":"erp",`, ``, ErrInvalid},
		{erpText, `"eventId":"e",`, ``, ErrInvalid},
		{erpText, `"eventType":"plant.created"`, `"EventType":"plant.created"`, ErrInvalid},
		{erpText, `"correlationId":"c"`, `"correlationId":7`, ErrInvalid},
		{erpText, `"payload":{}`, `"payload":null`, ErrInvalid},
		{erpText, `"payload":{}`, `"payload":[]`, ErrInvalid},
		{erpText, `,"payload":{}`, ``, ErrInvalid},
		{erpText, `12:00:00Z`, `12:00:00+00:00`, ErrInvalid},
		{erpText, `12:00:00Z`, `15:00:00+03:00`, ErrInvalid},
		{erpText, `12:00:00Z`, `12:00:00`, ErrInvalid},
		{erpText, `12:00:00Z`, `12:00:00,5Z`, ErrInvalid},
		{erpText, `T12:00:00Z`, `T2:00:00Z`, ErrInvalid},
		{erpText, `12:00:00Z`, `12:00:00.Z`, ErrInvalid},
		{erpText, `12:00:00Z`, `12:00:60Z`, ErrInvalid},
		{erpText, `03-01T`, `02-29T`, ErrInvalid},
		{erpText, `2026-03-01T`, `2024-02-29T`, nil},
		{erpText, `12:00:00Z`, `12:00:00.123456789123Z`, nil},
		{erpText, `"2026-03-01T12:00:00Z"`, `1772366400000`, ErrInvalid},
		{erpText, `}`, ``, ErrInvalid},
		{erpText, `{"eventId`, `[{"eventId`, ErrInvalid},
		{hubText, `"source":`, `"__version":"v1","source":`, nil},
		{hubText, `"source":`, `"__version":"v2","source":`, ErrVersion},
		{hubText, `"source":`, `"__version":"1.0","source":`, ErrVersion},
		{hubText, `"source":`, `"__version":"","source":`, ErrVersion},
		{hubText, `"source":`, `"__version":1,"source":`, ErrInvalid},
		{hubText, `"type":"backend",`, ``, ErrInvalid},
		{hubText, `"id":"s"`, `"id":null`, ErrInvalid},
		{hubText, `"2026-03-01T12:00:00.5Z"`, `1772366400500`, nil},
		{hubText, `"2026-03-01T12:00:00.5Z"`, `1.7723664005e12`, nil},
		{hubText, `"2026-03-01T12:00:00.5Z"`, `1772366400500.5`, ErrInvalid},
		{hubText, `"2026-03-01T12:00:00.5Z"`, `0`, ErrInvalid},
		{hubText, `"2026-03-01T12:00:00.5Z"`, `-5`, ErrInvalid},
		{hubText, `"2026-03-01T12:00:00.5Z"`, `1e300`, ErrInvalid},
		{hubText, `"2026-03-01T12:00:00.5Z"`, `true`, ErrInvalid},
		{hubText, `"2026-03-01T12:00:00.5Z"`, `null`, ErrInvalid},
	} {
		text := strings.Replace(tt.text, tt.old, tt.new, 1)
		if text == tt.text {
			t.Fatalf("nothing to replace: %s", tt.old)
		}
		_, err := Parse([]byte(text))
		if !errors.Is(err, tt.want) || tt.want == nil && err != nil {
			t.Errorf("%s: %v, want %v", text, err, tt.want)
		}
		if errors.Is(err, ErrInvalid) && errors.Is(err, ErrVersion) {
			t.Errorf("%s: %v is both", text, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(erpText))
	f.Add([]byte(hubText))
	f.Add([]byte(strings.Replace(erpText, "2026-03", "0000-01", 1)))
	for _, r := range bodies(f) {
		f.Add(r.Body)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		before := bytes.Clone(body)
		e, err := Parse(body)
		if !bytes.Equal(body, before) {
			t.Fatal("reading changed the body")
		}
		if err != nil {
			if !errors.Is(err, ErrInvalid) && !errors.Is(err, ErrVersion) {
				t.Fatalf("an error of no kind: %v", err)
			}
			return
		}
		var payload map[string]any
		if json.Unmarshal(e.Payload, &payload) != nil || e.EventType == "" || e.CorrelationID == "" || e.At.Location() != time.UTC || !e.Hub && (e.EventID == "" || e.Source == "") {
			t.Fatalf("%s was read as %+v", body, e)
		}
	})
}

// FuzzValidate holds Validate and Parse against each other: what a schema takes has an envelope.
func FuzzValidate(f *testing.F) {
	for _, r := range bodies(f) {
		f.Add(r.Topic, r.Body)
	}
	f.Fuzz(func(t *testing.T, topic string, body []byte) {
		if Validate(topic, body) != nil {
			return
		}
		if _, err := Parse(body); err != nil && !strings.Contains(err.Error(), "is empty") && !errors.Is(err, ErrVersion) {
			t.Fatalf("valid, and cannot be parsed: %v\n%s", err, body)
		}
	})
}
