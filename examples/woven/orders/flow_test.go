package orders

import (
	"context"
	"errors"
	"testing"
)

type nowhere struct{ sent int }

func (n *nowhere) Produce(context.Context, *Order) (int, error) {
	n.sent++
	return n.sent, errors.New("no way")
}

func TestFlow(t *testing.T) {
	n := new(nowhere)
	f := &Flow{Services: []Service{&Enrich{Country: "SE"}}, Producer: n}
	o := &Order{ID: "1"}
	if err := f.OnMessage(t.Context(), o); err == nil || n.sent != 1 || o.Country != "SE" {
		t.Errorf("got %v, sent %d, country %q", err, n.sent, o.Country)
	}
}
