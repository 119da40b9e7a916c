package orders

import "context"

// Flow is a Workflow of services in a row and a producer.
type Flow struct {
	Services []Service
	Producer Producer
}

// OnMessage takes an order through.
func (f *Flow) OnMessage(ctx context.Context, o *Order) (err error) {
	for _, s := range f.Services {
		if err := s.DoService(ctx, o); err != nil {
			return err
		}
	}
	_, err = f.Producer.Produce(ctx, o)
	return
}
