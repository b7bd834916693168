package profile

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"
)

// Parse reads one profile, strictly: an unknown key is a fault. The error joins all faults, each with its line and
// column, in order of place.
func Parse(data []byte) (*Profile, error) {
	var root yaml.Node
	if err := yaml.Load(data, &root); err != nil {
		return nil, joined(loadFaults(err))
	}
	p := &Profile{}
	c := &checker{root: &root}
	if err := yaml.Load(data, p, yaml.WithKnownFields()); err != nil {
		c.faults = loadFaults(err)
	}
	p.defaults()
	c.profile(p)
	if len(c.faults) > 0 {
		return nil, joined(c.faults)
	}
	return p, nil
}

// fault is one thing that is wrong, and where.
type fault struct {
	line, column int
	text         string
}

// loadFaults takes the library's errors apart.
func loadFaults(err error) []fault {
	var many *yaml.LoadErrors
	var one *yaml.LoadError
	switch {
	case errors.As(err, &many):
		faults := make([]fault, 0, len(many.Errors))
		for _, e := range many.Errors {
			faults = append(faults, fault{max(e.Mark.Line, 1), max(e.Mark.Column, 1), plain(e.Message)})
		}
		return faults
	case errors.As(err, &one):
		return []fault{{max(one.Mark.Line, 1), max(one.Mark.Column, 1), one.Message}}
	}
	return []fault{{1, 1, err.Error()}}
}

var (
	unknownKey = regexp.MustCompile(`^field (\S+) not found in type .*$`)
	wrongTime  = regexp.MustCompile("^cannot construct \\S+ (`.*`) into time.Duration$")
)

// plain puts the library's commonest messages into words for those who write profiles.
func plain(message string) string {
	message = unknownKey.ReplaceAllString(message, `unknown key "$1"`)
	return wrongTime.ReplaceAllString(message, `$1 must be a time with a unit, such as 10ms or 30s`)
}

// joined is all faults as one error, in order of place.
func joined(faults []fault) error {
	slices.SortStableFunc(faults, func(a, b fault) int {
		return cmp.Or(cmp.Compare(a.line, b.line), cmp.Compare(a.column, b.column), cmp.Compare(a.text, b.text))
	})
	errs := make([]error, len(faults))
	for i, f := range faults {
		errs[i] = fmt.Errorf("line %d, column %d: %s", f.line, f.column, f.text)
	}
	return errors.Join(errs...)
}

// defaults fills in what is left out.
func (p *Profile) defaults() {
	for i := range p.Points {
		p.Points[i].Register.defaults()
		if m := p.Points[i].Message; m != nil && m.Scale == 0 {
			m.Scale = 1
		}
	}
	for i := range p.Outputs {
		o := &p.Outputs[i]
		o.Register.defaults()
		if o.ReadBack != nil && o.Register != nil {
			o.ReadBack.Type = cmp.Or(o.ReadBack.Type, o.Register.Type)
		}
		o.ReadBack.defaults()
		if p.Protocol == "mqtt" {
			o.On, o.Off = cmp.Or(o.On, "ON"), cmp.Or(o.Off, "OFF")
		}
	}
}

func (r *Register) defaults() {
	if r == nil {
		return
	}
	if r.Table == "coil" || r.Table == "discrete" {
		r.Type = cmp.Or(r.Type, "bool")
	}
	if r.Scale == 0 {
		r.Scale = 1
	}
	r.WordOrder, r.ByteOrder = cmp.Or(r.WordOrder, "big"), cmp.Or(r.ByteOrder, "big")
}

// checker finds what the library's decoding does not.
type checker struct {
	root   *yaml.Node
	faults []fault
}

// fault notes one at a path such as "points", "0", "register", "address"; the nearest part that is there gives the place.
func (c *checker) fault(path []string, format string, a ...any) {
	line, column := place(c.root, path)
	text := fmt.Sprintf(format, a...)
	if len(path) > 0 {
		text = strings.Join(path, ".") + ": " + text
	}
	c.faults = append(c.faults, fault{line, column, text})
}

// place is where a path begins, or the nearest part of it that is there.
func place(n *yaml.Node, path []string) (line, column int) {
	if n.Kind == yaml.DocumentNode && len(n.Content) > 0 {
		n = n.Content[0]
	}
	for _, key := range path {
		next := child(n, key)
		if next == nil {
			break
		}
		n = next
	}
	return max(n.Line, 1), max(n.Column, 1)
}

// child is the value of a key, or the element of an index; nil when there is none.
func child(n *yaml.Node, key string) *yaml.Node {
	switch n.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == key {
				return n.Content[i+1]
			}
		}
	case yaml.SequenceNode:
		if i, err := strconv.Atoi(key); err == nil && i < len(n.Content) {
			return n.Content[i]
		}
	case yaml.AliasNode:
		return child(n.Alias, key)
	}
	return nil
}

