package configs

import (
	"fmt"
	"strings"

	"go.yaml.in/yaml/v4"
)

// reader walks the nodes of a file by tables of fields and collects what is wrong.
type reader struct {
	file     string
	faults   Faults
	env      func(string) (string, bool)
	readFile func(string) ([]byte, error)
	places   map[string]Pos
	hide     [][2]string // what came from variables, files and secrets, and what to show instead
	left     int         // values that may still be read: aliases of aliases grow without end
}

// value is a node with its place. Line and column are those of an alias, not of what it stands for.
type value struct {
	Pos
	node *yaml.Node
}

// kind is how a value is read, and what editors are told of it (JSON Schema).
type kind struct {
	read   func(r *reader, v value)
	schema func() map[string]any
	empty  bool // a key without a value is as good as no key
}

// field is one key of a mapping.
type field struct {
	key  string
	kind kind
	need need
	doc  string // for editors and for whoever forgot it
}

// need says whether a key may be left out.
type need bool

const (
	optional need = false
	required need = true
)

// fault notes one at a value.
func (r *reader) fault(v value, hint, format string, args ...any) {
	r.faults = append(r.faults, Fault{File: r.file, Line: v.Line, Column: v.Column, Path: v.Path,
		Message: fmt.Sprintf(format, args...), Hint: hint})
}

// at is the value of a node; an alias is followed.
func (r *reader) at(path string, n *yaml.Node) value {
	v := value{Pos{n.Line, n.Column, path}, n}
	for v.node.Kind == yaml.AliasNode && v.node.Alias != nil {
		v.node = v.node.Alias
	}
	if _, known := r.places[path]; !known {
		r.places[path] = v.Pos
	}
	return v
}

