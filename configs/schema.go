package configs

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
)

const (
	day      = 24 * time.Hour
	maxUnit  = 247
	sizeUnit = 1 << 20
)

// root is the whole file.
func root(c *Config) []field {
	return []field{
		{"gateway", object(&c.Gateway.Pos, "gateway: {id: gh-riga-01, …}", gatewayFields(&c.Gateway)), required, "the box itself: id, facilityId, timezone, mode"},
		{"uplink", object(&c.Uplink.Pos, "brokers: [host:9092]", uplinkFields(&c.Uplink)), optional, "the way to the platform's Kafka; without brokers there is none"},
		{"buffer", object(&c.Buffer.Pos, "maxSize: 2GiB", bufferFields(&c.Buffer)), optional, "the budget of the durable queue"},
		{"buses", list(&c.Buses, "name", "- {name: north, modbus: \"tcp://10.0.0.20:502\"}", func(b *Bus) kind {
			return object(&b.Pos, "{name: north, modbus: \"tcp://10.0.0.20:502\"}", busFields(b))
		}), optional, "the connections to devices"},
		{"devices", list(&c.Devices, "id", "- {id: veg1-climate, profile: xy-md02, bus: north, unit: 1, zone: veg-1}", func(d *Device) kind {
			return object(&d.Pos, "{id: veg1-climate, profile: xy-md02, bus: north, unit: 1, zone: veg-1}", deviceFields(d))
		}), optional, "what is connected to the buses"},
		{"zones", list(&c.Zones, "name", "- {name: veg-1, ranges: {temperature: {day: 22..26}}}", func(z *Zone) kind {
			return object(&z.Pos, "{name: veg-1, ranges: {temperature: {day: 22..26}}}", zoneFields(z))
		}), optional, "places with one climate each, and what it may be"},
	}
}

func gatewayFields(g *Gateway) []field {
	return []field{
		{"id", text(&g.ID, nameOf("gh-riga-01")), required, "names this box on the platform: 1 to 64 letters, digits, _ and -"},
		{"facilityId", text(&g.FacilityID, uuidForm()), required, "the facility's uuid on the platform"},
		{"timezone", text(&g.Timezone, form{want: "a time zone", example: "Europe/Riga", norm: knownTimezone}), required, "of day and night, such as Europe/Riga"},
		{"mode", text(&g.Mode, oneOf("observe or control", "observe", "control")), required, "control switches outputs, observe decides and tells but switches nothing"},
		{"dataDir", text(&g.DataDir, form{want: "a folder", example: "/var/lib/glasshouse"}), optional, "where everything is kept; default /var/lib/glasshouse"},
		{"socket", text(&g.Socket, form{want: "a file", example: "/run/glasshouse/glasshouse.sock", norm: socketLength}), optional, "of the local API; default glasshouse.sock in dataDir"},
		{"logLevel", text(&g.Level, oneOf("debug, info, warn or error", "debug", "info", "warn", "error")), optional, "default info"},
		{"grace", span(&g.Grace, 0, 10*time.Minute), optional, "how long outputs stay safe after a start while sensors have not spoken; default 30s"},
		{"userId", text(&g.UserID, uuidForm()), optional, "uuid of the platform's user in whose name local changes are told"},
	}
}

func uplinkFields(u *Uplink) []field {
	return []field{
		{"brokers", list(&u.Brokers, "", `["kafka-1:9092"]`, func(s *string) kind {
			return text(s, form{want: "a host with its port", example: "kafka-1.gacp-erp.internal:9092", norm: hostPort})
		}), optional, "host:port of Kafka's brokers; none: no uplink"},
		{"tls", object(&u.TLS.Pos, "{ca: /etc/glasshouse/ca.pem}", tlsFields(&u.TLS)), optional, "on unless enabled: false"},
		{"sasl", object(&u.SASL.Pos, `{mechanism: scram-sha-256, username: gh-riga-01, password: "${KAFKA_PASSWORD}"}`, saslFields(&u.SASL)), optional, "how to log in"},
		{"topics", topics(&u.Topics), optional, "names that differ in this cluster: {device.telemetry.v1: telemetry}"},
	}
}

