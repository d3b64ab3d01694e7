package httpapi

import (
	"fmt"
	"net/http"
	"strings"

	"deed/cmd/internal/access"
	"deed/domain"
	"deed/runtime/files"
)

type object = map[string]any

func (s *Server) openapi(w http.ResponseWriter, _ *http.Request) error {
	return reply(w, http.StatusOK, Document(s.Version))
}

// Document is the OpenAPI 3.1 document. Its paths come from the table that the router is made of.
func Document(version string) map[string]any {
	paths := object{}
	for _, r := range routes() {
		item, _ := paths[r.path].(object)
		if item == nil {
			item = object{}
			paths[r.path] = item
		}
		op := object{
			"operationId": operation(r), "summary": r.summary,
			"responses": object{
				success(r): object{"description": "done"},
				"default":  object{"description": "not done", "content": object{"application/problem+json": object{"schema": ref("Problem")}}},
			},
		}
		var params []object
		for part := range strings.SplitSeq(r.path, "/") {
			if strings.HasPrefix(part, "{") {
				params = append(params, object{"name": strings.Trim(part, "{}"), "in": "path", "required": true, "schema": object{"type": "string"}})
			}
		}
		for _, q := range queries[r.method+" "+r.path] {
			params = append(params, object{"name": q[0], "in": q[1], "description": q[2], "schema": object{"type": "string"}})
		}
		switch r.who {
		case anybody:
			op["security"] = []object{}
		case tenants:
			params = append(params, object{"name": headerProject, "in": "header", "description": "project that the call is about; by default the key's only one, or " + domain.NativeProject, "schema": object{"type": "string"}})
		case operators:
		}
		if params != nil {
			op["parameters"] = params
		}
		if schema, ok := answers[r.method+" "+r.path]; ok {
			op["responses"].(object)[success(r)] = object{"description": "done", "content": object{"application/json": object{"schema": ref(schema)}}} //nolint:forcetypeassert // made above
		}
		if media, ok := bodies[r.method+" "+r.path]; ok {
			content := object{}
			for name, schema := range media {
				content[name] = object{"schema": schema}
			}
			op["requestBody"] = object{"content": content}
		}
		item[strings.ToLower(r.method)] = op
	}
	return object{
		"openapi": "3.1.0",
		"info":    object{"title": "Deed", "version": version, "license": object{"name": "Apache-2.0", "identifier": "Apache-2.0"}},
		"paths":   paths, "components": object{"schemas": schemas(), "securitySchemes": object{
			"token":     object{"type": "http", "scheme": "bearer", "description": "ACCESS.SECRET; needed once there are access keys"},
			"signature": object{"type": "apiKey", "in": "header", "name": "Authorization", "description": access.Algorithm + ", as Huawei Cloud's SDKs sign"},
		}},
		"security": []object{{"token": []string{}}, {"signature": []string{}}, {}},
	}
}

func ref(name string) object { return object{"$ref": "#/components/schemas/" + name} }

func operation(r route) string {
	words := strings.FieldsFunc(strings.ToLower(r.method)+"/"+r.path, func(c rune) bool { return strings.ContainsRune("/{}.", c) })
	return strings.Join(words, "_")
}

func success(r route) string {
	switch {
	case r.method == http.MethodPost && strings.HasSuffix(r.path, "/invocations"):
		return "202"
	case r.method == http.MethodDelete:
		return "204"
	}
	return "200"
}

