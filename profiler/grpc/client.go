package grpc

import (
	"context"
	"slices"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/interlok-ha/interlok-ha/profiler"
)

// UnaryClient makes unary calls a step, mostly a Producer. The error is that
// of the call, or that of the fence when it was not made. With a nil step the
// interceptor does nothing.
func UnaryClient(step *profiler.Step) grpc.UnaryClientInterceptor {
	return func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoker grpc.UnaryInvoker, opts ...grpc.CallOption) error {
		if step == nil {
			return invoker(ctx, method, req, reply, cc, opts...)
		}
		ctx, id := outgoing(ctx)
		return step.Do(ctx, id, func(ctx context.Context) error {
			return invoker(ctx, method, req, reply, cc, opts...)
		})
	}
}

// StreamClient is UnaryClient for streams.
func StreamClient(step *profiler.Step) grpc.StreamClientInterceptor {
	return func(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, streamer grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
		if step == nil {
			return streamer(ctx, desc, cc, method, opts...)
		}
		outer := ctx
		ctx, id := outgoing(ctx)
		ctx, span := step.Begin(ctx, id)
		if refused(step, outer, ctx) {
			err := context.Cause(ctx)
			span.End(&err)
			return nil, err
		}
		var once sync.Once
		end := func(err error) { once.Do(func() { span.End(&err) }) }
		cs, err := streamer(ctx, desc, cc, method, append(slices.Clip(opts), grpc.OnFinish(end))...)
		if err != nil {
			end(err) // gRPC does, but not an interceptor on the way to it
		}
		return cs, err
	}
}

// refused says whether a fence has not agreed: then it ended the context, and
// nobody else did.
func refused(step *profiler.Step, outer, ctx context.Context) bool {
	return step.Fenced() && ctx.Err() != nil && outer.Err() == nil
}

// outgoing puts the message's id into the call's metadata. It returns the id
// that is there when no workflow has one.
func outgoing(ctx context.Context) (context.Context, string) {
	md, _ := metadata.FromOutgoingContext(ctx)
	there, id := first(md), profiler.ID(ctx)
	switch {
	case id == "":
		return ctx, there
	case there == "":
		return metadata.AppendToOutgoingContext(ctx, Key, id), ""
	}
	return ctx, ""
}
