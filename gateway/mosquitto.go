package gateway

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"unicode"

	"gacp-erp.internal/glasshouse/configs"
	"gacp-erp.internal/glasshouse/drivers/mqtt"
)

// The files of Mosquitto and the folder in which they are looked for unless said otherwise.
const (
	MosquittoConfig = "glasshouse.conf"
	MosquittoACL    = "glasshouse.acl"
	MosquittoDir    = "/etc/mosquitto/glasshouse"
)

// MosquittoOptions are what the gateway's configuration does not say about its broker.
type MosquittoOptions struct {
	Bus string // the bus whose broker it is; "": the only one
	Dir string // folder on the broker's machine that holds these files and the certificates; "": MosquittoDir
}

// MosquittoFiles is the content of the files that Mosquitto needs.
type MosquittoFiles struct{ Config, ACL []byte }

// Mosquitto makes the configuration of a Mosquitto broker for an MQTT bus: who connects is named by a certificate, and
// each device may use only its own topics. It reads and writes no file. Every fault is reported.
func Mosquitto(c *configs.Config, o MosquittoOptions) (MosquittoFiles, error) {
	if o.Dir == "" {
		o.Dir = MosquittoDir
	}
	if strings.ContainsFunc(o.Dir, unicode.IsControl) {
		return MosquittoFiles{}, fmt.Errorf("folder %q: Mosquitto cannot name it", o.Dir)
	}
	bus, err := mosquittoBus(c, o.Bus)
	if err != nil {
		return MosquittoFiles{}, err
	}
	b := newBuilder(Options{Config: c})
	b.addBuses()
	for i := range c.Devices {
		b.addDevice(&c.Devices[i])
	}
	if err := b.faults.Err(); err != nil {
		return MosquittoFiles{}, err
	}
	devices := b.mqttDevices(bus)
	if err := speakable(&c.Buses[bus], devices); err != nil {
		return MosquittoFiles{}, err
	}
	port := "8883"
	if u, err := url.Parse(c.Buses[bus].MQTT); err == nil && u.Scheme == "mqtts" && u.Port() != "" {
		port = u.Port()
	}
	subject := fmt.Sprintf("the bus %s of the gateway %s", c.Buses[bus].Name, c.Gateway.ID)
	return MosquittoFiles{
		Config: []byte(mosquittoConfig(subject, c.Gateway.ID, o.Dir, port)),
		ACL:    []byte(mosquittoACL(subject, c.Gateway.ID, devices)),
	}, nil
}

// mosquittoBus finds the MQTT bus of a name, or the only one.
func mosquittoBus(c *configs.Config, name string) (int, error) {
	var names []string
	found := -1
	for i := range c.Buses {
		if c.Buses[i].Protocol() != "mqtt" {
			continue
		}
		names = append(names, c.Buses[i].Name)
		if name == "" || c.Buses[i].Name == name {
			found = i
		}
	}
	switch {
	case len(names) == 0:
		return 0, errors.New("the configuration has no MQTT bus")
	case name == "" && len(names) > 1:
		return 0, fmt.Errorf("say whose broker it is: the MQTT buses are %s", strings.Join(names, ", "))
	case found < 0:
		return 0, fmt.Errorf("no MQTT bus is called %q (%s)", name, known(name, names))
	}
	return found, nil
}

// speakable finds what the driver or an ACL cannot say.
func speakable(c *configs.Bus, devices []mqtt.Device) error {
	_, err := mqtt.New(mqtt.Config{Name: c.Name, Endpoint: c.MQTT, ClientID: c.Name, TLS: &tls.Config{MinVersion: tls.VersionTLS12}, Devices: devices})
	if err != nil {
		return err
	}
	for i := range devices {
		write, read := deviceTopics(&devices[i])
		for _, topic := range slices.Concat(write, read) {
			if strings.ContainsFunc(topic, unicode.IsControl) || topic != strings.TrimSpace(topic) {
				return fmt.Errorf("device %q: the topic %q cannot stand in Mosquitto's ACL", devices[i].ID, topic)
			}
		}
	}
	return nil
}