var queries = map[string][][3]string{
	"PUT /v1/functions/{name}": {
		{"timeout", "query", "time limit of an attempt, like 30s"},
		{"memory", "query", "memory limit, like 128MiB"},
		{"max_output", "query", "output limit, like 6MiB"},
		{"fuel", "query", "limit of what an attempt may compute, in units of fuel; 0 is none"},
		{"env", "query", "NAME=VALUE; may be repeated"},
	},
	"POST /v1/functions/{name}/invocations": {
		{"Prefer", "header", "wait=SECONDS answers with the outcome (200) if it comes in time, else 202"},
		{headerKey, "header", "1 to 255 printable ASCII characters, bare or quoted: for 24 hours the same call with the same key makes no second invocation; another call is answered with 409. " + headerReplayed + ": true says that an earlier call was accepted"},
	},
	"GET /v1/invocations/{id}": {{"Prefer", "header", "wait=SECONDS waits for the outcome"}},
	"GET /v1/reconcile": {
		{"function", "query", "name of a function"},
		{"since", "query", "of invocations accepted at or after that time (RFC 3339)"},
		{"until", "query", "of invocations accepted at or before that time"},
	},
	"GET /v1/notifications": {
		{"function", "query", "name of a function"},
		{"status", "query", "owed, delivered, abandoned or redelivered"},
		{"since", "query", "of invocations accepted at or after that time (RFC 3339)"},
		{"limit", "query", "1 to 10000; 100 by default"},
	},
	"GET /v1/operations/{operation}": {
		{"after", "query", "version of an operation: answers once it is another one, or has ended"},
		{"Prefer", "header", "wait=SECONDS bounds that"},
	},
	"GET /v1/invocations": {
		{"function", "query", "name of a function"},
		{"status", "query", "waiting, running, succeeded, failed or discarded"},
		{"since", "query", "accepted at or after that time (RFC 3339)"},
		{"limit", "query", "1 to 10000; 100 by default"},
	},
}

var answers = map[string]string{
	"PUT /v1/functions/{name}": "Function", "GET /v1/functions/{name}": "Function", "PUT /v1/functions/{name}/policy": "Function",
	"GET /v1/functions/{name}/policy": "Policy", "POST /v1/functions/{name}/invocations": "Accepted", "GET /v1/invocations/{id}": "Invocation",
	"POST /v1/invocations/{id}/cancel": "Accepted", "GET /v1/nodes": "Nodes", "POST /v1/keys": "Key",
	"GET /v1/reconcile": "Reconciliation", "POST /v1/operations": "Operation", "GET /v1/operations/{operation}": "Operation", "POST /v1/operations/{operation}/pause": "Operation",
	"POST /v1/operations/{operation}/resume": "Operation", "POST /v1/operations/{operation}/stop": "Operation",
}

var binary = object{"type": "string", "format": "binary"}

// bodies are the media types that an operation takes, with their schemas.
var bodies = map[string]object{
	"PUT /v1/functions/{name}": {
		"application/wasm": object{"type": "string", "format": "binary", "maxLength": maxModule},
		"multipart/form-data": object{"type": "object", "required": []string{partModule}, "additionalProperties": false, "properties": object{
			partModule: binary,
			partFiles: object{"type": "string", "format": "binary", "maxLength": files.MaxArchive, "description": fmt.Sprintf(
				"tar archive of what the function finds below /, read-only: at most %d regular files and directories, %d bytes of files together", files.MaxEntries, files.MaxBytes)},
		}},
	},
	"POST /v1/functions/{name}/invocations": {"application/octet-stream": object{"type": "string", "format": "binary", "maxLength": domain.MaxPayload}},
	"PUT /v1/functions/{name}/policy":       {"application/json": ref("Policy")},
	"POST /v1/keys": {"application/json": object{"type": "object", "properties": object{
		"projects": object{"type": "array", "items": object{"type": "string"}}, "operator": object{"type": "boolean"}, "note": object{"type": "string", "maxLength": 200},
	}}},
	"POST /v1/operations":              {"application/json": ref("NewOperation")},
	"POST /v1/invocations/{id}/cancel": {"application/json": object{"type": "object", "properties": object{"force": object{"type": "boolean"}}}},
}

