package fgsapi

import (
	"encoding/base64"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"deed/projections/functions"
)

type object = map[string]any

// show is a version as FunctionGraph's function object.
func (s *Server) show(f functions.Function, v functions.Version) object {
	a := aboutOf(v)
	out := object{"runtime": runtimeWasm, "handler": "-", "type": "v2"}
	for name, value := range a.Settings {
		out[name] = value
	}
	if env, err := UserData(settings(a.Settings).text("user_data")); err != nil || !slices.Equal(env, v.Env) { // deployed natively since
		user := map[string]string{}
		for _, e := range v.Env {
			user[e.Name] = e.Value
		}
		b, _ := json.Marshal(user) // strings
		out["user_data"] = string(b)
	}
	mb := (v.Limits.Memory + 1<<20 - 1) >> 20
	maps.Copy(out, object{
		"func_id": f.ID.String(), "resource_id": f.ID.String(), "func_urn": f.ID.Version(v.Version), "func_name": f.ID.Name, "domain_id": "", "namespace": f.ID.Project,
		"project_name": f.ID.Project, "package": f.ID.Package, "timeout": int64((v.Limits.Timeout + time.Second - 1) / time.Second), "memory_size": mb,
		"cpu": mb*100/128 + 200, "code_type": a.CodeType, "code_filename": a.Filename, "code_size": sizeOf(v), "digest": a.Digest, "version": v.Version,
		"image_name": imageName(v), "xrole": v.Agency, "last_modified": zuluTime(v.DeployedAt), "strategy_config": object{"concurrency": f.MaxInstances, "concurrent_num": 1},
		"long_time": false, "depend_list": []string{}, "depend_version_list": []string{}, "dependencies": []string{},
	})
	return out
}

// imageName names a build of a version.
func imageName(v functions.Version) string {
	return v.Version + "-" + v.DeployedAt.Time().UTC().Format("060102150405") + "@" + strings.TrimPrefix(v.Code.String(), "sha256:")[:5]
}

// showCodeOf is a version's code, a module or an archive; without it only what it is.
func (s *Server) showCodeOf(f functions.Function, v functions.Version, code []byte) object {
	all := s.show(f, v)
	out := object{"func_code": object{"file": base64.StdEncoding.EncodeToString(code), "link": ""}}
	if code == nil {
		out["func_code"] = object{}
	}
	for _, name := range []string{
		"func_urn", "func_name", "domain_id", "runtime", "code_type", "code_filename", "code_size", "digest", "last_modified", "strategy_config", "depend_list", "depend_version_list", "dependencies",
	} {
		out[name] = all[name]
	}
	return out
}
