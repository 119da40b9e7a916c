package workload

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"time"
)

// order is what the node wants of its keeper, as the words behind the verb.
type order struct {
	instance   [8]byte
	held       int
	linger     time.Duration // of the obituary; 0 = there is none
	privileges bool
	path       string // empty: there is no COMMAND
	argv       []string
}

// fixed is the first descriptor of the held files.
func (o order) fixed() int {
	if o.linger > 0 {
		return fdTestament + 1
	}
	return fdReports + 1
}

// words is the inverse of parseOrder.
func (o order) words() []string {
	privileges := "no-new-privileges"
	if o.privileges {
		privileges = "new-privileges"
	}
	return append([]string{hex.EncodeToString(o.instance[:]), strconv.Itoa(o.held), strconv.FormatInt(int64(o.linger), 10), privileges, o.path}, o.argv...)
}

func parseOrder(words []string) (order, error) {
	if len(words) < 5 || words[4] != "" && len(words) < 6 {
		return order{}, fmt.Errorf("keeper: it is started by interlok-ha run, not by hand")
	}
	var o order
	id, err := hex.DecodeString(words[0])
	if err != nil || len(id) != len(o.instance) {
		return order{}, fmt.Errorf("keeper: instance %q", words[0])
	}
	o.instance = [8]byte(id)
	if o.held, err = strconv.Atoi(words[1]); err != nil || o.held < 0 {
		return order{}, fmt.Errorf("keeper: number of held files %q", words[1])
	}
	linger, err := strconv.ParseInt(words[2], 10, 64)
	if err != nil || linger < 0 {
		return order{}, fmt.Errorf("keeper: linger %q", words[2])
	}
	o.linger = time.Duration(linger)
	o.privileges = words[3] == "new-privileges"
	o.path, o.argv = words[4], words[5:]
	return o, nil
}
