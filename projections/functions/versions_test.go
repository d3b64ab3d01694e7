package functions

import (
	"testing"

	"deed/domain"
)

// shop is a function that doors of FunctionGraph's kind change.
var shop = domain.FunctionID{Region: "r1", Project: "p1", Package: "shop", Name: "pay"}

func (l *log) latest(size int64) {
	l.t.Helper()
	l.must(domain.FunctionDeployed{Function: shop, Expected: l.revision(shop), Version: domain.LatestVersion, Size: size, Limits: domain.DefaultLimits(), About: "{}"})
}

func (l *log) version(id domain.FunctionID, qualifier string) int64 {
	l.t.Helper()
	_, v, err := l.Deployment(id, qualifier, func(a domain.Alias) string { return a.Route(0, nil) })
	if err != nil {
		return -1
	}
	return v.Size
}

func TestLatestAndPublished(t *testing.T) {
	l := begin(t)
	l.latest(1)
	l.must(domain.PolicyChanged{Function: shop, Expected: l.revision(shop), Version: domain.LatestVersion, Policy: domain.Policy{Set: true, MaxAge: domain.MinAge, OnFailure: "obs://told/a"}, Shown: `{"a":1}`})
	l.must(domain.VersionPublished{Function: shop, Expected: l.revision(shop), Version: "v1", Description: "the first"})
	l.latest(2)
	f, err := l.Get(shop)
	if err != nil {
		t.Fatal(err)
	}
	v1, ok := f.Version("v1")
	if !ok || v1.Size != 1 || v1.Description != "the first" || v1.Policy.OnFailure != "obs://told/a" || v1.PolicyShown != `{"a":1}` || v1.PolicyMade == 0 {
		t.Errorf("v1 is %+v", v1)
	}
	if f.Head.Size != 2 || f.Newest().Version != domain.LatestVersion || f.Head.Policy.OnFailure != "obs://told/a" {
		t.Errorf("latest is %+v", f.Head)
	}
	l.must(domain.PolicyChanged{Function: shop, Expected: l.revision(shop), Version: "v1"})
	if f, _ = l.Get(shop); !f.Head.Policy.Set || f.Versions[0].Policy.Set {
		t.Error("a version's policy is not its own")
	}
	refused(t, l.write(domain.VersionPublished{Function: shop, Expected: l.revision(shop), Version: "v1"}), domain.CodeConflict, "there is a version v1")
	refused(t, l.write(domain.VersionPublished{Function: shop, Expected: l.revision(shop), Version: domain.LatestVersion}), domain.CodeConflict, "there is a version latest")
	refused(t, l.write(domain.PolicyChanged{Function: shop, Expected: l.revision(shop), Version: "v9"}), domain.CodeNotFound, "no version v9")
	refused(t, l.write(domain.VersionDeleted{Function: shop, Expected: l.revision(shop), Version: domain.LatestVersion}), domain.CodeNotFound, "no version latest")
	if got := []int64{l.version(shop, ""), l.version(shop, "latest"), l.version(shop, "v1"), l.version(shop, "v9"), l.version(shop, "!blue")}; got[0] != 2 || got[1] != 2 || got[2] != 1 || got[3] != -1 || got[4] != -1 {
		t.Errorf("names lead to %v", got)
	}
}

func TestAliases(t *testing.T) {
	l := begin(t)
	l.latest(1)
	l.must(domain.VersionPublished{Function: shop, Expected: l.revision(shop), Version: "v1"})
	l.latest(2)
	set := func(a domain.Alias) error {
		return l.write(domain.AliasSet{Function: shop, Expected: l.revision(shop), Alias: a})
	}
	refused(t, set(domain.Alias{Name: "blue", Version: "v2"}), domain.CodeNotFound, "no version v2")
	if err := set(domain.Alias{Name: "blue", Version: domain.LatestVersion, Other: "v1", Weight: 100}); err != nil {
		t.Fatal(err)
	}
	if got := l.version(shop, "!blue"); got != 1 {
		t.Errorf("!blue leads to %d", got)
	}
	refused(t, l.write(domain.VersionDeleted{Function: shop, Expected: l.revision(shop), Version: "v1"}), domain.CodeConflict, "alias blue names version v1")
	l.must(domain.AliasDeleted{Function: shop, Expected: l.revision(shop), Name: "blue"})
	refused(t, l.write(domain.AliasDeleted{Function: shop, Expected: l.revision(shop), Name: "blue"}), domain.CodeNotFound, "no alias blue")
	l.must(domain.VersionDeleted{Function: shop, Expected: l.revision(shop), Version: "v1"})
	if got := l.version(shop, "v1"); got != -1 {
		t.Errorf("a deleted version leads to %d", got)
	}
}

