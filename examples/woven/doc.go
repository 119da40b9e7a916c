// Command woven takes orders through a workflow: a consumer, three services, a
// producer. It knows nothing of failover; `interlok-ha weave go build` puts the
// hooks in.
//
//	woven [-n ORDERS] [-panic ORDER]
package main
