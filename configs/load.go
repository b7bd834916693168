package configs

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"
)

const (
	maxFile   = 4 << 20 // bytes of a configuration
	maxValues = 200_000 // values in it
)

// Load reads a file, the variables of the environment and the files that it names. The error is Faults: all of them, in
// order of place.
func Load(file string) (*Config, error) {
	data, err := os.ReadFile(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, Faults{{File: file, Message: "does not exist", Hint: "name the configuration with -c FILE"}}
	case errors.Is(err, fs.ErrPermission):
		return nil, Faults{{File: file, Message: "may not be read", Hint: "let this user read it"}}
	case err != nil:
		return nil, Faults{{File: file, Message: "cannot be read: " + err.Error()}}
	}
	return Parse(file, data, os.LookupEnv, os.ReadFile)
}

// Parse is Load for a text: name stands for the file in faults, env and readFile give what it refers to; nil: nothing is
// there.
func Parse(name string, data []byte, env func(string) (string, bool), readFile func(string) ([]byte, error)) (*Config, error) {
	r := &reader{file: name, env: env, readFile: readFile, places: map[string]Pos{}, left: maxValues}
	if env == nil {
		r.env = func(string) (string, bool) { return "", false }
	}
	if readFile == nil {
		r.readFile = func(string) ([]byte, error) { return nil, fs.ErrNotExist }
	}
	if len(data) > maxFile {
		return nil, Faults{{File: name, Message: "is larger than " + sizeText(maxFile)}}
	}
	var document yaml.Node
	if err := yaml.Load(data, &document); err != nil {
		return nil, syntax(name, data, err)
	}
	c := &Config{File: name, places: r.places}
	c.Uplink.TLS.Enabled = true
	top := document.Content[0]
	var pos Pos
	object(&pos, "gateway:", root(c)).read(r, value{Pos{top.Line, top.Column, ""}, top})
	c.defaults()
	c.check(r)
	c.redact = r.redactor()
	if c.redact != nil {
		for i := range r.faults {
			r.faults[i].Message, r.faults[i].Hint = c.redact(r.faults[i].Message), c.redact(r.faults[i].Hint)
		}
	}
	if err := r.faults.Err(); err != nil {
		return nil, err
	}
	return c, nil
}

// quoted are parts of the library's messages that repeat the file's text.
var quoted = regexp.MustCompile(`(anchor|alias|tag|directive) '[^']*'`)

// syntax turns the library's errors into faults. They must not repeat the file's text, which may be a password.
func syntax(file string, data []byte, err error) Faults {
	var one *yaml.LoadError
	f := Fault{File: file, Line: 1, Column: 1, Message: "is no YAML"}
	if errors.As(err, &one) { // the first of many, too
		f.Line, f.Column = max(one.Mark.Line, 1), max(one.Mark.Column, 1)
		f.Message = quoted.ReplaceAllString(strings.TrimPrefix(one.Message, "yaml: "), "$1")
		if one.ContextMsg != "" {
			f.Message += " " + one.ContextMsg
		}
	}
	lines := strings.Split(string(data), "\n")
	line := ""
	if f.Line <= len(lines) {
		line = lines[f.Line-1]
	}
	switch {
	case len(strings.TrimSpace(string(data))) == 0:
		f.Message, f.Hint = "is empty", "configs/examples has whole ones"
	case strings.Contains(line, "\t"):
		f.Hint = "indent with spaces, not tabs"
	case strings.Contains(line, "${"):
		f.Hint = `within { } and [ ] a variable needs quotes: "${NAME}"`
	case strings.Contains(f.Message, "mapping values"):
		f.Hint = "quote texts that hold a colon, and look at the indentation"
	}
	return Faults{f}
}

// defaults fills in what is left out.
func (c *Config) defaults() {
	g := &c.Gateway
	if g.DataDir == "" {
		g.DataDir = "/var/lib/glasshouse"
	}
	if g.Socket == "" {
		g.Socket = filepath.Join(g.DataDir, "glasshouse.sock")
	}
	if g.Level == "" {
		g.Level = "info"
	}
	if _, given := c.places["gateway.grace"]; !given {
		g.Grace = 30 * time.Second
	}
	if c.Buffer.MaxSize == 0 {
		c.Buffer.MaxSize = 2 << 30
	}
	if c.Buffer.Reserve == 0 {
		c.Buffer.Reserve = min(64<<20, c.Buffer.MaxSize/4)
	}
	for i := range c.Buses {
		b := &c.Buses[i]
		if b.MQTT == "" {
			continue
		}
		if b.ClientID == "" {
			b.ClientID = "glasshouse-" + g.ID
		}
		b.TLS.Enabled = strings.HasPrefix(b.MQTT, "mqtts:")
	}
	for i := range c.Zones {
		z := &c.Zones[i]
		z.Day.Set = z.Day.Line > 0
		for j := range z.Ranges {
			if z.Ranges[j].Night.IsOpen() {
				z.Ranges[j].Night = z.Ranges[j].Day
			}
		}
	}
}

// Hash names a configuration by what it says: 12 hexadecimal digits that are the same however it is laid out, commented or
// named, and whatever its secrets are.
func (c *Config) Hash() string {
	data, err := json.Marshal(c) // places are left out, secrets are ***
	if err != nil {
		return "" // cannot be: every type in it has a text
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])[:12]
}
