package configs

import (
	"fmt"
	"math"
	"strconv"
)

// Quantity is something a zone can have a range for.
type Quantity struct {
	Name string
	Unit string
	// Min and Max are what it can physically be in a greenhouse, in Unit. They stand for the open side of a one-sided range
	// where the platform asks for both.
	Min, Max float64
}

// Quantities are all that zones can have ranges for, with the platform's units.
func Quantities() []Quantity {
	return []Quantity{
		{"temperature", "°C", -60, 100},
		{"humidity", "%", 0, 100},
		{"vpd", "kPa", 0, 20},
		{"co2", "ppm", 0, 40000},
		{"light", "µmol/m²/s", 0, 5000},
		{"ph", "pH", 0, 14},
		{"ec", "mS/cm", 0, 50},
		{"water_level", "%", 0, 100},
	}
}

// QuantityOf returns the quantity of a name.
func QuantityOf(name string) (Quantity, bool) {
	for _, q := range Quantities() {
		if q.Name == name {
			return q, true
		}
	}
	return Quantity{}, false
}

func quantityNames() []string {
	var names []string
	for _, q := range Quantities() {
		names = append(names, q.Name)
	}
	return names
}

// Limits are the ends of a range, both belonging to it. NaN: open on that side.
type Limits struct{ Min, Max float64 }

// Open limits hold nothing back.
func Open() Limits { return Limits{math.NaN(), math.NaN()} }

// IsOpen says whether both sides are open.
func (l Limits) IsOpen() bool { return math.IsNaN(l.Min) && math.IsNaN(l.Max) }

// String is as in the file: 22..26, ..26 or 22..
func (l Limits) String() string { return number64(l.Min) + ".." + number64(l.Max) }

// MarshalText is String, since JSON knows no NaN.
func (l Limits) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

func number64(v float64) string {
	if math.IsNaN(v) {
		return ""
	}
	return strconv.FormatFloat(v, 'g', -1, 64)
}

// switchText is a value as actions write it.
func switchText(v float64) string {
	switch v {
	case 0:
		return "off"
	case 1:
		return "on"
	}
	return number64(v)
}

// String is as in the file: exhaust-fan=on.
func (a Action) String() string { return fmt.Sprintf("%s=%s", a.Output, switchText(a.Value)) }
