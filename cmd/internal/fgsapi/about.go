package fgsapi

import (
	"crypto/sha512"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"deed/cmd/internal/door"
	"deed/domain"
	"deed/projections/functions"
)

// about is what clients said of a version and get back as they said it: the settings of FunctionGraph that mean nothing
// here, but for whoever asks.
type about struct {
	Settings map[string]json.RawMessage `json:"settings"`
	CodeType string                     `json:"code_type"`
	Filename string                     `json:"code_filename,omitempty"`
	Of       string                     `json:"of"`     // the code that this is said of; see identity
	Digest   string                     `json:"digest"` // SHA-512, hexadecimal: FunctionGraph's
}

// maxAbout bounds the settings of one version, in bytes.
const maxAbout = 64 << 10

// kept are the settings that are given back as they came, and what JSON they must be: clients decode a whole list or
// nothing of it, so one value of another type would take all functions of a project away from them.
var kept = map[string]string{
	"runtime": "string", "handler": "string", "user_data": "string", "app_xrole": "string", "description": "string", "type": "string",
	"enterprise_project_id": "string", "enable_dynamic_memory": "bool", "enable_lts_log": "bool", "lts_custom_tag": "strings", "log_config": "object",
	"is_stateful_function": "bool", "enable_auth_in_header": "bool", "enable_class_isolation": "bool", "domain_names": "string", "extend_config": "string",
	"ephemeral_storage": "integer", "network_controller": "object", "heartbeat_handler": "string", "user_data_encrypt_kms_key_id": "string",
	"code_encrypt_kms_key_id": "string",
}

// typed reports whether a value is of the type that clients expect.
func typed(v json.RawMessage, kind string) bool {
	switch kind {
	case "string":
		return json.Unmarshal(v, new(string)) == nil
	case "bool":
		return json.Unmarshal(v, new(bool)) == nil
	case "integer":
		return json.Unmarshal(v, new(int32)) == nil
	case "strings":
		return json.Unmarshal(v, new(map[string]string)) == nil
	}
	return json.Unmarshal(v, new(map[string]json.RawMessage)) == nil
}

// unsupported are settings that would change what a function does, and that nothing here can do: to take them and not do it
// would deceive. The code is FunctionGraph's.
var unsupported = map[string]struct{ code, words string }{
	"encrypted_user_data":  {"FSS.1009", "encrypted_user_data is not available: use user_data, which is stored as it is"},
	"func_vpc":             {"FSS.0400", "func_vpc is not available: a function has no network"},
	"mount_config":         {"FSS.0400", "mount_config is not available: a function has no files but those of its code"},
	"depend_version_list":  {"FSS.0400", "depend_version_list is not available: link dependencies into the module, or put them beside it into the archive"},
	"initializer_handler":  {"FSS.1404", "initializer_handler is not available: every attempt has a fresh instance"},
	"pre_stop_handler":     {"FSS.0400", "pre_stop_handler is not available: an instance ends with its attempt"},
	"restore_hook_handler": {"FSS.0400", "restore_hook_handler is not available: an instance ends with its attempt"},
	"gpu_memory":           {"FSS.0400", "gpu_memory is not available: functions run on the CPU"},
}

// settings are a request's members.
type settings map[string]json.RawMessage

// check refuses what cannot be done.
func (s settings) check() error {
	for _, name := range slices.Sorted(maps.Keys(unsupported)) {
		if !blank(s[name]) {
			return fault(unsupported[name].code, unsupported[name].words)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(kept)) {
		if v, ok := s[name]; ok && !typed(v, kept[name]) {
			return fault("FSS.0400", name+" is not of the type that it is to be")
		}
	}
	if t := s.text("type"); t != "" && t != "v1" && t != "v2" {
		return fault("FSS.0400", "type is v1 or v2")
	}
	if v := s["network_controller"]; v != nil {
		var c struct {
			Disable *bool `json:"disable_public_network"`
			VPCs    []struct {
				ID   *string `json:"vpc_id"`
				Name *string `json:"vpc_name"`
			} `json:"trigger_access_vpcs"`
		}
		if json.Unmarshal(v, &c) != nil {
			return fault("FSS.0400", "network_controller is not of the type that it is to be")
		}
	}
	var image struct {
		Enabled bool `json:"enabled"`
	}
	if json.Unmarshal(s["custom_image"], &image) == nil && image.Enabled {
		return fault("FSS.1006", "custom_image is not available: the code is a WebAssembly module, code_type zip")
	}
	return nil
}

// blank reports whether a member says nothing: clients send what a user left out as null, as zero or as empty.
func blank(v json.RawMessage) bool {
	switch strings.TrimSpace(string(v)) {
	case "", "null", `""`, "0", "[]", "{}", "false":
		return true
	}
	// An object whose members all say nothing, as clients make of a struct that was not filled.
	var o map[string]json.RawMessage
	if json.Unmarshal(v, &o) != nil {
		return false
	}
	for _, m := range o {
		if !blank(m) {
			return false
		}
	}
	return true
}

// text is a member that is a string; "" if it is absent.
func (s settings) text(name string) string {
	var out string
	_ = json.Unmarshal(s[name], &out) // a member of another type was refused by decode
	return out
}

// aboutOf reads what was said of a version; of one that was deployed natively nothing was.
func aboutOf(v functions.Version) about {
	a := about{}
	_ = json.Unmarshal([]byte(v.About), &a) // ours; what cannot be read is as if it was not said
	if of := identity(v.Code, v.Files); a.Of != of {
		a.Of, a.CodeType, a.Filename, a.Digest = of, "zip", "", strings.ReplaceAll(of, "sha256:", "")
	}
	return a
}

// identity names code: the digest of its module and, if it has files, theirs.
func identity(code domain.Digest, f domain.Files) string {
	if f.None() {
		return code.String()
	}
	return code.String() + f.Digest.String()
}

// merge puts the settings of a request over those that were kept.
func (a about) merge(s settings) about {
	out := map[string]json.RawMessage{}
	maps.Copy(out, a.Settings)
	for name := range kept {
		if v, ok := s[name]; ok && string(v) != "null" {
			out[name] = v
		}
	}
	a.Settings = out
	return a
}

// code says it of other code. Its digest is that of the module or, with files, of the module and their archive: so it changes
// with either.
func (a about) code(c door.Code, k door.Kept, codeType, filename string) about {
	sum := sha512.New()
	sum.Write(c.Module)
	if c.Files != nil {
		sum.Write(c.Files.Archive())
	}
	a.Of, a.CodeType, a.Filename, a.Digest = identity(k.Code, k.Files), codeType, filename, hex.EncodeToString(sum.Sum(nil))
	return a
}

func (a about) encode() (string, error) {
	b, err := json.Marshal(a)
	if err != nil {
		return "", err
	}
	if len(b) > maxAbout {
		return "", fault("FSS.0413", fmt.Sprintf("the settings of the function have %d bytes; the limit is %d", len(b), maxAbout))
	}
	return string(b), nil
}
