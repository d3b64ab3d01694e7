package domain

// Facts about functions, projects and keys, in deed.functions. Expected is the revision of the function that a change was
// made on, 0 if it did not exist: a change made on another revision is void.
type (
	// ClusterFormed names the cluster: the registry's first effective record.
	ClusterFormed struct{ Cluster UUID }

	// FunctionDeployed makes code and limits the function's newest: `latest`. Under a number it is a version of its own, too,
	// that stays as it is; under the name LatestVersion it is not.
	FunctionDeployed struct {
		Function FunctionID
		Expected int
		Version  string
		Code     Digest
		Size     int64 // bytes of the module
		Files    Files
		Limits   Limits
		Env      []EnvVar
		Agency   string // what the function may address its targets with; "" if nothing was said
		About    string // what a door was told besides, JSON; shown again, and nothing is decided on it
		Limited  bool   // Max is set, too, as ConcurrencyLimited does
		Max      int
	}

	// FunctionDeleted removes the function and its policies; versions already pinned by open invocations still run.
	FunctionDeleted struct {
		Function FunctionID
		Expected int
	}

	// VersionPublished keeps `latest` as it is now, its policy included, under a name of its own.
	VersionPublished struct {
		Function    FunctionID
		Expected    int
		Version     string
		Description string
	}

	// VersionDeleted removes a version that no alias names.
	VersionDeleted struct {
		Function FunctionID
		Expected int
		Version  string
	}

	// PolicyChanged sets or, with a zero Policy, unsets the policy of a version; "" is `latest`.
	PolicyChanged struct {
		Function FunctionID
		Expected int
		Version  string
		Policy   Policy
		Shown    string // how a door was told, JSON; shown again, and nothing is decided on it
	}

	// AliasSet makes or replaces an alias.
	AliasSet struct {
		Function FunctionID
		Expected int
		Alias    Alias
	}

	// AliasDeleted removes one.
	AliasDeleted struct {
		Function FunctionID
		Expected int
		Name     string
	}

	// ConcurrencyLimited says how many attempts of the function may run at once.
	ConcurrencyLimited struct {
		Function FunctionID
		Expected int
		Max      int // NoMaxInstances: as many as there is room for; 0: none, the function is disabled
	}

	// FunctionTagged replaces the function's tags.
	FunctionTagged struct {
		Function FunctionID
		Expected int
		Tags     []EnvVar
	}

	// InstancesReserved keeps the code of a version, or of what an alias names, loaded.
	InstancesReserved struct {
		Function  FunctionID
		Expected  int
		Qualifier string
		Count     int
		Shown     string // how a door was told, JSON
	}

	// StatusLogEnabled is a project's wish for its status log. The log of invocations is kept in any case.
	StatusLogEnabled struct{ Project string }

	// KeyCreated lets somebody in.
	KeyCreated struct {
		Access   string   // what the key is called
		Sealed   []byte   // its secret, under the cluster's sealing key
		Projects []string // what it may touch; none for an operator, who may touch everything
		Operator bool
		Note     string // whose it is
	}

	// KeyRevoked lets nobody in with that key any more.
	KeyRevoked struct{ Access string }
)

// Bounds of ConcurrencyLimited.
const (
	// NoMaxInstances is the limit of a function that has none of its own.
	NoMaxInstances  = -1
	MaxMaxInstances = 1000 // FunctionGraph's
)

// Type implements Event.
func (ClusterFormed) Type() string      { return "ClusterFormed" }
func (FunctionDeployed) Type() string   { return "FunctionDeployed" }   //nolint:revive // as above
func (FunctionDeleted) Type() string    { return "FunctionDeleted" }    //nolint:revive // as above
func (VersionPublished) Type() string   { return "VersionPublished" }   //nolint:revive // as above
func (VersionDeleted) Type() string     { return "VersionDeleted" }     //nolint:revive // as above
func (PolicyChanged) Type() string      { return "PolicyChanged" }      //nolint:revive // as above
func (AliasSet) Type() string           { return "AliasSet" }           //nolint:revive // as above
func (AliasDeleted) Type() string       { return "AliasDeleted" }       //nolint:revive // as above
func (ConcurrencyLimited) Type() string { return "ConcurrencyLimited" } //nolint:revive // as above
func (FunctionTagged) Type() string     { return "FunctionTagged" }     //nolint:revive // as above
func (InstancesReserved) Type() string  { return "InstancesReserved" }  //nolint:revive // as above
func (StatusLogEnabled) Type() string   { return "StatusLogEnabled" }   //nolint:revive // as above
func (KeyCreated) Type() string         { return "KeyCreated" }         //nolint:revive // as above
func (KeyRevoked) Type() string         { return "KeyRevoked" }         //nolint:revive // as above

func (ClusterFormed) event()      {}
func (FunctionDeployed) event()   {}
func (FunctionDeleted) event()    {}
func (VersionPublished) event()   {}
func (VersionDeleted) event()     {}
func (PolicyChanged) event()      {}
func (AliasSet) event()           {}
func (AliasDeleted) event()       {}
func (ConcurrencyLimited) event() {}
func (FunctionTagged) event()     {}
func (InstancesReserved) event()  {}
func (StatusLogEnabled) event()   {}
func (KeyCreated) event()         {}
func (KeyRevoked) event()         {}
