// Package fgs drives a node with FunctionGraph's own Go client, and with requests as other clients of that service write
// them.
//
// It is a module of its own, so that what the client needs stays out of deed's go.mod. Nothing of deed is imported: the
// program is built as anybody would build it, and spoken to over HTTP.
package fgs
