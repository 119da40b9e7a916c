package electiontest

import (
	"fmt"
	"strings"
	"testing"
)

func TestProbeLoss(t *testing.T) {
	for _, n := range []int{2, 3, 5} {
		for _, loss := range []int{0, 10, 20, 30} {
			p, f := 0, 0
			for seed := 1; seed <= 8; seed++ {
				var b strings.Builder
				fmt.Fprintf(&b, "seed %d\nlength 6h\nbarrier 50ms\nnet delay=200us..5ms loss=%.2f\n", seed, float64(loss)/100)
				for i := range n {
					fmt.Fprintf(&b, "node %c\n", 'a'+i)
				}
				b.WriteString("0s start all\n")
				sc, err := Parse(b.String())
				if err != nil {
					t.Fatal(err)
				}
				r, err := Run(sc)
				if err != nil {
					t.Fatal(err)
				}
				p += r.Promotions
				f += r.False
				if len(r.Violations) > 0 {
					t.Log(r.Violations[0])
				}
			}
			t.Logf("N=%d loss %d%%: promotions %d false %d", n, loss, p, f)
		}
	}
}
