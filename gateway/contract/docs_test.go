package contract

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"
)

// TestDocs keeps docs/events.md right: its examples are golden events, and it names every topic, event and header.
func TestDocs(t *testing.T) {
	raw, err := os.ReadFile("../../docs/events.md")
	if err != nil {
		t.Fatal(err)
	}
	text := string(raw)
	examples := 0
	for i, part := range strings.Split(text, "```") {
		example, ok := strings.CutPrefix(part, "json\n")
		if i%2 == 0 || !ok {
			continue
		}
		var compact bytes.Buffer
		if err := json.Compact(&compact, []byte(example)); err != nil {
			t.Fatalf("an example is no JSON: %v\n%s", err, example)
		}
		examples++
		if !isGolden(t, compact.Bytes()) {
			t.Errorf("an example is none of testdata:\n%s", example)
		}
	}
	if examples == 0 {
		t.Error("there are no examples")
	}
	names := append([]string{}, headerNames[1:]...)
	for _, topic := range Topics() {
		names = append(append(names, topic.Name), topic.Events...)
	}
	for _, quantity := range AlertQuantities() {
		names = append(names, quantity)
		names = append(names, Units(quantity)...)
	}
	for _, name := range names {
		if !strings.Contains(text, name) {
			t.Errorf("%s is not in it", name)
		}
	}
}

func isGolden(t *testing.T, body []byte) bool {
	t.Helper()
	for _, r := range bodies(t) {
		if bytes.Equal(r.Body, body) {
			return true
		}
	}
	return false
}
