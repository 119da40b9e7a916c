// Package mirror is the messaging state that the master leaves to its
// successor: one [Message] for each message, kept as the value of an entry of
// FAILOVER_CACHE under the message's id.
//
// So far it is that value and its bytes, no more: [Message.AppendBinary]
// writes one, [Unmarshal] reads one, and says of any other value that it is no
// message. Nothing here fills the cache or reads it; a program puts messages
// there itself.
//
// The bytes, integers as in encoding/binary's varints:
//
//	0      f5 4d       no UTF-8 text begins so
//	2      version     1
//	3      state       1 in flight, 2 done, 3 failed
//	4      attempts    uvarint
//	       started     varint, ms since 1970 UTC
//	       updated     varint, ms after started
//	       ID, workflow, step, error, payload: each a uvarint length and as many bytes
//
// What stands behind is skipped: later versions put new fields there and keep
// the number 1 as long as an old reader is not misled.
//
// Not promised: that a time is right. It is the writer's wall clock, for
// people; nothing here orders messages by it.
package mirror
