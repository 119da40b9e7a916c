// Package config reads the settings of one instance: ehcache.xml,
// bootstrap.properties (with adp-profiler.properties beside it), INTERLOK_HA_*
// variables and --set arguments, the later over the earlier, over built-in
// defaults.
//
// Start with [Load]. It returns [Settings], plain values that are valid alone
// and together, or [Faults], every fault at once with its place and its remedy.
// keys.go is the one table of keys; everything else here follows it. What an
// ehcache.xml says of FAILOVER_CACHE and its network is taken as values of keys.
//
// The package takes the environment, the host name and the user as arguments,
// so the same input gives the same settings anywhere. It opens the files that the
// settings name (the bootstrap file, ehcache.xml, secrets) and no others; it never logs or exits.
//
// What it does not promise: that a network interface exists, that an address is
// free, that a directory can be written, or that a plugin of that name is built in.
// Who uses them finds out.
package config
