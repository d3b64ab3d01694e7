package kafka

import (
	"errors"
	"fmt"

	"github.com/IBM/sarama"
	"github.com/xdg-go/scram"
)

// errScram is in every error of a SCRAM conversation: the broker did not take the password, or does not know it itself.
var errScram = errors.New("SCRAM")

// scram makes a conversation for each connection; nil for a mechanism that needs none.
func (s Security) scram() (func() sarama.SCRAMClient, error) {
	if s.User == "" {
		return nil, nil
	}
	var hash scram.HashGeneratorFcn
	switch s.Mechanism {
	case "", Plain:
		return nil, nil
	case ScramSHA256:
		hash = scram.SHA256
	case ScramSHA512:
		hash = scram.SHA512
	default:
		return nil, fmt.Errorf("SASL mechanism %q is not one of %s, %s and %s", string(s.Mechanism), Plain, ScramSHA256, ScramSHA512)
	}
	return func() sarama.SCRAMClient { return &conversation{hash: hash} }, nil
}

// conversation implements sarama.SCRAMClient.
type conversation struct {
	hash scram.HashGeneratorFcn
	*scram.ClientConversation
}

func (c *conversation) Begin(user, password, authzID string) error {
	client, err := c.hash.NewClient(user, password, authzID)
	if err != nil {
		return fmt.Errorf("%w: user or password has characters that are not allowed", errScram) // the library's error may show them
	}
	c.ClientConversation = client.NewConversation()
	return nil
}

// Step fails also when the broker does not prove that it knows the password.
func (c *conversation) Step(challenge string) (string, error) {
	answer, err := c.ClientConversation.Step(challenge)
	if err != nil {
		return "", fmt.Errorf("%w: %w", errScram, err)
	}
	return answer, nil
}
