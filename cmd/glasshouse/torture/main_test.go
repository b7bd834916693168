// Package torture proves what a gateway keeps through its own sudden death, again and again, and that it neither leaks nor
// loses count while everything around it fails. The gateway is a process of its own; what surrounds it lives in the test, so
// that it can be counted: a broker that knows what was acknowledged, a Modbus slave, an embedded Kafka that is read back.
package torture

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"gacp-erp.internal/glasshouse/buffer"
	"gacp-erp.internal/glasshouse/configs"
	"gacp-erp.internal/glasshouse/gateway"
	"gacp-erp.internal/glasshouse/gateway/journal"
)

// patience is how long a test waits for what must happen, however loaded the machine is.
const patience = 90 * time.Second

// TestMain is the tests, or a gateway when this program was started as one: `torture run FILE`, `torture probe FILE`.
func TestMain(m *testing.M) {
	if len(os.Args) != 3 || os.Args[1] != "run" && os.Args[1] != "probe" {
		os.Exit(m.Run())
	}
	live := run
	if os.Args[1] == "probe" {
		live = gateway.Probe
	}
	if err := live(os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run is what `glasshouse run` does, with a disk that goes bad when it is told to.
func run(file string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	config, err := configs.Load(file)
	if err != nil {
		return err
	}
	d := &disk{}
	g, err := gateway.New(gateway.Options{Config: config, Version: "torture", Log: slog.New(slog.NewTextHandler(os.Stderr, nil)),
		Probe: probe, World: gateway.World{Store: d.before}})
	if err != nil {
		return err
	}
	go d.obey(os.Stdin)
	return g.Run(ctx)
}

// probe reads a buffer file in a process of its own.
func probe(file string) error { return exec.Command(os.Args[0], "probe", file).Run() }

// disk stands before the buffer and does what standard input says, a word a line: "fail" each commit, "hang" in each, or be
// "well" again; "count" prints how many goroutines there are.
type disk struct {
	under journal.Store
	mu    sync.Mutex
	word  string
}

func (d *disk) before(under journal.Store) journal.Store {
	d.under = under
	return d
}

// Commit fails, takes three seconds, or does what it should.
func (d *disk) Commit(recs []buffer.Record, notes buffer.Notes) error {
	d.mu.Lock()
	word := d.word
	d.mu.Unlock()
	switch word {
	case "fail":
		return fmt.Errorf("commit: %w", syscall.EIO)
	case "hang":
		time.Sleep(3 * time.Second)
	}
	return d.under.Commit(recs, notes)
}

func (d *disk) obey(words io.Reader) {
	for lines := bufio.NewScanner(words); lines.Scan(); {
		if lines.Text() == "count" {
			fmt.Println(runtime.NumGoroutine())
			continue
		}
		d.mu.Lock()
		d.word = lines.Text()
		d.mu.Unlock()
	}
}

// life is one process of the gateway.
type life struct {
	t    *testing.T
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  *bufio.Scanner
	log  *tail
	done chan struct{}
	err  error // of Wait, once done is closed
}

// begin starts a gateway. It ends with the test at the latest.
func begin(t *testing.T, file string) *life {
	t.Helper()
	l := &life{t: t, cmd: exec.Command(os.Args[0], "run", file), log: &tail{}, done: make(chan struct{})}
	l.cmd.Stderr = l.log
	l.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	in, err := l.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, answers := io.Pipe()
	l.in, l.out, l.cmd.Stdout = in, bufio.NewScanner(out), answers
	if err := l.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		l.err = l.cmd.Wait()
		answers.Close()
		close(l.done)
	}()
	return l
}

// kill ends the process as a crash would.
func (l *life) kill() {
	l.t.Helper()
	select {
	case <-l.done:
		l.t.Fatalf("the gateway ended by itself: %v\n%s", l.err, l.log)
	default:
	}
	if err := l.cmd.Process.Kill(); err != nil {
		l.t.Fatal(err)
	}
	<-l.done
}

// stop ends it as a user would.
func (l *life) stop() {
	l.t.Helper()
	if err := l.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		l.t.Fatal(err)
	}
	select {
	case <-l.done:
	case <-time.After(patience):
		l.t.Fatalf("the gateway does not stop\n%s", l.log)
	}
	if l.err != nil {
		l.t.Errorf("the gateway ended with %v\n%s", l.err, l.log)
	}
}

// tell gives the gateway's disk a word.
func (l *life) tell(word string) {
	l.t.Helper()
	if _, err := fmt.Fprintln(l.in, word); err != nil {
		l.t.Fatalf("the gateway has gone: %v\n%s", err, l.log)
	}
}

// tail keeps the newest of what a process printed.
type tail struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.buf.Len() > 256<<10 {
		t.buf.Next(t.buf.Len() / 2)
	}
	return t.buf.Write(p)
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(t.buf.String())
}

// eventually tries until there is no error.
func eventually(t *testing.T, what string, try func() error) {
	t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatal(errors.Join(fmt.Errorf("waited in vain for: %s", what), err))
		}
	}
}
