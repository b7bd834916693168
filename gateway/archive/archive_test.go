package archive

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gacp-erp.internal/glasshouse/buffer"
	"gacp-erp.internal/glasshouse/gateway/contract"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// site is a data directory with 100 telemetry records, one a minute from noon on, and an alert that is no JSON.
func site(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	b, err := buffer.Open(buffer.Options{Dir: filepath.Join(dir, "buffer"), MaxBytes: 64 << 20,
		Lanes: []buffer.LaneSpec{{Name: contract.TopicTelemetry}, {Name: contract.TopicEnvironment, Critical: true}}})
	if err != nil {
		t.Fatal(err)
	}
	var recs []buffer.Record
	for i := range 100 {
		head := contract.AppendHeader(nil, contract.HeaderEventID, fmt.Sprintf("id-%d", i))
		recs = append(recs, buffer.Record{Lane: contract.TopicTelemetry, At: noon.Add(time.Duration(i) * time.Minute).UnixMilli(),
			Key: []byte("air-7"), Head: head, Body: fmt.Appendf(nil, `{"n":%d,"text":"<é>"}`, i)})
	}
	recs = append(recs, buffer.Record{Lane: contract.TopicEnvironment, At: noon.UnixMilli(), Key: []byte{0xff}, Body: []byte("no JSON")})
	if err := b.Commit(recs, nil); err != nil {
		t.Fatal(err)
	}
	b.Ack(contract.TopicTelemetry, 50)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

func export(t *testing.T, dir string, s Selection) (lines []line) {
	t.Helper()
	var out bytes.Buffer
	n, err := Export(t.Context(), dir, s, &out, func(err error) { t.Error(err) })
	if err != nil {
		t.Fatal(err)
	}
	for text := range strings.Lines(out.String()) {
		var l line
		if err := json.Unmarshal([]byte(text), &l); err != nil {
			t.Fatalf("%v: %s", err, text)
		}
		lines = append(lines, l)
	}
	if n != len(lines) {
		t.Errorf("%d lines, and it says %d", len(lines), n)
	}
	return lines
}

func TestExport(t *testing.T) {
	dir := site(t)
	all := export(t, dir, Selection{})
	if len(all) != 101 {
		t.Fatalf("%d lines", len(all))
	}
	l := all[7]
	if l.Topic != contract.TopicTelemetry || l.Sequence != 8 || l.Time != "2026-03-01T12:07:00.000Z" || l.Key != "air-7" || l.State != "done" ||
		l.Headers[contract.HeaderEventID] != "id-7" || string(l.Body) != `{"n":7,"text":"<é>"}` || l.Epoch == "" || all[50].State != "waiting" {
		t.Errorf("%+v %s", l, l.Body)
	}
	if odd := all[100]; string(odd.Raw) != "no JSON" || odd.Body != nil || odd.Key != `"\xff"` {
		t.Errorf("%+v", odd)
	}
	if some := export(t, filepath.Join(dir, "buffer"), Selection{Topic: contract.TopicTelemetry, From: noon.Add(time.Hour), To: noon.Add(65 * time.Minute)}); len(some) != 5 || some[0].Sequence != 61 {
		t.Errorf("%d lines of five minutes: %+v", len(some), some)
	}
	for _, s := range []Selection{{Topic: "device.telemetry"}, {From: noon, To: noon}, {First: 3, Last: 2}} {
		if _, err := Export(t.Context(), dir, s, &bytes.Buffer{}, nil); err == nil {
			t.Errorf("%+v was taken", s)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Export(ctx, dir, Selection{}, &bytes.Buffer{}, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("after the end: %v", err)
	}
}

func TestVerifyAndExportTellDamage(t *testing.T) {
	dir := site(t)
	var page bytes.Buffer
	if n, err := Verify(t.Context(), dir, &page); n != 0 || err != nil {
		t.Fatalf("%d faults, %v:\n%s", n, err, page.String())
	}
	if want := "00000001.bolt: ok, 101 records from 2026-03-01T12:00:00.000Z to 2026-03-01T13:39:00.000Z\nnotes.a, notes.b: ok\n101 records, 0 fault(s)\n"; page.String() != want {
		t.Errorf("got\n%swant\n%s", page.String(), want)
	}
	path := filepath.Join(dir, "buffer", "00000001.bolt")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	// A small block is stored as it is; pages that are free by now may have it too.
	if !bytes.Contains(b, []byte("no JSON")) {
		t.Fatal("the record is not found in the file")
	}
	b = bytes.ReplaceAll(b, []byte("no JSON"), []byte("no YAML"))
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	page.Reset()
	if n, err := Verify(t.Context(), dir, &page); n != 1 || err != nil || !strings.Contains(page.String(), "00000001.bolt: DAMAGED, 100 records") {
		t.Errorf("%d faults, %v:\n%s", n, err, page.String())
	}
	var faults []error
	if n, err := Export(t.Context(), dir, Selection{}, &bytes.Buffer{}, func(err error) { faults = append(faults, err) }); n != 100 || err != nil || len(faults) != 1 {
		t.Errorf("%d lines, %v, %v", n, err, faults)
	}
}

func TestARunningGatewayIsLeftAlone(t *testing.T) {
	dir := site(t)
	b, err := buffer.Open(buffer.Options{Dir: filepath.Join(dir, "buffer"), MaxBytes: 64 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if _, err := Verify(t.Context(), dir, &bytes.Buffer{}); !errors.Is(err, buffer.ErrLocked) || !strings.Contains(err.Error(), "Stop it first") {
		t.Errorf("verify: %v", err)
	}
	if _, err := Export(t.Context(), dir, Selection{}, &bytes.Buffer{}, nil); !errors.Is(err, buffer.ErrLocked) {
		t.Errorf("export: %v", err)
	}
	if _, err := Verify(t.Context(), t.TempDir(), &bytes.Buffer{}); err == nil || !strings.Contains(err.Error(), "gateway.dataDir") {
		t.Errorf("no buffer: %v", err)
	}
	if _, err := Verify(t.Context(), filepath.Join(dir, "nowhere"), &bytes.Buffer{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("nowhere: %v", err)
	}
}
