package modbus

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"gacp-erp.internal/glasshouse/drivers"
	"gacp-erp.internal/glasshouse/drivers/sim/slave"
)

// transactions is how many the property test does: MODBUS_TRANSACTIONS, else the short form.
func transactions(t *testing.T) int {
	t.Helper()
	text := os.Getenv("MODBUS_TRANSACTIONS")
	if text == "" {
		return 12_000
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("MODBUS_TRANSACTIONS=%s: %v", text, err)
	}
	return n
}

// trap is a slave whose every address has another value, in every unit and table, and which changes with time: no answer to
// another question, and none from before, can pass for the right one.
type trap struct {
	slave  *slave.Slave
	epoch  uint16
	values map[drivers.PointID]float64
}

const (
	trapUnits = 3
	trapWords = 40
)

// turn gives every register a new value.
func (tr *trap) turn() {
	tr.epoch++
	for u := range byte(trapUnits) {
		words := make([]uint16, trapWords)
		for table := range 2 {
			for i := range words {
				words[i] = tr.epoch*509 + uint16(table*trapUnits*trapWords+int(u)*trapWords+i) + 1
				tr.values[trapPoint(u, Table(table), i)] = float64(words[i])
			}
			if Table(table) == Input {
				tr.slave.SetInput(u+1, 0, words...)
			} else {
				tr.slave.SetHolding(u+1, 0, words...)
			}
		}
	}
}

func trapPoint(unit byte, table Table, address int) drivers.PointID {
	return drivers.PointID(fmt.Sprintf("u%d.%s%d", unit+1, table, address))
}

// trapBus has requests of two lengths, several of each to the same table: a length alone tells no answer from another.
func trapBus(c *Config) {
	for u := range byte(trapUnits) {
		unit := Unit{ID: fmt.Sprintf("u%d", u+1), Address: u + 1}
		for table := range 2 {
			for i := range trapWords {
				if i%10 == 9 || i == 4 {
					continue // a hole: no gap is allowed, so a new request begins
				}
				unit.Points = append(unit.Points, Point{ID: trapPoint(u, Table(table), i), Table: Table(table), Address: uint16(i)})
			}
		}
		c.Units = append(c.Units, unit)
	}
}

// wiring is how the trap is reached.
type wiring struct {
	endpoint string
	serve    func(*slave.Slave, slave.Conn)
	latest   time.Duration // of a late answer: with ids any, without them what the line stays quiet for
	flips    func(rnd *rand.Rand) slave.Fault
	share    int // of so many transactions one fails at least
}

const propertyTimeout = time.Second

func wirings() map[string]wiring {
	return map[string]wiring{
		"tcp": {"tcp://slave", (*slave.Slave).Serve, 4 * propertyTimeout, func(rnd *rand.Rand) slave.Fault {
			return slave.Fault{Kind: slave.Flip, Bit: rnd.IntN(64)}
		}, 20},
		"rtu": {"rtu+tcp://slave:4001", (*slave.Slave).ServeRTU, 3 * propertyTimeout, func(rnd *rand.Rand) slave.Fault {
			f := slave.Fault{Kind: slave.Flip, Bit: rnd.IntN(1 << 16)}
			if rnd.IntN(2) == 0 {
				f.Burst = uint16(1 + rnd.IntN(1<<16-1))
			}
			for range rnd.IntN(3) {
				f.Bits = append(f.Bits, rnd.IntN(1<<16))
			}
			return f
		}, 20},
	}
}

// scripted is a random fault.
func (w wiring) scripted(rnd *rand.Rand) slave.Fault {
	kinds := []slave.Kind{slave.None, slave.None, slave.None, slave.Late, slave.Late, slave.Drop, slave.Half, slave.WrongTransaction,
		slave.ForeignUnit, slave.ForeignFunction, slave.Exception, slave.HangUp, slave.ByteByByte, slave.ShortCount, slave.LyingCount,
		slave.Duplicate, slave.Replay, slave.Flip, slave.Flip}
	f := slave.Fault{Kind: kinds[rnd.IntN(len(kinds))], Code: byte(1 + rnd.IntN(11))}
	switch f.Kind {
	case slave.Late:
		f.Delay = time.Duration(rnd.Int64N(int64(w.latest)))
	case slave.ByteByByte:
		f.Delay = time.Duration(rnd.Int64N(int64(propertyTimeout / 20)))
	case slave.Flip:
		f = w.flips(rnd)
	}
	return f
}

// seeds are the property test's numbers; MODBUS_SEED repeats a run.
func seeds(t *testing.T) uint64 {
	t.Helper()
	seed := rand.Uint64()
	if text := os.Getenv("MODBUS_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	return seed
}

// TestNeverAWrongValueMarkedGood asks a slave whose answers are late, torn, foreign, repeated and damaged at random. Whatever
// is Good must be what the asked register held when it was asked; and the line must find its way back every time.
func TestNeverAWrongValueMarkedGood(t *testing.T) {
	for name, w := range wirings() {
		t.Run(name, func(t *testing.T) {
			seed, n := seeds(t), transactions(t)
			t.Logf("MODBUS_SEED=%d MODBUS_TRANSACTIONS=%d", seed, n)
			synctest.Test(t, func(t *testing.T) { w.never(t, rand.New(rand.NewPCG(seed, 0)), n) })
		})
	}
}

func (w wiring) never(t *testing.T, rnd *rand.Rand, n int) {
	tr := &trap{slave: slave.New(), values: map[drivers.PointID]float64{}}
	defer tr.slave.Close()
	c := Config{Name: "trap", Endpoint: w.endpoint, Timeout: propertyTimeout, Dial: func(context.Context) (net.Conn, error) {
		ours, theirs := net.Pipe()
		go w.serve(tr.slave, theirs)
		return ours, nil
	}}
	trapBus(&c)
	d := made(t, c)
	defer d.Close()
	tr.turn()
	var dst []drivers.Reading
	good, failed := 0, 0
	for i := range n {
		if i%7 == 0 {
			tr.turn()
		}
		if rnd.IntN(3) == 0 && tr.slave.Scripted() == 0 {
			tr.slave.Script(w.scripted(rnd))
		}
		r := d.Requests()[rnd.IntN(len(d.Requests()))]
		var err error
		if dst, err = d.Read(t.Context(), r, dst[:0]); err != nil {
			failed++
		}
		for _, g := range dst {
			if g.Quality != drivers.Good {
				continue
			}
			good++
			if want := tr.values[g.Point]; g.Value != want {
				t.Fatalf("transaction %d: %s is %g, marked Good; it was %g", i, g.Point, g.Value, want)
			}
		}
	}
	t.Logf("%d good values, %d of %d transactions failed", good, failed, n)
	if good < n || failed < n/w.share {
		t.Errorf("%d good values, %d failed transactions of %d: the test is not what it was", good, failed, n)
	}
	tr.slave.Script(make([]slave.Fault, 3)...)
	for _, r := range d.Requests() { // healthy again
		if _, err := d.Read(t.Context(), r, nil); err != nil {
			if _, err = d.Read(t.Context(), r, nil); err != nil {
				t.Errorf("afterwards: %v", err)
			}
		}
	}
}
