package cache

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// BenchmarkTable is what a table costs a put, beside nothing else.
func BenchmarkTable(b *testing.B) {
	for _, keys := range []int{1_000, 100_000} {
		b.Run(fmt.Sprint(keys), func(b *testing.B) {
			t := newTable(Spec{Name: "a", MaxEntries: 100_000, Eternal: true})
			value := make([]byte, 200)
			order := rand.New(rand.NewPCG(1, 2))
			for i := range keys {
				t.set(nil, name(i), value, uint64(i), 1, false)
			}
			n := uint64(0)
			for b.Loop() {
				n++
				key := name(order.IntN(keys))
				t.set(t.get(key), key, value, n, 1, false)
			}
		})
	}
}

func name(i int) string {
	b := []byte("key:000000000000")
	for at := len(b) - 1; i > 0; at-- {
		b[at] = '0' + byte(i%10)
		i /= 10
	}
	return string(b)
}
