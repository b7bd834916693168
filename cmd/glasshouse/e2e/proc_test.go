//go:build e2e

// Package e2e drives the built gateway as a user would: as a process, against peers that nobody here wrote.
package e2e

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience is how long a test waits for what must happen, however loaded the machine is.
const patience = 90 * time.Second

// process is a child that ends with its test.
type process struct {
	t    *testing.T
	name string
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  *bufio.Reader // standard output, for those that answer by lines
	log  *tail
	done chan struct{}
	err  error // of Wait; valid once done is closed
}

// tail keeps the newest of what a process printed.
type tail struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.buf.Len() > 1<<20 {
		t.buf.Next(t.buf.Len() / 2)
	}
	return t.buf.Write(p)
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.buf.String()
}

// start runs a program. What it prints is shown when the test fails.
func start(t *testing.T, name string, env []string, program string, args ...string) *process {
	t.Helper()
	p := &process{t: t, name: name, cmd: exec.Command(program, args...), log: &tail{}, done: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stderr = p.log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var err error
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	reader, writer := io.Pipe()
	p.cmd.Stdout = io.MultiWriter(p.log, writer)
	p.out = bufio.NewReader(reader)
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", name, err)
	}
	go func() {
		p.err = p.cmd.Wait()
		writer.Close()
		close(p.done)
	}()
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("--- %s printed:\n%s", name, p.log)
		}
	})
	return p
}

// quiet drops the standard output of a process that nobody reads by lines.
func (p *process) quiet() *process {
	go func() { _, _ = io.Copy(io.Discard, p.out) }()
	return p
}

// kill ends the process at once and waits for it.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // it may have ended by itself
	go func() { _, _ = io.Copy(io.Discard, p.out) }()
	select {
	case <-p.done:
	case <-time.After(patience): // a thread of it waits for a disk that hangs
		p.t.Errorf("%s cannot be killed", p.name)
	}
}

// stop sends SIGTERM and returns how long the process took and its exit code.
func (p *process) stop() (time.Duration, int) {
	p.t.Helper()
	began := time.Now()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		p.t.Fatalf("%s: SIGTERM: %v", p.name, err)
	}
	select {
	case <-p.done:
	case <-time.After(patience):
		p.t.Fatalf("%s did not end after SIGTERM", p.name)
	}
	return time.Since(began), p.cmd.ProcessState.ExitCode()
}

// ask writes a line and returns the line that answers it.
func (p *process) ask(format string, args ...any) string {
	p.t.Helper()
	if _, err := fmt.Fprintf(p.in, format+"\n", args...); err != nil {
		p.t.Fatalf("%s: %v", p.name, err)
	}
	return p.line()
}

// line returns the next line of standard output.
func (p *process) line() string {
	p.t.Helper()
	line, err := p.out.ReadString('\n')
	if err != nil {
		p.t.Fatalf("%s: its output ended: %v", p.name, err)
	}
	return strings.TrimSpace(line)
}

// eventually waits until ok says nil.
func eventually(t *testing.T, what string, ok func() error) time.Duration {
	t.Helper()
	began := time.Now()
	for {
		err := ok()
		if err == nil {
			return time.Since(began)
		}
		if time.Since(began) > patience {
			t.Fatalf("%s: %v", what, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// freePort returns a TCP port that was free a moment ago.
func freePort(t *testing.T) int {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port
}

// binary is the built gateway.
func binary(t *testing.T) string {
	t.Helper()
	path, err := filepath.Abs("../../../bin/glasshouse")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%v: run make build first", err)
	}
	return path
}

// peer finds a program that `make peers` installs.
func peer(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if errors.Is(err, exec.ErrNotFound) {
		path, err = exec.LookPath("/usr/sbin/" + name)
	}
	if err != nil {
		t.Fatalf("%v: run make peers", err)
	}
	return path
}

// output runs a program to its end and returns what it printed.
func output(t *testing.T, program string, args ...string) (string, error) {
	t.Helper()
	return outputWith(t, nil, program, args...)
}

// outputWith is output with more in the environment.
func outputWith(t *testing.T, env []string, program string, args ...string) (string, error) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd := exec.Command(program, args...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.Env = append(os.Environ(), env...)
	if err := cmd.Run(); err != nil {
		return stdout.String(), fmt.Errorf("%s %s: %w: %s", filepath.Base(program), strings.Join(args, " "), err, &stderr)
	}
	return stdout.String(), nil
}

// needs returns a folder that `make peers` fills and `make e2e` names.
func needs(t *testing.T, variable string) string {
	t.Helper()
	folder := os.Getenv(variable)
	if folder == "" {
		t.Fatalf("%s is not set: use make e2e", variable)
	}
	return folder
}
