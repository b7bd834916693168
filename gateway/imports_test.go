package gateway_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "gacp-erp.internal/glasshouse/"

// allowed says what each package may import besides the standard library: packages of ours by their folder, libraries by
// their module. The reason stands beside it. Tests may import more.
var allowed = map[string]struct {
	imports []string
	why     string
}{
	"drivers":            {nil, "a leaf: what a reading is"},
	"rules":              {nil, "a leaf: pure decisions"},
	"buffer":             {[]string{"go.etcd.io/bbolt", "github.com/klauspost/compress"}, "a leaf: the durable queue, its store and its compressor"},
	"configs":            {[]string{"go.yaml.in/yaml/v4", "github.com/google/uuid"}, "the schema and the strict loader; it knows no driver"},
	"drivers/modbus":     {[]string{"drivers", "github.com/goburrow/modbus", "go.bug.st/serial", "golang.org/x/sys"}, "one library a bus, and serial lines"},
	"drivers/mqtt":       {[]string{"drivers", "github.com/eclipse/paho.golang", "github.com/google/uuid"}, "one library a bus, and ids of messages"},
	"drivers/profile":    {[]string{"go.yaml.in/yaml/v4"}, "device types as data"},
	"drivers/drivertest": {[]string{"drivers"}, "the conformance suite knows the interface alone"},
	"drivers/sim":        {[]string{"drivers/sim/slave"}, "the simulated greenhouse behind its slave"},
	"drivers/sim/slave":  {nil, "a Modbus slave that owes nothing to our client"},
	"gateway/scan":       {[]string{"drivers", "rules"}, "the cycle decides over readings and rules"},
	"gateway/bus":        {[]string{"drivers"}, "one goroutine a bus"},
	"gateway/journal":    {[]string{"buffer"}, "commits"},
	"gateway/contract":   {[]string{"github.com/google/uuid", "github.com/santhosh-tekuri/jsonschema/v6"}, "what crosses to the platform"},
	"gateway/uplink":     {[]string{"buffer", "gateway/contract", "github.com/twmb/franz-go"}, "buffer to Kafka"},
	"gateway/api":        {nil, "the local door: plain HTTP over what the gateway tells it"},
	"gateway/archive":    {[]string{"buffer", "gateway/contract", "gateway/uplink"}, "the buffer of a gateway that does not run, read and never changed"},
	"gateway/demo": {[]string{"configs", "rules", "gateway", "gateway/api", "gateway/contract", "gateway/scan", "drivers/sim", "drivers/sim/slave", "github.com/mochi-mqtt/server/v2", "github.com/twmb/franz-go"},
		"the simulated world; the only importer of its broker and its Kafka"},
	"gateway": {[]string{"configs", "drivers", "drivers/modbus", "drivers/mqtt", "drivers/profile", "rules", "buffer", "gateway/scan", "gateway/bus",
		"gateway/journal", "gateway/contract", "gateway/uplink", "gateway/api", "gateway/archive", "golang.org/x/sys", "github.com/google/uuid"}, "composes; the only importer of concrete drivers"},
	"cmd/glasshouse": {[]string{"configs", "gateway", "gateway/api", "gateway/archive", "gateway/demo", "drivers", "github.com/spf13/cobra"}, "parses flags, prints"},
}

// forbidden standard packages make sure that what decides stays pure.
var forbidden = map[string][]string{
	"rules":        {"net", "os", "log", "log/slog", "sync", "math/rand", "math/rand/v2"},
	"gateway/scan": {"net", "os", "log", "log/slog", "sync", "math/rand", "math/rand/v2"},
}

func TestImports(t *testing.T) {
	seen := map[string]bool{}
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (strings.HasPrefix(d.Name(), ".") && path != ".." || d.Name() == "testdata" || d.Name() == "e2e") {
			return fs.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		folder := filepath.ToSlash(strings.TrimPrefix(filepath.Dir(path), "../"))
		seen[folder] = true
		for _, fault := range faultsOf(t, folder, path) {
			t.Error(fault)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for folder := range allowed {
		if !seen[folder] {
			t.Errorf("%s is in the table and not in the tree", folder)
		}
	}
}

// TestWhatDecidesReadsNoClock: in rules and scan, time is an argument.
func TestWhatDecidesReadsNoClock(t *testing.T) {
	for folder := range forbidden {
		files, err := filepath.Glob(filepath.Join("..", folder, "*.go"))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %d files, %v", folder, len(files), err)
		}
		for _, path := range files {
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(file, func(n ast.Node) bool {
				if s, ok := n.(*ast.SelectorExpr); ok && !strings.HasSuffix(path, "_test.go") {
					if p, ok := s.X.(*ast.Ident); ok && p.Name == "time" && slices.Contains([]string{"Now", "Since", "Until", "After", "Sleep", "Tick", "NewTimer", "NewTicker", "AfterFunc"}, s.Sel.Name) {
						t.Errorf("%s reads the clock by time.%s", path, s.Sel.Name)
					}
				}
				return true
			})
		}
	}
}

// faultsOf reads one file's imports and says which of them its folder may not have.
func faultsOf(t *testing.T, folder, path string) []string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
	if err != nil {
		t.Fatal(err)
	}
	rule, ok := allowed[folder]
	if !ok {
		return []string{fmt.Sprintf("%s: the package %s is not in the table of allowed imports", path, folder)}
	}
	var faults []string
	for _, spec := range file.Imports {
		name, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			t.Fatal(err)
		}
		ours, isOurs := strings.CutPrefix(name, module)
		switch {
		case isOurs && !slices.Contains(rule.imports, ours):
			faults = append(faults, fmt.Sprintf("%s imports %s; %s: %s", path, ours, folder, rule.why))
		case !isOurs && strings.Contains(strings.Split(name, "/")[0], ".") && !slices.ContainsFunc(rule.imports, func(m string) bool {
			return name == m || strings.HasPrefix(name, m+"/")
		}):
			faults = append(faults, fmt.Sprintf("%s imports the library %s; %s: %s", path, name, folder, rule.why))
		case slices.Contains(forbidden[folder], name):
			faults = append(faults, fmt.Sprintf("%s imports %s; what decides has no door to the world", path, name))
		}
	}
	return faults
}
