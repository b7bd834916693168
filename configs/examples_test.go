package configs

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// anyVariable stands in for the environment of an example.
func anyVariable(name string) (string, bool) {
	if strings.HasPrefix(name, "DEMO_") && name != "DEMO_DATA" {
		return "127.0.0.1:1", true
	}
	return "/value-of-" + name, true
}

func noFiles(string) ([]byte, error) { return []byte("from a file\n"), nil }

func TestExamplesLoad(t *testing.T) {
	names, err := fs.Glob(Examples(), "*.yaml")
	if err != nil || len(names) < 3 {
		t.Fatalf("examples %v, %v", names, err)
	}
	for _, name := range names {
		data, err := fs.ReadFile(Examples(), name)
		if err != nil {
			t.Fatal(err)
		}
		c, err := Parse(name, data, anyVariable, noFiles)
		if err != nil {
			t.Errorf("%v", err)
			continue
		}
		if len(c.Devices) == 0 || len(c.Zones) == 0 {
			t.Errorf("%s shows no devices or no zones", name)
		}
	}
}

var yamlBlock = regexp.MustCompile("(?s)```yaml\n(.*?)```")

func TestBlocksInTheDocsLoad(t *testing.T) {
	pages, err := filepath.Glob("../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, page := range append(pages, "../README.md") {
		data, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, block := range yamlBlock.FindAllSubmatch(data, -1) {
			if !strings.Contains(string(block[1]), "gateway:") {
				continue
			}
			found++
			if _, err := Parse(page, block[1], anyVariable, noFiles); err != nil {
				t.Errorf("%v", err)
			}
		}
	}
	if found == 0 {
		t.Error("no page shows a configuration")
	}
}
