package contract

import "slices"

// Quantities that an alert can be about, in the platform's words.
const (
	Temperature = "temperature"
	Humidity    = "humidity"
	VPD         = "vpd"
	CO2         = "co2"
	Light       = "light"
	PH          = "ph"
	EC          = "ec"
	WaterLevel  = "water_level"
)

// AlertQuantities are the quantities an alert can be about, in the platform's order. The result is the caller's.
func AlertQuantities() []string {
	return []string{Temperature, Humidity, VPD, CO2, Light, PH, EC, WaterLevel}
}

// Units are the units in which an alert may tell a quantity, the usual one first; nil for a quantity no alert is about.
// The result is the caller's.
func Units(quantity string) []string {
	usual := usualUnit(quantity)
	switch quantity {
	case Light:
		return []string{usual, "lx"}
	case WaterLevel:
		return []string{usual, "cm"}
	}
	if usual == "" {
		return nil
	}
	return []string{usual}
}

// AlertUnit tells whether an alert may tell a quantity in a unit.
func AlertUnit(quantity, unit string) bool { return slices.Contains(Units(quantity), unit) }

// usualUnit is the unit of a quantity that alerts are about, "" for any other.
func usualUnit(quantity string) string {
	switch quantity {
	case Temperature:
		return "°C"
	case Humidity, WaterLevel:
		return "%"
	case VPD:
		return "kPa"
	case CO2:
		return "ppm"
	case Light:
		return "µmol/m²/s"
	case PH:
		return "pH"
	case EC:
		return "mS/cm"
	}
	return ""
}
