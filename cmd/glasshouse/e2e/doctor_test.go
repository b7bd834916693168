//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"

	"gacp-erp.internal/glasshouse/gateway/uplink"
)

// bare is a gateway with nothing to do.
const bare = `
buses:
  - {name: field, mqtt: "mqtt://127.0.0.1:1883"}
devices:
  - {id: air-7, profile: platform-device, bus: field, zone: veg-1}
zones:
  - {name: veg-1}
`

// examine runs the doctor and returns what it found. Its exit code has to agree with that.
func (f *field) examine(args ...string) uplink.Report {
	f.t.Helper()
	printed, err := f.doctor(append(args, "--json")...)
	var report uplink.Report
	if bad := json.Unmarshal([]byte(printed), &report); bad != nil {
		f.t.Fatalf("%v: %v\n%s", bad, err, printed)
	}
	if report.Failed() != (err != nil) {
		f.t.Errorf("the command ended with %v; it found\n%s", err, &report)
	}
	return report
}

// about returns the findings about a topic.
func about(r uplink.Report, topic string) (found []uplink.Finding) {
	for _, f := range r.Findings {
		if strings.HasPrefix(f.What, "topic "+topic+":") {
			found = append(found, f)
		}
	}
	return found
}

// TestDoctorCreatesTopics examines an empty Kafka with an account that may create topics.
func TestDoctorCreatesTopics(t *testing.T) {
	t.Parallel()
	k := newKafka(t)
	f := &field{t: t, dir: t.TempDir()}
	f.configure(k, gatekeep, bare)
	k.welcome()
	before := f.examine()
	for _, topic := range strings.Fields(written) {
		if found := about(before, topic); len(found) != 1 || found[0].Level != uplink.Fail || !strings.Contains(found[0].Fix, "kafka-topics.sh") {
			t.Errorf("before: %+v", found)
		}
	}
	if report := f.examine("--fix"); report.Failed() {
		t.Errorf("--fix leaves\n%s", &report)
	}
	after := f.examine()
	for _, topic := range strings.Fields(written) {
		if found := about(after, topic); len(found) != 1 || found[0].Level != uplink.OK {
			t.Errorf("after: %+v", found)
		}
	}
	client := k.client()
	defer client.Close()
	made, err := kadm.NewClient(client).ListTopics(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if names := made.Names(); !slices.Equal(names, strings.Fields(written)) {
		t.Errorf("Kafka has the topics %q", names)
	}
	made.EachPartition(func(p kadm.PartitionDetail) {
		if len(p.Replicas) != 1 {
			t.Errorf("%s/%d has the replicas %v", p.Topic, p.Partition, p.Replicas)
		}
	})
	f.env = account{password: "wrong"}.env()
	if report := f.examine(); !report.Failed() || !strings.Contains(report.String(), "refuses the log-in of user gh-e2e-01") {
		t.Errorf("with a wrong password:\n%s", &report)
	}
}

// TestDoctorWithoutRights examines a Kafka that gives the account no right, and lets Apache Kafka's own tools run the
// commands that the doctor prints.
func TestDoctorWithoutRights(t *testing.T) {
	t.Parallel()
	k := newKafka(t)
	f := &field{t: t, dir: t.TempDir()}
	f.configure(k, stranger, bare)
	report := f.examine("--fix")
	for _, topic := range strings.Fields(written) {
		found := about(report, topic)
		if len(found) != 1 || found[0].Level != uplink.Fail {
			t.Fatalf("found %+v about %s", found, topic)
		}
		for _, want := range []string{"kafka-acls.sh", "User:" + stranger.user, "kafka-topics.sh", "--create"} {
			if !strings.Contains(found[0].Fix, want) {
				t.Errorf("%s: no %q in\n%s", topic, want, found[0].Fix)
			}
		}
	}
	const topic = "device.telemetry.v1"
	k.run(about(report, topic)[0].Fix)
	if found := about(f.examine(), topic); len(found) != 1 || found[0].Level != uplink.OK {
		t.Errorf("after the commands: %+v", found)
	}
}

// run has a shell run a command of Kafka's own tools as the admin would.
func (k *kafka) run(command string) {
	k.t.Helper()
	for name, class := range map[string]string{"kafka-topics.sh": "TopicCommand", "kafka-acls.sh": "AclCommand", "kafka-configs.sh": "ConfigCommand"} {
		java := k.java("org.apache.kafka.tools." + class)
		script := fmt.Sprintf("#!/bin/sh\nexec '%s' \"$@\"\n", strings.Join(java.Args, "' '"))
		if err := os.WriteFile(filepath.Join(k.dir, name), []byte(script), 0o700); err != nil {
			k.t.Fatal(err)
		}
	}
	properties := fmt.Sprintf(`security.protocol=SASL_SSL
sasl.mechanism=SCRAM-SHA-256
sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required username="%s" password="%s";
ssl.truststore.type=PEM
ssl.truststore.location=%s
`, admin.user, admin.password, k.ca)
	if err := os.WriteFile(filepath.Join(k.dir, "admin.properties"), []byte(properties), 0o600); err != nil {
		k.t.Fatal(err)
	}
	shell := fmt.Sprintf("set -e\ncd '%s'\n%s", k.dir, command)
	if printed, err := outputWith(k.t, []string{"PATH=" + k.dir + ":" + os.Getenv("PATH")}, "/bin/sh", "-c", shell); err != nil {
		k.t.Fatalf("%s: %v\n%s", command, err, printed)
	}
}
