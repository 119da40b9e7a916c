// Package chaos breaks a cluster of real processes at random, and judges what
// it did.
//
// Three instances of the built program run in network namespaces. Their cables
// end in a switch of our own (switch_linux_test.go), a program that loses, doubles, delays
// and reorders frames as it is told. Their COMMAND is a master's work
// (worker_linux_test.go): it says every few milliseconds that it runs, and takes orders
// from the source and hands them to the sink of examples/orders. A driver with
// a seed (play_linux_test.go) lays faults over each other (faults_linux_test.go
// and around_linux_test.go), heals all, waits until the cluster is whole, and begins again. In the end
// judge (check.go) goes through what the commands, the nodes and the sink wrote
// down: no message lost, no write taken under an old token, one master in time
// after the last fault; and with a quorum never two commands at once.
//
// The same seed gives the same faults in the same order. What the processes do
// meanwhile is not the same, so a seed that failed once may need some tries.
//
// TestMutants takes guards out of the program, one at a time, and wants the
// judge to see each: it builds from changed copies of a source file, with one
// or two kinds of faults only, so that it does not take long.
//
// It needs root, ip, nsenter and unshare, and is skipped without -chaos. Where
// node and keeper stand still at the same time only the token is promised: there
// the judge lets two commands pass.
package chaos
