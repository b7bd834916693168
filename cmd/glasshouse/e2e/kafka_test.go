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

// account is who logs in to the test's Kafka.
type account struct{ user, password string }

var (
	admin    = account{"admin", "admin-secret"}
	gatekeep = account{"gh-e2e-01", "gateway-secret"}  // a gateway's, with rights on its topics
	stranger = account{"gh-e2e-02", "stranger-secret"} // a gateway's that was given none
	platform = account{"platform", "platform-secret"}  // reads
)

// kafka is one Apache Kafka (KRaft, a single node) with TLS, SCRAM-SHA-256 and ACLs. It has two doors for clients, so that
// the tests can look at it while the gateway's way to it is disturbed.
type kafka struct {
	t       *testing.T
	address string // of the gateway's door, as Kafka names it
	door    string // of the tests' door
	dir     string
	ca      string // PEM file
	pool    *x509.CertPool
	process *process
}

// newKafka formats a disk for Kafka and starts it. It skips nothing: make e2e has fetched the jars.
func newKafka(t *testing.T) *kafka {
	t.Helper()
	return newKafkaBehind(t, func(listens string) string { return listens })
}

// newKafkaBehind is a Kafka that is reached through something: at what proxy returns for the address that Kafka listens at.
func newKafkaBehind(t *testing.T, proxy func(listens string) string) *kafka {
	t.Helper()
	listens := fmt.Sprintf("127.0.0.1:%d", freePort(t))
	k := &kafka{t: t, dir: t.TempDir(), address: proxy(listens), door: fmt.Sprintf("127.0.0.1:%d", freePort(t))}
	if err := os.WriteFile(k.dir+"/server.properties", []byte(k.properties(listens)), 0o600); err != nil {
		t.Fatal(err)
	}
	logging := `<Configuration status="ERROR"><Appenders><Console name="out" target="SYSTEM_ERR"><PatternLayout pattern="%d %p %c{1}: %m%n"/></Console></Appenders><Loggers><Root level="WARN"><AppenderRef ref="out"/></Root></Loggers></Configuration>`
	if err := os.WriteFile(k.dir+"/log4j2.xml", []byte(logging), 0o600); err != nil {
		t.Fatal(err)
	}
	format := []string{"format", "-t", "4L6g3nShT-eMCtK--X86sw", "-c", k.dir + "/server.properties"}
	for _, a := range []account{admin, gatekeep, stranger, platform} {
		format = append(format, "--add-scram", fmt.Sprintf("SCRAM-SHA-256=[name=%s,password=%s]", a.user, a.password))
	}
	if printed, err := k.java("kafka.tools.StorageTool", format...).CombinedOutput(); err != nil {
		t.Fatalf("format: %v\n%s", err, printed)
	}
	k.start()
	return k
}

// properties is Kafka's configuration.
func (k *kafka) properties(listens string) string {
	chain, key := k.certificates()
	indent := func(pem string) string { return strings.ReplaceAll(strings.TrimSpace(pem), "\n", " \\\n ") }
	return fmt.Sprintf(`process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:%[1]d
listeners=CONTROLLER://127.0.0.1:%[1]d,GATEWAY://%[2]s,TESTS://%[3]s
advertised.listeners=GATEWAY://%[4]s,TESTS://%[3]s
controller.listener.names=CONTROLLER
inter.broker.listener.name=TESTS
listener.security.protocol.map=CONTROLLER:PLAINTEXT,GATEWAY:SASL_SSL,TESTS:SASL_SSL
sasl.enabled.mechanisms=SCRAM-SHA-256
listener.name.tests.sasl.enabled.mechanisms=SCRAM-SHA-256,PLAIN
sasl.mechanism.inter.broker.protocol=SCRAM-SHA-256
listener.name.gateway.scram-sha-256.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.tests.scram-sha-256.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required username="%[5]s" password="%[6]s";
listener.name.tests.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_%[10]s="%[11]s";
ssl.keystore.type=PEM
ssl.keystore.certificate.chain=%[7]s
ssl.keystore.key=%[8]s
ssl.truststore.type=PEM
ssl.truststore.certificates=%[7]s
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:%[5]s;User:ANONYMOUS
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
log.dirs=%[9]s/log
`, freePort(k.t), listens, k.door, k.address, admin.user, admin.password, indent(chain), indent(key), k.dir, platform.user, platform.password)
}

// java makes a command of one of Kafka's classes.
func (k *kafka) java(class string, args ...string) *exec.Cmd {
	k.t.Helper()
	return exec.Command("java", append([]string{"-Xmx512m", "-Dlog4j2.configurationFile=" + k.dir + "/log4j2.xml", "-cp", needs(k.t, "KAFKA_JARS") + "/*", class}, args...)...)
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

// client logs in as the admin, at the tests' door.
func (k *kafka) client(more ...kgo.Opt) *kgo.Client {
	k.t.Helper()
	client, err := kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(k.door),
		kgo.DialTLSConfig(&tls.Config{RootCAs: k.pool, MinVersion: tls.VersionTLS12}),
		kgo.SASL(scram.Auth{User: admin.user, Pass: admin.password}.AsSha256Mechanism()),
		kgo.RetryTimeout(5 * time.Second),
	}, more...)...)
	if err != nil {
		k.t.Fatal(err)
	}
	return client
}

// allow gives an account rights.
func (k *kafka) allow(who account, rights *kadm.ACLBuilder) {
	k.t.Helper()
	client := k.client()
	defer client.Close()
	granted, err := kadm.NewClient(client).CreateACLs(k.t.Context(), rights.Allow("User:"+who.user).AllowHosts())
	if err != nil {
		k.t.Fatal(err)
	}
	for _, right := range granted {
		if right.Err != nil {
			k.t.Fatal(right.Err)
		}
	}
}

// written are the topics that a gateway writes to.
const written = "cultivation.environment.v1 device.alerts.v1 device.events.v1 device.telemetry.v1"

// welcome lets the gateway do what it needs, and create its topics.
func (k *kafka) welcome() {
	k.t.Helper()
	k.allow(gatekeep, kadm.NewACLs().Topics(strings.Fields(written)...).ResourcePatternType(kadm.ACLPatternLiteral).
		Operations(kadm.OpCreate, kadm.OpWrite, kadm.OpDescribe, kadm.OpDescribeConfigs))
}

// settle writes the configuration of a gateway that sends to this Kafka, and has the doctor create the topics.
func (f *field) settle(k *kafka, rest string) {
	f.t.Helper()
	f.configure(k, gatekeep, rest)
	k.welcome()
	if printed, err := f.doctor("--fix"); err != nil {
		f.t.Fatalf("%v\n%s", err, printed)
	}
}

// configure writes the configuration of a gateway that logs in to this Kafka as somebody.
func (f *field) configure(k *kafka, who account, rest string) {
	f.t.Helper()
	f.env = who.env()
	f.write(filepath.Join(f.dir, "gateway.yaml"), fmt.Sprintf(`
gateway:
  id: gh-e2e-01
  facilityId: 7c1e0b1a-3c1e-4c52-9d2f-0d6a6b9d3c14
  timezone: Europe/Riga
  mode: control
  dataDir: %s/data
uplink:
  brokers: ["%s"]
  tls: {ca: %s}
  sasl: {mechanism: scram-sha-256, username: %s, password: "${KAFKA_PASSWORD}"}
%s`, f.dir, k.address, k.ca, who.user, rest))
}

// env is the environment that the configuration needs.
func (a account) env() []string { return []string{"KAFKA_PASSWORD=" + a.password} }

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
