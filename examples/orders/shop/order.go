package shop

import (
	"encoding/json"
	"fmt"
	"strconv"
)

// Order is one message.
type Order struct {
	Number   int    `json:"number"` // from 1, without gaps
	Item     string `json:"item"`
	Quantity int    `json:"quantity"`
}

// ID is the id of the message in the cache and at the sink.
func (o Order) ID() string { return strconv.Itoa(o.Number) }

// newOrder makes the order of a number, the same each time.
func newOrder(n int) Order {
	items := []string{"hammer", "saw", "plane", "chisel", "rasp"}
	return Order{Number: n, Item: items[n%len(items)], Quantity: 1 + n%7}
}

// Invoice is what the three services make of an order.
type Invoice struct {
	Order   string `json:"order"` // its id
	Cents   int    `json:"cents"`
	Reserve string `json:"reserve"` // where the goods lie
}

// prices are those of one piece, in cents.
var prices = map[string]int{"hammer": 1890, "saw": 2450, "plane": 5990, "chisel": 1275, "rasp": 990}

func validate(o Order, _ *Invoice) error {
	if _, ok := prices[o.Item]; !ok || o.Quantity < 1 {
		return fmt.Errorf("order %s: %d of %q cannot be had", o.ID(), o.Quantity, o.Item)
	}
	return nil
}

func price(o Order, i *Invoice) error {
	i.Order, i.Cents = o.ID(), o.Quantity*prices[o.Item]
	return nil
}

func reserve(o Order, i *Invoice) error {
	i.Reserve = fmt.Sprintf("shelf %d", o.Number%12)
	return nil
}

// payload is what the cache keeps of an order.
func (o Order) payload() []byte {
	b, _ := json.Marshal(o) // of such a struct it never fails
	return b
}

func parseOrder(payload []byte) (Order, error) {
	var o Order
	if err := json.Unmarshal(payload, &o); err != nil {
		return o, fmt.Errorf("read an order: %w", err)
	}
	return o, nil
}
