//go:build e2e

package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
)

// authority signs certificates.
type authority struct {
	f    *field
	name string
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

// newAuthority makes one; its certificate is the file {name}.pem.
func newAuthority(f *field, name string) *authority {
	f.t.Helper()
	a := &authority{f: f, name: name}
	a.key, a.cert = a.make(name, &x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	return a
}

// issue makes the files {name}.pem and {name}.key, of a client, or of a server at this machine.
func (a *authority) issue(name string, server bool) {
	a.f.t.Helper()
	wish := &x509.Certificate{KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	if server {
		wish.ExtKeyUsage, wish.IPAddresses = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, []net.IP{net.IPv4(127, 0, 0, 1)}
	}
	a.make(name, wish)
}

func (a *authority) make(name string, wish *x509.Certificate) (*ecdsa.PrivateKey, *x509.Certificate) {
	a.f.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.f.t.Fatal(err)
	}
	wish.SerialNumber, wish.Subject = big.NewInt(time.Now().UnixNano()), pkix.Name{CommonName: name}
	wish.NotBefore, wish.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = wish, key
	}
	der, err := x509.CreateCertificate(rand.Reader, wish, parent, &key.PublicKey, signer)
	if err != nil {
		a.f.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.f.t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.f.t.Fatal(err)
	}
	a.f.write(a.f.file(name+".pem"), string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	a.f.write(a.f.file(name+".key"), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})))
	return key, cert
}

func (f *field) file(name string) string { return filepath.Join(f.dir, name) }

const secureConfig = `
gateway:
  id: gh-e2e-01
  facilityId: 7c1e0b1a-3c1e-4c52-9d2f-0d6a6b9d3c14
  timezone: Europe/Riga
  mode: control
  dataDir: {dir}/data
uplink:
  brokers: ["{kafka}"]
  tls: {enabled: false}
buses:
  - name: field
    mqtt: mqtts://127.0.0.1:{port}
    tls: {ca: {dir}/ca.pem, cert: {dir}/gh-e2e-01.pem, key: {dir}/gh-e2e-01.key}
devices:
  - {id: air-7, profile: platform-device, bus: field, zone: veg-1}
  - {id: air-8, profile: platform-device, bus: field, zone: veg-1}
  - {id: air-9, profile: platform-device, bus: field, zone: veg-1}
  - {id: fan-1, profile: tasmota-plug, bus: field, zone: veg-1, outputs: {switch: {name: exhaust-fan, safe: off}}}
zones:
  - {name: veg-1}
`

// newSecureField starts a Kafka, and a Mosquitto with the files that the gateway makes for it. The gateway is not started.
func newSecureField(t *testing.T) *field {
	t.Helper()
	f := &field{t: t, dir: t.TempDir(), broker: freePort(t)}
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(3, strings.Fields(topics)...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	f.kafka = cluster.ListenAddrs()[0]
	ca := newAuthority(f, "ca")
	ca.issue("broker", true)
	for _, client := range []string{"gh-e2e-01", "air-7", "air-8", "air-9", "fan-1", "nobody"} {
		ca.issue(client, false)
	}
	newAuthority(f, "other-ca").issue("impostor", false)
	f.write(f.file("gateway.yaml"), strings.NewReplacer("{dir}", f.dir, "{kafka}", f.kafka, "{port}", fmt.Sprint(f.broker)).Replace(secureConfig))
	if _, err := output(t, binary(t), "mqtt", "config", "-c", f.file("gateway.yaml"), "--out", f.dir); err != nil {
		t.Fatal(err)
	}
	conf := filepath.Join(t.TempDir(), "mosquitto.conf")
	f.write(conf, fmt.Sprintf("user root\nlog_type all\npersistence_location %s/\ninclude_dir %s\n", f.dir, f.dir))
	f.mosquittoProcess = start(t, "mosquitto", nil, peer(t, "mosquitto"), "-c", conf).quiet()
	eventually(t, "mosquitto listens", func() error {
		conn, err := f.handshake("nobody", tls.VersionTLS12)
		if err == nil {
			conn.Close()
		}
		return err
	})
	return f
}

// handshake connects by one version of TLS.
func (f *field) handshake(who string, version uint16) (*tls.Conn, error) {
	f.t.Helper()
	pair, err := tls.LoadX509KeyPair(f.file(who+".pem"), f.file(who+".key"))
	if err != nil {
		f.t.Fatal(err)
	}
	// The broker's certificate is looked at by the other clients; here only the version counts.
	return tls.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", f.broker),
		&tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: version, MaxVersion: version, InsecureSkipVerify: true})
}

