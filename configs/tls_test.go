package configs

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io/fs"
	"math/big"
	"strings"
	"testing"
	"time"
)

// pair makes a certificate that has signed itself, and its key, in PEM.
func pair(t *testing.T) (cert, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER})
}

func TestTLSClient(t *testing.T) {
	cert, key := pair(t)
	_, otherKey := pair(t)
	read := func(path string) ([]byte, error) {
		data, ok := map[string][]byte{"/ca": cert, "/cert": cert, "/key": key, "/other": otherKey, "/text": []byte("x")}[path]
		if !ok {
			return nil, fmt.Errorf("open %s: %w", path, fs.ErrNotExist)
		}
		return data, nil
	}
	if c, err := (&TLS{CA: "/none"}).Client(read); c != nil || err != nil {
		t.Errorf("not enabled: %v, %v", c, err)
	}
	c, err := (&TLS{Enabled: true, CA: "/ca", Cert: "/cert", Key: "/key", ServerName: "kafka"}).Client(read)
	if err != nil {
		t.Fatal(err)
	}
	if c.RootCAs == nil || len(c.Certificates) != 1 || c.ServerName != "kafka" || c.MinVersion != tls.VersionTLS12 || c.InsecureSkipVerify {
		t.Errorf("client %+v", c)
	}
	if c, err := (&TLS{Enabled: true}).Client(read); err != nil || c.RootCAs != nil {
		t.Errorf("the system's authorities: %v, %v", c, err)
	}
	_, err = (&TLS{Enabled: true, CA: "/text", Cert: "/cert", Key: "/other"}).Client(read)
	if err == nil || !strings.Contains(err.Error(), "/text holds no certificate") || !strings.Contains(err.Error(), "cert and key: ") {
		t.Errorf("both faults at once: %v", err)
	}
	if _, err = (&TLS{Enabled: true, CA: "/none", Cert: "/cert", Key: "/none"}).Client(read); err == nil || strings.Count(err.Error(), "file does not exist") != 2 {
		t.Errorf("missing files: %v", err)
	}
}