var name = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_-]{0,63}$`)

// oneOf notes a fault when a word is none of those allowed.
func (c *checker) oneOf(path []string, word string, allowed ...string) bool {
	if slices.Contains(allowed, word) {
		return true
	}
	c.fault(path, "%q is not one of %s", word, strings.Join(allowed, ", "))
	return false
}

func (c *checker) profile(p *Profile) {
	if !name.MatchString(p.ID) {
		c.fault([]string{"id"}, "must be 1 to 64 letters, digits, _ or -, beginning with a letter")
	}
	for key, text := range map[string]string{"manufacturer": p.Manufacturer, "model": p.Model, "description": p.Description} {
		if text == "" {
			c.fault([]string{key}, "is missing")
		}
	}
	c.oneOf([]string{"protocol"}, p.Protocol, "modbus", "mqtt")
	c.duration([]string{"offline"}, p.Offline)
	c.bus(p)
	if len(p.Points)+len(p.Outputs) == 0 {
		c.fault(nil, "a device has at least one point or output")
	}
	seen := map[string]bool{}
	unique := func(path []string, word string) {
		switch {
		case !name.MatchString(word):
			c.fault(append(path, "name"), "must be 1 to 64 letters, digits, _ or -, beginning with a letter")
		case seen[word]:
			c.fault(append(path, "name"), "%q is there twice", word)
		}
		seen[word] = true
	}
	for i := range p.Points {
		path := []string{"points", strconv.Itoa(i)}
		unique(path, p.Points[i].Name)
		c.point(path, p, &p.Points[i])
	}
	for i := range p.Outputs {
		path := []string{"outputs", strconv.Itoa(i)}
		unique(path, p.Outputs[i].Name)
		c.output(path, p, &p.Outputs[i])
	}
}

// bus checks what belongs to one protocol only.
func (c *checker) bus(p *Profile) {
	m := p.Modbus
	if p.Protocol == "mqtt" {
		if m != (ModbusTiming{}) {
			c.fault([]string{"modbus"}, "is for protocol modbus")
		}
		if c.oneOf([]string{"mqtt", "mapping"}, p.MQTT.Mapping, "platform", "paths") && p.MQTT.Mapping == "platform" && p.MQTT.Status != "" {
			c.fault([]string{"mqtt", "status"}, "is known for mapping platform")
		}
		return
	}
	if p.MQTT != (MQTT{}) {
		c.fault([]string{"mqtt"}, "is for protocol mqtt")
	}
	if m.Gap < 0 || m.Gap > 124 {
		c.fault([]string{"modbus", "gap"}, "%d is not 0 to 124 registers", m.Gap)
	}
	if m.MaxRegisters < 0 || m.MaxRegisters > 125 {
		c.fault([]string{"modbus", "maxRegisters"}, "%d is not 0 to 125", m.MaxRegisters)
	}
	c.duration([]string{"modbus", "turnAround"}, m.TurnAround)
	c.duration([]string{"modbus", "interFrame"}, m.InterFrame)
	c.duration([]string{"modbus", "afterConnect"}, m.AfterConnect)
}

// duration refuses what cannot be meant.
func (c *checker) duration(path []string, d time.Duration) {
	if d < 0 || d > 0 && d < time.Millisecond {
		c.fault(path, "must be 0 or at least 1ms")
	}
}

func (c *checker) limits(path []string, low, high float64, wanted bool) {
	if !finite(low) || !finite(high) || (wanted || low != 0 || high != 0) && low >= high {
		c.fault(append(path, "max"), "min %g must be below max %g", low, high)
	}
}

func (c *checker) point(path []string, p *Profile, q *Point) {
	at := func(key ...string) []string { return append(slices.Clone(path), key...) }
	if q.Quantity == "" {
		c.fault(at("quantity"), "is missing")
	}
	c.limits(at(), q.Min, q.Max, false)
	c.duration(at("maxAge"), q.MaxAge)
	c.duration(at("every"), q.Every)
	if p.Protocol == "mqtt" {
		if q.Register != nil {
			c.fault(at("register"), "is for protocol modbus")
		}
		c.message(at("message"), p, q.Message)
		return
	}
	if q.Message != nil {
		c.fault(at("message"), "is for protocol mqtt")
	}
	if q.Register == nil {
		c.fault(at("register"), "is missing")
		return
	}
	c.register(at("register"), q.Register)
}

func (c *checker) message(path []string, p *Profile, m *Message) {
	at := func(key string) []string { return append(slices.Clone(path), key) }
	switch {
	case m == nil:
		c.fault(path, "is missing")
		return
	case p.MQTT.Mapping == "paths" && m.Topic == "":
		c.fault(at("topic"), "is missing")
	case p.MQTT.Mapping == "platform" && m.Topic == "" && m.Name == "":
		c.fault(at("name"), "is missing: the sensor's name in the body")
	}
	c.topic(at("topic"), m.Topic)
	c.scale(path, m.Scale, m.Offset)
}

func (c *checker) scale(path []string, scale, offset float64) {
	if !finite(scale) || !finite(offset) {
		c.fault(append(slices.Clone(path), "scale"), "scale and offset must be numbers")
	}
}

func (c *checker) register(path []string, r *Register) {
	at := func(key string) []string { return append(slices.Clone(path), key) }
	bits := r.Table == "coil" || r.Table == "discrete"
	if c.oneOf(at("table"), r.Table, "input", "holding", "coil", "discrete") {
		if bits {
			c.oneOf(at("type"), r.Type, "bool")
		} else {
			c.oneOf(at("type"), r.Type, "u16", "s16", "u32", "s32", "u64", "s64", "f32", "f64", "bool")
		}
	}
	words := map[string]int{"u32": 2, "s32": 2, "f32": 2, "u64": 4, "s64": 4, "f64": 4}[r.Type]
	if r.Address < 0 || r.Address+max(words, 1) > 1<<16 {
		c.fault(at("address"), "%d is beyond 0 to 65535", r.Address)
	}
	c.oneOf(at("wordOrder"), r.WordOrder, "big", "little")
	c.oneOf(at("byteOrder"), r.ByteOrder, "big", "little")
	switch {
	case r.Bit == nil:
	case bits || r.Type != "bool":
		c.fault(at("bit"), "is for type bool in a register")
	case *r.Bit < 0 || *r.Bit > 15:
		c.fault(at("bit"), "%d is not 0 to 15", *r.Bit)
	}
	c.scale(path, r.Scale, r.Offset)
}

func (c *checker) output(path []string, p *Profile, o *Output) {
	at := func(key string) []string { return append(slices.Clone(path), key) }
	if o.Analog {
		c.limits(slices.Clone(path), o.Min, o.Max, true)
	} else if o.Min != 0 || o.Max != 0 {
		c.fault(at("min"), "only an analog output has min and max")
	}
	if p.Protocol == "mqtt" {
		c.switchTopics(path, o)
		return
	}
	if o.CommandTopic+o.StateTopic+o.StatePath+o.On+o.Off != "" || o.Retain {
		c.fault(path, "topics and payloads are for protocol mqtt")
	}
	if o.Register == nil {
		c.fault(at("register"), "is missing")
		return
	}
	if o.Register.Table == "input" || o.Register.Table == "discrete" {
		c.fault(append(at("register"), "table"), "%s cannot be written", o.Register.Table)
	}
	c.register(at("register"), o.Register)
	if o.ReadBack == nil {
		return
	}
	c.register(at("readBack"), o.ReadBack)
	if bits := o.ReadBack.Table == "coil" || o.ReadBack.Table == "discrete"; bits && o.Register.Type != "bool" {
		c.fault(at("readBack"), "a %s cannot be read back from the %s table", o.Register.Type, o.ReadBack.Table)
	}
}

// switchTopics checks an output on MQTT.
func (c *checker) switchTopics(path []string, o *Output) {
	at := func(key string) []string { return append(slices.Clone(path), key) }
	if o.Register != nil || o.ReadBack != nil {
		c.fault(path, "registers are for protocol modbus")
	}
	if o.Analog {
		c.fault(at("analog"), "an output on MQTT is a switch")
	}
	for key, topic := range map[string]string{"commandTopic": o.CommandTopic, "stateTopic": o.StateTopic} {
		if topic == "" {
			c.fault(at(key), "is missing; the state is what confirms a command")
		}
		c.topic(at(key), topic)
	}
	if o.CommandTopic != "" && o.CommandTopic == o.StateTopic {
		c.fault(at("stateTopic"), "must not be the command's topic; the state is what confirms a command")
	}
	if strings.EqualFold(o.On, o.Off) {
		c.fault(at("off"), "on and off are the same payload")
	}
}

// topic checks a topic's form; "" is no topic.
func (c *checker) topic(path []string, topic string) {
	bare := Expand(topic, "", "")
	if strings.ContainsAny(bare, "+#{}\x00") || len(topic) > 256 {
		c.fault(path, "%q is no topic: at most 256 characters, no + or #, and {id} and {zone} the only placeholders", topic)
	}
}

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }
