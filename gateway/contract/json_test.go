package contract

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// TestNumbersAsJavaScriptWritesThem compares with encoding/json, which follows ECMAScript, over random bits and what is known
// to be hard.
func TestNumbersAsJavaScriptWritesThem(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	numbers := []float64{0, 1, -1, 0.1, 24.5, 21.37, 1e-6, 1e-7, 9.999999e-7, 1e21, 9.99e20, 1e20, 1e100, 1e-9, 1e-10, 1.5e-9, 123456789012345680, 1 << 53, 1<<53 + 1,
		math.MaxFloat64, -math.MaxFloat64, math.SmallestNonzeroFloat64, math.Copysign(0, -1), 0.1 + 0.2, 28.4 - 26, 99999.99, 1e15, 1e16, 0.001, 1013.25}
	for range 20000 {
		if v := math.Float64frombits(random.Uint64()); finite(v) {
			numbers = append(numbers, v)
		}
		scale := math.Pow10(random.IntN(8))
		numbers = append(numbers, float64(random.IntN(1<<30)-1<<29)/scale, math.Round(random.NormFloat64()*1000*scale)/scale)
	}
	for _, v := range numbers {
		want, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if got := string(appendNumber(nil, v)); got != string(want) {
			t.Fatalf("%b: %s, want %s", v, got, want)
		}
	}
}

func TestTimes(t *testing.T) {
	for _, at := range []time.Time{time.Unix(0, 0), noon, time.Date(2024, 2, 29, 23, 59, 59, 999999999, time.FixedZone("", 3*3600)), time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC),
		time.Date(2026, 12, 31, 23, 30, 0, 5e6, time.FixedZone("", -3600))} {
		want := `"` + at.UTC().Format("2006-01-02T15:04:05.000Z") + `"`
		if got := string(appendTime(nil, at)); got != want || !validTime(at) {
			t.Errorf("%v: %s, want %s", at, got, want)
		}
	}
	for _, at := range []time.Time{{}, time.Unix(-1, 999999999), time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)} {
		if validTime(at) {
			t.Errorf("%v is no time of an event", at)
		}
	}
}

func FuzzString(f *testing.F) {
	for _, s := range []string{"", "plain", "\x00\x01\x1f\x7f\"\\/\b\f\n\r\t", "\xff\xfe", "\xed\xa0\x80", "µ°é😀\u2028", "a\xc3", "\xc3(", "<>&"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := appendString([]byte("x"), s)
		if !utf8.Valid(got) {
			t.Fatalf("%q became %q, which is no UTF-8", s, got)
		}
		var back string
		if err := json.Unmarshal(got[1:], &back); err != nil {
			t.Fatalf("%q became %s: %v", s, got, err)
		}
		standard, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		var want string
		if err := json.Unmarshal(standard, &want); err != nil {
			t.Fatal(err)
		}
		if back != want || strings.ToValidUTF8(s, "") == s && back != s {
			t.Fatalf("%q came back as %q", s, back)
		}
	})
}