// as are a Mosquitto client's arguments for somebody with a certificate.
func (f *field) as(who string, args ...string) []string {
	return append([]string{"-h", "127.0.0.1", "-p", fmt.Sprint(f.broker), "--cafile", f.file("ca.pem"),
		"--cert", f.file(who + ".pem"), "--key", f.file(who + ".key")}, args...)
}

// pub publishes and waits for the acknowledgement.
func (f *field) pub(who, topic, message string, args ...string) error {
	f.t.Helper()
	_, err := output(f.t, peer(f.t, "mosquitto_pub"), f.as(who, append(args, "-q", "1", "-t", topic, "-m", message)...)...)
	return err
}

// sub listens until one message has come.
func (f *field) sub(who string, filters ...string) *process {
	f.t.Helper()
	args := []string{"-V", "mqttv311", "-i", who, "-v", "-C", "1"}
	for _, filter := range filters {
		args = append(args, "-t", filter)
	}
	return start(f.t, who, nil, peer(f.t, "mosquitto_sub"), f.as(who, args...)...).quiet()
}

// heard says whether a process has ended.
func (p *process) heard() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// TestMosquittoRefusesStrangers: by the generated configuration nobody connects without a certificate of the authority, or by
// an old TLS.
func TestMosquittoRefusesStrangers(t *testing.T) {
	t.Parallel()
	f := newSecureField(t)
	const topic = "devices/air-7/telemetry"
	if err := f.pub("air-7", topic, `{"temperature":20}`); err != nil {
		t.Fatalf("a device with a certificate: %v", err)
	}
	if err := f.pub("impostor", topic, `{"temperature":20}`); err == nil {
		t.Error("a certificate of another authority is taken")
	}
	if _, err := output(t, peer(t, "mosquitto_pub"), "-h", "127.0.0.1", "-p", fmt.Sprint(f.broker), "--cafile", f.file("ca.pem"),
		"-u", "air-7", "-P", "x", "-q", "1", "-t", topic, "-m", `{"temperature":20}`); err == nil {
		t.Error("a client without a certificate is taken")
	}
	if _, err := output(t, peer(t, "mosquitto_pub"), "-h", "127.0.0.1", "-p", fmt.Sprint(f.broker), "-q", "1", "-t", topic, "-m", "x"); err == nil {
		t.Error("a client without TLS is taken")
	}
	for version, want := range map[uint16]bool{tls.VersionTLS10: false, tls.VersionTLS11: false, tls.VersionTLS12: true, tls.VersionTLS13: true} {
		conn, err := f.handshake("air-7", version)
		if err == nil {
			conn.Close()
		}
		if (err == nil) != want {
			t.Errorf("%s: %v", tls.VersionName(version), err)
		}
	}
}

// TestMosquittoKeepsRequestsApart: a device hears what it is asked, on whatever it subscribes to, and nothing that another is
// asked; and nobody takes another's session by its client id.
func TestMosquittoKeepsRequestsApart(t *testing.T) {
	t.Parallel()
	f := newSecureField(t)
	request := func(device string) string { return "users/u-1/devices/" + device + "/rpc/request" }
	own := f.sub("air-7", request("air-7"))
	nosy := f.sub("air-8", "#", "users/+/devices/+/rpc/request", request("air-7"), request("air-8"))
	stranger := f.sub("nobody", "#")
	broker := func(says string) bool { return strings.Contains(f.mosquittoProcess.log.String(), says) }
	eventually(t, "air-7 is connected", func() error {
		if !broker(" as air-7 ") {
			return errors.New("it is not")
		}
		return nil
	})
	if err := f.pub("air-9", "devices/air-9/telemetry", `{"temperature":20}`, "-i", "air-7"); err != nil {
		t.Fatal(err)
	}
	if broker("already connected") || !broker(" as air-9 ") {
		t.Error("air-9 has taken the session of air-7")
	}
	// Asked again until they listen; in each round air-7 is asked first.
	eventually(t, "devices are asked", func() error {
		for _, device := range []string{"air-7", "air-8"} {
			if err := f.pub("gh-e2e-01", request(device), device+" is asked"); err != nil {
				return err
			}
		}
		if !own.heard() || !nosy.heard() {
			return errors.New("they have not both heard")
		}
		return nil
	})
	if got, want := strings.TrimSpace(own.log.String()), request("air-7")+" air-7 is asked"; got != want {
		t.Errorf("air-7 heard %q, want %q", got, want)
	}
	if got, want := strings.TrimSpace(nosy.log.String()), request("air-8")+" air-8 is asked"; got != want {
		t.Errorf("air-8 heard %q, want %q", got, want)
	}
	if stranger.heard() {
		t.Errorf("who is in no configuration heard %q", stranger.log)
	}
}

