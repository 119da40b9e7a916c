// Package sink is where orders end.
package sink

import (
	"context"
	"fmt"
	"io"

	"example.com/woven/orders"
)

// Printer is a producer that prints.
type Printer struct {
	To io.Writer
	n  int
}

// Produce prints an order; one that costs more than 100 is refused.
func (p *Printer) Produce(_ context.Context, o *orders.Order) (int, error) {
	if o.Amount > 100 {
		return 0, fmt.Errorf("%d is too much", o.Amount)
	}
	p.n++
	_, err := fmt.Fprintf(p.To, "%d: %s to %s\n", p.n, o.ID, o.Country)
	return p.n, err
}
