package heartbeat_test

import (
	"errors"
	"fmt"
	"time"

	"github.com/interlok-ha/interlok-ha/heartbeat"
)

func ExampleCodec() {
	key := heartbeat.Key{1, 2, 3} // 32 random bytes in earnest
	sender, err := heartbeat.NewCodec("orders", 0, key)
	if err != nil {
		fmt.Println(err)
		return
	}
	datagram, err := sender.Seal(nil, &heartbeat.Packet{
		Kind:     heartbeat.KindHeartbeat,
		State:    heartbeat.StateMaster,
		Node:     heartbeat.NewNodeID("orders", "a"),
		Instance: heartbeat.InstanceID{0x2f},
		Seq:      7,
		Epoch:    3,
		Delay:    time.Second,
		Retries:  5,
		Name:     "a",
	})
	if err != nil {
		fmt.Println(err)
		return
	}

	receiver, err := heartbeat.NewCodec("orders", 0, key)
	if err != nil {
		fmt.Println(err)
		return
	}
	var p heartbeat.Packet
	if err := receiver.Open(datagram, &p); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(p.Name, p.State, "epoch", p.Epoch, "lease", p.Lease())

	datagram[60] ^= 1 // somebody changes the epoch
	err = receiver.Open(datagram, &p)
	fmt.Println(err, errors.Is(err, heartbeat.ErrForged))
	// Output:
	// a master epoch 3 lease 5s
	// heartbeat: signature does not match true
}
