package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"
)

// doctor runs the command on a configuration of one broker; empty: of none.
func doctor(t *testing.T, broker string, args ...string) (string, error) {
	t.Helper()
	uplink := ""
	if broker != "" {
		uplink = fmt.Sprintf("uplink:\n  brokers: [%q]\n  tls: {enabled: false}\n", broker)
	}
	file := filepath.Join(t.TempDir(), "glasshouse.yaml")
	text := "gateway:\n  id: gh-test-01\n  facilityId: 7c1e0b1a-3c1e-4c52-9d2f-0d6a6b9d3c14\n  timezone: UTC\n  mode: observe\n  dataDir: " + t.TempDir() + "\n" + uplink
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	root := newRoot(nil)
	var out bytes.Buffer
	root.SetOut(&out)
	root.SetErr(&out)
	root.SetArgs(append([]string{"uplink", "doctor", "-c", file}, args...))
	err := root.ExecuteContext(t.Context())
	return out.String(), err
}

func TestUplinkDoctor(t *testing.T) {
	c, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	broker := c.ListenAddrs()[0]
	out, err := doctor(t, broker)
	want := "fail  topic device.telemetry.v1: it does not exist\n      kafka-topics.sh --bootstrap-server " + broker + " --create --topic device.telemetry.v1 --partitions 3 --replication-factor 1"
	if !errors.Is(err, errSaid) || !strings.Contains(out, want) {
		t.Errorf("%v\n%s", err, out)
	}
	out, err = doctor(t, broker, "--fix", "--json")
	if err != nil || !strings.Contains(out, `"what": "topic device.telemetry.v1: created"`) {
		t.Errorf("%v\n%s", err, out)
	}
	if out, err = doctor(t, broker); err != nil || strings.Contains(out, "fail") {
		t.Errorf("%v\n%s", err, out)
	}
	if out, err = doctor(t, ""); err == nil || !strings.Contains(err.Error(), "uplink.brokers names no broker") {
		t.Errorf("%v\n%s", err, out)
	}
}
