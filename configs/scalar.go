package configs

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"
)

var (
	variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	plainWord    = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.-]{0,63}$`)
	userForm     = regexp.MustCompile(`^[^/+#\x00]{1,128}$`)
	topicForm    = regexp.MustCompile(`^[A-Za-z0-9._-]{1,249}$`)
	nameForm     = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)
	numberForm   = regexp.MustCompile(`^[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?$`)
	limitsForm   = regexp.MustCompile(`^([+-]?[0-9]+(?:\.[0-9]+)?)?\s*\.\.\s*([+-]?[0-9]+(?:\.[0-9]+)?)?$`)
	dashedForm   = regexp.MustCompile(`^([0-9]+(?:\.[0-9]+)?)\s*[-–—:,]\s*([0-9]+(?:\.[0-9]+)?)$`)
	sizeForm     = regexp.MustCompile(`^([0-9]+(?:\.[0-9]+)?)\s*([KMGT]i?)?B?$`)
	timeForm     = regexp.MustCompile(`^([01][0-9]|2[0-4]):([0-5][0-9])$`)
	spanForm     = regexp.MustCompile(`^(?:[0-9]+(?:\.[0-9]+)?(?:d|h|ms|m|s))+$`)
	spanPart     = regexp.MustCompile(`([0-9]+(?:\.[0-9]+)?)(d|h|ms|m|s)`)
	looseSpan    = regexp.MustCompile(`(?i)^([0-9]+)\s*(ms|s|sec|secs|seconds?|m|min|mins|minutes?|h|hours?|hrs?|d|days?)$`)
	switchWords  = map[string]float64{"on": 1, "true": 1, "off": 0, "false": 0}
)

// scalar is the raw text of a value; false, and a fault, when it is no scalar or has a tag of its own.
func (r *reader) scalar(v value, want, example string) (string, bool) {
	if v.node.Kind != yaml.ScalarNode || isNull(v.node) {
		r.wrong(v, want, example)
		return "", false
	}
	if v.node.Style&yaml.TaggedStyle != 0 {
		r.fault(v, "leave the word with the ! out", "has a tag, which is not known here")
		return "", false
	}
	return v.node.Value, true
}

// unquoted is the raw text of a number, a time or the like: variables are for texts only.
func (r *reader) unquoted(v value, want, example string) (string, bool) {
	raw, ok := r.scalar(v, want, example)
	if ok && strings.Contains(raw, "${") {
		r.fault(v, "write the value itself", "variables are only for texts; this must be %s", want)
		return "", false
	}
	return strings.TrimSpace(raw), ok
}

// shown quotes a raw text for a fault: cut when it is long, and without what stands before an @, where addresses keep
// user and password.
func shown(raw string) string {
	if at := strings.LastIndexByte(raw, '@'); at >= 0 {
		scheme, _, found := strings.Cut(raw[:at], "://")
		if found {
			scheme += "://"
		} else {
			scheme = ""
		}
		raw = scheme + hidden + raw[at:]
	}
	if runes := []rune(raw); len(runes) > 40 {
		raw = string(runes[:40]) + "…"
	}
	return strconv.Quote(raw)
}

// form is what a text must look like.
type form struct {
	want    string              // "a host with a port"
	example string              //
	pattern *regexp.Regexp      // for editors too; nil: any
	norm    func(*string) error // checks further and brings into one form; nil: nothing
	words   []string            // all that is allowed; nil: anything
}

// schema is what editors are told of it. A number is a text, too.
func (f form) schema() map[string]any {
	schema := map[string]any{"type": []string{"string", "number", "boolean"}}
	switch {
	case f.words != nil:
		schema = map[string]any{"anyOf": []any{map[string]any{"enum": f.words}, variable()}}
	case f.pattern != nil:
		schema = map[string]any{"anyOf": []any{map[string]any{"type": []string{"string", "number", "boolean"}, "pattern": f.pattern.String()}, variable()}}
	}
	if f.example != "" {
		schema["examples"] = []string{f.example}
	}
	return schema
}

