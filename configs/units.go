package configs

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// span is a duration with units, within limits, both included.
func span(dst *time.Duration, low, high time.Duration) kind {
	schema := func() map[string]any {
		return map[string]any{"type": "string", "pattern": spanForm.String(), "examples": []string{"30s", "10m", "2h", "7d"}}
	}
	return kind{schema: schema, read: func(r *reader, v value) {
		raw, ok := r.unquoted(v, "a time with its unit", "30s, 10m, 2h or 7d")
		if !ok {
			return
		}
		d, err := parseSpan(raw)
		switch {
		case err != nil:
			hint := "such as 30s, 10m, 2h or 7d"
			if m := looseSpan.FindStringSubmatch(raw); m != nil {
				hint = fmt.Sprintf("write %s%s", m[1], unitOf(m[2]))
			} else if numberForm.MatchString(raw) {
				hint = fmt.Sprintf("a unit is missing: %ss?", raw)
			}
			r.fault(v, hint, "%s is not a time with its unit", shown(raw))
		case d < low || d > high:
			r.fault(v, "", "%s is not between %s and %s", raw, spanText(low), spanText(high))
		default:
			*dst = d
		}
	}}
}

// unitOf is the unit as it must be written.
func unitOf(word string) string {
	word = strings.ToLower(word)
	if word == "ms" {
		return word
	}
	return word[:1]
}

var errSpan = errors.New("no duration")

// parseSpan reads 30s, 1h30m or 7d.
func parseSpan(raw string) (time.Duration, error) {
	if !spanForm.MatchString(raw) {
		return 0, errSpan
	}
	units := map[string]time.Duration{"ms": time.Millisecond, "s": time.Second, "m": time.Minute, "h": time.Hour, "d": 24 * time.Hour}
	total := 0.0
	for _, part := range spanPart.FindAllStringSubmatch(raw, -1) {
		n, err := strconv.ParseFloat(part[1], 64)
		if err != nil {
			return 0, errSpan
		}
		total += n * float64(units[part[2]])
	}
	if total > float64(10*365*24*time.Hour) {
		return 0, errSpan
	}
	return time.Duration(math.Round(total)), nil
}

// spanText is a duration as the file writes it.
func spanText(d time.Duration) string {
	day := 24 * time.Hour
	switch {
	case d == 0:
		return "0s"
	case d%day == 0:
		return fmt.Sprintf("%dd", d/day)
	case d%time.Hour == 0:
		return fmt.Sprintf("%dh", d/time.Hour)
	case d%time.Minute == 0:
		return fmt.Sprintf("%dm", d/time.Minute)
	}
	return d.String()
}

// size is a number of bytes with its unit.
func size(dst *int64, low, high int64) kind {
	schema := func() map[string]any {
		return map[string]any{"type": "string", "pattern": `^[0-9]+(\.[0-9]+)?\s*[KMGT]iB$`, "examples": []string{"64MiB", "2GiB"}}
	}
	return kind{schema: schema, read: func(r *reader, v value) {
		raw, ok := r.unquoted(v, "a size with its unit", "64MiB or 2GiB")
		if !ok {
			return
		}
		n, hint := parseSize(raw)
		switch {
		case n < 0:
			r.fault(v, hint, "%s is not a size with its unit", shown(raw))
		case n < low || n > high:
			r.fault(v, "", "%s is not between %s and %s", raw, sizeText(low), sizeText(high))
		default:
			*dst = n
		}
	}}
}

// parseSize reads 64MiB or 1.5GiB; negative, with a hint, when it is neither.
func parseSize(raw string) (int64, string) {
	m := sizeForm.FindStringSubmatch(raw)
	if m == nil {
		return -1, "such as 64MiB or 2GiB"
	}
	if !strings.HasSuffix(m[2], "i") || !strings.HasSuffix(raw, "B") {
		unit := "MiB"
		if m[2] != "" {
			unit = m[2][:1] + "iB"
		}
		return -1, fmt.Sprintf("did you mean %s%s?", m[1], unit)
	}
	n, err := strconv.ParseFloat(m[1], 64)
	shift := 10 * (1 + strings.Index("KMGT", m[2][:1]))
	n *= float64(int64(1) << shift)
	if err != nil || n > 1<<50 {
		return -1, "such as 64MiB or 2GiB"
	}
	return int64(n), ""
}

// sizeText is a size as the file writes it.
func sizeText(n int64) string {
	for i, unit := range []string{"TiB", "GiB", "MiB", "KiB"} {
		if one := int64(1) << (40 - 10*i); n >= one && n%one == 0 {
			return fmt.Sprintf("%d%s", n/one, unit)
		}
	}
	return fmt.Sprintf("%d bytes", n)
}
