// Package readers holds what the HTTP API answers against other people's
// readers: the parser and the linter of Prometheus, and a validator of OpenAPI.
// It is a module of its own, so that they are no dependencies of the program.
package readers
