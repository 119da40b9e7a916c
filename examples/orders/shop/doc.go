// Package shop is what the program orders is made of, and what `interlok-ha
// demo` plays with: a source of orders, a sink for invoices, and between them
// the work that only the master does.
//
// Start with [Work] (work.go): it is what a program of your own would have. It
// takes an order, leads it through three services, publishes an invoice behind
// a fence, and does first what its predecessor left. [Source] and [Sink] stand
// for the queue and the store that you have already; [Serve] and [Dial] put a
// socket between.
//
// Source and sink do the two things that make a hand-over exact. Both refuse a
// fencing token smaller than one they have seen. The source hands an order out
// again until it is acknowledged; the sink takes each id once. A sink that does
// not look at ids gets some invoices twice, after a master's death, and those
// only that the new master found with an open publish.
//
// Nothing here is kept on a disk.
package shop
