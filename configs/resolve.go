package configs

import (
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

const maxSecretFile = 64 << 10 // bytes

// resolve puts in the environment's variables for ${NAME} and the content of a file for file:/path; $${ stands for ${.
// False, and a fault, when one is missing. What comes out is not shown in any fault.
func (r *reader) resolve(v value, raw string, secret bool) (string, bool) {
	s, changed, ok := r.variables(v, raw)
	if !ok {
		return "", false
	}
	if strings.HasPrefix(raw, "file:") {
		if s, ok = r.content(v, strings.TrimPrefix(s, "file:")); !ok {
			return "", false
		}
		changed = true
	}
	switch {
	case secret:
		r.keep(s, hidden)
	case changed:
		r.keep(s, raw)
	}
	return s, true
}

// keep remembers a text that no fault may show. The shortest are left alone: they are no secrets, and every other word
// holds them.
func (r *reader) keep(s, instead string) {
	if len(s) < 4 {
		return
	}
	r.hide = append(r.hide, [2]string{s, instead})
	quoted := strconv.Quote(s)
	if quoted = quoted[1 : len(quoted)-1]; quoted != s { // as faults quote it
		r.hide = append(r.hide, [2]string{quoted, instead})
	}
}

// variables replaces ${NAME}.
func (r *reader) variables(v value, raw string) (s string, changed, ok bool) {
	var b strings.Builder
	ok = true
	rest := raw
	for {
		before, after, found := strings.Cut(rest, "${")
		if !found {
			b.WriteString(rest)
			return b.String(), changed, ok
		}
		if strings.HasSuffix(before, "$") {
			b.WriteString(before[:len(before)-1] + "${")
			rest = after
			continue
		}
		b.WriteString(before)
		name, tail, closed := strings.Cut(after, "}")
		if !closed || !variableName.MatchString(name) {
			r.fault(v, "${NAME} of letters, digits and _; $${ stands for ${ itself", "has a ${ without a name and a }")
			return "", false, false
		}
		set, there := r.env(name)
		if !there {
			r.fault(v, "set it, or give the text as file:/path", "the environment has no variable %s", name)
			ok = false
		}
		b.WriteString(set)
		r.keep(set, "${"+name+"}")
		changed, rest = true, tail
	}
}

// content is the content of a file without the end of its last line.
func (r *reader) content(v value, path string) (string, bool) {
	if !filepath.IsAbs(path) {
		r.fault(v, "file:/etc/glasshouse/kafka.password", "file: must be followed by an absolute path")
		return "", false
	}
	data, err := r.readFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		r.fault(v, "", "the file %s does not exist", path)
	case errors.Is(err, fs.ErrPermission):
		r.fault(v, "let the gateway's user read it", "the file %s may not be read", path)
	case err != nil:
		r.fault(v, "", "the file %s cannot be read: %v", path, err)
	case len(data) > maxSecretFile:
		r.fault(v, "", "the file %s is larger than %s", path, sizeText(maxSecretFile))
	default:
		s := strings.TrimSuffix(strings.TrimSuffix(string(data), "\n"), "\r")
		if s == "" || strings.ContainsRune(s, 0) {
			r.fault(v, "", "the file %s holds no text", path)
			return "", false
		}
		return s, true
	}
	return "", false
}

// redactor replaces all texts that no fault may show.
func (r *reader) redactor() func(string) string {
	if len(r.hide) == 0 {
		return nil
	}
	slices.SortStableFunc(r.hide, func(a, b [2]string) int { return len(b[0]) - len(a[0]) }) // one may begin with another
	pairs := make([]string, 0, 2*len(r.hide))
	for _, h := range r.hide {
		pairs = append(pairs, h[0], h[1])
	}
	return strings.NewReplacer(pairs...).Replace
}
