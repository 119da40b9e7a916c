package httphook_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"

	"github.com/interlok-ha/interlok-ha/profiler"
	"github.com/interlok-ha/interlok-ha/profiler/httphook"
)

// printer is a plugin that prints how steps end.
type printer struct{}

func (printer) Observe(batch []profiler.Event) {
	for _, ev := range batch {
		if ev.Phase != profiler.Started {
			fmt.Println(ev.ID, ev.Step.Kind(), ev.Step.Name(), ev.Phase)
		}
	}
}

// A service takes orders by POST and sends each to a sink.
func Example() {
	p, err := profiler.New(profiler.Config{Plugins: []profiler.Plugin{printer{}}})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()

	sink := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		fmt.Println("sink got", r.Header.Get(httphook.Header))
	}))
	defer sink.Close()
	client := http.Client{Transport: httphook.Transport(p.Producer("publish"), nil)}
	orders := httptest.NewServer(httphook.Handler(p.Workflow("orders"), nil, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		out, err := http.NewRequestWithContext(r.Context(), http.MethodPost, sink.URL, r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		resp, err := client.Do(out)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		defer resp.Body.Close()
		io.Copy(io.Discard, resp.Body)
	})))

	r, err := http.NewRequestWithContext(ctx, http.MethodPost, orders.URL, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	r.Header.Set(httphook.Header, "order-1")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		fmt.Println(err)
		return
	}
	resp.Body.Close()
	orders.Close()
	http.DefaultClient.CloseIdleConnections()

	cancel()
	if err := <-done; err != nil {
		fmt.Println(err)
	}
	// Output:
	// sink got order-1
	// order-1 PRODUCER publish completed
	// order-1 WORKFLOW orders completed
}
