package uplink

import (
	"fmt"
	"io"
	"strings"
)

// Level says how bad a finding is.
type Level string

const (
	OK   Level = "ok"
	Warn Level = "warn" // it works, but should not stay so
	Fail Level = "fail" // events do not get through, or are lost there
)

// Finding is one thing that Doctor looked at.
type Finding struct {
	Level Level  `json:"level"`
	What  string `json:"what"`
	Fix   string `json:"fix,omitempty"` // what mends it: a command, or what to do
}

// Report is all that Doctor found, in the order in which it looked.
type Report struct {
	Findings []Finding `json:"findings"`
}

// Failed says whether something keeps events from getting through.
func (r *Report) Failed() bool {
	for _, f := range r.Findings {
		if f.Level == Fail {
			return true
		}
	}
	return false
}

// Write prints the report for people, a finding a line and what mends it below.
func (r *Report) Write(w io.Writer) error {
	_, err := io.WriteString(w, r.String())
	return err
}

// String is what Write prints.
func (r *Report) String() string {
	var b strings.Builder
	for _, f := range r.Findings {
		fmt.Fprintf(&b, "%-4s  %s\n", f.Level, f.What)
		if f.Fix != "" {
			fmt.Fprintf(&b, "      %s\n", strings.ReplaceAll(f.Fix, "\n", "\n      "))
		}
	}
	return b.String()
}

func (r *Report) ok(format string, args ...any) {
	r.Findings = append(r.Findings, Finding{Level: OK, What: fmt.Sprintf(format, args...)})
}

func (r *Report) warn(fix, format string, args ...any) {
	r.Findings = append(r.Findings, Finding{Warn, fmt.Sprintf(format, args...), fix})
}

func (r *Report) fail(fix, format string, args ...any) {
	r.Findings = append(r.Findings, Finding{Fail, fmt.Sprintf(format, args...), fix})
}
