// Package attack throws what SECURITY.md names at real processes.
//
// One table, attackers, has a row for each: how it strikes, and which sample of
// /metrics shows it. After each strike the same instance is master, under as
// many promotions as before, nobody has crashed or grown by more than 32 MiB,
// and the sample has moved.
//
// What a single package can be shown by itself is tested there; here stands
// what only whole processes show. `go test ./test/attack` takes the quick rows;
// `-attack` adds the floods, which want a machine of their own.
//
// Everything stays on the loopback interface. It works on Linux only.
package attack
