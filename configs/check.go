package configs

import (
	"fmt"
	"slices"
	"time"
)

// check finds what one look at a single value does not: names that refer to nothing, that are there twice, values that
// contradict each other.
func (c *Config) check(r *reader) {
	k := &checker{c: c, r: r, zones: map[string]Pos{}, buses: map[string]*Bus{}, outputs: map[string]Pos{}}
	k.gateway()
	k.uplink()
	k.allBuses()
	for i := range c.Zones {
		z := &c.Zones[i]
		k.unique(k.zones, "zone", z.Name, z.Pos, ".name")
	}
	k.devices()
	k.allZones()
}

// checker is the state of one check.
type checker struct {
	c       *Config
	r       *reader
	zones   map[string]Pos // by name, as are all
	buses   map[string]*Bus
	outputs map[string]Pos
}

// fault notes one; the path goes on from at.
func (k *checker) fault(at Pos, path, hint, format string, args ...any) {
	k.r.faults = append(k.r.faults, k.c.Fault(at, path, hint, format, args...))
}

// given says whether the file has a key.
func (k *checker) given(at Pos, path string) bool {
	_, ok := k.c.places[at.Path+path]
	return ok
}

// sound says whether the file has a key and its value was not found fault with.
func (k *checker) sound(at Pos, path string) bool {
	path = at.Path + path
	_, ok := k.c.places[path]
	return ok && !slices.ContainsFunc(k.r.faults, func(f Fault) bool { return f.Path == path })
}

// unique enters a name and notes a fault when it is there already. An empty one was found fault with before.
func (k *checker) unique(in map[string]Pos, what, name string, at Pos, path string) {
	if name == "" {
		return
	}
	if first, twice := in[name]; twice {
		k.fault(at, path, "", "the %s %q is there already, in line %d", what, name, first.Line)
		return
	}
	in[name] = at
}

func (k *checker) gateway() {
	g := &k.c.Gateway
	if g.Timezone != "" {
		location, err := time.LoadLocation(g.Timezone)
		if err != nil { // it was there a moment ago
			k.fault(g.Pos, ".timezone", "", "cannot be loaded: %v", err)
		}
		g.Location = location
	}
	if err := socketLength(&g.Socket); err != nil && !k.given(g.Pos, ".socket") {
		k.fault(g.Pos, ".dataDir", "set socket to a shorter one", "leads to the socket %s: %v", g.Socket, err)
	}
	b := &k.c.Buffer
	if b.Reserve > b.MaxSize/2 {
		k.fault(b.Pos, ".reserve", "", "%s is more than half of the buffer's %s", sizeText(b.Reserve), sizeText(b.MaxSize))
	}
}

func (k *checker) uplink() {
	u := &k.c.Uplink
	seen := map[string]bool{}
	for i, broker := range u.Brokers {
		if broker != "" && seen[broker] {
			k.fault(u.Pos, fmt.Sprintf(".brokers[%d]", i), "", "is there twice")
		}
		seen[broker] = true
	}
	k.tls(&u.TLS)
	if u.SASL.Mechanism == "plain" && !u.TLS.Enabled {
		k.fault(u.SASL.Pos, ".mechanism", "leave TLS on, or use scram-sha-256", "plain without TLS shows the password to the network")
	}
	k.topics(u)
}

// topics checks that no two lead to the same one.
func (k *checker) topics(u *Uplink) {
	used := map[string]string{}
	for _, from := range topicNames() {
		if _, renamed := u.Topics[from]; !renamed {
			used[from] = from
		}
	}
	for _, from := range topicNames() {
		to, renamed := u.Topics[from]
		other, twice := used[to]
		switch {
		case !renamed:
			continue
		case to == "." || to == "..":
			k.fault(u.Pos, ".topics."+from, "", "is no name that Kafka takes")
		case twice:
			k.fault(u.Pos, ".topics."+from, "each needs one of its own", "leads to the same topic as %s", other)
		}
		used[to] = from
	}
}

func (k *checker) tls(t *TLS) {
	if k.given(t.Pos, ".cert") != k.given(t.Pos, ".key") {
		k.fault(t.Pos, "", "", "cert and key need each other")
	}
}

func (k *checker) allBuses() {
	endpoints := map[string]*Bus{}
	for i := range k.c.Buses {
		b := &k.c.Buses[i]
		if b.Name != "" {
			if first, twice := k.buses[b.Name]; twice {
				k.fault(b.Pos, ".name", "", "the bus %q is there already, in line %d", b.Name, first.Line)
			} else {
				k.buses[b.Name] = b
			}
		}
		k.bus(b)
		if b.Endpoint() == "" {
			continue
		}
		same := b.Endpoint()
		if b.MQTT != "" {
			same += " " + b.ClientID
		}
		if other, twice := endpoints[same]; twice {
			hint := "one connection is one bus, with all its units"
			if b.MQTT != "" {
				hint = "a broker throws out one of two sessions with the same clientId; one bus is enough for a broker"
			}
			k.fault(b.Pos, "."+b.Protocol(), hint, "the bus %q in line %d has the same address", other.Name, other.Line)
			continue
		}
		endpoints[same] = b
	}
}

func (k *checker) bus(b *Bus) {
	modbus, mqtt := k.given(b.Pos, ".modbus"), k.given(b.Pos, ".mqtt")
	switch {
	case b.Line == 0:
		return
	case modbus && mqtt:
		k.fault(b.Pos, ".mqtt", "make two buses of it", "a bus is either modbus or mqtt")
		return
	case modbus:
		for _, key := range []string{"username", "password", "clientId", "tls"} {
			if k.given(b.Pos, "."+key) {
				k.fault(b.Pos, "."+key, "", "is for mqtt only")
			}
		}
		return
	case !mqtt:
		k.fault(b.Pos, "", `modbus: "tcp://10.0.0.20:502" or mqtt: "mqtt://127.0.0.1:1883"`, "says neither modbus nor mqtt")
		return
	}
	for _, key := range []string{"every", "timeout"} {
		if k.given(b.Pos, "."+key) {
			k.fault(b.Pos, "."+key, "MQTT devices speak when they like", "is for modbus only")
		}
	}
	if k.given(b.Pos, ".password") && b.Username == "" && !k.given(b.Pos, ".username") {
		k.fault(b.Pos, ".password", "", "needs a username")
	}
	if k.given(b.TLS.Pos, "") && b.TLS.Line > 0 {
		if b.MQTT != "" && !b.TLS.Enabled {
			k.fault(b.TLS.Pos, "", "write mqtts:// for it", "the address is mqtt://, without TLS")
		}
		if k.given(b.TLS.Pos, ".enabled") {
			k.fault(b.TLS.Pos, ".enabled", "", "mqtts:// or mqtt:// in the address says it")
		}
	}
	k.tls(&b.TLS)
}

// sortedNames are the keys of a map, for hints.
func sortedNames[V any](m map[string]V) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
