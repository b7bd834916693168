package contract

import (
	"math"
	"strconv"
	"time"
	"unicode/utf8"
)

// The appenders below write what encoding/json would, without its allocations. They check nothing but text: whether a
// number may be written is the encoders' business.

const hexDigits = "0123456789abcdef"

// appendString appends s as a JSON string. Bytes that are no UTF-8 become U+FFFD, one for each byte.
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && size == 1 {
				b = append(append(b, s[start:i]...), `\ufffd`...)
				start = i + 1
			}
			i += size
			continue
		}
		if c >= ' ' && c != '"' && c != '\\' {
			i++
			continue
		}
		b = append(b, s[start:i]...)
		b = appendEscape(b, c)
		i++
		start = i
	}
	return append(append(b, s[start:]...), '"')
}

// appendEscape appends a character that may not stand in a JSON string as it is.
func appendEscape(b []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(b, '\\', c)
	case '\n':
		return append(b, `\n`...)
	case '\r':
		return append(b, `\r`...)
	case '\t':
		return append(b, `\t`...)
	}
	return append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
}

// appendNumber appends the shortest decimal that reads back as v, in the form ECMAScript gives it. v must be finite.
func appendNumber(b []byte, v float64) []byte {
	size := math.Abs(v)
	if size == 0 || size >= 1e-6 && size < 1e21 {
		return strconv.AppendFloat(b, v, 'f', -1, 64)
	}
	b = strconv.AppendFloat(b, v, 'e', -1, 64)
	if n := len(b); n >= 4 && b[n-4] == 'e' && b[n-3] == '-' && b[n-2] == '0' { // e-09 is e-9 elsewhere
		b[n-2] = b[n-1]
		b = b[:n-1]
	}
	return b
}

// appendTime appends t as a JSON string: ISO 8601, UTC with Z, milliseconds, cut and not rounded so that no stamp lies
// ahead of its event. t must be valid by validTime.
func appendTime(b []byte, t time.Time) []byte {
	t = t.UTC()
	year, month, day := t.Date()
	hour, minute, second := t.Clock()
	b = append(b, '"', digit(year/1000), digit(year/100%10), digit(year/10%10), digit(year%10),
		'-', digit(int(month)/10), digit(int(month)%10), '-', digit(day/10), digit(day%10),
		'T', digit(hour/10), digit(hour%10), ':', digit(minute/10), digit(minute%10), ':', digit(second/10), digit(second%10))
	ms := t.Nanosecond() / int(time.Millisecond)
	return append(b, '.', digit(ms/100), digit(ms/10%10), digit(ms%10), 'Z', '"')
}

func digit(n int) byte { return byte('0' + n) }

// validTime tells whether t can be the time of an event: from 1970 to 9999, which the zero time is not.
func validTime(t time.Time) bool {
	s := t.Unix()
	return s >= 0 && s < 253402300800
}

// finite tells whether v is a number.
func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

// appendStrings appends a JSON array of strings.
func appendStrings(b []byte, list []string) []byte {
	b = append(b, '[')
	for i, s := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendString(b, s)
	}
	return append(b, ']')
}

// comma appends what separates a member or element from the one before it, if there is one.
func comma(b []byte) []byte {
	if last := b[len(b)-1]; last == '{' || last == '[' {
		return b
	}
	return append(b, ',')
}
