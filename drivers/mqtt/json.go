package mqtt

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// The functions below walk JSON that json.Valid has passed, without building a tree: a message of twenty sensors is read
// with hardly an allocation, and depth costs no stack.

// step is one step of a path: a key of an object, or an index of an array when key is empty.
type step struct {
	key   string
	index int
}

// parsePath reads "ENERGY.Power" or "a.b[0].c"; the empty path is the whole payload.
func parsePath(path string) ([]step, error) {
	var steps []step
	if path == "" {
		return nil, nil
	}
	for _, part := range strings.Split(path, ".") {
		key, rest, indexed := strings.Cut(part, "[")
		if key == "" && (!indexed || len(steps) > 0) {
			return nil, fmt.Errorf("path %q has an empty key; write it like a.b[0].c", path)
		}
		if key != "" {
			steps = append(steps, step{key: key})
		}
		for indexed {
			var number string
			var closed bool
			number, rest, closed = strings.Cut(rest, "]")
			index, err := strconv.ParseUint(number, 10, 16)
			if err != nil || !closed {
				return nil, fmt.Errorf("path %q has a bad index; write it like a.b[0].c", path)
			}
			steps = append(steps, step{index: int(index)})
			if rest == "" {
				break
			}
			if rest[0] != '[' {
				return nil, fmt.Errorf("path %q has text behind an index; write it like a.b[0].c", path)
			}
			rest = rest[1:]
		}
	}
	return steps, nil
}

// lookup follows a path; false when it leads nowhere.
func lookup(value []byte, path []step) ([]byte, bool) {
	value = bytes.TrimSpace(value)
	for _, s := range path {
		var found []byte
		if s.key != "" {
			members(value, func(key, v []byte) {
				if string(key) == s.key {
					found = v // the last of several, as encoding/json has it
				}
			})
		} else {
			n := 0
			elements(value, func(v []byte) {
				if n == s.index {
					found = v
				}
				n++
			})
		}
		if found == nil {
			return nil, false
		}
		value = found
	}
	return value, true
}

// members calls f with each key (unquoted) and value of an object; nothing for any other value.
func members(object []byte, f func(key, value []byte)) {
	i := space(object, 0)
	if i >= len(object) || object[i] != '{' {
		return
	}
	i = space(object, i+1)
	for i < len(object) && object[i] == '"' {
		end := skip(object, i)
		key := unquote(object[i:end])
		i = space(object, end)
		i = space(object, min(i+1, len(object))) // the colon
		end = skip(object, i)
		f(key, object[i:end])
		i = space(object, end)
		if i < len(object) && object[i] == ',' {
			i = space(object, i+1)
		}
	}
}

// elements calls f with each element of an array; nothing for any other value.
func elements(array []byte, f func(value []byte)) {
	i := space(array, 0)
	if i >= len(array) || array[i] != '[' {
		return
	}
	i = space(array, i+1)
	for i < len(array) && array[i] != ']' {
		end := skip(array, i)
		f(array[i:end])
		i = space(array, end)
		if i < len(array) && array[i] == ',' {
			i = space(array, i+1)
		}
	}
}

// space is the first index from i that is not white space.
func space(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\t' || b[i] == '\r') {
		i++
	}
	return i
}

// skip is the index behind the value that starts at i.
func skip(b []byte, i int) int {
	if i >= len(b) {
		return i
	}
	switch b[i] {
	case '"':
		return skipString(b, i)
	case '{', '[':
		depth := 0
		for i < len(b) {
			switch b[i] {
			case '"':
				i = skipString(b, i)
				continue
			case '{', '[':
				depth++
			case '}', ']':
				depth--
			}
			i++
			if depth == 0 {
				break
			}
		}
		return i
	}
	for i < len(b) && strings.IndexByte(",]} \n\t\r", b[i]) < 0 {
		i++
	}
	return i
}

// skipString is the index behind the string that starts at i.
func skipString(b []byte, i int) int {
	for i++; i < len(b); i++ {
		switch b[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(b)
}

// isNull says whether a field is there only to say that it is not.
func isNull(value []byte) bool { return string(value) == "null" }

// unquote is the text of a JSON string; the value itself when it is no string.
func unquote(value []byte) []byte {
	if len(value) < 2 || value[0] != '"' {
		return value
	}
	if bytes.IndexByte(value, '\\') < 0 {
		return value[1 : len(value)-1]
	}
	var text string
	if json.Unmarshal(value, &text) != nil {
		return value[1 : len(value)-1]
	}
	return []byte(text)
}

// truth is 1 for true and 0 for false; false for anything else.
func truth(value []byte) (float64, bool) {
	switch string(value) {
	case "true":
		return 1, true
	case "false":
		return 0, true
	}
	return 0, false
}

// number is the value of a JSON number; false for anything else and for what a float64 cannot hold.
func number(value []byte) (float64, bool) {
	if len(value) == 0 || value[0] != '-' && (value[0] < '0' || value[0] > '9') {
		return 0, false
	}
	v, err := strconv.ParseFloat(string(value), 64)
	if err != nil || math.IsInf(v, 0) || math.IsNaN(v) {
		return 0, false
	}
	return v, true
}
