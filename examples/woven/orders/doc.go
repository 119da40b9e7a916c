// Package orders says what an order is and what can be done with one.
package orders

import (
	"context"
	"errors"
)

// Order is a message.
type Order struct {
	ID       string
	Number   int
	Amount   int
	Country  string
	Customer *Customer
}

// UniqueID names the order.
func (o *Order) UniqueID() string { return o.ID }

// Customer pays.
type Customer struct{ Name string }

// ErrNoCustomer is never seen: the program dies of a nil pointer before.
var ErrNoCustomer = errors.New("nobody pays")

// Service does something with an order.
type Service interface {
	Name() string
	DoService(ctx context.Context, o *Order) error
}

// Producer hands an order to somebody.
type Producer interface {
	Produce(ctx context.Context, o *Order) (place int, err error)
}

// Workflow takes an order all the way.
type Workflow interface {
	OnMessage(context.Context, *Order) error
}
