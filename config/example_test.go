package config_test

import (
	"fmt"

	"github.com/interlok-ha/interlok-ha/config"
)

func ExampleLoad() {
	s, err := config.Load(config.Source{
		Hostname: "box",
		Environ:  []string{"HOME=/home/ada", "INTERLOK_HA_FAILOVER_DELAY=250ms"},
		Sets:     []string{"failover.name=a"},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(s.Name, s.Design, s.Lease())
	for _, row := range s.Show()[:3] {
		fmt.Printf("%s=%s (%s)\n", row.Key, row.Value, row.Origin)
	}
	// Output:
	// a 3.0.6 1.25s
	// failover.group=230.0.0.1 (default)
	// failover.port=2710 (default)
	// failover.delay=250ms (environment INTERLOK_HA_FAILOVER_DELAY)
}

// Every fault is reported at once.
func ExampleFaults() {
	_, err := config.Load(config.Source{
		Hostname: "box",
		Environ:  []string{"HOME=/home/ada"},
		Sets:     []string{"failover.dealy=1000", "failover.retries=1"},
	})
	fmt.Println(err)
	// Output:
	// --set: failover.dealy: no such key; write failover.delay if that is what you mean
	// --set: failover.retries: "1" is out of range; write a whole number from 2 to 1000
}