// text is a string, with variables and files resolved.
func text[T ~string](dst *T, f form) kind {
	return kind{schema: f.schema, read: func(r *reader, v value) {
		raw, ok := r.scalar(v, f.want, f.example)
		if !ok {
			return
		}
		s, ok := r.resolve(v, raw, false)
		if !ok {
			return
		}
		hint := ""
		if f.example != "" {
			hint = "such as " + f.example
		}
		switch {
		case s == "":
			r.fault(v, hint, "must be %s, not empty", f.want)
			return
		case f.words != nil && !slices.Contains(f.words, s):
			r.fault(v, meant(raw, f.words), "%s is not %s", shown(raw), f.want)
			return
		case f.pattern != nil && !f.pattern.MatchString(s):
			r.fault(v, hint, "%s is not %s", shown(raw), f.want)
			return
		}
		if f.norm != nil {
			if err := f.norm(&s); err != nil {
				r.fault(v, hint, "%s is not %s: %v", shown(raw), f.want, err)
				return
			}
		}
		*dst = T(s)
	}}
}

// variable is what editors must let pass in place of a text.
func variable() map[string]any {
	return map[string]any{"type": "string", "pattern": `\$\{[A-Za-z_][A-Za-z0-9_]*\}|^file:/`}
}

// secret is a text that is never shown.
func secret(dst *Secret) kind {
	return kind{schema: func() map[string]any { return map[string]any{"type": "string"} }, read: func(r *reader, v value) {
		raw, ok := r.scalar(v, "a secret", `"${NAME}" or file:/path`)
		if !ok {
			return
		}
		s, ok := r.resolve(v, raw, true)
		if !ok {
			return
		}
		if s == "" {
			r.fault(v, `give it as "${NAME}" or file:/path`, "is empty")
			return
		}
		*dst = NewSecret(s)
	}}
}

// yesNo is true or false.
func yesNo(dst *bool) kind {
	return kind{schema: func() map[string]any { return map[string]any{"enum": []any{true, false, "on", "off"}} }, read: func(r *reader, v value) {
		raw, ok := r.unquoted(v, "true or false", "")
		if !ok {
			return
		}
		on, known := switchWords[raw]
		if !known {
			r.fault(v, "", "%s is neither true nor false", shown(raw))
			return
		}
		*dst = on == 1
	}}
}

// parseNumber reads a plain decimal number.
func parseNumber(raw string) (float64, bool) {
	if !numberForm.MatchString(raw) {
		return 0, false
	}
	f, err := strconv.ParseFloat(raw, 64)
	return f, err == nil && !math.IsInf(f, 0)
}

// number is a decimal number within limits, both included.
func number(dst *float64, low, high float64) kind {
	schema := func() map[string]any {
		return map[string]any{"type": "number", "minimum": low, "maximum": high}
	}
	return kind{schema: schema, read: func(r *reader, v value) {
		raw, ok := r.unquoted(v, "a number", "4.5")
		if !ok {
			return
		}
		f, ok := parseNumber(raw)
		switch {
		case !ok:
			r.fault(v, "such as 4.5", "%s is not a number", shown(raw))
		case f < low || f > high:
			r.fault(v, "", "%s is not between %s and %s", raw, number64(low), number64(high))
		default:
			*dst = f
		}
	}}
}

// integer is a whole number within limits, both included.
func integer(dst *int, low, high int) kind {
	schema := func() map[string]any {
		return map[string]any{"type": "integer", "minimum": low, "maximum": high}
	}
	return kind{schema: schema, read: func(r *reader, v value) {
		raw, ok := r.unquoted(v, "a whole number", strconv.Itoa(low))
		if !ok {
			return
		}
		i, err := strconv.Atoi(raw)
		switch {
		case err != nil:
			r.fault(v, fmt.Sprintf("from %d to %d", low, high), "%s is not a whole number", shown(raw))
		case i < low || i > high:
			r.fault(v, "", "%d is not between %d and %d", i, low, high)
		default:
			*dst = i
		}
	}}
}

// setpoint is what an output can be set to.
func setpoint(dst *float64) kind {
	schema := func() map[string]any {
		return map[string]any{"anyOf": []any{map[string]any{"enum": []any{"on", "off", true, false}}, map[string]any{"type": "number"}}}
	}
	return kind{schema: schema, read: func(r *reader, v value) {
		raw, ok := r.unquoted(v, "on, off or a number", "off")
		if !ok {
			return
		}
		f, ok := parseSetpoint(raw)
		if !ok {
			r.fault(v, "", "%s is not on, off or a number", shown(raw))
			return
		}
		*dst = f
	}}
}

