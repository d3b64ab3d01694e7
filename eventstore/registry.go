package eventstore

import (
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"

	"deed/domain"
)

// Subjects of registry events that are not about a function.
const (
	subjectCluster = "cluster"
	subjectProject = "project/" // and its name
	subjectKey     = "key/"     // and what the key is called
)

// registrySubject is the subject of an event of deed.functions: a function's URN without a version, mostly.
func registrySubject(e domain.Event) (string, bool) {
	switch e := e.(type) {
	case domain.ClusterFormed:
		return subjectCluster, true
	case domain.StatusLogEnabled:
		return subjectProject + e.Project, true
	case domain.KeyCreated:
		return subjectKey + e.Access, true
	case domain.KeyRevoked:
		return subjectKey + e.Access, true
	default:
		if fed, ok := e.(domain.NotificationsFed); ok {
			return subjectFed + strconv.Itoa(fed.Partition), true
		}
		if id, ok := operationID(e); ok {
			return subjectOperation + id.String(), true
		}
		f, ok := registryFunction(e)
		return f.String(), ok
	}
}

// registryFunction is the function that an event of deed.functions is about.
func registryFunction(e domain.Event) (domain.FunctionID, bool) {
	switch e := e.(type) {
	case domain.FunctionDeployed:
		return e.Function, true
	case domain.FunctionDeleted:
		return e.Function, true
	case domain.VersionPublished:
		return e.Function, true
	case domain.VersionDeleted:
		return e.Function, true
	case domain.PolicyChanged:
		return e.Function, true
	case domain.AliasSet:
		return e.Function, true
	case domain.AliasDeleted:
		return e.Function, true
	case domain.ConcurrencyLimited:
		return e.Function, true
	case domain.FunctionTagged:
		return e.Function, true
	case domain.InstancesReserved:
		return e.Function, true
	default:
		return domain.FunctionID{}, false
	}
}

// registry writes the members of an event of deed.functions.
func (o *object) registry(e domain.Event) {
	switch e := e.(type) {
	case domain.ClusterFormed:
		o.str("cluster", e.Cluster.String())
	case domain.FunctionDeployed:
		o.num("expected", int64(e.Expected))
		o.str("version", e.Version)
		o.str("code", e.Code.String())
		o.num("size", e.Size)
		o.files(e.Files)
		o.raw("limits", encodeLimits(e.Limits))
		if len(e.Env) > 0 {
			o.raw("env", encodeEnv(e.Env))
		}
		o.opt("agency", e.Agency)
		o.opt("about", e.About)
		if e.Limited {
			o.num("max_instances", int64(e.Max))
		}
	case domain.FunctionDeleted:
		o.num("expected", int64(e.Expected))
	case domain.VersionPublished:
		o.num("expected", int64(e.Expected))
		o.str("version", e.Version)
		o.opt("description", e.Description)
	case domain.VersionDeleted:
		o.num("expected", int64(e.Expected))
		o.str("version", e.Version)
	case domain.PolicyChanged:
		o.num("expected", int64(e.Expected))
		o.opt("version", e.Version)
		if e.Policy.Set {
			o.raw("policy", encodePolicy(e.Policy))
		}
		o.opt("shown", e.Shown)
	case domain.AliasSet:
		o.num("expected", int64(e.Expected))
		o.alias(e.Alias)
	case domain.AliasDeleted:
		o.num("expected", int64(e.Expected))
		o.str("alias", e.Name)
	case domain.ConcurrencyLimited:
		o.num("expected", int64(e.Expected))
		o.num("max_instances", int64(e.Max))
	case domain.FunctionTagged:
		o.num("expected", int64(e.Expected))
		o.raw("tags", encodeEnv(e.Tags))
	case domain.InstancesReserved:
		o.num("expected", int64(e.Expected))
		o.str("qualifier", e.Qualifier)
		o.num("count", int64(e.Count))
		o.opt("shown", e.Shown)
	case domain.KeyCreated:
		o.str("sealed", base64.StdEncoding.EncodeToString(e.Sealed))
		o.strings("projects", e.Projects)
		o.flag("operator", e.Operator)
		o.opt("note", e.Note)
	default:
		o.operation(e) // StatusLogEnabled and KeyRevoked are all subject
	}
}