// TestGatewayOverMTLS runs the gateway with a certificate of its own. What devices tell by MQTT 3.1.1 and 5 is in Kafka; what
// one tells in another's name is not; an output is commanded and confirms.
func TestGatewayOverMTLS(t *testing.T) {
	t.Parallel()
	f := newSecureField(t)
	fan := f.sub("fan-1", "cmnd/fan-1/POWER")
	f.run()
	tell := func(who, topic string, celsius float64, args ...string) error {
		return f.pub(who, topic, fmt.Sprintf(`{"timestamp":%q,"temperature":%g}`, time.Now().UTC().Format(time.RFC3339Nano), celsius), args...)
	}
	inKafka := func(device string, celsius float64) bool {
		t.Helper()
		events, err := f.read("device.telemetry.v1")
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range events {
			if e.Key == device && strings.Contains(e.Payload, fmt.Sprintf(`"temperature":%g`, celsius)) {
				return true
			}
		}
		return false
	}
	for i, c := range []struct{ version, topic string }{{"mqttv311", "users/u-1/devices/air-7/telemetry"}, {"mqttv5", "devices/air-7/telemetry"}} {
		celsius := 21.25 + float64(i)
		eventually(t, c.version+": what air-7 tells is in Kafka", func() error {
			if err := tell("air-7", c.topic, celsius, "-V", c.version); err != nil {
				return err
			}
			if !inKafka("air-7", celsius) {
				return errors.New("it is not")
			}
			return nil
		})
	}

	for _, topic := range []string{"devices/air-7/telemetry", "users/u-1/devices/air-7/telemetry", "users/u-1/devices/air-7/attributes"} {
		for _, version := range []string{"mqttv311", "mqttv5"} { // only version 5 says that it was refused
			if err := tell("air-9", topic, 11.25, "-V", version, "-i", "air-7"); err != nil {
				t.Logf("%s: %v", version, err)
			}
		}
	}
	if err := tell("nobody", "devices/air-7/telemetry", 11.25); err != nil {
		t.Fatal(err)
	}
	if err := tell("air-9", "devices/air-9/telemetry", 25.75); err != nil {
		t.Fatal(err)
	}
	eventually(t, "what air-9 told afterwards is in Kafka", func() error {
		if !inKafka("air-9", 25.75) {
			return errors.New("it is not")
		}
		return nil
	})
	if inKafka("air-7", 11.25) || inKafka("air-9", 11.25) {
		t.Error("air-9 has spoken in the name of air-7")
	}

	eventually(t, "the fan is commanded", func() error {
		if !fan.heard() {
			return errors.New("it has heard nothing")
		}
		return nil
	})
	if got := strings.TrimSpace(fan.log.String()); got != "cmnd/fan-1/POWER OFF" {
		t.Errorf("the fan heard %q", got)
	}
	eventually(t, "the fan has confirmed", func() error {
		if err := f.pub("fan-1", "stat/fan-1/POWER", "OFF"); err != nil {
			return err
		}
		status, err := f.status()
		if err == nil && !status.Outputs[0].Confirmed {
			err = fmt.Errorf("the output is %+v", status.Outputs[0])
		}
		return err
	})
	if _, code := f.gateway.stop(); code != 0 {
		t.Logf("the stop ended with %d: nobody answers for the fan any more", code)
	}
}