// TestOneFunctionTwoNames: what a number names and what `latest` names are one thing until `latest` is changed in place.
func TestOneFunctionTwoNames(t *testing.T) {
	l := begin(t)
	native := domain.NativeFunction("echo")
	l.must(l.deploy("echo"))
	l.must(domain.PolicyChanged{Function: native, Expected: 1, Version: "1", Policy: domain.Policy{Set: true, MaxAge: domain.MinAge}})
	f, _ := l.Get(native)
	if f.Newest().Version != "1" || !f.Head.Policy.Set || !f.Versions[0].Policy.Set {
		t.Errorf("a policy of the newest number is not that of latest: %+v", f)
	}
	l.must(domain.FunctionDeployed{Function: native, Expected: 2, Version: domain.LatestVersion, Limits: domain.DefaultLimits()})
	l.must(domain.PolicyChanged{Function: native, Expected: 3})
	if f, _ = l.Get(native); f.Newest().Version != domain.LatestVersion || f.Head.Policy.Set || !f.Versions[0].Policy.Set {
		t.Errorf("version 1 followed latest: %+v", f)
	}
	l.must(domain.VersionPublished{Function: native, Expected: 4, Version: "3"})
	if f, _ = l.Get(native); f.NextNumber() != "4" {
		t.Errorf("the next number is %s", f.NextNumber())
	}
	if f.Newest().Version != domain.LatestVersion {
		t.Errorf("a published version is taken for what was deployed last: %s", f.Newest().Version)
	}
}

func TestRegionIsNoName(t *testing.T) {
	l := begin(t)
	l.latest(1)
	elsewhere := shop
	elsewhere.Region = "r2"
	if f, err := l.Get(elsewhere); err != nil || f.ID != shop {
		t.Errorf("%v, %v", f.ID, err)
	}
	other := shop
	other.Project = "p2"
	if _, err := l.Get(other); err == nil || len(l.List("p2")) != 0 || len(l.List("p1")) != 1 {
		t.Error("another project's function is found")
	}
}

func TestInstances(t *testing.T) {
	l := begin(t)
	if l.MaxInstances(shop) != domain.NoMaxInstances {
		t.Error("an unknown function is limited")
	}
	l.latest(1)
	l.must(domain.ConcurrencyLimited{Function: shop, Expected: 1, Max: 0})
	if l.MaxInstances(shop) != 0 {
		t.Error("not disabled")
	}
	l.must(domain.InstancesReserved{Function: shop, Expected: 2, Qualifier: domain.LatestVersion, Count: 2})
	l.must(domain.InstancesReserved{Function: shop, Expected: 3, Qualifier: domain.LatestVersion, Count: 3})
	if f, _ := l.Get(shop); len(f.Reserved) != 1 || f.Reserved[0].Count != 3 {
		t.Errorf("reserved: %+v", f.Reserved)
	}
	l.must(domain.FunctionDeleted{Function: shop, Expected: 4})
	if l.MaxInstances(shop) != domain.NoMaxInstances {
		t.Error("a deleted function is disabled: what is open could not run")
	}
}

func TestKeys(t *testing.T) {
	l := begin(t)
	refused(t, l.write(domain.KeyCreated{Access: "A", Projects: []string{"p"}}), domain.CodeConflict, "the first key must be an operator's")
	if l.Keyed() {
		t.Error("a refused key counts")
	}
	l.must(domain.KeyCreated{Access: "O", Operator: true, Sealed: []byte{1}})
	refused(t, l.write(domain.KeyCreated{Access: "O", Operator: true}), domain.CodeConflict, "there is a key O already")
	refused(t, l.write(domain.KeyCreated{Access: "B"}), domain.CodeInvalid, "may touch nothing")
	l.must(domain.KeyCreated{Access: "A", Projects: []string{"p"}})
	refused(t, l.write(domain.KeyRevoked{Access: "O"}), domain.CodeConflict, "the last operator's key")
	refused(t, l.write(domain.KeyRevoked{Access: "X"}), domain.CodeNotFound, "no key X")
	a, ok := l.Key("A")
	if !ok || !a.May("p") || a.May("q") || a.May("") {
		t.Errorf("%+v", a)
	}
	if o, _ := l.Key("O"); !o.May("p") || !o.May("") {
		t.Errorf("%+v", o)
	}
	l.must(domain.KeyRevoked{Access: "A"})
	if _, ok := l.Key("A"); ok || len(l.Keys()) != 2 || !l.Keyed() {
		t.Error("a revoked key is good")
	}
	refused(t, l.write(domain.KeyCreated{Access: "A", Projects: []string{"p"}}), domain.CodeConflict, "there is a key A already")
	l.must(domain.KeyCreated{Access: "O2", Operator: true})
	l.must(domain.KeyRevoked{Access: "O"})
}
