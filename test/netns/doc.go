// Package netns tests the built program in network namespaces that are joined
// by a bridge: partitions, one-way cuts, a card that goes down, unicast without
// multicast. Nothing is attached to an interface of the host.
//
// It needs root, `ip` and `bridge`; without them its tests are skipped.
package netns
