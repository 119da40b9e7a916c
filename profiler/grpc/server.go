package grpc

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/interlok-ha/interlok-ha/profiler"
)

// Key is the key of a call's metadata that holds the message's id.
const Key = "message-id"

// ID is the id of a call that is served: what its metadata says, or "". The
// request and the method do not matter.
func ID(ctx context.Context, _ any, _ string) string {
	md, _ := metadata.FromIncomingContext(ctx)
	return first(md)
}

func first(md metadata.MD) string {
	if v := md.Get(Key); len(v) > 0 {
		return v[0]
	}
	return ""
}

// UnaryServer makes unary calls that are served a step, mostly a Workflow. The
// id is what id says of the context, the request and the full method name; nil
// means ID. What happens with an empty id is told by the profiler. The handler
// finds the message in its context. With a nil step the interceptor does
// nothing.
func UnaryServer(step *profiler.Step, id func(ctx context.Context, request any, method string) string) grpc.UnaryServerInterceptor {
	if id == nil {
		id = ID
	}
	return func(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (resp any, err error) {
		if step == nil {
			return handler(ctx, req)
		}
		err = step.Do(ctx, id(ctx, req, info.FullMethod), func(ctx context.Context) error {
			resp, err = handler(ctx, req)
			return err
		})
		return resp, err
	}
}

// StreamServer is UnaryServer for streams. There is no request yet: id gets nil.
func StreamServer(step *profiler.Step, id func(ctx context.Context, request any, method string) string) grpc.StreamServerInterceptor {
	if id == nil {
		id = ID
	}
	return func(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
		if step == nil {
			return handler(srv, ss)
		}
		return step.Do(ss.Context(), id(ss.Context(), nil, info.FullMethod), func(ctx context.Context) error {
			return handler(srv, serverStream{ss, ctx})
		})
	}
}

type serverStream struct {
	grpc.ServerStream
	ctx context.Context
}

func (s serverStream) Context() context.Context { return s.ctx }
