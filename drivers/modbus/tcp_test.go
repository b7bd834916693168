package modbus

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gacp-erp.internal/glasshouse/drivers"
)

// TestAnswersThatCompleteEachOther: the first request has no answer in time; the answer to the second breaks off, and what
// follows it makes a frame of the right length, unit and function, in which every byte after the break is wrong.
func TestAnswersThatCompleteEachOther(t *testing.T) {
	var (
		half   = []byte{0, 2, 0, 0, 0, 21, 1, 4, 18, 0, 7, 0}                     // of nine registers, to transaction 2
		short  = []byte{0, 1, 0, 0, 0, 9, 1, 4, 6, 0, 7, 0, 7, 0, 7}              // three registers, to transaction 1: completes it exactly
		whole  = append([]byte{0, 1, 0, 0, 0, 21, 1, 4, 18}, make([]byte, 18)...) // nine, to transaction 1: more than is missing
		second = append([]byte{0, 2, 0, 0, 0, 21, 1, 4, 18}, make([]byte, 18)...)
	)
	for name, test := range map[string]struct {
		writes [][]byte
		words  string // of the error; "": none
	}{
		"exactly, in two pieces":       {[][]byte{half, short}, "in pieces"},
		"more than that, in one piece": {[][]byte{append(half[:12:12], whole...)}, "bytes after the answer"},
		"late and whole, then ours":    {[][]byte{whole, second}, ""},
		"the same in one piece":        {[][]byte{append(whole[:27:27], second...)}, ""},
		"ours, then late and whole":    {[][]byte{append(second[:27:27], whole...)}, ""},
		"ours twice":                   {[][]byte{append(second[:27:27], second...)}, ""},
		"ours, then a few bytes":       {[][]byte{append(second[:27:27], 0, 1, 0)}, "3 bytes after the answer"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := made(t, Config{Name: "b", Endpoint: "tcp://h", Units: []Unit{{ID: "u", Address: 1, Points: row(9, 1, Input, U16)}},
					Dial: func(context.Context) (net.Conn, error) { return peer(test.writes), nil }})
				if _, err := d.Read(t.Context(), d.Requests()[0], nil); !errors.Is(err, drivers.ErrUnit) {
					t.Fatal(err)
				}
				got, err := d.Read(t.Context(), d.Requests()[0], nil)
				if test.words == "" {
					if err != nil || len(got) != 9 {
						t.Errorf("%v, %v", got, err)
					}
					return
				}
				if err == nil || !strings.Contains(err.Error(), test.words) || len(got) != 0 || !errors.Is(err, drivers.ErrUnit) {
					t.Errorf("%v, %v; want %q", got, err, test.words)
				}
				if d.line.link != nil {
					t.Error("the connection is still in use")
				}
			})
		})
	}
}

// peer takes two requests and sends this after the second.
func peer(writes [][]byte) net.Conn {
	ours, theirs := net.Pipe()
	go func() {
		request := make([]byte, 24)
		if _, err := io.ReadFull(theirs, request); err != nil {
			return
		}
		for _, w := range writes {
			time.Sleep(time.Millisecond)
			if _, err := theirs.Write(w); err != nil {
				return
			}
		}
	}()
	return ours
}