func tlsFields(t *TLS) []field {
	return []field{
		{"enabled", yesNo(&t.Enabled), optional, "false only in a network that nobody else can reach"},
		{"ca", text(&t.CA, pemFile()), optional, "file of the authorities to trust, PEM; default the system's"},
		{"cert", text(&t.Cert, pemFile()), optional, "file of our certificate, PEM"},
		{"key", text(&t.Key, pemFile()), optional, "file of our certificate's key, PEM"},
		{"serverName", text(&t.ServerName, form{want: "a host's name", example: "kafka-1.gacp-erp.internal"}), optional, "the name the certificate must have; default the host's"},
	}
}

func saslFields(s *SASL) []field {
	return []field{
		{"mechanism", text(&s.Mechanism, oneOf("a mechanism", "plain", "scram-sha-256", "scram-sha-512")), required, "plain, scram-sha-256 or scram-sha-512"},
		{"username", text(&s.Username, form{want: "a user's name", example: "gh-riga-01"}), required, "as Kafka knows it"},
		{"password", secret(&s.Password), required, `"${NAME}" or file:/path`},
	}
}

func bufferFields(b *Buffer) []field {
	return []field{
		{"maxSize", size(&b.MaxSize, 64*sizeUnit, 1<<44), optional, "what the queue may take of the disk; default 2GiB"},
		{"reserve", size(&b.Reserve, sizeUnit, 1<<40), optional, "of it, kept for alerts and the like; default 64MiB"},
	}
}

func busFields(b *Bus) []field {
	return []field{
		{"name", text(&b.Name, nameOf("north")), required, "what devices call it"},
		{"modbus", text(&b.Modbus, form{want: "a Modbus address", example: "tcp://10.0.0.20:502", norm: modbusEndpoint}), optional,
			"tcp://host:502, a device or a gateway with a line behind it"},
		{"mqtt", text(&b.MQTT, form{want: "a broker's address", example: "mqtt://127.0.0.1:1883 or mqtts://broker:8883", norm: mqttEndpoint}), optional, "mqtt://host:1883 or mqtts://host:8883"},
		{"every", span(&b.Every, 10*time.Millisecond, time.Hour), optional, "how often Modbus devices are read"},
		{"timeout", span(&b.Timeout, 10*time.Millisecond, time.Minute), optional, "how long a Modbus device may take to answer"},
		{"username", text(&b.Username, form{want: "a user's name", example: "glasshouse"}), optional, "as the broker knows it"},
		{"password", secret(&b.Password), optional, `"${NAME}" or file:/path`},
		{"clientId", text(&b.ClientID, form{want: "1 to 64 letters, digits, _ and -", example: "glasshouse-gh-riga-01", pattern: nameForm}), optional, "our session at the broker; default glasshouse-<gateway id>"},
		{"tls", object(&b.TLS.Pos, "{ca: /etc/glasshouse/ca.pem}", tlsFields(&b.TLS)), optional, "of mqtts"},
	}
}

func deviceFields(d *Device) []field {
	return []field{
		{"id", text(&d.ID, nameOf("veg1-climate")), required, "names the device here and on the platform: 1 to 64 letters, digits, _ and -"},
		{"profile", text(&d.Profile, form{want: "a device type", example: "xy-md02", pattern: nameForm}), required, "the device's type, such as xy-md02"},
		{"bus", text(&d.Bus, nameOf("north")), required, "the bus it is on"},
		{"unit", integer(&d.Unit, 1, maxUnit), optional, "its Modbus address, 1 to 247"},
		{"user", text(&d.User, form{want: "a user without / + #", example: "7f0c…", pattern: userForm}), optional, "MQTT: the user in users/{user}/devices/{id}; default any"},
		{"zone", text(&d.Zone, nameOf("veg-1")), optional, "where it is"},
		{"offline", span(&d.Offline, time.Second, 30*day), optional, "silence after which it counts as offline"},
		{"every", span(&d.Every, 10*time.Millisecond, time.Hour), optional, "how often it is read; default the bus'"},
		{"points", keyed(&d.Points, "{temperature: {max: 60}}", nil, func(name string, p *PointOverride) kind {
			p.Point, p.Limits = name, Open()
			return object(&p.Pos, "{zone: veg-2}", pointFields(p))
		}), optional, "what differs from the profile, by its points' names"},
		{"outputs", keyed(&d.Outputs, "{relay1: {name: exhaust-fan, safe: on}}", nil, func(name string, o *Output) kind {
			o.Output = name
			return object(&o.Pos, "{name: exhaust-fan, safe: on}", outputFields(o))
		}), optional, "the outputs that are used, by the profile's names"},
		{"manufacturer", text(&d.Manufacturer, form{want: "a text"}), optional, "what the platform is told; default the profile's"},
		{"model", text(&d.Model, form{want: "a text"}), optional, "what the platform is told; default the profile's"},
		{"serial", text(&d.Serial, form{want: "a text"}), optional, "the serial number"},
		{"firmware", text(&d.Firmware, form{want: "a text"}), optional, "the firmware's version"},
	}
}

func pointFields(p *PointOverride) []field {
	return []field{
		{"zone", text(&p.Zone, nameOf("veg-1")), optional, "where the sensor is; default the device's zone"},
		{"sensorId", text(&p.SensorID, uuidForm()), optional, "the sensor's uuid on the platform; default derived"},
		{"min", number(&p.Limits.Min, -1e9, 1e9), optional, "the least it can measure; less is a fault of the sensor"},
		{"max", number(&p.Limits.Max, -1e9, 1e9), optional, "the most it can measure; more is a fault of the sensor"},
		{"maxAge", span(&p.MaxAge, 100*time.Millisecond, 7*day), optional, "older readings are stale"},
	}
}

func outputFields(o *Output) []field {
	return []field{
		{"name", text(&o.Name, nameOf("exhaust-fan")), required, "what ranges and people call it"},
		{"zone", text(&o.Zone, nameOf("veg-1")), optional, "where it is; default the device's zone"},
		{"safe", setpoint(&o.Safe), required, "on, off or a number: what does no harm when nobody decides"},
		{"hold", yesNo(&o.Hold), optional, "true: stays as it is when the gateway stops, instead of going to safe"},
		{"minOn", span(&o.MinOn, 0, day), optional, "shortest time on"},
		{"minOff", span(&o.MinOff, 0, day), optional, "shortest time off"},
		{"maxRun", span(&o.MaxRun, time.Second, 30*day), optional, "longest time on at a stretch"},
	}
}

func zoneFields(z *Zone) []field {
	return []field{
		{"name", text(&z.Name, nameOf("veg-1")), required, "what devices call it"},
		{"platformIds", list(&z.PlatformIDs, "", "[ZONE-VEG1]", func(s *string) kind {
			return text(s, form{want: "an id", example: "ZONE-VEG1"})
		}), optional, "the zone's uuids, codes and names on the platform"},
		{"stage", text(&z.Stage, oneOf("a stage", stages()...)), optional, "of the crop that stands there"},
		{"day", object(&z.Day.Pos, `{from: "06:00", to: "24:00"}`, []field{
			{"from", timeOfDay(&z.Day.From), required, `when day begins, such as "06:00"`},
			{"to", timeOfDay(&z.Day.To), required, `when night begins, such as "24:00"`},
		}), optional, "when ranges' day is in force; default always"},
		{"ranges", ranges(&z.Ranges), optional, "what the climate may be, by quantity"},
	}
}

// ranges are by quantity; editors are told its unit.
func ranges(dst *[]Range) kind {
	k := keyed(dst, "{temperature: {day: 22..26}}", quantityNames(), func(quantity string, g *Range) kind {
		*g = Range{Quantity: quantity, Day: Open(), Night: Open(), Within: 10 * time.Minute, Loss: 2 * time.Minute}
		return object(&g.Pos, "{day: 22..26}", rangeFields(g))
	})
	k.schema = func() map[string]any {
		properties := map[string]any{}
		for _, q := range Quantities() {
			described := objectSchema(rangeFields(&Range{}))
			described["description"] = fmt.Sprintf("in %s; %s..%s is possible at all", q.Unit, number64(q.Min), number64(q.Max))
			properties[q.Name] = described
		}
		return map[string]any{"type": "object", "properties": properties, "additionalProperties": false}
	}
	return k
}