func (o *object) alias(a domain.Alias) {
	o.str("alias", a.Name)
	o.str("version", a.Version)
	o.opt("description", a.Description)
	o.opt("other", a.Other)
	if a.Weight != 0 {
		o.num("weight", int64(a.Weight))
	}
	if len(a.Rules) > 0 {
		b := []byte{'['}
		for i, r := range a.Rules {
			if i > 0 {
				b = append(b, ',')
			}
			rule := newObject(nil)
			rule.str("kind", r.Kind)
			rule.str("param", r.Param)
			rule.str("op", r.Op)
			rule.strings("values", r.Values)
			b = append(b, rule.end()...)
		}
		o.raw("rules", append(b, ']'))
	}
	o.flag("any_rule", a.AnyRule)
	o.opt("shown", a.Shown)
}

// strings writes a list of strings that is left out when empty.
func (o *object) strings(k string, v []string) {
	if len(v) == 0 {
		return
	}
	b := []byte{'['}
	for i, s := range v {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendString(b, s)
	}
	o.raw(k, append(b, ']'))
}

// aboutFunction decodes an event whose subject is a function and that was made on a revision of it.
func aboutFunction[E domain.Event](b *body, v []byte, function *domain.FunctionID, expected *int, e *E, f fields, required ...string) (domain.Event, error) {
	err := b.function(function)
	if err == nil {
		f["expected"] = b.small(expected)
		err = f.read(v, append(required, "expected")...)
	}
	return *e, err
}

// registryDecoders reads the value of each event of deed.functions, whose subject is not an invocation.
var registryDecoders = map[string]func(*body, []byte) (domain.Event, error){
	"ClusterFormed": func(b *body, v []byte) (domain.Event, error) {
		var e domain.ClusterFormed
		err := fields{"cluster": b.uuid(&e.Cluster)}.read(v, "cluster")
		return e, err
	},
	"FunctionDeployed": func(b *body, v []byte) (domain.Event, error) {
		var e domain.FunctionDeployed
		limit := func(v []byte) error {
			e.Limited = true
			return b.instances(&e.Max)(v)
		}
		made, err := aboutFunction(b, v, &e.Function, &e.Expected, &e, fields{
			"version": b.str(&e.Version), "code": b.digest(&e.Code), "size": b.num(&e.Size), "files": b.digest(&e.Files.Digest), "files_size": b.num(&e.Files.Size), "limits": b.limits(&e.Limits), "env": b.env(&e.Env),
			"agency": b.str(&e.Agency), "about": b.str(&e.About), "max_instances": limit,
		}, "version", "code", "limits")
		return made, orNil(err, filesNeed(e.Files))
	},
	"FunctionDeleted": func(b *body, v []byte) (domain.Event, error) {
		var e domain.FunctionDeleted
		return aboutFunction(b, v, &e.Function, &e.Expected, &e, fields{})
	},
	"VersionPublished": func(b *body, v []byte) (domain.Event, error) {
		var e domain.VersionPublished
		return aboutFunction(b, v, &e.Function, &e.Expected, &e, fields{"version": b.str(&e.Version), "description": b.str(&e.Description)}, "version")
	},
	"VersionDeleted": func(b *body, v []byte) (domain.Event, error) {
		var e domain.VersionDeleted
		return aboutFunction(b, v, &e.Function, &e.Expected, &e, fields{"version": b.str(&e.Version)}, "version")
	},
	"PolicyChanged": func(b *body, v []byte) (domain.Event, error) {
		var e domain.PolicyChanged
		return aboutFunction(b, v, &e.Function, &e.Expected, &e, fields{"version": b.str(&e.Version), "policy": b.policy(&e.Policy), "shown": b.str(&e.Shown)})
	},
	"AliasSet": func(b *body, v []byte) (domain.Event, error) {
		var e domain.AliasSet
		a := &e.Alias
		return aboutFunction(b, v, &e.Function, &e.Expected, &e, fields{
			"alias": b.str(&a.Name), "version": b.str(&a.Version), "description": b.str(&a.Description), "other": b.str(&a.Other),
			"weight": b.small(&a.Weight), "rules": b.rules(&a.Rules), "any_rule": b.flag(&a.AnyRule), "shown": b.str(&a.Shown),
		}, "alias", "version")
	},
	"AliasDeleted": func(b *body, v []byte) (domain.Event, error) {
		var e domain.AliasDeleted
		return aboutFunction(b, v, &e.Function, &e.Expected, &e, fields{"alias": b.str(&e.Name)}, "alias")
	},
	"ConcurrencyLimited": func(b *body, v []byte) (domain.Event, error) {
		var e domain.ConcurrencyLimited
		return aboutFunction(b, v, &e.Function, &e.Expected, &e, fields{"max_instances": b.instances(&e.Max)}, "max_instances")
	},
	"FunctionTagged": func(b *body, v []byte) (domain.Event, error) {
		var e domain.FunctionTagged
		return aboutFunction(b, v, &e.Function, &e.Expected, &e, fields{"tags": b.env(&e.Tags)})
	},
	"InstancesReserved": func(b *body, v []byte) (domain.Event, error) {
		var e domain.InstancesReserved
		return aboutFunction(b, v, &e.Function, &e.Expected, &e, fields{"qualifier": b.str(&e.Qualifier), "count": b.small(&e.Count), "shown": b.str(&e.Shown)}, "qualifier", "count")
	},
	"StatusLogEnabled": func(b *body, v []byte) (domain.Event, error) {
		var e domain.StatusLogEnabled
		return e, orNil(b.named(subjectProject, &e.Project), fields{}.read(v))
	},
	"KeyCreated": func(b *body, v []byte) (domain.Event, error) {
		var e domain.KeyCreated
		err := orNil(b.named(subjectKey, &e.Access), fields{
			"sealed": b.base64(&e.Sealed), "projects": b.strings(&e.Projects), "operator": b.flag(&e.Operator), "note": b.str(&e.Note),
		}.read(v, "sealed"))
		return e, err
	},
	"KeyRevoked": func(b *body, v []byte) (domain.Event, error) {
		var e domain.KeyRevoked
		err := orNil(b.named(subjectKey, &e.Access), fields{}.read(v))
		return e, err
	},
}

