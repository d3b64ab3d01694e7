package kafka

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"

	"github.com/IBM/sarama"
)

// Security is how a client and the brokers know one another. The zero value is a connection in the clear, without a name.
type Security struct {
	// TLS encrypts, and checks that a broker's certificate is of its host and of an authority that is trusted. CA, Cert and
	// Key imply it. Version 1.2 or later.
	TLS bool
	// CA is a file of PEM certificates of the authorities to trust in place of the system's. Read once, by Open.
	CA string
	// Cert and Key are files in PEM with the client's own certificate and its key, for brokers that ask for one. They are
	// read anew for every connection, so that they may be replaced while a node runs.
	Cert, Key string
	// User is the name for SASL; none: no SASL. Password goes with it.
	User     string
	Password Secret
	// Mechanism of SASL. Defaults to Plain, which sends the password to the broker: use it with TLS.
	Mechanism Mechanism
}

// Mechanism is how SASL proves that one knows the password.
type Mechanism string

// The mechanisms. With the SCRAM ones no password is sent.
const (
	Plain       Mechanism = sarama.SASLTypePlaintext
	ScramSHA256 Mechanism = sarama.SASLTypeSCRAMSHA256
	ScramSHA512 Mechanism = sarama.SASLTypeSCRAMSHA512
)

// Secret is a string that no log, error or JSON shows.
type Secret string

const secretShown = "[secret]"

// Format implements fmt.Formatter: whatever the verb, the secret is not printed.
func (Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, secretShown) }

// LogValue implements slog.LogValuer.
func (Secret) LogValue() slog.Value { return slog.StringValue(secretShown) }

// MarshalText implements encoding.TextMarshaler.
func (Secret) MarshalText() ([]byte, error) { return []byte(secretShown), nil }

// secure checks the settings, reads the files, and returns what makes a client's configuration secure.
func (s Security) secure() (func(*sarama.Config), error) {
	encrypt, err := s.tls()
	if err != nil {
		return nil, err
	}
	scram, err := s.scram()
	if err != nil {
		return nil, err
	}
	return func(c *sarama.Config) {
		if encrypt != nil {
			c.Net.TLS.Enable, c.Net.TLS.Config = true, encrypt
		}
		if s.User != "" {
			c.Net.SASL.Enable, c.Net.SASL.Mechanism = true, sarama.SASLMechanism(s.Mechanism)
			if s.Mechanism == "" {
				c.Net.SASL.Mechanism = sarama.SASLTypePlaintext
			}
			c.Net.SASL.User, c.Net.SASL.Password = s.User, string(s.Password)
			c.Net.SASL.SCRAMClientGeneratorFunc = scram
		}
	}, nil
}

// tls is nil for a connection in the clear.
func (s Security) tls() (*tls.Config, error) {
	if !s.TLS && s.CA == "" && s.Cert == "" && s.Key == "" {
		return nil, nil
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if s.CA != "" {
		pem, err := os.ReadFile(s.CA)
		if err != nil {
			return nil, fmt.Errorf("authorities of the brokers: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("authorities of the brokers: %s has no certificate in PEM", s.CA)
		}
	}
	if (s.Cert == "") != (s.Key == "") {
		return nil, errors.New("a client's certificate and its key go together")
	}
	if s.Cert != "" {
		if _, err := s.certificate(nil); err != nil {
			return nil, err // now, not at the first connection
		}
		c.GetClientCertificate = s.certificate
	}
	return c, nil
}

func (s Security) certificate(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
	pair, err := tls.LoadX509KeyPair(s.Cert, s.Key)
	if err != nil {
		return nil, fmt.Errorf("client's certificate %s with key %s: %w", s.Cert, s.Key, err)
	}
	return &pair, nil
}

// strangers reports whether the error of a connection is one that trying again does not mend: one of the two has said that it
// does not know the other. Who speaks TLS to a broker that does not, or the other way round, sees only that it hangs up or is
// silent, as a broker that starts may.
func strangers(err error) bool {
	if errors.Is(err, sarama.ErrSASLAuthenticationFailed) || errors.Is(err, sarama.ErrUnsupportedSASLMechanism) || errors.Is(err, errScram) {
		return true
	}
	_, certificate := errors.AsType[*tls.CertificateVerificationError](err)
	_, garbled := errors.AsType[tls.RecordHeaderError](err)
	alert, ok := errors.AsType[*net.OpError](err)
	return certificate || garbled || ok && alert.Op == "remote error" // a TLS alert: the broker refuses our certificate
}
