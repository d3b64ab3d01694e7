package fgsapi

import (
	"fmt"
	"slices"
	"strings"

	"deed/domain"
)

// Ref names a function, and a version or an alias of it.
type Ref struct {
	Function  domain.FunctionID
	Qualifier string // a version, or an alias without its !
	Alias     bool   // Qualifier is an alias
	Qualified bool   // the client wrote the qualifier; else it is Latest
}

// What a short form leaves out.
const (
	DefaultPackage = "default"
	Latest         = "latest" // the version that is not published
)

// maxURN is the length of the longest URN in characters.
const maxURN = 269

// String is the full URN, with :version or :!alias also where the client wrote none.
func (r Ref) String() string {
	if r.Alias {
		return r.Function.Version("!" + r.Qualifier)
	}
	return r.Function.Version(r.Qualifier)
}

// ParseRef reads a function URN or one of its short forms, which the number of fields tells apart. s is a path segment without
// percent-encoding, or the func_urn of a destination.
//
// A function of another project than the request's is a 403, which says nothing of what is there. Any region is taken, and the
// server's put in its place: one server is one region, so that a name has one meaning here whatever region the client was
// configured for before its endpoint was set to this server. All else is 400 FSS.1309.
func ParseRef(s, project, region string) (Ref, error) {
	if len(s) > maxURN {
		return Ref{}, notURN(s, fmt.Sprintf("it has %d characters, %d are allowed", len(s), maxURN))
	}
	ref := Ref{Function: domain.FunctionID{Region: region, Project: project, Package: DefaultPackage}, Qualifier: Latest}
	f := strings.Split(s, ":")
	if n := len(f); n == 7 || n == 8 {
		if f[0] != "urn" || f[1] != "fss" || f[4] != "function" {
			return Ref{}, notURN(s, "it does not begin with urn:fss:REGION:PROJECT:function:")
		}
		if domain.CheckRegion(f[2]) != nil {
			return Ref{}, notURN(s, "its region is none")
		}
		f = slices.Concat(f[3:4], f[5:])
	} else if n > 4 {
		return Ref{}, notURN(s, fmt.Sprintf("it has %d fields, 1 to 4, 7 and 8 are allowed", n))
	}
	if len(f) == 4 {
		ref.Qualified = true
		ref.Qualifier, ref.Alias = strings.CutPrefix(f[3], "!")
		f = f[:3]
	}
	if len(f) == 3 {
		if f[0] == "" {
			return Ref{}, notURN(s, "its project is empty")
		}
		if f[0] != project {
			return Ref{}, fault("FSS.0403", "the function URN names another project than the request's")
		}
		f = f[1:]
	}
	if len(f) == 2 {
		ref.Function.Package = f[0]
		f = f[1:]
	}
	ref.Function.Name = f[0]
	if err := ref.check(); err != nil {
		return Ref{}, notURN(s, err.Error())
	}
	if n := len(ref.String()); n > maxURN {
		return Ref{}, notURN(s, fmt.Sprintf("in full it has %d characters, %d are allowed", n, maxURN))
	}
	return ref, nil
}

// check refuses parts that no function, package, version or alias can be called.
func (r Ref) check() error {
	if err := domain.CheckFunctionName(r.Function.Name); err != nil {
		return because("FSS.1002", err)
	}
	if err := CheckPackage(r.Function.Package); err != nil {
		return err
	}
	if r.Alias {
		return CheckAlias(r.Qualifier)
	}
	if r.Qualifier == Latest {
		return nil
	}
	return CheckVersion(r.Qualifier)
}

func notURN(s, reason string) *Fault {
	return fault("FSS.1309", fmt.Sprintf("%q is not a function URN: %s. Write NAME, PACKAGE:NAME, PROJECT:PACKAGE:NAME, PROJECT:PACKAGE:NAME:QUALIFIER or "+
		"urn:fss:REGION:PROJECT:function:PACKAGE:NAME[:QUALIFIER]; a QUALIFIER is VERSION or !ALIAS", short(s, 80), reason))
}

// reserved are the words that stand in paths where else a function's URN does.
var reserved = []string{
	"async-status-log-detail", "collect", "enable-async-status-logs", "enable-lts-logs", "import", "reservedinstanceconfigs", "reservedinstances", "statistics",
}

// CheckName refuses what no new function may be called (FSS.1002): what is not a name, and the words that stand where its
// short form would in a path.
func CheckName(name string) error {
	if err := domain.CheckFunctionName(name); err != nil {
		return because("FSS.1002", err)
	}
	if slices.Contains(reserved, name) {
		return fault("FSS.1002", fmt.Sprintf("%q is a word of this API and cannot be the name of a function: choose another", name))
	}
	return nil
}

// CheckPackage refuses what is not a package's name (FSS.1004). The rule is that of function names.
func CheckPackage(name string) error {
	if domain.CheckFunctionName(name) != nil {
		return fault("FSS.1004", fmt.Sprintf("%q is not a package: it has 1 to 60 letters, digits, - and _, begins with a letter and ends with a letter or a digit", short(name, 70)))
	}
	return nil
}

// CheckVersion refuses what no published version may be called (FSS.1015); latest is not published.
func CheckVersion(name string) error {
	if domain.CheckVersion(name) != nil {
		return fault("FSS.1015", fmt.Sprintf("%q is not a version: it has 1 to 42 letters, digits, ., - and _, begins and ends with a letter or a digit", short(name, 70)))
	}
	if name == Latest {
		return fault("FSS.1015", "latest is the version that is not published: choose another name")
	}
	return nil
}

// CheckAlias refuses what is not the name of an alias (FSS.1014), which is written without its ! here.
func CheckAlias(name string) error {
	if domain.CheckAlias(name) != nil {
		return fault("FSS.1014", fmt.Sprintf("%q is not an alias: it has 1 to 63 letters, digits, ., - and _, begins and ends with a letter or a digit", short(name, 70)))
	}
	return nil
}