func schemas() object {
	str, num := object{"type": "string"}, object{"type": "integer"}
	kinds := []string{}
	for _, k := range domain.FailureKinds() {
		kinds = append(kinds, string(k))
	}
	return object{
		"Nodes": object{"type": "object", "properties": object{
			"node": str, "alarms": object{"type": "array", "items": str},
			"nodes": object{"type": "array", "items": object{"type": "object", "properties": object{"node": str, "partitions": object{"type": "array", "items": num}, "open": num}}},
			"partitions": object{"type": "array", "items": object{"type": "object", "properties": object{
				"partition": num, "owner": str, "epoch": num, "end": num, "lag": num, "committed": num, "open": num,
				"oldest_wait_seconds": object{"type": "number"}, "void_records": num, "log_time": str,
			}}},
		}},
		"Key": object{"type": "object", "properties": object{
			"access_key": str, "secret_key": str, "token": str, "projects": object{"type": "array", "items": str}, "operator": object{"type": "boolean"},
			"note": str, "created_at": str, "revoked_at": str,
		}},
		"Reconciliation": object{"type": "object", "properties": object{
			"agrees": object{"type": "boolean"}, "ended": num, "untold": num, "owed": num, "pending": num, "delivered": num, "abandoned": num, "redelivered": num,
			"verified": num, "doubled": num, "older": object{"type": "boolean"}, "not_listed": num, "uncovered": object{"type": "array", "items": str},
			"findings": object{"type": "array", "items": object{"type": "object", "properties": object{
				"request_id": str, "sink": str, "what": object{"enum": []string{"missing", "different", "extra", "unreached"}}, "where": str, "words": str,
			}}},
		}},
		"NewOperation": object{"type": "object", "required": []string{"kind"}, "properties": object{
			"kind": object{"enum": []string{string(domain.Redrive), string(domain.Renotify)}}, "ids": object{"type": "array", "items": str, "maxItems": domain.MaxListed},
			"function": str, "status": object{"enum": []string{"succeeded", "failed", "discarded"}}, "condition": str, "since": str, "until": str,
			"rate": object{"type": "integer", "minimum": 1, "maximum": domain.MaxRate, "default": domain.DefaultRate}, "pinned": object{"type": "boolean"}, "dry_run": object{"type": "boolean"},
		}},
		"Operation": object{"type": "object", "properties": object{
			"id": str, "kind": str, "status": object{"enum": []string{"planned", "running", "paused", "ended", "dry run"}}, "by": str, "requested_at": str, "ended_at": str, "reason": str,
			"total": num, "done": num, "failed": num, "passed_over": num, "open": num, "older": object{"type": "boolean"}, "version": num,
			"results": object{"type": "array", "items": object{"type": "object", "properties": object{"request_id": str, "redriven_as": str, "place": str, "problem": str}}},
		}},
		"Problem": object{"type": "object", "required": []string{"type", "title", "status"}, "properties": object{
			"type": str, "title": str, "status": num, "detail": str, "hint": str, "request_id": str,
		}},
		"Accepted": object{"type": "object", "required": []string{"request_id"}, "properties": object{"request_id": str}},
		"Policy": object{"type": "object", "properties": object{
			"max_async_retry_attempts":       object{"type": "integer", "minimum": 0, "maximum": domain.MaxRetriesLimit, "default": domain.DefaultMaxRetries},
			"max_async_event_age_in_seconds": object{"type": "integer", "minimum": 1, "maximum": 86400, "default": 3600},
			"on_success":                     str, "on_failure": str,
		}},
		"Function": object{"type": "object", "properties": object{
			"name": str, "urn": str, "version": str, "digest": str, "size": num, "files": str, "files_size": num, "timeout_ms": num, "memory": num, "max_output": num, "fuel": num,
			"env": object{"type": "object", "additionalProperties": str}, "deployed_at": str, "policy": ref("Policy"), "warnings": object{"type": "array", "items": str},
		}},
		"Invocation": object{"type": "object", "required": []string{"request_id", "status", "attempts", "requested_at"}, "properties": object{
			"request_id": str, "function": str, "version": str, "status": object{"enum": []string{"waiting", "running", "succeeded", "failed", "discarded", "refused"}},
			"attempts": num, "requested_at": str, "ended_at": str, "result": str, "result_base64": str, "failure_kind": object{"enum": kinds}, "condition": str, "error": str,
			"deadline": str, "retry_due": str, "cancel_requested": object{"type": "boolean"}, "parent": str, "root": str, "redrives": str, "redriven_as": str, "hops": num,
			"notification": object{"type": "object", "properties": object{"sink": str, "status": object{"enum": []string{"owed", "delivered", "abandoned"}}, "failed_tries": num}},
		}},
	}
}
