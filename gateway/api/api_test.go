package api

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

// house is a Source that tells what it is given.
type house struct{ status Status }

func (h house) Status() Status { return h.status }

func (h house) Metrics(w io.Writer) error {
	_, err := io.WriteString(w, "glasshouse_cycles_total 3\n")
	return err
}

func (h house) Submit(_ context.Context, w Write) (Receipt, error) {
	if w.Output != "exhaust-fan" {
		return Receipt{}, errors.New("no output is named " + w.Output)
	}
	return Receipt{Accepted: true, Durable: true, Note: w.Reason}, nil
}

// serve starts a server and returns a client of it; both end with the test.
func serve(t *testing.T, source Source) (*Client, string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "api") // a socket's path may have 107 bytes, fewer than t.TempDir can take
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	path := filepath.Join(dir, "s", "g.sock")
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	server := NewServer(path, source, slog.New(slog.DiscardHandler))
	go func() { ended <- server.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("serve: %v", err)
		}
		if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the socket is still there after the end: %v", err)
		}
	})
	client := NewClient(path)
	for start := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		if _, err := client.Status(t.Context()); err == nil {
			return client, path
		} else if time.Since(start) > time.Minute {
			t.Fatal(err)
		}
	}
}

func TestStatusGoesThrough(t *testing.T) {
	value := 26.5
	at := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	want := Status{Gateway: "gh-1", Mode: "control", Now: at, Points: []Point{{ID: "a.b", Value: &value, Quality: "good", At: &at}, {ID: "a.c", Quality: "bad"}}}
	client, path := serve(t, house{want})
	got, err := client.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o660 {
		t.Errorf("the socket has mode %v", info.Mode().Perm())
	}
}

func TestSubmit(t *testing.T) {
	client, _ := serve(t, house{})
	receipt, err := client.Submit(t.Context(), Write{Output: "exhaust-fan", Value: 1, For: time.Minute, Reason: "spraying"})
	if err != nil || !receipt.Accepted || receipt.Note != "spraying" {
		t.Errorf("got %+v, %v", receipt, err)
	}
	if _, err := client.Submit(t.Context(), Write{Output: "fan"}); err == nil || err.Error() != "no output is named fan" {
		t.Errorf("got %v", err)
	}
}

func TestNobodyAnswers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "no.sock")
	if _, err := NewClient(path).Status(t.Context()); !errors.Is(err, ErrNotRunning) || !strings.Contains(err.Error(), path) {
		t.Errorf("got %v", err)
	}
}

func TestTheSocketOfADeadGatewayIsReplaced(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "g.sock")
	dead, err := net.Listen("unix", path)
	if err != nil {
		t.Skipf("the temporary folder's path is too long for a socket: %v", err)
	}
	dead.(*net.UnixListener).SetUnlinkOnClose(false)
	dead.Close()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- NewServer(path, house{}, slog.New(slog.DiscardHandler)).Serve(ctx) }()
	client := NewClient(path)
	for start := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		if _, err = client.Status(t.Context()); err == nil || time.Since(start) > time.Minute {
			break
		}
	}
	if err != nil {
		t.Error(err)
	}
	if second := NewServer(path, house{}, slog.New(slog.DiscardHandler)).Serve(ctx); second == nil || !strings.Contains(second.Error(), "another gateway") {
		t.Errorf("a second gateway got %v", second)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
