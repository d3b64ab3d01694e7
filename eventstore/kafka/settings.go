package kafka

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/IBM/sarama"
)

// Finding is a setting of a topic that breaks a promise, or weakens one.
type Finding struct {
	Topic   string
	Setting string // as Kafka names it
	Value   string
	Words   string // what follows from it, and what it should be
	Breaks  bool   // what was acknowledged can be lost; else it only weakens
}

func (f Finding) String() string {
	return fmt.Sprintf("topic %s: %s is %s: %s", f.Topic, f.Setting, f.Value, f.Words)
}

// Examine looks at the settings of a topic that promises rest on.
func (c *Cluster) Examine(ctx context.Context, topic string) ([]Finding, error) {
	found := make(chan []Finding, 1)
	err := within(ctx, func() error {
		f, err := c.examine(topic)
		found <- f
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("kafka: settings of topic %s: %w", topic, err)
	}
	return <-found, nil
}

func (c *Cluster) examine(topic string) ([]Finding, error) {
	admin, err := sarama.NewClusterAdminFromClient(c.client) // holds nothing of its own: closing it would close the client
	if err != nil {
		return nil, err
	}
	replicas, err := c.client.Replicas(topic, 0)
	if err != nil {
		return nil, err
	}
	described, err := admin.DescribeConfigs([]*sarama.ConfigResource{{Type: sarama.TopicResource, Name: topic}}, sarama.DescribeConfigsOptions{})
	if err != nil {
		return nil, err
	}
	settings := map[string]string{}
	for _, d := range described {
		if !errors.Is(d.ErrorCode, sarama.ErrNoError) {
			return nil, fmt.Errorf("%w: %s", d.ErrorCode, d.ErrorMsg)
		}
		for _, e := range d.Configs {
			settings[e.Name] = e.Value
		}
	}
	return judge(topic, settings, len(replicas)), nil
}

// judge is the rule: what is lost with the settings is named.
func judge(topic string, settings map[string]string, replicas int) (found []Finding) {
	add := func(breaks bool, setting, words string) {
		value := settings[setting]
		if setting == "replication" {
			value = strconv.Itoa(replicas)
		}
		found = append(found, Finding{topic, setting, value, words, breaks})
	}
	number := func(setting string, otherwise int64) int64 {
		n, err := strconv.ParseInt(settings[setting], 10, 64)
		if err != nil {
			return otherwise
		}
		return n
	}
	quorum := replicas/2 + 1
	switch insync := number("min.insync.replicas", 1); {
	case insync > int64(replicas):
		add(true, "min.insync.replicas", fmt.Sprintf("there are only %d replicas: no append will ever be acknowledged", replicas))
	case replicas == 1:
		add(false, "replication", "what was acknowledged is lost with the disk of one broker; 3 replicas and min.insync.replicas 2 survive that")
	case insync < int64(quorum):
		add(true, "min.insync.replicas", fmt.Sprintf("an append is acknowledged before a majority of the %d replicas has it; set it to %d", replicas, quorum))
	}
	if settings["unclean.leader.election.enable"] == "true" {
		add(true, "unclean.leader.election.enable", "a replica that misses acknowledged records may become the leader; set it to false")
	}
	if policy := settings["cleanup.policy"]; policy != "" && policy != "delete" {
		add(true, "cleanup.policy", "records are removed that are still needed; set it to delete")
	}
	if number("retention.ms", -1) >= 0 {
		// However long it is: brokers cut at the ends of segments, and readers begin at markers.
		add(true, "retention.ms", "brokers cut the log where no reader can begin; set it to -1")
	}
	if number("retention.bytes", -1) >= 0 {
		add(true, "retention.bytes", "records are removed while invocations still need them; set it to -1")
	}
	if most := number("max.message.bytes", MaxRecord); most < MaxRecord {
		add(true, "max.message.bytes", fmt.Sprintf("a batch that Deed sends may be refused; set it to %d at least", MaxRecord))
	}
	if kind := settings["message.timestamp.type"]; kind != "" && kind != "LogAppendTime" {
		add(false, "message.timestamp.type", "nodes cannot compare their clocks with the brokers'; set it to LogAppendTime")
	}
	return found
}
