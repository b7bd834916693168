package buffer

import (
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// model is a buffer in memory: what Buffer must be like as long as the budget is not spent.
type model struct {
	sequence uint64
	lanes    map[Lane]*modelLane
	notes    map[string]string
}

type modelLane struct {
	waiting []Entry
	gone    []Entry // acknowledged, and not known to be durably so
	aside   []Entry
	cursor  uint64
	durable uint64 // the cursor that a crash cannot take back
	sent    uint64
}

// machine runs random operations on a buffer and its model.
type machine struct {
	t     *testing.T
	rng   *rand.Rand
	opts  Options
	b     *Buffer
	m     model
	n     int
	epoch string
}

func (m *machine) commit() {
	var recs []Record
	for range m.rng.IntN(60) {
		m.n++
		r := record(m.opts.Lanes[m.rng.IntN(len(m.opts.Lanes))].Name, m.n)
		if m.rng.IntN(50) == 0 {
			r.Body = []byte(strings.Repeat(string(r.Body), m.rng.IntN(200)))
		}
		recs = append(recs, r)
	}
	notes := Notes{}
	for range m.rng.IntN(4) {
		key := fmt.Sprintf("note/%d", m.rng.IntN(30))
		if notes[key] = nil; m.rng.IntN(3) > 0 {
			notes[key] = fmt.Appendf([]byte{}, "%d %s", m.n, strings.Repeat("x", m.rng.IntN(300)))
		}
	}
	commit(m.t, m.b, recs, notes)
	for _, spec := range m.opts.Lanes {
		l := m.m.lanes[spec.Name]
		for _, r := range recs {
			if r.Lane == spec.Name {
				m.m.sequence++
				l.waiting = append(l.waiting, Entry{Record: r, Sequence: m.m.sequence})
			}
		}
		if len(recs)+len(notes) > 0 {
			l.durable, l.gone = l.cursor, nil
		}
	}
	for k, v := range notes {
		if v == nil {
			delete(m.m.notes, k)
		} else {
			m.m.notes[k] = string(v)
		}
	}
	clear(recs) // the caller's memory is its own again
}

func (m *machine) peek() {
	spec := m.opts.Lanes[m.rng.IntN(len(m.opts.Lanes))]
	l := m.m.lanes[spec.Name]
	after, skip := uint64(0), 0
	if n := len(l.waiting); n > 0 && m.rng.IntN(2) == 0 {
		skip = m.rng.IntN(n)
		after = l.waiting[skip].Sequence
		skip++
	}
	for range m.rng.IntN(8) + 1 {
		maxBytes := m.rng.IntN(20_000)
		es := peek(m.t, m.b, spec.Name, after, maxBytes)
		rest := l.waiting[skip:]
		if len(es) == 0 != (len(rest) == 0) {
			m.t.Fatalf("%d of %d waiting entries after %d", len(es), len(rest), after)
		}
		size := 0
		for i, e := range es {
			if size >= maxBytes && i > 0 {
				m.t.Fatalf("entry %d of %d is beyond %d bytes", i, len(es), maxBytes)
			}
			want(m.t, e, rest[i].Sequence, rest[i].Record)
			size += len(e.Key) + len(e.Head) + len(e.Body)
		}
		if size < maxBytes && len(es) < len(rest) {
			m.t.Fatalf("%d of %d entries are %d bytes; %d were asked for", len(es), len(rest), size, maxBytes)
		}
		if skip += len(es); len(es) > 0 {
			after = es[len(es)-1].Sequence
		}
	}
}

func (m *machine) ack() {
	spec := m.opts.Lanes[m.rng.IntN(len(m.opts.Lanes))]
	l := m.m.lanes[spec.Name]
	n := m.rng.IntN(len(l.waiting) + 1)
	if n == 0 {
		m.b.Ack(spec.Name, l.cursor, l.cursor) // says nothing new
		return
	}
	upTo := l.waiting[n-1].Sequence
	var poison []uint64
	for _, e := range l.waiting[:n] {
		if m.rng.IntN(500) == 0 {
			poison = append(poison, e.Sequence)
			l.aside = append(l.aside, e)
		}
	}
	m.b.Ack(spec.Name, upTo, poison...)
	l.gone = append(l.gone, l.waiting[:n]...)
	l.waiting = slices.Clone(l.waiting[n:])
	l.sent += uint64(n - len(poison))
	l.cursor = upTo
}

// reopen closes the buffer and opens it again.
func (m *machine) reopen() {
	if err := m.b.Close(); err != nil {
		m.t.Fatal(err)
	}
	m.b = open(m.t, m.opts)
	for _, l := range m.m.lanes {
		l.durable, l.gone = l.cursor, nil
	}
}

// crash goes on with a copy of the files as they are: what a power cut between two commits leaves.
func (m *machine) crash() {
	dir := m.t.TempDir()
	m.b.write.Lock() // not in the middle of a flush
	copyDir(m.t, m.opts.Dir, dir)
	m.b.write.Unlock()
	m.b.Close()
	m.opts.Dir = dir
	m.b = open(m.t, m.opts)
	for name, l := range m.m.lanes {
		s := stats(m.t, m.b, name)
		if s.Cursor < l.durable || s.Cursor > l.cursor {
			m.t.Fatalf("cursor of %s is %d after a crash; it was between %d and %d", name, s.Cursor, l.durable, l.cursor)
		}
		back, _ := slices.BinarySearchFunc(l.gone, s.Cursor, func(e Entry, c uint64) int {
			if e.Sequence <= c {
				return -1
			}
			return 1
		})
		l.waiting = append(slices.Clone(l.gone[back:]), l.waiting...)
		for _, e := range l.gone[back:] {
			if i := slices.IndexFunc(l.aside, func(a Entry) bool { return a.Sequence == e.Sequence }); i >= 0 {
				l.aside = slices.Delete(l.aside, i, i+1)
			} else {
				l.sent--
			}
		}
		l.cursor, l.durable, l.gone = s.Cursor, s.Cursor, nil
	}
}

// check compares what can be asked in one go.
func (m *machine) check() {
	s := m.b.Stats()
	if s.Sequence != m.m.sequence || s.Epoch != m.epoch || s.Error != nil || len(s.Damaged) > 0 || len(m.b.Found()) > 0 {
		m.t.Fatalf("%+v, found %q; want sequence %d of %s", s, m.b.Found(), m.m.sequence, m.epoch)
	}
	for name, l := range m.m.lanes {
		got := stats(m.t, m.b, name)
		if got.Waiting != uint64(len(l.waiting)) || got.SetAside != uint64(len(l.aside)) || got.Sent != l.sent || got.Dropped != 0 {
			m.t.Fatalf("%+v; want %d waiting, %d set aside, %d sent", got, len(l.waiting), len(l.aside), l.sent)
		}
		aside, err := m.b.SetAside(name)
		if err != nil || len(aside) != len(l.aside) {
			m.t.Fatalf("%d set aside, want %d (%v)", len(aside), len(l.aside), err)
		}
		for i := range aside {
			want(m.t, aside[i], l.aside[i].Sequence, l.aside[i].Record)
		}
	}
	notes := m.b.Notes("")
	if len(notes) != len(m.m.notes) {
		m.t.Fatalf("%d notes, want %d", len(notes), len(m.m.notes))
	}
	for k, v := range m.m.notes {
		if string(notes[k]) != v {
			m.t.Fatalf("note %s is %q, want %q", k, notes[k], v)
		}
	}
}

func TestRandomOperationsAgainstAModel(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			o := Options{Dir: t.TempDir(), MaxBytes: 1 << 30, SegmentBytes: minSegment * (1 + int64(seed%3)),
				Lanes: []LaneSpec{{Name: telemetry}, {Name: alerts, Critical: true}, {Name: "device.status"}}}
			m := &machine{t: t, rng: rand.New(rand.NewPCG(seed, 7)), opts: o, b: open(t, o),
				m: model{lanes: map[Lane]*modelLane{}, notes: map[string]string{}}}
			m.epoch = m.b.Epoch()
			for _, spec := range o.Lanes {
				m.m.lanes[spec.Name] = &modelLane{}
			}
			for range 400 {
				switch n := m.rng.IntN(100); {
				case n < 50:
					m.commit()
				case n < 75:
					m.peek()
				case n < 95:
					m.ack()
				case n < 98:
					m.reopen()
				default:
					m.crash()
				}
				m.check()
			}
		})
	}
}

// copyDir copies the files of a directory.
func copyDir(t testing.TB, from, to string) {
	t.Helper()
	err := filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, d.Name()), b, 0o600)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// copyFile copies one file into a directory.
func copyFile(t testing.TB, file, dir string) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, filepath.Base(file)), b, 0o600); err != nil {
		t.Fatal(err)
	}
}
