package kafka

import (
	"maps"
	"slices"
	"testing"
)

// TestJudgeSettings: each setting that breaks a promise is named, and nothing is said of the settings that Deed makes itself.
func TestJudgeSettings(t *testing.T) {
	good := map[string]string{
		"min.insync.replicas": "2", "unclean.leader.election.enable": "false", "cleanup.policy": "delete", "retention.ms": "-1",
		"retention.bytes": "-1", "max.message.bytes": "1048576", "message.timestamp.type": "LogAppendTime",
	}
	for _, c := range []struct {
		setting, value string
		replicas       int
		breaks, weak   []string
	}{
		{"", "", 3, nil, nil},
		{"", "", 1, []string{"min.insync.replicas"}, nil},
		{"min.insync.replicas", "1", 3, []string{"min.insync.replicas"}, nil},
		{"min.insync.replicas", "1", 1, nil, []string{"replication"}},
		{"unclean.leader.election.enable", "true", 3, []string{"unclean.leader.election.enable"}, nil},
		{"cleanup.policy", "compact,delete", 3, []string{"cleanup.policy"}, nil},
		{"retention.ms", "3600000", 3, []string{"retention.ms"}, nil},
		{"retention.ms", "604800000", 3, []string{"retention.ms"}, nil},
		{"retention.bytes", "1000000", 3, []string{"retention.bytes"}, nil},
		{"max.message.bytes", "65536", 3, []string{"max.message.bytes"}, nil},
		{"message.timestamp.type", "CreateTime", 3, nil, []string{"message.timestamp.type"}},
	} {
		settings := map[string]string{}
		maps.Copy(settings, good)
		if c.setting != "" {
			settings[c.setting] = c.value
		}
		var breaks, weak []string
		for _, f := range judge("t", settings, c.replicas) {
			if f.Breaks {
				breaks = append(breaks, f.Setting)
			} else {
				weak = append(weak, f.Setting)
			}
			t.Log(f)
		}
		if !slices.Equal(breaks, c.breaks) || !slices.Equal(weak, c.weak) {
			t.Errorf("%s=%s with %d replicas: breaks %v, weakens %v", c.setting, c.value, c.replicas, breaks, weak)
		}
	}
}
