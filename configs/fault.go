package configs

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Pos is a place in the file, and its path: devices[veg1-relays].outputs.relay1. Embedded in everything that may be found
// fault with later.
type Pos struct {
	Line, Column int // from 1; 0: unknown
	Path         string
}

// Fault is one thing that is wrong in a configuration.
type Fault struct {
	File         string
	Line, Column int // from 1; 0: the file as a whole
	Path         string
	Message      string
	Hint         string // what to do; may be empty
}

// Error is "file:line:col: path: message (hint)".
func (f Fault) Error() string {
	var b strings.Builder
	b.WriteString(f.File)
	if f.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", f.Line, f.Column)
	}
	if f.Path != "" {
		b.WriteString(": " + f.Path)
	}
	b.WriteString(": " + f.Message)
	if f.Hint != "" {
		b.WriteString(" (" + f.Hint + ")")
	}
	return b.String()
}

// Faults are all that is wrong in a configuration, as one error.
type Faults []Fault

// Error is one fault a line.
func (f Faults) Error() string {
	lines := make([]string, len(f))
	for i := range f {
		lines[i] = f[i].Error()
	}
	return strings.Join(lines, "\n")
}

// Sort brings them into the order of the file.
func (f Faults) Sort() {
	slices.SortStableFunc(f, func(a, b Fault) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column), cmp.Compare(a.Path, b.Path), cmp.Compare(a.Message, b.Message))
	})
}

// Err sorts them and returns them as an error, nil when there are none.
func (f Faults) Err() error {
	if len(f) == 0 {
		return nil
	}
	f.Sort()
	return f
}

// Fault is one that was found after loading. The path may be a whole one, "" for that of at, or one that begins with a
// dot and goes on from there (".points.temprature"); when the file has that path, it gives the place instead of at.
func (c *Config) Fault(at Pos, path, hint, format string, args ...any) Fault {
	switch {
	case path == "":
		path = at.Path
	case strings.HasPrefix(path, "."):
		path = strings.TrimPrefix(at.Path+path, ".")
	}
	if exact, ok := c.places[path]; ok {
		at = exact
	}
	f := Fault{File: c.File, Line: at.Line, Column: at.Column, Path: path, Message: fmt.Sprintf(format, args...), Hint: hint}
	if c.redact != nil {
		f.Message, f.Hint = c.redact(f.Message), c.redact(f.Hint)
	}
	return f
}

// Nearest is the word among others that was probably meant, "" when none is like it.
func Nearest(word string, among []string) string {
	best, least := "", 0
	low := strings.ToLower(word)
	for _, candidate := range among {
		d := distance(low, strings.ToLower(candidate))
		longest := max(len(word), len(candidate))
		near := d <= max(1, longest/3) && d < longest
		if len(word) >= 3 && strings.HasPrefix(strings.ToLower(candidate), low) {
			near = true // temp for temperature
		}
		if near && (best == "" || d < least) {
			best, least = candidate, d
		}
	}
	return best
}

// distance counts the letters to insert, delete, replace or swap with a neighbour to make one word from another.
func distance(a, b string) int {
	s, t := []rune(a), []rune(b)
	if len(s) > 64 || len(t) > 64 {
		return max(len(s), len(t))
	}
	rows := [3][]int{make([]int, len(t)+1), make([]int, len(t)+1), make([]int, len(t)+1)}
	before, last, this := rows[0], rows[1], rows[2]
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(s); i++ {
		this[0] = i
		for j := 1; j <= len(t); j++ {
			change := 1
			if s[i-1] == t[j-1] {
				change = 0
			}
			this[j] = min(last[j]+1, this[j-1]+1, last[j-1]+change)
			if i > 1 && j > 1 && s[i-1] == t[j-2] && s[i-2] == t[j-1] {
				this[j] = min(this[j], before[j-2]+1)
			}
		}
		before, last, this = last, this, before
	}
	return last[len(t)]
}

// meant is the hint for a word that is not known: the nearest one, else all of them when they are few.
func meant(word string, among []string) string {
	if near := Nearest(word, among); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	if len(among) == 0 || len(among) > 20 {
		return ""
	}
	sorted := slices.Sorted(slices.Values(among))
	return "known here: " + strings.Join(sorted, ", ")
}