func rangeFields(g *Range) []field {
	actions := func(dst *[]Action) kind { return list(dst, "", "[exhaust-fan=on]", action) }
	return []field{
		{"day", limits(&g.Day), required, "22..26, ..26 or 22.., in the quantity's unit"},
		{"night", limits(&g.Night), optional, "as day; default the same"},
		{"hysteresis", number(&g.Hysteresis, 0, 1e6), optional, "how far inside the limit the value must come back"},
		{"for", span(&g.For, 0, day), optional, "how long a breach lasts before it is told; default 0s"},
		{"keepFor", span(&g.KeepFor, 0, day), optional, "how long it must be over before that is told; default 0s"},
		{"critical", number(&g.Critical, 0, 1e6), optional, "this far beyond the limit it is critical"},
		{"emergency", number(&g.Emergency, 0, 1e6), optional, "this far beyond the limit it is an emergency"},
		{"above", actions(&g.Above), optional, "what to switch when the value is too high"},
		{"below", actions(&g.Below), optional, "what to switch when the value is too low"},
		{"within", span(&g.Within, time.Second, day), optional, "a correction that has not worked by then is told; default 10m"},
		{"loss", span(&g.Loss, 0, day), optional, "how long a correction goes on when the value is lost; default 2m"},
	}
}

// topics maps default names of topics to those of this cluster.
func topics(dst *map[string]string) kind {
	type renamed struct{ from, to string }
	var all []renamed
	k := keyed(&all, "{device.telemetry.v1: telemetry}", topicNames(), func(from string, to *renamed) kind {
		to.from = from
		return text(&to.to, form{want: "a topic's name", example: "device.telemetry.v1", pattern: topicForm})
	})
	read := k.read
	k.read = func(r *reader, v value) {
		read(r, v)
		*dst = map[string]string{}
		for _, t := range all {
			if t.to != "" {
				(*dst)[t.from] = t.to
			}
		}
	}
	return k
}

// topicNames are the default names of the topics that the gateway writes.
func topicNames() []string {
	return []string{"cultivation.environment.v1", "device.telemetry.v1", "device.events.v1", "device.alerts.v1"}
}

// stages are the crop's, in the platform's words.
func stages() []string {
	return []string{"seedling", "cloning", "mother_plant", "vegetative", "pre_flower", "flowering", "drying", "curing", "ready", "harvested", "disposed"}
}

func nameOf(example string) form {
	return form{want: "a name of 1 to 64 letters, digits, _ and -", example: example, pattern: nameForm}
}

func oneOf(want string, words ...string) form { return form{want: want, words: words} }

func pemFile() form { return form{want: "a file", example: "/etc/glasshouse/ca.pem"} }

func uuidForm() form {
	return form{want: "a uuid", example: "7c1e0b1a-3c1e-4c52-9d2f-0d6a6b9d3c14", norm: func(s *string) error {
		id, err := uuid.Parse(*s)
		if err != nil || len(*s) != 36 || id == uuid.Nil {
			return errors.New("32 hexadecimal digits as 8-4-4-4-12, not all zero")
		}
		*s = id.String()
		return nil
	}}
}

func knownTimezone(s *string) error {
	if *s == "Local" {
		return errors.New("name the zone itself")
	}
	if _, err := time.LoadLocation(*s); err != nil {
		return errors.New("nobody knows it; continent and city, as in the IANA list")
	}
	return nil
}

// socketLength is what the kernel takes.
func socketLength(s *string) error {
	if len(*s) > 107 {
		return fmt.Errorf("it is %d bytes long, a socket's path has at most 107", len(*s))
	}
	return nil
}

func hostPort(s *string) error {
	host, port, err := net.SplitHostPort(*s)
	if err != nil || host == "" || strings.ContainsAny(host, "/@ ") {
		return errors.New("write host:port, without a scheme")
	}
	if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
		return errors.New("the port must be 1 to 65535")
	}
	return nil
}
