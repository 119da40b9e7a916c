// Package heartbeat is the packet of the protocol: its fields, its bytes, its
// signature. Every instance sends one each delay; every other message of the
// election (a claim, a vote, a resignation) is a heartbeat of another [Kind],
// because each packet carries the sender's whole state. So a packet lost or
// overtaken costs time, never knowledge.
//
// Start with [Packet], [NewCodec], [Codec.Seal] and [Codec.Open].
//
// The bytes (PROTOCOL.md §1), big endian, offsets from the start of the datagram:
//
//	  0   4  magic "ILHA"
//	  4   1  version, 1
//	  5   1  key id; 0 = not signed
//	  6   2  length of the datagram, tag included
//	  8   8  cluster tag
//	 16   1  kind
//	 17   1  state of the sender
//	 18   2  flags
//	 20  16  node id: SHA-256(cluster, 0, name), first 16 bytes
//	 36  16  instance: 128 random bits per start of the process
//	 52   8  sequence number, grows with each packet of the instance
//	 60   8  epoch of the sender's reign or claim, 0 for a slave
//	 68   8  epoch that the sender asks votes for, 0 = none
//	 76   8  greatest epoch that the sender knows to have reigned
//	 84  32  master seen: instance 16, epoch 8, sequence number 8
//	116  32  promise:     instance 16, epoch 8, sequence number 8
//	148  56  resigned:    instance 16, epoch 8, heir 16, log epoch 8, log n 8
//	204  48  obituary:    instance 16, secret 32
//	252  16  log position: epoch 8, n 8
//	268  10  order of a claim, frozen at its start: position 2, n 8
//	278   4  delay, ms
//	282   2  retries
//	284   1  votes
//	285   1  quorum
//	286   2  position, 0 = allot one
//	288   4  maintenance: version
//	292   4  maintenance: ms left
//	296  18  address of the cache: IP 16 (IPv4 mapped), port 2
//	314  32  obituary hash: SHA-256("obit", instance, secret)
//	346   1  length of the name, 1 to 63
//	347   n  name, UTF-8
//	      1  number of heard entries, 0 to 40
//	     12  each: first 8 bytes of the instance, low 4 bytes of its sequence number
//	      …  unknown trailing fields of later versions: skipped
//	     16  tag, only if the key id is not 0:
//	         HMAC-SHA256 over all bytes before it, first 16 bytes
//
// A datagram is at most [MaxSize] bytes, so it is never fragmented.
//
// What it does not do: it keeps no state. Whether a packet is a replay, or was
// sent by a peer that hears us, is decided by who receives it.
package heartbeat
