// Command glasshouse is the gateway and the tools that speak with it. Each command stands in a file of its own, parses its
// flags and prints; what it does lives in the packages it calls.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"gacp-erp.internal/glasshouse/gateway/api"
)

// version is set by the linker.
var version = "unknown"

// Exit codes, the same for every command.
const (
	exitDone       = 0
	exitFailed     = 1
	exitUsage      = 2
	exitNotRunning = 3
)

func main() {
	os.Exit(run(os.Args[1:]))
}

// run is main with an exit code.
func run(args []string) int {
	ctx, hurry, stop := untilSignal(context.Background())
	defer stop()
	root := newRoot(hurry)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	stderr := newLogWriter(os.Stderr) // a gateway that ends in order to be restarted must end
	defer stderr.close()
	var usage usageError
	switch {
	case err == nil:
		return exitDone
	case errors.Is(err, errSaid):
		return exitFailed
	case errors.As(err, &usage):
		fmt.Fprintf(stderr, "glasshouse: %v\n", err)
		return exitUsage
	case errors.Is(err, api.ErrNotRunning):
		fmt.Fprintf(stderr, "glasshouse: %v\nStart it with: glasshouse run -c FILE, or name its socket with --socket.\n", err)
		return exitNotRunning
	default:
		fmt.Fprintf(stderr, "glasshouse: %v\n", err)
		return exitFailed
	}
}

// outliveReader lets a program that switches things outlive who reads its output: without it a closed pipe kills it at the
// next line, with its outputs as they are.
func outliveReader() { signal.Ignore(syscall.SIGPIPE) }

// untilSignal returns a context that the first SIGINT, SIGTERM or SIGHUP ends, and a channel that the second one closes. A
// terminal that hangs up is no reason to leave outputs as they are; under nohup it is no reason to end.
func untilSignal(parent context.Context) (ctx context.Context, hurry <-chan struct{}, stop func()) {
	ctx, cancel := context.WithCancel(parent)
	signals, second, ended := make(chan os.Signal, 2), make(chan struct{}), make(chan struct{})
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	if !signal.Ignored(syscall.SIGHUP) {
		signal.Notify(signals, syscall.SIGHUP)
	}
	go func() {
		for _, next := range []func(){cancel, func() { close(second) }} {
			select {
			case <-signals:
				next()
			case <-ended:
				return
			}
		}
	}()
	return ctx, second, func() {
		signal.Stop(signals)
		close(ended)
		cancel()
	}
}

// errSaid ends a command that has already printed what is wrong.
var errSaid = errors.New("said")

// usageError is a wrong use of a command: exit code 2.
type usageError struct{ err error }

func (u usageError) Error() string { return u.err.Error() }
func (u usageError) Unwrap() error { return u.err }