// mosquittoConfig is the file that Mosquitto's own includes.
func mosquittoConfig(subject, gateway, dir, port string) string {
	return strings.NewReplacer("{subject}", subject, "{gateway}", gateway, "{dir}", dir, "{port}", port,
		"{config}", MosquittoConfig, "{acl}", MosquittoACL).Replace(`# Mosquitto (2.0 or newer) for {subject}.
# Written by glasshouse mqtt config.
#
# It belongs into {dir}, with {acl}, ca.pem, broker.pem and broker.key, all readable by the
# user mosquitto. Mosquitto's own file includes it by the line
#   include_dir {dir}
# and has no other listener: who came by one without certificates could take any name.
# The bus of the gateway is mqtts://<this machine>:{port} with tls: {ca, cert, key}; its certificate's CN is {gateway}.

listener {port}

# TLS 1.2 and 1.3; older ones are refused.
tls_version tlsv1.2
cafile {dir}/ca.pem
certfile {dir}/broker.pem
keyfile {dir}/broker.key
# Certificates that were revoked; the file must exist.
#crlfile {dir}/revoked.pem

# No certificate of that authority, no connection. Its CN is the user and the client id, whatever the client says: nobody
# speaks as another device or takes its session away.
require_certificate true
use_identity_as_username true
use_username_as_clientid true
allow_anonymous false
acl_file {dir}/{acl}

# What comes while the gateway is away is kept, also over a restart of the broker.
persistence true
max_queued_messages 200000
max_inflight_messages 1000
`)
}

// platformNames are the topics that the platform gives a device, or all devices by +. Where a device tells something it may
// leave out users/{user}; the user is whom it is bound to, and may change.
func platformNames(device string) (say, hear []string) {
	for _, tail := range []string{"telemetry", "status", "attributes"} {
		say = append(say, "devices/"+device+"/"+tail, "users/+/devices/"+device+"/"+tail)
	}
	say = append(say, "users/+/devices/"+device+"/rpc/response")
	return say, []string{"users/+/devices/" + device + "/rpc/request"}
}

// deviceTopics are the topics of one device: what it says and what it hears. The gateway does the opposite.
func deviceTopics(d *mqtt.Device) (say, hear []string) {
	if d.Mapping == mqtt.Platform {
		say, hear = platformNames(d.ID)
	}
	own, ownHear := ownTopics(d)
	return append(say, own...), append(hear, ownHear...)
}

// ownTopics are those besides the platform's.
func ownTopics(d *mqtt.Device) (say, hear []string) {
	add := func(to *[]string, topic string) {
		if topic != "" && !slices.Contains(*to, topic) {
			*to = append(*to, topic)
		}
	}
	add(&say, d.Status)
	for i := range d.Points {
		add(&say, d.Points[i].Topic)
	}
	for i := range d.Outputs {
		add(&say, d.Outputs[i].StateTopic)
		add(&hear, d.Outputs[i].CommandTopic)
	}
	return say, hear
}

// mosquittoACL is who may do what.
func mosquittoACL(subject, gateway string, devices []mqtt.Device) string {
	var page strings.Builder
	fmt.Fprintf(&page, `# Who may do what at the broker of %s.
# Written by glasshouse mqtt config; write it anew when devices change, then reload Mosquitto.
#
# A user is the CN of a certificate. Who is not named here may connect and do nothing. Mosquitto lets anybody subscribe to
# anything, and sends only what the subscriber may read.

# The gateway hears its devices and commands them. The platform's topics stand as patterns, so that a message costs the
# broker the same however many devices there are.
user %s
`, subject, gateway)
	var hears, says []string
	if slices.ContainsFunc(devices, func(d mqtt.Device) bool { return d.Mapping == mqtt.Platform }) {
		hears, says = platformNames("+")
	}
	for i := range devices {
		own, commands := ownTopics(&devices[i])
		hears, says = append(hears, own...), append(says, commands...)
	}
	grant(&page, "read", hears)
	grant(&page, "write", says)
	for i := range devices {
		say, hear := deviceTopics(&devices[i])
		fmt.Fprintf(&page, "\nuser %s\n", devices[i].ID)
		grant(&page, "write", say)
		grant(&page, "read", hear)
	}
	return page.String()
}

// grant adds a right to topics, each once.
func grant(page *strings.Builder, right string, topics []string) {
	seen := map[string]bool{}
	for _, topic := range topics {
		if !seen[topic] {
			seen[topic] = true
			fmt.Fprintf(page, "topic %s %s\n", right, topic)
		}
	}
}
