package configs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// FuzzParse: whatever a file holds, loading ends without a panic, either with a configuration or with faults that have
// places in the file, and nothing shows what came out of a variable or a file.
func FuzzParse(f *testing.F) {
	names, err := filepath.Glob("testdata/*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	examples, err := filepath.Glob("examples/*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range append(names, examples...) {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte(fmt.Sprintf(withSecrets, "x")))
	const token = "tok3n-that-must-not-show"
	f.Fuzz(func(t *testing.T, data []byte) {
		if strings.Contains(string(data), token) {
			return
		}
		c, err := Parse("fuzz.yaml", data, func(string) (string, bool) { return token, true }, func(path string) ([]byte, error) {
			if strings.Contains(path, "none") {
				return nil, fs.ErrNotExist
			}
			return []byte(token), nil
		})
		if err == nil {
			c.Uplink.Brokers = nil // texts that may be shown
			if shown := fmt.Sprintf("%+v %#v", c.Uplink.SASL.Password, c.Uplink.SASL.Password); strings.Contains(shown, token) {
				t.Fatalf("shows %s", shown)
			}
			if len(c.Hash()) != 12 {
				t.Fatalf("hash %q", c.Hash())
			}
			return
		}
		var faults Faults
		if !errors.As(err, &faults) || len(faults) == 0 {
			t.Fatalf("error without faults: %v", err)
		}
		if strings.Contains(err.Error(), token) {
			t.Fatalf("shows a secret: %v", err)
		}
		lines := strings.Count(string(data), "\n") + strings.Count(string(data), "\r") + strings.Count(string(data), "\u0085") +
			strings.Count(string(data), "\u2028") + strings.Count(string(data), "\u2029") + 2
		for _, fault := range faults {
			if fault.File != "fuzz.yaml" || fault.Message == "" || fault.Line < 1 || fault.Column < 1 || fault.Line > lines {
				t.Fatalf("fault without a place: %#v", fault)
			}
		}
	})
}
