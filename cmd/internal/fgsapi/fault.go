// Package fgsapi is the door that FunctionGraph's own clients use: version 2 of its API, as far as functions and their
// asynchronous invocations go.
//
// Everything that arrives here was written for another server. What can be kept is kept as published; what cannot is refused
// with the published code, and words that say what this server takes instead.
package fgsapi

import (
	"encoding/json"
	"errors"
	"net/http"

	"deed/domain"
)

// Fault is an answer of no in FunctionGraph's form: nothing was changed. Its JSON is {"error_code":…,"error_msg":…}; the clients
// take both for the error only if both are strings that are not empty.
type Fault struct {
	Status int    // of HTTP; 400 to 599
	Code   string // as published, like FSS.1051
	Words  string // for a person
}

func (f *Fault) Error() string { return f.Words }

// MarshalJSON never leaves a member empty.
func (f *Fault) MarshalJSON() ([]byte, error) {
	out := struct {
		Code  string `json:"error_code"`
		Words string `json:"error_msg"`
	}{f.Code, f.Words}
	if out.Code == "" {
		out.Code = codeUnknown
	}
	if out.Words == "" {
		out.Words = published[out.Code].words
	}
	if out.Words == "" {
		out.Words = published[codeUnknown].words
	}
	return json.Marshal(out)
}

// fault makes a Fault with a published code, and its published words if words is "". A code that is not in the table is a
// mistake of ours, hence status 500; a test reads this package for codes that are not in it.
func fault(code, words string) *Fault {
	p, ok := published[code]
	if !ok {
		p = published[codeUnknown]
	}
	if words == "" {
		words = p.words
	}
	return &Fault{p.status, code, words}
}

// because is the fault with the words of err. A Rejection's hint is part of them: this form has no place of its own for it.
func because(code string, err error) *Fault {
	words := err.Error()
	if r := (*domain.Rejection)(nil); errors.As(err, &r) && r.Hint != "" {
		words += ": " + r.Hint
	}
	return fault(code, words)
}

// codeUnknown stands for what has no code.
const codeUnknown = "FSS.0500"

