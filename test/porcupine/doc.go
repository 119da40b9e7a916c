// Package porcupine checks histories of the synchronous mode of package cache
// for linearizability: clients put, remove and get on the master while
// instances are killed and started anew, and other instances become master.
//
// It is a module of its own, so that who uses interlok-ha does not depend on
// the checker. Run it with `cd test/porcupine && go test`; -histories and -ops
// say how much, -seed from where.
//
// What is promised, and so checked: without a partition, and while at least one
// slave that knows itself in step survives each death, a put or a removal that
// returned nil is seen by all that begin later. A get is of that kind once
// Flush has returned nil after it; what a bare Get shows may be lost with its
// master. An operation that returned an error has an unknown outcome.
package porcupine
