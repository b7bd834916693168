//go:build e2e

package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
)

// fault is what can be wrong with a way through the network.
type fault struct {
	name   string
	toxics []string // of toxiproxy, in both directions; none: the way is cut
	slow   bool     // what is sent still arrives
}

var networkFaults = []fault{
	{name: "latency", toxics: []string{`{"type":"latency","attributes":{"latency":150,"jitter":100}}`}, slow: true},
	{name: "byte by byte", toxics: []string{`{"type":"slicer","attributes":{"average_size":1,"size_variation":0,"delay":20}}`}, slow: true},
	{name: "cut"},
	{name: "half-open", toxics: []string{`{"type":"timeout","attributes":{"timeout":0}}`}},
	{name: "reset", toxics: []string{`{"type":"reset_peer","attributes":{"timeout":20}}`}},
}

// road is a way through the network that can be disturbed: toxiproxy, as a library.
type road struct {
	t        *testing.T
	name     string
	upstream string
	whole    bool // requests stay in one piece: pymodbus takes a part of one for a fault and hangs up
	proxy    *toxiproxy.Proxy
}

func newRoad(t *testing.T, name, upstream string) *road {
	t.Helper()
	r := &road{t: t, name: name, upstream: upstream}
	r.open("127.0.0.1:0")
	t.Cleanup(func() { r.proxy.Stop() })
	return r
}

// open makes a new, undisturbed proxy.
func (r *road) open(address string) {
	r.t.Helper()
	log := zerolog.Nop()
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), log)
	r.proxy = toxiproxy.NewProxy(server, r.name, address, r.upstream)
	if err := r.proxy.Start(); err != nil {
		r.t.Fatal(err)
	}
}

// address is where the gateway connects to.
func (r *road) address() string { return r.proxy.Listen }

// disturb makes the road bad, for the connections that stand and for new ones.
func (r *road) disturb(f fault) {
	r.t.Helper()
	if len(f.toxics) == 0 {
		r.proxy.Stop()
		return
	}
	for _, toxic := range f.toxics {
		for _, direction := range []string{"upstream", "downstream"} {
			if r.whole && direction == "upstream" && strings.Contains(toxic, "slicer") {
				continue
			}
			text := strings.Replace(toxic, "{", fmt.Sprintf(`{"stream":%q,`, direction), 1)
			if _, err := r.proxy.Toxics.AddToxicJson(strings.NewReader(text)); err != nil {
				r.t.Fatal(err)
			}
		}
	}
}

// heal makes the road good again. What went over it breaks off: a toxic cannot always be taken from a connection whose one
// end has gone.
func (r *road) heal() {
	r.t.Helper()
	address := r.address()
	r.proxy.Stop()
	r.open(address)
}
