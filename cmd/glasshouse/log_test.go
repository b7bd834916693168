package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"gacp-erp.internal/glasshouse/drivers/sim/slave"
	"gacp-erp.internal/glasshouse/gateway/api"
)

const switchConfig = `
gateway: {id: gh-log-01, facilityId: 7c1e0b1a-3c1e-4c52-9d2f-0d6a6b9d3c14, timezone: UTC, mode: control, dataDir: %s}
buses: [{name: north, modbus: "tcp://%s", every: 1s}]
devices:
  - {id: relays, profile: waveshare-relay-8, bus: north, unit: 10, zone: veg-1, outputs: {relay1: {name: fan, safe: off}}}
zones: [{name: veg-1}]
`

// Whoever reads the log, or does not any more: the gateway works, and leaves its outputs safe.
func TestWhoReadsTheLogStopsNothing(t *testing.T) {
	for name, tt := range map[string]struct {
		signal syscall.Signal
		stderr func(t *testing.T, r, w *os.File)
	}{
		"nobody empties the pipe": {syscall.SIGTERM, fill},
		"the reader is gone":      {syscall.SIGTERM, func(_ *testing.T, r, _ *os.File) { r.Close() }},
		"the terminal hangs up":   {syscall.SIGHUP, func(_ *testing.T, r, _ *os.File) { r.Close() }},
	} {
		t.Run(name, func(t *testing.T) {
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer w.Close()
			defer r.Close()
			tt.stderr(t, r, w)
			leavesSafe(t, w, tt.signal)
		})
	}
}

// fill leaves no room in a pipe.
func fill(t *testing.T, _, w *os.File) {
	if err := w.SetWriteDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	for err := error(nil); err == nil; _, err = w.Write(make([]byte, 1)) {
	}
}

// leavesSafe runs a gateway, switches its fan on, and sends it a signal.
func leavesSafe(t *testing.T, stderr *os.File, end syscall.Signal) {
	dir, err := os.MkdirTemp("", "gh") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	board, err := slave.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer board.Close()
	board.SetCoil(10, 0, make([]bool, 8)...)
	file := filepath.Join(dir, "glasshouse.yaml")
	if err := os.WriteFile(file, fmt.Appendf(nil, switchConfig, dir, board.Addr()), 0o600); err != nil {
		t.Fatal(err)
	}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	// Under nohup the test ignores SIGHUP, and so would its child: what is caught here is not ignored there.
	caught := make(chan os.Signal, 1)
	signal.Notify(caught, end)
	defer signal.Stop(caught)
	gateway := &exec.Cmd{Path: program, Args: []string{"glasshouse", "run", "-c", file}, Stderr: stderr}
	if err := gateway.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- gateway.Wait() }()
	defer gateway.Process.Kill() //nolint:errcheck // it may have ended

	door := api.NewClient(filepath.Join(dir, "glasshouse.sock"))
	for began := time.Now(); !board.Coils(10, 0, 1)[0]; time.Sleep(50 * time.Millisecond) {
		if time.Since(began) > 30*time.Second {
			t.Fatal("the fan never came on")
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		_, _ = door.Submit(ctx, api.Write{Output: "fan", Value: 1, For: time.Hour, By: "ann"}) // it may not be up yet
		cancel()
	}
	if err := gateway.Process.Signal(end); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("the gateway ended with %v", err)
		}
	case <-time.After(30 * time.Second):
		t.Error("the gateway did not end")
	}
	if board.Coils(10, 0, 1)[0] {
		t.Error("the fan is on after the end")
	}
}
