//go:build linux

// Command actor is what interlok-ha starts in the bench: it stamps FILE until
// it is ended.
//
//	actor FILE
package main

import (
	"fmt"
	"os"

	"github.com/interlok-ha/interlok-ha/bench/failover/stamp"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: actor FILE")
		os.Exit(2)
	}
	s, err := stamp.Open(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, "actor:", err)
		os.Exit(1)
	}
	acting := make(chan bool, 1)
	acting <- true
	s.Follow(acting)
}
