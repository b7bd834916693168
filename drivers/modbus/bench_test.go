package modbus

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	library "github.com/goburrow/modbus"

	"gacp-erp.internal/glasshouse/drivers"
	"gacp-erp.internal/glasshouse/drivers/sim/slave"
)

const slaveProcess = "MODBUS_BENCH_SLAVE"

// TestMain is also the slave of the benchmarks: in a process of its own, so that its work is not counted as the client's.
func TestMain(m *testing.M) {
	if os.Getenv(slaveProcess) == "" {
		os.Exit(m.Run())
	}
	s, err := slave.Listen("127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	words := make([]uint16, 1000)
	for i := range words {
		words[i] = uint16(i)
	}
	s.SetHolding(1, 0, words...)
	fmt.Println(s.Addr())
	_, _ = io.Copy(io.Discard, os.Stdin) // until the parent is gone
	s.Close()
}

// foreign starts that process and gives its address.
func foreign(b *testing.B) string {
	b.Helper()
	c := exec.Command(os.Args[0])
	c.Env = append(os.Environ(), slaveProcess+"=1")
	in, err := c.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := c.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := c.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		in.Close()
		_ = c.Wait()
	})
	address, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		b.Fatal(err)
	}
	return strings.TrimSpace(address)
}

// cpu is what this process has used.
func cpu() time.Duration {
	var r syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &r)
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// polls measures the polling of 1,000 points.
func polls(b *testing.B, poll func() (sum float64)) {
	b.Helper()
	poll() // connects
	b.ReportAllocs()
	before := cpu()
	for b.Loop() {
		if sum := poll(); sum != 999*1000/2 {
			b.Fatalf("the sum of all points is %g", sum)
		}
	}
	b.ReportMetric(float64(cpu()-before)/float64(b.N)/1000, "cpu-ns/point")
}

// BenchmarkPoll is row 10 of the project's goals, up to the reading: 1,000 registers in 8 requests over loopback TCP.
func BenchmarkPoll(b *testing.B) {
	b.Run("glasshouse", func(b *testing.B) {
		d, err := New(Config{Name: "b", Endpoint: "tcp://" + foreign(b), Units: []Unit{{ID: "u", Address: 1, Points: row(1000, 1, Holding, U16)}}})
		if err != nil {
			b.Fatal(err)
		}
		defer d.Close()
		var dst []drivers.Reading
		polls(b, func() (sum float64) {
			for _, r := range d.Requests() {
				if dst, err = d.Read(context.Background(), r, dst[:0]); err != nil {
					b.Fatal(err)
				}
				for i := range dst {
					sum += dst[i].Value
				}
			}
			return sum
		})
		b.ReportMetric(float64(len(d.Requests())), "requests")
	})
	b.Run("bare client", func(b *testing.B) {
		h := library.NewTCPClientHandler(foreign(b))
		h.SlaveId, h.Timeout = 1, time.Second
		defer h.Close()
		c := library.NewClient(h)
		polls(b, func() (sum float64) {
			for first := uint16(0); first < 1000; first += 125 {
				data, err := c.ReadHoldingRegisters(first, 125)
				if err != nil {
					b.Fatal(err)
				}
				for i := 0; i < len(data); i += 2 {
					sum += float64(binary.BigEndian.Uint16(data[i:]))
				}
			}
			return sum
		})
		b.ReportMetric(8, "requests")
	})
}

// BenchmarkRequests is row 9: how many requests there are, and what planning costs.
func BenchmarkRequests(b *testing.B) {
	for name, u := range map[string]Unit{
		"1000 in a row":  {Address: 1, Points: row(1000, 1, Holding, U16)},
		"100 one in ten": {Address: 1, Gap: 9, Points: row(100, 10, Holding, U16)},
	} {
		b.Run(name, func(b *testing.B) {
			n := 0
			for b.Loop() {
				d, err := New(Config{Name: "b", Endpoint: "tcp://h", Units: []Unit{u}})
				if err != nil {
					b.Fatal(err)
				}
				n = len(d.Requests())
			}
			b.ReportMetric(float64(n), "requests")
		})
	}
}

// still answers each request for registers with the same values, without a network and without allocating.
type still struct {
	net.Conn
	answer [headerSize + maxPDU]byte
	n      int
}

func (s *still) Write(p []byte) (int, error) {
	count := int(p[11])
	s.n = headerSize + 2 + 2*count
	copy(s.answer[:], p[:headerSize])
	binary.BigEndian.PutUint16(s.answer[4:], uint16(3+2*count))
	s.answer[7], s.answer[8] = p[7], byte(2*count)
	return len(p), nil
}

func (s *still) Read(p []byte) (int, error)  { return copy(p, s.answer[:s.n]), nil }
func (s *still) SetDeadline(time.Time) error { return nil }
func (s *still) Close() error                { return nil }

// TestReadAllocates only what the library does: the request's data and its PDU.
func TestReadAllocates(t *testing.T) {
	d := made(t, Config{Name: "b", Endpoint: "tcp://h", Units: []Unit{{ID: "u", Address: 1, Points: row(100, 1, Holding, U16)}},
		Dial: func(context.Context) (net.Conn, error) { return new(still), nil }})
	var dst []drivers.Reading
	ours := testing.AllocsPerRun(100, func() {
		var err error
		if dst, err = d.Read(context.Background(), d.Requests()[0], dst[:0]); err != nil || len(dst) != 100 {
			t.Fatal(len(dst), err)
		}
	})
	d.line.begin(context.Background(), &d.config.Units[0])
	bare := testing.AllocsPerRun(100, func() {
		if _, err := d.client.ReadHoldingRegisters(0, 100); err != nil {
			t.Fatal(err)
		}
	})
	if ours > bare || bare > 2 {
		t.Errorf("%v allocations a read; the library's client over the same line: %v", ours, bare)
	}
}
