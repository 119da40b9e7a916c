// Package house holds the rules of the house as tests: who may import whom,
// who may read the environment, who may exit, who may look at the clock. It
// has no code of its own. The linter's configuration holds the same rules; the
// test needs nothing but Go.
package house
