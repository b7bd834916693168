package benchmarks

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"gacp-erp.internal/glasshouse/buffer"
	"gacp-erp.internal/glasshouse/configs"
	"gacp-erp.internal/glasshouse/gateway"
	"gacp-erp.internal/glasshouse/gateway/journal"
)

const (
	gatewayID = "gh-bench-01"
	facility  = "7c1e0b1a-3c1e-4c52-9d2f-0d6a6b9d3c14"
	nowhere   = "127.0.0.1:1" // where no Kafka is

	lowest, highest = 18, 30 // °C: the range of every zone, and of the yardstick

	patience = 3 * time.Minute // for what must happen, however loaded the machine is
)

// plan is a gateway's configuration.
type plan struct {
	broker, kafka string
	dir           string
	actuators     int // zones with one sensor and one switch each, besides the sensors' zones
}

// write makes the file: the sensors stand in ten zones, each with a range of temperature and humidity.
func (p *plan) write(tb testing.TB) string {
	tb.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "gateway: {id: %s, facilityId: %s, timezone: UTC, mode: control, dataDir: %q, logLevel: error, grace: 1s}\n", gatewayID, facility, p.dir)
	fmt.Fprintf(&b, "uplink: {brokers: [%q], tls: {enabled: false}}\n", p.kafka)
	fmt.Fprintf(&b, "buses:\n  - {name: field, mqtt: \"mqtt://%s\"}\ndevices:\n", p.broker)
	for i := range sensors {
		fmt.Fprintf(&b, "  - {id: %s, profile: platform-device, bus: field, zone: zone-%d}\n", sensor(i), i%10)
	}
	for i := range p.actuators {
		fmt.Fprintf(&b, "  - {id: %s, profile: platform-device, bus: field, zone: quick-%d}\n", watched(i), i)
		fmt.Fprintf(&b, "  - {id: %s, profile: tasmota-plug, bus: field, zone: quick-%d, outputs: {switch: {name: fan-%d, safe: off}}}\n", plug(i), i, i)
	}
	b.WriteString("zones:\n")
	for i := range 10 {
		fmt.Fprintf(&b, "  - {name: zone-%d, ranges: {temperature: {day: %d..%d}, humidity: {day: 30..80}}}\n", i, lowest, highest)
	}
	for i := range p.actuators {
		fmt.Fprintf(&b, "  - {name: quick-%d, ranges: {temperature: {day: %d..%d, hysteresis: 0.1, for: 0s, keepFor: 0s, above: [fan-%d=on]}}}\n", i, lowest, highest, i)
	}
	file := filepath.Join(p.dir, "glasshouse.yaml")
	if err := os.WriteFile(file, []byte(b.String()), 0o600); err != nil {
		tb.Fatal(err)
	}
	return file
}

// subject is a process that is measured.
type subject struct {
	tb    testing.TB
	cmd   *exec.Cmd
	dir   string
	began time.Time
}

// startProgram starts the gateway as users have it.
func startProgram(tb testing.TB, p plan) *subject {
	tb.Helper()
	file := p.write(tb)
	s := &subject{tb: tb, dir: p.dir, cmd: exec.Command(program(tb), "run", "-c", file)}
	s.cmd.Stderr = os.Stderr
	s.began = time.Now()
	if err := s.cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(s.kill)
	return s
}

// kill ends a process at once: nobody waits for a safe stop here.
func (s *subject) kill() {
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
}

// playGateway is `run -c FILE` with a disk that takes its time to flush: playGateway FILE DURATION.
func playGateway(args []string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	pause, err := time.ParseDuration(args[1])
	if err != nil {
		return err
	}
	config, err := configs.Load(args[0])
	if err != nil {
		return err
	}
	g, err := gateway.New(gateway.Options{Config: config, Log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError})),
		World: gateway.World{Store: func(s journal.Store) journal.Store { return slowStore{s, pause} }}})
	if err != nil {
		return err
	}
	return g.Run(ctx)
}

// slowStore takes its time.
type slowStore struct {
	under journal.Store
	pause time.Duration
}

func (s slowStore) Commit(recs []buffer.Record, notes buffer.Notes) error {
	time.Sleep(s.pause)
	return s.under.Commit(recs, notes)
}

// startSlow starts the gateway on a slow disk.
func startSlow(tb testing.TB, p plan, flush time.Duration) *subject {
	tb.Helper()
	file := p.write(tb)
	began := time.Now()
	cmd, _ := child(tb, "gateway", file, flush.String())
	return &subject{tb: tb, dir: p.dir, cmd: cmd, began: began}
}

// cpu is the processor time that the process has used, to 10 ms.
func (s *subject) cpu() time.Duration {
	s.tb.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.cmd.Process.Pid))
	if err != nil {
		s.tb.Skipf("processor time is read from /proc: %v", err)
	}
	const utime, stime, tick = 11, 12, 10 * time.Millisecond // behind the name in brackets; USER_HZ is 100 on all of Linux
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	user, errUser := strconv.Atoi(fields[utime])
	system, errSystem := strconv.Atoi(fields[stime])
	if err := errors.Join(errUser, errSystem); err != nil {
		s.tb.Fatal(err)
	}
	return time.Duration(user+system) * tick
}

// memory is the anonymous memory that the process holds, in MB (10^6).
func (s *subject) memory() float64 {
	s.tb.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		s.tb.Skipf("memory is read from /proc: %v", err)
	}
	for line := range strings.Lines(string(status)) {
		if text, ok := strings.CutPrefix(line, "RssAnon:"); ok {
			kib, err := strconv.Atoi(strings.Fields(text)[0])
			if err != nil {
				s.tb.Fatal(err)
			}
			return float64(kib) * 1024 / 1e6
		}
	}
	s.tb.Skip("the kernel does not tell RssAnon")
	return 0
}

// metrics reads the gateway's own figures; a family's samples are added up.
func (s *subject) metrics() (map[string]float64, error) {
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(s.dir, "glasshouse.sock"))
	}}}
	answer, err := client.Get("http://gateway/metrics")
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	all := map[string]float64{}
	for lines := bufio.NewScanner(io.LimitReader(answer.Body, 4<<20)); lines.Scan(); {
		line := lines.Text()
		cut := strings.LastIndexByte(line, ' ')
		if cut < 0 || line[0] == '#' {
			continue
		}
		name, _, _ := strings.Cut(line[:cut], "{")
		value, err := strconv.ParseFloat(line[cut+1:], 64)
		if err != nil {
			return nil, err
		}
		all[name] += value
	}
	return all, nil
}

// until waits for a metric to satisfy a condition, and returns them all.
func (s *subject) until(what string, ok func(m map[string]float64) bool) map[string]float64 {
	s.tb.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if m, err := s.metrics(); err == nil && ok(m) {
			return m
		}
	}
	s.tb.Fatalf("waited in vain: %s", what)
	return nil
}

// connected waits until the gateway listens to its broker, and speaks with Kafka if it is to.
func (s *subject) connected(kafka bool) {
	s.tb.Helper()
	s.until("connecting", func(m map[string]float64) bool {
		return m["glasshouse_bus_healthy"] == 1 && (!kafka || m["glasshouse_uplink_connected"] == 1)
	})
}
