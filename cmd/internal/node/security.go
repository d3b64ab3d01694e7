package node

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"deed/eventstore/kafka"
)

// passwordEnv is the environment variable with the password for the brokers, if no file is named.
const passwordEnv = "DEED_KAFKA_PASSWORD" //nolint:gosec // the name, not the password

// secured checks what is said about the brokers' security, and fetches the password.
func (c Config) secured() (kafka.Security, error) {
	s := c.Security
	if len(c.Brokers) == 0 {
		if s != (kafka.Security{}) || c.KafkaPasswordFile != "" {
			return s, errors.New("--kafka-tls, --kafka-ca, --kafka-cert, --kafka-key and --kafka-sasl-user go with --brokers; the embedded broker serves this machine only")
		}
		return s, nil
	}
	if s.User == "" {
		if c.KafkaPasswordFile != "" || s.Mechanism != "" {
			return s, errors.New("--kafka-password-file and --kafka-sasl-mechanism go with --kafka-sasl-user")
		}
		return s, nil
	}
	if c.KafkaPasswordFile != "" {
		b, err := os.ReadFile(c.KafkaPasswordFile)
		if err != nil {
			return s, fmt.Errorf("--kafka-password-file: %w", err)
		}
		s.Password = kafka.Secret(strings.TrimRight(string(b), "\r\n"))
	} else if s.Password == "" {
		s.Password = kafka.Secret(os.Getenv(passwordEnv))
	}
	if s.Password == "" {
		return s, fmt.Errorf("--kafka-sasl-user %s has no password: set %s or --kafka-password-file", s.User, passwordEnv)
	}
	return s, nil
}

// bare reports whether the password would go over the wire as it is.
func bare(s kafka.Security) bool {
	encrypted := s.TLS || s.CA != "" || s.Cert != ""
	return s.User != "" && !encrypted && (s.Mechanism == "" || s.Mechanism == kafka.Plain)
}
