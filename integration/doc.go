// Package integration tells whole-system stories against the built binary. It owns no production code: all of it is tests.
package integration
