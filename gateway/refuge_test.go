package gateway

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"gacp-erp.internal/glasshouse/buffer"
	"gacp-erp.internal/glasshouse/configs"
)

// TestDiskFailed tells a disk that has failed from what a person got wrong: only for the first there is a refuge.
func TestDiskFailed(t *testing.T) {
	for err, want := range map[error]bool{
		&fs.PathError{Op: "open", Path: "lock", Err: syscall.EROFS}:  true,
		fmt.Errorf("write: %w", syscall.ENOSPC):                      true,
		fmt.Errorf("flush: %w", syscall.EIO):                         true,
		fmt.Errorf("read: %w", buffer.ErrDamaged):                    true,
		&fs.PathError{Op: "open", Path: "lock", Err: syscall.EACCES}: false,
		fmt.Errorf("buffer: %w", buffer.ErrLocked):                   false,
	} {
		if got := diskFailed(err); got != want {
			t.Errorf("%v: %t", err, got)
		}
	}
}

func TestRefuge(t *testing.T) {
	if _, err := os.Stat(memoryDir); err != nil {
		t.Skipf("there is no file system in memory: %v", err)
	}
	g := &Gateway{log: slog.New(slog.DiscardHandler), config: &configs.Config{}}
	options := buffer.Options{MaxBytes: 64 << 20, Lanes: []buffer.LaneSpec{{Name: "lane"}}}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	options.Dir = filepath.Join(file, "buffer")
	if err := g.openBuffer(options); !errors.Is(err, syscall.ENOTDIR) || g.refuge != "" {
		t.Fatalf("a directory that is a file: %v, refuge %q", err, g.refuge)
	}

	g.homeless = syscall.EIO
	if err := g.takeRefuge(options); err != nil {
		t.Fatal(err)
	}
	if dir := g.bufferDir(); !strings.HasPrefix(dir, memoryDir) || dir != g.refuge {
		t.Errorf("the buffer lies in %s", dir)
	}
	if err := g.buffer.Commit([]buffer.Record{{Lane: "lane", Body: []byte("{}")}}, nil); err != nil {
		t.Error(err)
	}
	if err := g.closeBuffer(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(g.refuge); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the refuge is left behind: %v", err)
	}
}

func TestSpan(t *testing.T) {
	if got := span(&buffer.Gap{}); got != "" {
		t.Errorf("of a gap whose time is not known: %q", got)
	}
	if got, want := span(&buffer.Gap{From: 1_700_000_000_000, To: 1_700_000_060_000}), " from 2023-11-14T22:13:20Z to 2023-11-14T22:14:20Z"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
