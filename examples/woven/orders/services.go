package orders

import (
	"context"
	"fmt"
)

// Validate lets only sound orders pass.
type Validate struct{ Bad int }

// Name is the service's.
func (Validate) Name() string { return "validate" }

// DoService dies of the bad order.
func (v Validate) DoService(_ context.Context, o *Order) error {
	if o.Number == v.Bad {
		fmt.Println(o.Customer.Name) // nil
	}
	return nil
}

// Enrich adds the country.
type Enrich struct{ Country string }

// Name is the service's.
func (*Enrich) Name() string { return "enrich" }

// DoService sets the country.
func (e *Enrich) DoService(ctx context.Context, o *Order) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	o.Country = e.Country
	return nil
}

// Limited refuses what costs too much. It works for all that has an Order's
// methods.
type Limited[M interface{ *Order }] struct{ Most int }

// Name is the service's.
func (Limited[M]) Name() string { return "limited" }

// DoService refuses.
func (l Limited[M]) DoService(context.Context, *Order) error { return nil }
