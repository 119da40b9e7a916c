// Package mirror is the messaging state that the master leaves to its
// successor: one [Message] for each message, kept as the value of an entry of
// FAILOVER_CACHE under the message's id.
//
// Start with [New]. A [Mirror] is a plugin of package profiler, the one that is
// called failover: from the events of the hooks it keeps what is in flight, and
// writes each message that changed once for every batch of events. On a new
// master [Mirror.InFlight] is what the predecessor left, and [Mirror.Seen] says
// whether a message was done.
//
// It is also the fence: [Mirror.Fence] returns nil once all slaves in step, and
// at least one, hold that a step has started. So a successor that has the put
// knows of every publish that was begun behind a fence.
//
// What a successor may rely on:
//
//   - A message in flight is one whose workflow began and did not end, or was
//     ended because mastership did. Its steps that are open are those of whose
//     end nothing is known here; the producers among them may have published or
//     not ([Message.Doubt]), and only who receives can tell. A producer that
//     completed has published ([Message.Published]), also if the workflow did
//     not end.
//   - What earlier attempts published, or may have, stays with the message until
//     it is done.
//   - A workflow that returned an error, panicked or called runtime.Goexit has
//     ended: the message is failed, not in flight. A message that makes
//     masters die of a panic is not handed from one to the next.
//   - An id that is begun while it is in flight is one message, with one attempt
//     more; it is in flight until the last of its workflows has ended, and done
//     if one of them completed.
//   - Messages are as many as the cache takes in flight. Beyond that a new one is
//     not kept ([Stats.Full]), and fenced steps of it do not run.
//
// Handing over is at least once. It is exact where producers are fenced and who
// receives takes each id once, or refuses tokens below the greatest it has seen.
//
// The bytes of a message, integers as in encoding/binary's varints:
//
//	0      f5 4d       no UTF-8 text begins so
//	2      version     1
//	3      state       1 in flight, 2 done, 3 failed
//	4      attempts    uvarint
//	       started     varint, ms since 1970 UTC
//	       updated     varint, ms after started
//	       ID, workflow, step, error, payload: each a uvarint length and as many bytes
//	       epoch       uvarint, of the reign under which the attempt began
//	       begun       uvarint, its place among those of the same process
//	       steps       uvarint: how many follow
//	         each:     name (length and bytes), kind, phase, uvarint order, uvarint attempt
//
// A value may end behind the payload; then nothing is known of the rest. What
// stands behind the steps is skipped: later versions put new fields there and
// keep the number 1 as long as an old reader is not misled.
//
// Not promised: that a time is right. It is the writer's wall clock, for
// people; nothing here orders messages by it.
package mirror
