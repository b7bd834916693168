package gateway

import (
	"encoding/pem"
	"io/fs"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"gacp-erp.internal/glasshouse/configs"
)

// loadable makes a text that names secrets and files of another machine loadable here.
func loadable(t *testing.T, name, text string) *configs.Config {
	t.Helper()
	text = strings.ReplaceAll(text, "/etc/glasshouse/ca.pem", authority(t))
	env := func(key string) (string, bool) {
		return map[string]string{"DEMO_DATA": "/tmp/demo"}[key] + "127.0.0.1:1", true
	}
	config, err := configs.Parse(name, []byte(text), env, func(string) ([]byte, error) { return []byte("secret"), nil })
	if err != nil {
		t.Fatal(err)
	}
	return config
}

// authority is the file of a certificate authority, which examples name and this machine does not have.
func authority(t *testing.T) string {
	t.Helper()
	server := httptest.NewTLSServer(nil)
	defer server.Close()
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// TestExamplesAndDocsBuild builds every example, and every configuration in the documents, with the constructors that run.
func TestExamplesAndDocsBuild(t *testing.T) {
	texts := map[string]string{}
	examples, err := fs.Glob(configs.Examples(), "*.yaml")
	if err != nil || len(examples) == 0 {
		t.Fatalf("%d examples, %v", len(examples), err)
	}
	for _, name := range examples {
		text, err := fs.ReadFile(configs.Examples(), name)
		if err != nil {
			t.Fatal(err)
		}
		texts[name] = string(text)
	}
	docs, err := filepath.Glob("../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```yaml\n(.*?)```")
	found := 0
	for _, path := range append(docs, "../README.md") {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, block := range blocks.FindAllStringSubmatch(string(text), -1) {
			if strings.Contains(block[1], "gateway:") {
				found++
				texts[filepath.Base(path)+" block "+string(rune('0'+found))] = block[1]
			}
		}
	}
	if found == 0 {
		t.Error("the documents show no configuration")
	}
	for name, text := range texts {
		t.Run(name, func(t *testing.T) {
			g, err := New(Options{Config: loadable(t, name, text)})
			if err != nil {
				t.Fatal(err)
			}
			var page strings.Builder
			if err := g.Describe(&page); err != nil {
				t.Fatal(err)
			}
			if strings.Contains(page.String(), "secret") {
				t.Error("check shows a secret")
			}
		})
	}
}

// TestFaultsHaveAPlace: what only the gateway can find has its line too, and one fault does not drag others along.
func TestFaultsHaveAPlace(t *testing.T) {
	base := strings.Replace(testConfig, "%s", "/tmp/x", 1)
	for name, tt := range map[string]struct{ old, to, want string }{
		"profile":       {"profile: xy-md02", "profile: xy-md2", `no profile is called "xy-md2" (did you mean "xy-md02"?)`},
		"output":        {"relay1:", "relay9:", `the profile waveshare-relay-8 has no output "relay9"`},
		"wrong bus":     {"profile: xy-md02, bus: north, unit: 1", "profile: platform-device, bus: north, unit: 1", "speaks mqtt"},
		"not a switch":  {"exhaust-fan=on", "exhaust-fan=0.5", "is a switch and cannot be 0.5"},
		"nobody knows":  {"vpd: {day: 0.2..2.5}", "co2: {day: 600..900}", "nothing in zone veg-1 measures co2"},
		"no such point": {"{id: veg1-climate, profile: xy-md02,", "{id: veg1-climate, points: {temprature: {min: 0}}, profile: xy-md02,", `has no point "temprature" (did you mean "temperature"?)`},
		"baud rate":     {"tcp://127.0.0.1:502", "rtu:///dev/ttyUSB0?baud=96", "baud=96: it must be"},
	} {
		t.Run(name, func(t *testing.T) {
			if !strings.Contains(base, tt.old) {
				t.Fatalf("the test's configuration has no %q", tt.old)
			}
			_, err := New(Options{Config: loadable(t, "test.yaml", strings.Replace(base, tt.old, tt.to, 1))})
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.HasPrefix(err.Error(), "test.yaml:") || strings.Count(err.Error(), "\n") > 0 {
				t.Errorf("got %v, want one fault with %q", err, tt.want)
			}
		})
	}
}
