package functions

import (
	"fmt"
	"slices"

	"deed/domain"
)

// Version is one version of a function: `latest`, which is what was deployed last, or one that stays as it is.
type Version struct {
	Version     string
	Serial      int  // number of the deployment that it holds
	Numbered    bool // deployed under a number, and not published from `latest`
	Code        domain.Digest
	Size        int64
	Files       domain.Files
	Limits      domain.Limits
	Env         []domain.EnvVar
	Agency      string
	About       string // what a door was told besides, JSON
	Description string
	DeployedAt  domain.Instant

	Policy       domain.Policy
	PolicyShown  string         // how a door was told of it, JSON; "" if it was not
	PolicyMade   domain.Instant // when there was none before
	PolicyEdited domain.Instant
}

// Alias is an alias, and when it was set.
type Alias struct {
	domain.Alias
	SetAt domain.Instant
}

// Reserved is how many instances of a version, or of what an alias names, are reserved.
type Reserved struct {
	Qualifier string // a version, or !alias
	Count     int
	Shown     string
}

// Function is what the registry knows of a function. It is a copy: what happens later does not change it.
type Function struct {
	ID           domain.FunctionID
	Revision     int // counts its effective changes; a deleted function keeps counting
	Deleted      bool
	Deploys      int       // times it was ever deployed
	Head         Version   // what its name alone means: `latest`
	Versions     []Version // what stays: numbered, or published
	Aliases      []Alias
	Reserved     []Reserved
	Tags         []domain.EnvVar
	MaxInstances int // domain.NoMaxInstances, or how many attempts may run at once
	MadeAt       domain.Instant
}

// Newest is what was deployed last, under its number if it has one.
func (f Function) Newest() Version {
	if n := len(f.Versions); n > 0 && f.Versions[n-1].Numbered && f.Versions[n-1].Serial == f.Head.Serial {
		return f.Versions[n-1]
	}
	return f.Head
}

// Policy is the policy of what was deployed last.
func (f Function) Policy() domain.Policy { return f.Head.Policy }

// Version is the version of that name.
func (f Function) Version(name string) (Version, bool) {
	if name == domain.LatestVersion {
		return f.Head, true
	}
	if i := slices.IndexFunc(f.Versions, func(v Version) bool { return v.Version == name }); i >= 0 {
		return f.Versions[i], true
	}
	return Version{}, false
}

// Alias is the alias of that name.
func (f Function) Alias(name string) (Alias, bool) {
	if i := slices.IndexFunc(f.Aliases, func(a Alias) bool { return a.Name == name }); i >= 0 {
		return f.Aliases[i], true
	}
	return Alias{}, false
}

// NextNumber is the name of the next numbered version: how often the function was deployed, or the next number that is
// no version's name.
func (f Function) NextNumber() string {
	for n := f.Deploys + 1; ; n++ {
		if _, taken := f.Version(fmt.Sprint(n)); !taken {
			return fmt.Sprint(n)
		}
	}
}

// targets are all that outcomes of the function are told to, in whatever version.
func (f Function) targets() []domain.Target {
	out := []domain.Target{f.Head.Policy.OnSuccess, f.Head.Policy.OnFailure}
	for _, v := range f.Versions {
		out = append(out, v.Policy.OnSuccess, v.Policy.OnFailure)
	}
	return out
}
