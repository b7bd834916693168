package uplink

import (
	"context"
	"net"
	"sync"
	"testing"
)

// gate is a TCP relay before Kafka that can be shut, hang and open again, at one address.
type gate struct {
	net.Listener
	mu     sync.Mutex
	target string // empty: accept and never answer
	conns  map[net.Conn]bool
	wg     sync.WaitGroup
}

func newGate(t testing.TB, target string) *gate {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := &gate{Listener: l, target: target, conns: map[net.Conn]bool{}}
	g.wg.Go(g.serve)
	t.Cleanup(func() {
		l.Close()
		g.to("")
		g.cut()
		g.wg.Wait()
	})
	return g
}

// to sends new connections to a target.
func (g *gate) to(target string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.target = target
}

// cut breaks all connections.
func (g *gate) cut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for c := range g.conns {
		c.Close()
	}
}

func (g *gate) keep(c net.Conn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.conns[c] = true
}

func (g *gate) serve() {
	for {
		c, err := g.Accept()
		if err != nil {
			return
		}
		g.keep(c)
		g.mu.Lock()
		target := g.target
		g.mu.Unlock()
		if target == "" {
			continue
		}
		up, err := net.Dial("tcp", target)
		if err != nil {
			c.Close()
			continue
		}
		g.keep(up)
		g.wg.Go(func() { relay(c, up) })
		g.wg.Go(func() { relay(up, c) })
	}
}

func relay(dst, src net.Conn) {
	b := make([]byte, 64<<10)
	for {
		n, err := src.Read(b)
		if n > 0 {
			if _, err := dst.Write(b[:n]); err != nil {
				break
			}
		}
		if err != nil {
			break
		}
	}
	dst.Close()
	src.Close()
}

// dialTo makes every address lead to one place.
func dialTo(address string) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, address)
	}
}
