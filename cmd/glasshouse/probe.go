package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"

	"github.com/spf13/cobra"

	"gacp-erp.internal/glasshouse/gateway"
)

// newProbe reads one buffer file from end to end. The gateway runs it as a child after a power cut: a damaged file can
// kill the process that maps it, and must not kill the gateway.
func newProbe() *cobra.Command {
	return &cobra.Command{
		Use:    "probe FILE",
		Short:  "Read one buffer file from end to end",
		Hidden: true,
		Args:   exactly(1),
		RunE:   func(_ *cobra.Command, args []string) error { return gateway.Probe(args[0]) },
	}
}

// probeInChild runs `glasshouse probe FILE`.
func probeInChild(file string) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("probe %s: find this program: %w", file, err)
	}
	var words bytes.Buffer
	child := exec.Command(self, "probe", file)
	child.Stderr = &words
	child.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := child.Run(); err != nil {
		first, _, _ := bytes.Cut(bytes.TrimSpace(words.Bytes()), []byte("\n"))
		return errors.Join(fmt.Errorf("probe %s: %w", file, err), errors.New(string(first)))
	}
	return nil
}
