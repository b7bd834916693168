package configs

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
)

// Client makes the configuration of an encrypted connection; nil when it is not Enabled. The files are read by readFile,
// os.ReadFile in a gateway.
func (t *TLS) Client(readFile func(string) ([]byte, error)) (*tls.Config, error) {
	if !t.Enabled {
		return nil, nil
	}
	client := &tls.Config{ServerName: t.ServerName, MinVersion: tls.VersionTLS12}
	var faults []error
	if t.CA != "" {
		pem, err := readFile(t.CA)
		client.RootCAs = x509.NewCertPool()
		switch {
		case err != nil:
			faults = append(faults, fmt.Errorf("ca: %w", err))
		case !client.RootCAs.AppendCertsFromPEM(pem):
			faults = append(faults, fmt.Errorf("ca: %s holds no certificate in PEM", t.CA))
		}
	}
	if t.Cert != "" && t.Key != "" {
		pair, err := keyPair(t.Cert, t.Key, readFile)
		if err != nil {
			faults = append(faults, err)
		}
		client.Certificates = []tls.Certificate{pair}
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	return client, nil
}

// keyPair loads a certificate and its key.
func keyPair(cert, key string, readFile func(string) ([]byte, error)) (tls.Certificate, error) {
	certPEM, err := readFile(cert)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("cert: %w", err)
	}
	keyPEM, err := readFile(key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("key: %w", err)
	}
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("cert and key: %w", err) // the library never quotes a key
	}
	return pair, nil
}
