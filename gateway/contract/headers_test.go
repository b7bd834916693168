package contract

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestHeadBytes pins the stored form: heads lie in buffers for weeks, and a new version must read them.
func TestHeadBytes(t *testing.T) {
	head := AppendHeader(nil, HeaderEventID, "ab")
	head = AppendHeader(head, HeaderEventType, "t")
	head = AppendHeader(head, HeaderCorrelationID, "c")
	head = AppendHeader(head, HeaderContentType, "j")
	head = AppendHeader(head, HeaderSchemaVersion, "v")
	head = AppendHeader(head, HeaderGatewayID, "g")
	head = AppendHeader(head, HeaderConfigHash, "h")
	head = AppendHeader(head, HeaderAlertState, "")
	head = appendClockCorrection(head, -1500*time.Millisecond)
	head = appendClockCorrection(head, 0)
	head = AppendHeader(head, HeaderEpoch, "e")
	head = AppendHeader(head, HeaderSequence, "7")
	head = AppendHeader(head, "mine", "x")
	head = AppendHeader(head, "", "nameless")
	want := "\x01\x02ab\x02\x01t\x03\x01c\x04\x01j\x05\x01v\x06\x01g\x07\x01h\x08\x00\x09\x05-1500\x0a\x01e\x0b\x017\x00\x04mine\x01x"
	if string(head) != want {
		t.Errorf("%q, want %q", head, want)
	}
	if err := CheckHeaders(head); err != nil {
		t.Error(err)
	}
}

func TestHeadersProperty(t *testing.T) {
	type entry struct{ Name, Value string }
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.SliceOf(rapid.Custom(func(t *rapid.T) entry {
			return entry{rapid.OneOf(rapid.StringN(1, 300, -1), rapid.SampledFrom(headerNames[1:])).Draw(t, "name"), hostile().Draw(t, "value")}
		})).Draw(t, "entries")
		var head []byte
		for _, e := range want {
			head = AppendHeader(head, e.Name, e.Value)
		}
		for range 2 { // a sequence may be gone through twice
			var got []entry
			for name, value := range Headers(head) {
				got = append(got, entry{name, string(value)})
			}
			if !slices.Equal(got, want) {
				t.Fatalf("%q, want %q", got, want)
			}
		}
		for range Headers(head) {
			break // must not go on
		}
	})
}

func TestCheckHeadersSaysWhere(t *testing.T) {
	for _, tail := range []string{"\x0c\x00", "\x01", "\x01\x05ab", "\x00", "\x00\x00\x00", "\x00\x02a", "\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"} {
		head := AppendHeader(nil, HeaderGatewayID, "g")
		at := len(head)
		head = append(head, tail...)
		n := 0
		for range Headers(head) {
			n++
		}
		if err := CheckHeaders(head); n != 1 || !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "from byte 3") || at != 3 {
			t.Errorf("%q: %d headers, %v", head, n, err)
		}
	}
}

func FuzzHeaders(f *testing.F) {
	f.Add([]byte(nil))
	f.Add(AppendHeader(AppendHeader(nil, HeaderEventID, "a"), "own", "b"))
	f.Add([]byte("\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"))
	f.Fuzz(func(t *testing.T, head []byte) {
		before := bytes.Clone(head)
		var again []byte
		for name, value := range Headers(head) {
			if name == "" || len(value) > len(head) {
				t.Fatalf("header %q of %d bytes", name, len(value))
			}
			again = AppendHeader(again, name, string(value))
		}
		if !bytes.Equal(head, before) {
			t.Fatal("reading changed the head")
		}
		if err := CheckHeaders(again); err != nil {
			t.Fatal(err)
		}
		if CheckHeaders(head) == nil && len(head) > 0 && len(again) == 0 {
			t.Fatal("a whole head gave nothing")
		}
	})
}