// published is FunctionGraph's table of errors. The words of 0400 to 0429, 1051 to 1053 and 1061 are its own where its API
// definition shows some; the others say what its manual says of the code.
var published = map[string]struct {
	status int
	words  string
}{
	"FSS.0400": {http.StatusBadRequest, "the request is not valid"},
	"FSS.0401": {http.StatusUnauthorized, "the request is not authenticated"},
	"FSS.0403": {http.StatusForbidden, "invalid token"},
	"FSS.0404": {http.StatusNotFound, "can not find function"},
	"FSS.0406": {http.StatusNotAcceptable, "the request cannot be served as it asks to be"},
	"FSS.0408": {http.StatusRequestTimeout, "the request timed out"},
	"FSS.0409": {http.StatusConflict, "the request conflicts with the state"},
	"FSS.0410": {http.StatusGone, "it is no longer there"},
	"FSS.0413": {http.StatusRequestEntityTooLarge, "the request is too large"},
	"FSS.0424": {http.StatusFailedDependency, "what the request depends on failed"},
	"FSS.0426": {http.StatusUpgradeRequired, "the protocol is not supported"},
	"FSS.0428": {http.StatusPreconditionRequired, "the request lacks a precondition"},
	"FSS.0429": {http.StatusTooManyRequests, "api is busy now"},
	"FSS.0500": {http.StatusInternalServerError, "internal error"},
	"FSS.0501": {http.StatusNotImplemented, "the operation is not provided"}, // ours: FunctionGraph provides them all
	"FSS.0502": {http.StatusBadGateway, "bad gateway"},
	"FSS.0503": {http.StatusServiceUnavailable, "it cannot be done now; the same request may succeed later"},
	"FSS.0504": {http.StatusGatewayTimeout, "no answer in time"},

	"FSS.1001": {http.StatusBadRequest, "a query parameter is not valid"},
	"FSS.1002": {http.StatusBadRequest, "the function name is not valid"},
	"FSS.1003": {http.StatusBadRequest, "the handler is not valid"},
	"FSS.1004": {http.StatusBadRequest, "the package is not valid"},
	"FSS.1005": {http.StatusBadRequest, "the runtime is not valid"},
	"FSS.1006": {http.StatusBadRequest, "the code type is not valid"},
	"FSS.1007": {http.StatusBadRequest, "the memory size is not valid"},
	"FSS.1008": {http.StatusBadRequest, "the timeout is not valid"},
	"FSS.1009": {http.StatusBadRequest, "the user data is not valid"},
	"FSS.1010": {http.StatusBadRequest, "the URL of the code is not valid"},
	"FSS.1011": {http.StatusBadRequest, "the code is not valid"},
	"FSS.1012": {http.StatusBadRequest, "the code is missing"},
	"FSS.1013": {http.StatusBadRequest, "the type of the file is not valid"},
	"FSS.1014": {http.StatusBadRequest, "the alias is not valid"},
	"FSS.1015": {http.StatusBadRequest, "the version is not valid"},
	"FSS.1016": {http.StatusBadRequest, "nothing has changed since the last version: there is nothing to publish"},
	"FSS.1017": {http.StatusBadRequest, "the user data has more than 20 items"},
	"FSS.1018": {http.StatusBadRequest, "the user data is too large"},
	"FSS.1019": {http.StatusBadRequest, "the description is too long"},
	"FSS.1021": {http.StatusBadRequest, "the agency is not valid"},
	"FSS.1026": {http.StatusBadRequest, "the concurrency is not valid"},
	"FSS.1091": {http.StatusBadRequest, "the additional version is not valid"},
	"FSS.1092": {http.StatusBadRequest, "the weight of the additional version is not valid"},
	"FSS.1093": {http.StatusBadRequest, "the additional version is the main version"},
	"FSS.1309": {http.StatusBadRequest, "the function URN is not valid"},
	"FSS.1404": {http.StatusBadRequest, "the initializer is not valid"},
	"FSS.1405": {http.StatusBadRequest, "the timeout of the initializer is not valid"},

	"FSS.1041": {http.StatusForbidden, "there are as many functions as the quota allows"},
	"FSS.1042": {http.StatusForbidden, "there is as much code as the quota allows"},
	"FSS.1043": {http.StatusForbidden, "there are as many aliases as the quota allows"},
	"FSS.1044": {http.StatusForbidden, "there are as many applications as the quota allows"},
	"FSS.1045": {http.StatusForbidden, "there are as many dependencies as the quota allows"},
	"FSS.1094": {http.StatusForbidden, "an alias has the version for its additional version"},
	"FSS.1154": {http.StatusForbidden, "the alias has triggers"},

	"FSS.1051": {http.StatusNotFound, "Not found the function"},
	"FSS.1052": {http.StatusNotFound, "Not found the function version"},
	"FSS.1053": {http.StatusNotFound, "Not found the function alias"},
	"FSS.1055": {http.StatusNotFound, "Not found the application"},
	"FSS.1056": {http.StatusNotFound, "Not found the dependency"},
	"FSS.1131": {http.StatusNotFound, "Not found the trigger"},

	"FSS.1061": {http.StatusConflict, "The function has existed"},
	"FSS.1062": {http.StatusConflict, "The function version has existed"},
	"FSS.1063": {http.StatusConflict, "The function alias has existed"},
	"FSS.1066": {http.StatusConflict, "the version has an alias already"},

	"FSS.1071": {http.StatusRequestEntityTooLarge, "the package is larger than 50 MB"},
	"FSS.1072": {http.StatusRequestEntityTooLarge, "the inline code is larger than 10 KB"},
	"FSS.1201": {http.StatusRequestEntityTooLarge, "the body of the request is too large"},

	"FSS.1202": {http.StatusInternalServerError, "the function's response has no status code"},
	"FSS.1302": {http.StatusInternalServerError, "it could not be saved"},

	"FSS.1401": {http.StatusServiceUnavailable, "the image could not be pulled"},
	"FSS.1402": {http.StatusServiceUnavailable, "the image could not be started"},
	"FSS.1403": {http.StatusServiceUnavailable, "the image is not valid"},
}

// short cuts what a client wrote to n bytes, so that an answer stays readable. It is for %q, which escapes a rune cut in two.
func short(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return s[:n] + "…"
}
