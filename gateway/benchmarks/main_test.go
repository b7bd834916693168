// Package benchmarks measures the whole gateway, from the broker to Kafka, beside the shortest program that does the same
// work (bare_test.go). Whatever is measured is a process of its own: the gateway's is the program as it is built for users.
// Broker, Kafka and devices are in another process, so that no figure holds their work. `make bench` runs it.
//
// Each benchmark is one run of a fixed amount of work and prints what it measured as metrics, with the goal beside them
// where there is one. Nothing here fails for being slow.
package benchmarks

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// roleVariable makes this program play a part instead of running benchmarks.
const roleVariable = "GLASSHOUSE_BENCH_ROLE"

// roles are the parts that this program can play in a child process; each takes its settings from args.
var roles = map[string]func(args []string) error{
	"world":   playWorld,   // broker, Kafka, sensors and actuators
	"bare":    playBare,    // the yardstick
	"gateway": playGateway, // the gateway on a slow disk
}

func TestMain(m *testing.M) {
	role := os.Getenv(roleVariable)
	if role == "" {
		code := m.Run()
		if dir, ok := workDir.made(); ok {
			_ = os.RemoveAll(dir)
		}
		os.Exit(code)
	}
	play, ok := roles[role]
	if !ok {
		fmt.Fprintf(os.Stderr, "no role is called %q\n", role)
		os.Exit(2)
	}
	if err := play(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// once makes something of the file system the first time that it is wanted.
type once struct {
	mu   sync.Mutex
	path string
	make func() (string, error)
}

func (o *once) get(tb testing.TB) string {
	tb.Helper()
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.path == "" {
		path, err := o.make()
		if err != nil {
			tb.Fatal(err)
		}
		o.path = path
	}
	return o.path
}

// made is the path if it was ever wanted.
func (o *once) made() (string, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.path, o.path != ""
}

// workDir holds what benchmarks share, until the end of all.
var workDir = &once{make: func() (string, error) { return os.MkdirTemp("", "glasshouse-bench-") }}

// program builds the gateway as users get it: static and stripped.
func program(tb testing.TB) string {
	tb.Helper()
	file := filepath.Join(workDir.get(tb), "glasshouse")
	if _, err := os.Stat(file); err == nil {
		return file
	}
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", file, "../../cmd/glasshouse")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		tb.Fatalf("building the gateway: %v\n%s", err, out)
	}
	return file
}

// child starts this program in a role. It ends with the benchmark.
func child(tb testing.TB, role string, args ...string) (*exec.Cmd, io.ReadWriteCloser) {
	tb.Helper()
	self, err := os.Executable()
	if err != nil {
		tb.Fatal(err)
	}
	cmd := exec.Command(self, args...)
	cmd.Env = append(os.Environ(), roleVariable+"="+role)
	cmd.Stderr = os.Stderr
	in, errIn := cmd.StdinPipe()
	out, errOut := cmd.StdoutPipe()
	if err := errors.Join(errIn, errOut, cmd.Start()); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		in.Close()
		if role != "world" { // which ends with its input, and takes its broker along
			_ = cmd.Process.Kill()
		}
		end := time.AfterFunc(10*time.Second, func() { _ = cmd.Process.Kill() })
		defer end.Stop()
		_ = cmd.Wait()
	})
	return cmd, pipes{out, in}
}

// pipes are a child's standard output and input as one.
type pipes struct {
	io.Reader
	io.WriteCloser
}
