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
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

// Who may log in to the test's Kafka.
const (
	adminUser, adminPassword     = "admin", "admin-secret"
	gatewayUser, gatewayPassword = "gh-e2e-01", "gateway-secret"
)

// kafka is one Apache Kafka (KRaft, a single node) with TLS, SCRAM-SHA-256 and ACLs.
type kafka struct {
	t       *testing.T
	address string
	dir     string
	ca      string // PEM file
	pool    *x509.CertPool
	process *process
}

// newKafka formats a disk for Kafka and starts it. It skips nothing: make e2e has fetched the jars.
func newKafka(t *testing.T) *kafka {
	t.Helper()
	k := &kafka{t: t, dir: t.TempDir(), address: fmt.Sprintf("127.0.0.1:%d", freePort(t))}
	chain, key := k.certificates()
	indent := func(pem string) string { return strings.ReplaceAll(strings.TrimSpace(pem), "\n", " \\\n ") }
	controller := freePort(t)
	properties := fmt.Sprintf(`process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:%[1]d
listeners=CONTROLLER://127.0.0.1:%[1]d,CLIENT://%[2]s
advertised.listeners=CLIENT://%[2]s
controller.listener.names=CONTROLLER
inter.broker.listener.name=CLIENT
listener.security.protocol.map=CONTROLLER:PLAINTEXT,CLIENT:SASL_SSL
sasl.enabled.mechanisms=SCRAM-SHA-256
sasl.mechanism.inter.broker.protocol=SCRAM-SHA-256
listener.name.client.scram-sha-256.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required username="%[3]s" password="%[4]s";
ssl.keystore.type=PEM
ssl.keystore.certificate.chain=%[5]s
ssl.keystore.key=%[6]s
ssl.truststore.type=PEM
ssl.truststore.certificates=%[5]s
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:%[3]s;User:ANONYMOUS
auto.create.topics.enable=false
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
log.dirs=%[7]s/log
`, controller, k.address, adminUser, adminPassword, indent(chain), indent(key), k.dir)
	if err := os.WriteFile(k.dir+"/server.properties", []byte(properties), 0o600); err != nil {
		t.Fatal(err)
	}
	add := func(user, password string) []string {
		return []string{"--add-scram", fmt.Sprintf("SCRAM-SHA-256=[name=%s,password=%s]", user, password)}
	}
	format := append([]string{"format", "-t", "4L6g3nShT-eMCtK--X86sw", "-c", k.dir + "/server.properties"}, append(add(adminUser, adminPassword), add(gatewayUser, gatewayPassword)...)...)
	if printed, err := k.java("kafka.tools.StorageTool", format...).CombinedOutput(); err != nil {
		t.Fatalf("format: %v\n%s", err, printed)
	}
	k.start()
	return k
}

// java makes a command of one of Kafka's classes.
func (k *kafka) java(class string, args ...string) *exec.Cmd {
	k.t.Helper()
	jars := os.Getenv("KAFKA_JARS")
	if jars == "" {
		k.t.Fatal("KAFKA_JARS does not name the folder of Kafka's jars: use make e2e")
	}
	logging := filepath.Join(k.dir, "log4j2.xml")
	config := `<Configuration status="ERROR"><Appenders><Console name="out" target="SYSTEM_ERR"><PatternLayout pattern="%d %p %c{1}: %m%n"/></Console></Appenders><Loggers><Root level="WARN"><AppenderRef ref="out"/></Root></Loggers></Configuration>`
	if err := os.WriteFile(logging, []byte(config), 0o600); err != nil {
		k.t.Fatal(err)
	}
	return exec.Command("java", append([]string{"-Xmx512m", "-Dlog4j2.configurationFile=" + logging, "-cp", jars + "/*", class}, args...)...)
}

// start runs the formatted Kafka and waits until it answers its admin.
func (k *kafka) start() {
	k.t.Helper()
	cmd := k.java("kafka.Kafka", k.dir+"/server.properties")
	k.process = start(k.t, "kafka", nil, cmd.Path, cmd.Args[1:]...).quiet()
	eventually(k.t, "kafka answers", func() error {
		client := k.client()
		defer client.Close()
		_, err := kadm.NewClient(client).ListTopics(k.t.Context())
		return err
	})
}

// client logs in as the admin.
func (k *kafka) client(more ...kgo.Opt) *kgo.Client {
	k.t.Helper()
	client, err := kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(k.address),
		kgo.DialTLSConfig(&tls.Config{RootCAs: k.pool, MinVersion: tls.VersionTLS12}),
		kgo.SASL(scram.Auth{User: adminUser, Pass: adminPassword}.AsSha256Mechanism()),
		kgo.RetryTimeout(5 * time.Second),
	}, more...)...)
	if err != nil {
		k.t.Fatal(err)
	}
	return client
}

// create makes topics and gives the gateway the right to write to them.
func (k *kafka) create(names ...string) {
	k.t.Helper()
	client := k.client()
	defer client.Close()
	admin := kadm.NewClient(client)
	made, err := admin.CreateTopics(k.t.Context(), 3, 1, nil, names...)
	if err == nil {
		err = made.Error()
	}
	if err != nil {
		k.t.Fatal(err)
	}
	rights := kadm.NewACLs().Allow("User:"+gatewayUser).AllowHosts().Topics(names...).ResourcePatternType(kadm.ACLPatternLiteral).Operations(kadm.OpWrite, kadm.OpDescribe)
	granted, err := admin.CreateACLs(k.t.Context(), rights)
	if err != nil {
		k.t.Fatal(err)
	}
	for _, right := range granted {
		if right.Err != nil {
			k.t.Fatal(right.Err)
		}
	}
}

// uplink is the gateway's configuration of this Kafka.
func (k *kafka) uplink() string {
	return fmt.Sprintf(`
uplink:
  brokers: ["%s"]
  tls: {ca: %s}
  sasl: {mechanism: scram-sha-256, username: %s, password: "${KAFKA_PASSWORD}"}
`, k.address, k.ca, gatewayUser)
}

// certificates makes a self-signed certificate for the broker, which is its own authority.
func (k *kafka) certificates() (chain, key string) {
	k.t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		k.t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "kafka of the tests"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		k.t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		k.t.Fatal(err)
	}
	chain = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	key = string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}))
	k.ca = filepath.Join(k.dir, "ca.pem")
	if err := os.WriteFile(k.ca, []byte(chain), 0o600); err != nil {
		k.t.Fatal(err)
	}
	k.pool = x509.NewCertPool()
	k.pool.AppendCertsFromPEM([]byte(chain))
	return chain, key
}

// all reads every record of a topic, in order per partition.
func (k *kafka) all(topic string) ([]*kgo.Record, error) {
	client := k.client(kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	defer client.Close()
	ends, err := kadm.NewClient(client).ListEndOffsets(k.t.Context(), topic)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return nil, err
	}
	var want int64
	ends.Each(func(o kadm.ListedOffset) { want += o.Offset })
	var records []*kgo.Record
	for int64(len(records)) < want {
		fetches := client.PollFetches(k.t.Context())
		if err := fetches.Err(); err != nil {
			return nil, err
		}
		records = append(records, fetches.Records()...)
	}
	return records, nil
}

// TestApacheKafkaAnswers proves the harness itself.
func TestApacheKafkaAnswers(t *testing.T) {
	k := newKafka(t)
	k.create("a.topic.v1")
	if records, err := k.all("a.topic.v1"); err != nil || len(records) != 0 {
		t.Errorf("an empty topic has %d records, %v", len(records), err)
	}
}
