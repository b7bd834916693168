// Package archive looks at the buffer of a gateway that does not run: is it whole, what is in it, and a part of it to
// Kafka again. It changes no byte there. It is not a door to a running gateway; that is package api's.
package archive

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
	"unicode/utf8"

	"gacp-erp.internal/glasshouse/buffer"
	"gacp-erp.internal/glasshouse/gateway/contract"
)

// open finds the buffer in a directory: its own, or the gateway's data directory with the buffer in it.
func open(dir string) (*buffer.Reader, error) {
	r, err := buffer.OpenReader(dir)
	if errors.Is(err, buffer.ErrNoBuffer) {
		if inner, innerErr := buffer.OpenReader(filepath.Join(dir, "buffer")); !errors.Is(innerErr, os.ErrNotExist) {
			r, err = inner, innerErr
		}
	}
	return r, explain(dir, err)
}

// explain says what to do about an error of opening or reading.
func explain(dir string, err error) error {
	switch {
	case errors.Is(err, buffer.ErrLocked):
		return fmt.Errorf("%w: a gateway runs there; a running gateway's buffer is not looked into this way. Stop it first, or ask it: glasshouse buffer stats", err)
	case errors.Is(err, buffer.ErrNoBuffer):
		return fmt.Errorf("%w: name gateway.dataDir of the configuration, or the directory buffer in it", err)
	case errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("there is no directory %s: %w", dir, err)
	}
	return err
}

// Verify reads all of a buffer from end to end, prints a line a file and a line a fault, and returns the number of faults.
// The error says what kept it from looking.
func Verify(ctx context.Context, dir string, w io.Writer) (faults int, err error) {
	r, err := open(dir)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	var records uint64
	for c, err := range r.Verify() {
		if err := errors.Join(ctx.Err(), explain(dir, err)); err != nil {
			return faults, err
		}
		records += c.Records
		faults += len(c.Faults)
		if err := printChecked(w, &c); err != nil {
			return faults, err
		}
	}
	_, err = fmt.Fprintf(w, "%d records, %d fault(s)\n", records, faults)
	return faults, err
}

func printChecked(w io.Writer, c *buffer.Checked) error {
	line := c.Name + ": "
	if len(c.Faults) == 0 {
		line += "ok"
	} else {
		line += "DAMAGED"
	}
	if c.Records > 0 {
		line += fmt.Sprintf(", %d records from %s to %s", c.Records, stamp(c.From), stamp(c.To))
	}
	_, err := fmt.Fprintln(w, line)
	for _, fault := range c.Faults {
		_, faultErr := fmt.Fprintf(w, "  %v\n", fault)
		err = errors.Join(err, faultErr)
	}
	return err
}

// Selection says which records are meant.
type Selection struct {
	Topic    string    // as the gateway calls it: device.telemetry.v1; empty: all
	From, To time.Time // From <= time < To; zero: open

	First, Last uint64 // sequences; 0: open
}

func (s *Selection) records() (buffer.Selection, error) {
	sel := buffer.Selection{Lane: buffer.Lane(s.Topic), First: s.First, Last: s.Last}
	if !s.From.IsZero() {
		sel.From = s.From.UnixMilli()
	}
	if !s.To.IsZero() {
		sel.To = s.To.UnixMilli()
	}
	if !s.From.IsZero() && !s.To.IsZero() && !s.From.Before(s.To) {
		return sel, fmt.Errorf("from %s to %s: the end is not after the start", s.From.Format(time.RFC3339), s.To.Format(time.RFC3339))
	}
	if s.Last > 0 && s.First > s.Last {
		return sel, fmt.Errorf("sequences %d to %d: the last comes before the first", s.First, s.Last)
	}
	if s.Topic == "" {
		return sel, nil
	}
	var names []string
	for _, t := range contract.Topics() {
		if t.Name == s.Topic {
			return sel, nil
		}
		names = append(names, t.Name)
	}
	return sel, fmt.Errorf("no topic is called %q; there are %q", s.Topic, names)
}

// line is one record as it is exported.
type line struct {
	Topic    string            `json:"topic"` // as the gateway calls it
	Epoch    string            `json:"epoch"`
	Sequence uint64            `json:"sequence"`
	Time     string            `json:"time"`
	State    string            `json:"state"` // waiting, done, set aside, or unknown
	Key      string            `json:"key"`
	Headers  map[string]string `json:"headers"`
	Body     json.RawMessage   `json:"body,omitempty"`
	Raw      []byte            `json:"bodyBase64,omitempty"` // a body that is no JSON
}

// Export writes a line of JSON for each record that is meant: first those that were set aside, then by sequence. What is
// damaged is told to fault, and the export goes on behind it. It returns the number of lines.
func Export(ctx context.Context, dir string, s Selection, w io.Writer, fault func(error)) (n int, err error) {
	sel, err := s.records()
	if err != nil {
		return 0, err
	}
	r, err := open(dir)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	out := bufio.NewWriterSize(w, 256<<10)
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	for rec, err := range r.Records(sel) {
		switch {
		case ctx.Err() != nil:
			return n, errors.Join(ctx.Err(), out.Flush())
		case errors.Is(err, buffer.ErrDamaged):
			fault(err)
			continue
		case err != nil:
			return n, errors.Join(explain(dir, err), out.Flush())
		}
		if err := encoder.Encode(lineOf(&rec)); err != nil {
			return n, err
		}
		n++
	}
	return n, out.Flush()
}

func lineOf(rec *buffer.Stored) *line {
	l := &line{Topic: string(rec.Lane), Epoch: rec.Epoch, Sequence: rec.Sequence, Time: stamp(rec.At), Key: text(rec.Key), Headers: map[string]string{},
		State: [...]string{buffer.Unknown: "unknown", buffer.Waiting: "waiting", buffer.Done: "done", buffer.SetAside: "set aside"}[rec.Fate]}
	for name, value := range contract.Headers(rec.Head) {
		l.Headers[name] = text(value)
	}
	if json.Valid(rec.Body) {
		l.Body = rec.Body
	} else {
		l.Raw = rec.Body
	}
	return l
}

// text is what JSON can hold of bytes: those that are no text are escaped as Go writes them.
func text(b []byte) string {
	if utf8.Valid(b) {
		return string(b)
	}
	return fmt.Sprintf("%q", b)
}

func stamp(ms int64) string { return time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.000Z07:00") }