func parseSetpoint(raw string) (float64, bool) {
	if f, ok := switchWords[raw]; ok {
		return f, true
	}
	return parseNumber(raw)
}

// timeOfDay is an hour and a minute; 24:00 is the end of the day.
func timeOfDay(dst *time.Duration) kind {
	schema := func() map[string]any {
		return map[string]any{"type": "string", "pattern": timeForm.String(), "examples": []string{"06:00", "24:00"}}
	}
	return kind{schema: schema, read: func(r *reader, v value) {
		raw, ok := r.unquoted(v, "a time of day", `"06:00"`)
		if !ok {
			return
		}
		m := timeForm.FindStringSubmatch(raw)
		if m == nil || m[1] == "24" && m[2] != "00" {
			r.fault(v, `such as "06:00"; the day ends at "24:00"`, "%s is not a time of day", shown(raw))
			return
		}
		h, _ := strconv.Atoi(m[1]) // two digits each, says the form
		min, _ := strconv.Atoi(m[2])
		*dst = time.Duration(h)*time.Hour + time.Duration(min)*time.Minute
	}}
}

// limits is a range of numbers, open on at most one side.
func limits(dst *Limits) kind {
	schema := func() map[string]any {
		return map[string]any{"type": "string", "pattern": limitsForm.String(), "examples": []string{"22..26", "..26", "22.."}}
	}
	return kind{schema: schema, read: func(r *reader, v value) {
		raw, ok := r.unquoted(v, "a range", "22..26, ..26 or 22..")
		if !ok {
			return
		}
		l, hint := parseLimits(raw)
		switch {
		case hint != "":
			r.fault(v, hint, "%s is not a range", shown(raw))
		case l.Min >= l.Max:
			r.fault(v, "the lower one comes first", "%s begins at or above its end", raw)
		default:
			*dst = l
		}
	}}
}

// parseLimits reads 22..26, ..26 or 22..; else it gives a hint.
func parseLimits(raw string) (Limits, string) {
	m := limitsForm.FindStringSubmatch(raw)
	if m == nil {
		if d := dashedForm.FindStringSubmatch(raw); d != nil {
			return Open(), fmt.Sprintf("did you mean %s..%s?", d[1], d[2])
		}
		if numberForm.MatchString(raw) {
			return Open(), fmt.Sprintf("at most: ..%s, at least: %s.., both: 22..26", raw, raw)
		}
		return Open(), "such as 22..26, ..26 or 22.., without a unit"
	}
	if m[1] == "" && m[2] == "" {
		return Open(), "at least one side is needed"
	}
	l := Open()
	if m[1] != "" {
		l.Min, _ = strconv.ParseFloat(m[1], 64) // decimal digits, says the form
	}
	if m[2] != "" {
		l.Max, _ = strconv.ParseFloat(m[2], 64)
	}
	return l, ""
}

// action is output=value.
func action(dst *Action) kind {
	schema := func() map[string]any {
		return map[string]any{"type": "string", "pattern": `^[A-Za-z0-9_-]{1,64}=\S+$`, "examples": []string{"exhaust-fan=on"}}
	}
	return kind{schema: schema, read: func(r *reader, v value) {
		dst.Pos = v.Pos
		raw, ok := r.unquoted(v, "an output and its value", "exhaust-fan=on")
		if !ok {
			return
		}
		name, set, found := strings.Cut(raw, "=")
		name, set = strings.TrimSpace(name), strings.TrimSpace(set)
		f, known := parseSetpoint(set)
		switch {
		case !found && nameForm.MatchString(name):
			r.fault(v, fmt.Sprintf("%s=on or %s=off?", name, name), "says no value for %q", name)
		case !found || !nameForm.MatchString(name):
			r.fault(v, "such as exhaust-fan=on", "%s is not an output and its value", shown(raw))
		case !known:
			r.fault(v, "", "%s is not on, off or a number", shown(set))
		default:
			dst.Output, dst.Value = name, f
		}
	}}
}