func (b *body) function(dst *domain.FunctionID) error {
	f, v, err := domain.ParseFunctionURN(b.subject)
	if err == nil && v != "" {
		err = fmt.Errorf("subject %q names a version", clipped(b.subject))
	}
	*dst = f
	return err
}

// named reads a subject of that kind.
func (b *body) named(kind string, dst *string) error {
	name, ok := strings.CutPrefix(b.subject, kind)
	if !ok || name == "" {
		return fmt.Errorf("subject %q is not %sNAME", clipped(b.subject), kind)
	}
	*dst = name
	return nil
}

// instances reads how many attempts may run at once.
func (b *body) instances(dst *int) func([]byte) error {
	return func(v []byte) error {
		var n int64
		err := b.num(&n)(v)
		if err == nil && (n < domain.NoMaxInstances || n > domain.MaxMaxInstances) {
			err = fmt.Errorf("max_instances %d is out of range", n)
		}
		*dst = int(n)
		return err
	}
}

func (b *body) base64(dst *[]byte) func([]byte) error {
	return func(v []byte) error {
		s, err := unquote(v)
		if err == nil {
			*dst, err = base64.StdEncoding.DecodeString(string(s))
		}
		return err
	}
}

func (b *body) strings(dst *[]string) func([]byte) error {
	return func(v []byte) error {
		return eachElement(v, func(element []byte) error {
			s, err := unquote(element)
			*dst = append(*dst, string(s))
			return err
		})
	}
}

func (b *body) rules(dst *[]domain.AliasRule) func([]byte) error {
	return func(v []byte) error {
		return eachElement(v, func(element []byte) error {
			var r domain.AliasRule
			err := fields{"kind": b.str(&r.Kind), "param": b.str(&r.Param), "op": b.str(&r.Op), "values": b.strings(&r.Values)}.read(element, "kind", "param", "op", "values")
			*dst = append(*dst, r)
			return err
		})
	}
}