// wrong notes a value of another kind than wanted. Texts where none is wanted may be anything, also a password whose key
// lost its colon: they are not shown.
func (r *reader) wrong(v value, want, example string) {
	hint := ""
	if example != "" {
		hint = "such as " + example
	}
	if isNull(v.node) {
		r.fault(v, hint, "has no value")
		return
	}
	is := "a text"
	switch {
	case v.node.Kind == yaml.MappingNode:
		is = "a mapping"
	case v.node.Kind == yaml.SequenceNode:
		is = "a list"
	case v.node.ShortTag() == "!!int" || v.node.ShortTag() == "!!float":
		is = "a number"
	}
	r.fault(v, hint, "must be %s, not %s", want, is)
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

// object is a mapping with known keys. Its place is kept in pos.
func object(pos *Pos, example string, fields []field) kind {
	return kind{empty: true, schema: func() map[string]any { return objectSchema(fields) }, read: func(r *reader, v value) {
		*pos = v.Pos
		if v.node.Kind != yaml.MappingNode {
			r.wrong(v, "a mapping", example)
			return
		}
		seen := r.pairs(v, func(key string, item value) {
			for i := range fields {
				if fields[i].key == key {
					r.field(&fields[i], item)
					return
				}
			}
		}, keysOf(fields))
		for _, f := range fields {
			if f.need == required && !seen[f.key] {
				missing := v
				missing.Path = join(v.Path, f.key)
				r.fault(missing, f.doc, "is missing")
			}
		}
	}}
}

// field reads one known key.
func (r *reader) field(f *field, item value) {
	switch {
	case !isNull(item.node):
		f.kind.read(r, item)
	case f.need == required || !f.kind.empty:
		r.fault(item, f.doc, "has no value")
	}
}

// pairs calls each for every key of a mapping that is known (all are, when known is nil) and there for the first time. It
// returns the keys that are there or were probably meant by others.
func (r *reader) pairs(v value, each func(key string, item value), known []string) map[string]bool {
	seen := map[string]bool{}
	lines := map[string]int{}
	for i := 0; i+1 < len(v.node.Content) && r.spend(v); i += 2 {
		node := v.node.Content[i]
		key := value{Pos{node.Line, node.Column, v.Path}, node}
		if node.Kind != yaml.ScalarNode || node.ShortTag() == "!!merge" || isNull(node) {
			r.fault(key, "", "a key must be a plain word")
			continue
		}
		word := node.Value
		if line, twice := lines[word]; twice && plainWord.MatchString(word) {
			key.Path = join(v.Path, word)
			r.fault(key, "", "is there twice, first in line %d", line)
			continue
		}
		lines[word] = node.Line
		if known != nil && !contains(known, word) {
			r.unknown(key, word, known, seen)
			continue
		}
		seen[word] = true
		each(word, r.at(join(v.Path, word), v.node.Content[i+1]))
	}
	return seen
}

// unknown notes a key that is not known. One that is no plain word may hold anything, also a password after a colon
// without a space: it is not shown.
func (r *reader) unknown(key value, word string, known []string, seen map[string]bool) {
	if !plainWord.MatchString(word) {
		hint := "known here: " + strings.Join(known, ", ")
		if before, _, ok := strings.Cut(word, ":"); ok && contains(known, before) {
			seen[before] = true
			hint = fmt.Sprintf("a space is missing after %q", before+":")
		}
		r.fault(key, hint, "unknown key")
		return
	}
	if near := Nearest(word, known); near != "" {
		seen[near] = true
	}
	key.Path = join(key.Path, word)
	r.fault(key, meant(word, known), "unknown key")
}

// spend counts a value; false when a file holds too many.
func (r *reader) spend(v value) bool {
	r.left--
	if r.left == 0 {
		r.fault(v, "aliases of aliases grow fast", "the configuration holds more than %d values", maxValues)
	}
	return r.left > 0
}

// list is a sequence of items. The key of an item that names it, if any, gives its path.
func list[T any](dst *[]T, label, example string, each func(*T) kind) kind {
	schema := func() map[string]any {
		return map[string]any{"type": "array", "items": each(new(T)).schema()}
	}
	return kind{empty: true, schema: schema, read: func(r *reader, v value) {
		if v.node.Kind != yaml.SequenceNode {
			r.wrong(v, "a list", example)
			return
		}
		*dst = make([]T, 0, len(v.node.Content)) // items are read in place: no pointer may move
		for i, n := range v.node.Content {
			if !r.spend(v) {
				return
			}
			var read T
			*dst = append(*dst, read)
			child := r.at(r.label(v.Path, i, n, label), n)
			each(&(*dst)[i]).read(r, child)
		}
	}}
}

// label is the path of a list's item: by its name when it has one of its own, else by its number from 0.
func (r *reader) label(path string, i int, n *yaml.Node, label string) string {
	byNumber := fmt.Sprintf("%s[%d]", path, i)
	if n.Kind != yaml.MappingNode || label == "" {
		return byNumber
	}
	for j := 0; j+1 < len(n.Content); j += 2 {
		if n.Content[j].Value != label || n.Content[j+1].Kind != yaml.ScalarNode || !nameForm.MatchString(n.Content[j+1].Value) {
			continue
		}
		byName := fmt.Sprintf("%s[%s]", path, n.Content[j+1].Value)
		if _, taken := r.places[byName]; !taken {
			return byName
		}
	}
	return byNumber
}

// keyed is a mapping whose keys are names; its items keep the order of the file. Known limits the names; nil: any.
func keyed[T any](dst *[]T, example string, known []string, each func(key string, item *T) kind) kind {
	schema := func() map[string]any {
		if known == nil {
			return map[string]any{"type": "object", "additionalProperties": each("", new(T)).schema()}
		}
		properties := map[string]any{}
		for _, name := range known {
			properties[name] = each(name, new(T)).schema()
		}
		return map[string]any{"type": "object", "properties": properties, "additionalProperties": false}
	}
	return kind{empty: true, schema: schema, read: func(r *reader, v value) {
		if v.node.Kind != yaml.MappingNode {
			r.wrong(v, "a mapping", example)
			return
		}
		*dst = make([]T, 0, len(v.node.Content)/2)
		r.pairs(v, func(key string, child value) {
			var read T
			*dst = append(*dst, read)
			each(key, &(*dst)[len(*dst)-1]).read(r, child)
		}, known)
	}}
}

func keysOf(fields []field) []string {
	keys := make([]string, len(fields))
	for i := range fields {
		keys[i] = fields[i].key
	}
	return keys
}

func contains(words []string, word string) bool {
	for _, w := range words {
		if w == word {
			return true
		}
	}
	return false
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}
