package embedded

import (
	"fmt"
	"log/slog"
	"strings"

	"github.com/twmb/franz-go/pkg/kfake"
)

// complaints hears what the broker logs. It says there, and nowhere else, that it could not write: it goes on then and
// would acknowledge what it did not store. A batch that could not be written has already been noted as received from its
// producer, so a second try would be acknowledged as a duplicate; a topic that could not be saved is there until the next
// start; behind an entry that was written in part nothing is ever read. So each of these ends the broker. It is heard before
// the response is made.
type complaints struct {
	fail func(error)
	log  *slog.Logger
}

// Logf is called by the broker.
func (c *complaints) Logf(level kfake.LogLevel, format string, args ...any) {
	if level != kfake.LogLevelWarn && level != kfake.LogLevelError {
		return
	}
	for _, a := range args {
		// The state of sessions is a convenience, and is thrown away when it cannot be read.
		if err, ok := a.(error); ok && err != nil && !strings.Contains(format, "session") {
			c.fail(fmt.Errorf("%s: %w", fmt.Sprintf(format, args...), err))
			return
		}
	}
	c.log.Debug("the embedded broker", "says", fmt.Sprintf(format, args...)) //nolint:sloglint // it has no context
}
