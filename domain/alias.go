package domain

import (
	"fmt"
	"slices"
	"strings"
)

// Alias is a second name of a version. Part of the calls may go to another one: those that the rules choose or, without
// rules, Weight of a hundred.
type Alias struct {
	Name        string
	Version     string
	Description string
	Other       string      // the other version; "" if there is none
	Weight      int         // percent of the calls that go to Other: 0 to 100
	Rules       []AliasRule // if there are any, they choose, and Weight does not
	AnyRule     bool        // one rule is enough; else all must agree
	Shown       string      // how a door was told, JSON; nothing is decided on it
}

// AliasRule looks at one header or cookie of a call.
type AliasRule struct {
	Kind   string // header or cookie
	Param  string // its name
	Op     string // = or in
	Values []string
}

// Route is the version that a call goes to. draw is drawn for the call from 0 to 99; value is the call's header or cookie of
// that name, "" if it has none or did not come by HTTP.
func (a Alias) Route(draw int, value func(kind, param string) string) string {
	if a.Other == "" {
		return a.Version
	}
	chosen := draw < a.Weight
	if len(a.Rules) > 0 {
		agrees := func(r AliasRule) bool {
			v := value(r.Kind, r.Param)
			return v != "" && slices.Contains(r.Values, v)
		}
		if chosen = slices.ContainsFunc(a.Rules, agrees); !a.AnyRule {
			chosen = !slices.ContainsFunc(a.Rules, func(r AliasRule) bool { return !agrees(r) })
		}
	}
	if chosen {
		return a.Other
	}
	return a.Version
}

// LatestVersion is the name of what was deployed last, whatever it is.
const LatestVersion = "latest"

// Limits of names (FunctionGraph's).
const (
	maxVersionName = 42
	maxAliasName   = 63
	maxPackageName = 60
	maxPlace       = 64 // a region's name, and a project's id
)

// CheckVersion refuses what is not a version's name: 1 to 42 letters, digits, . _ and -, a letter or digit first and last.
func CheckVersion(name string) error { return checkName(name, "a version's name", maxVersionName) }

// CheckAlias refuses what is not an alias's name: 1 to 63 letters, digits, . _ and -, a letter or digit first and last.
func CheckAlias(name string) error { return checkName(name, "an alias", maxAliasName) }

// CheckPackage refuses what is not a package's name: 1 to 60 letters, digits, . _ and -, a letter or digit first and last.
func CheckPackage(name string) error { return checkName(name, "a package's name", maxPackageName) }

// CheckProject refuses what is not a project: 1 to 64 letters, digits, . _ and -, a letter or digit first and last.
func CheckProject(name string) error { return checkName(name, "a project", maxPlace) }

// CheckRegion refuses what is not a region; the rule is that of projects.
func CheckRegion(name string) error { return checkName(name, "a region", maxPlace) }

// CheckQualifier refuses what is neither a version, nor an alias behind !, nor nothing.
func CheckQualifier(q string) error {
	if alias, ok := strings.CutPrefix(q, "!"); ok {
		return CheckAlias(alias)
	}
	if q == "" {
		return nil
	}
	return CheckVersion(q)
}

func checkName(name, what string, limit int) error {
	ok := name != "" && len(name) <= limit
	for i, c := range []byte(name) {
		alnum := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		edge := i == 0 || i == len(name)-1
		if !alnum && (edge || c != '-' && c != '_' && c != '.') {
			ok = false
		}
	}
	if !ok {
		return reject(CodeInvalid, fmt.Sprintf("%q is not %s", clip(name, limit+8), what),
			fmt.Sprintf("it has 1 to %d letters, digits, . _ and -, and begins and ends with a letter or a digit", limit))
	}
	return nil
}
