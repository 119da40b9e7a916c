package grpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"github.com/interlok-ha/interlok-ha/profiler"
	"github.com/interlok-ha/interlok-ha/profiler/profilertest"
)

// service answers with the id of the message it works on; asked for -1 bytes
// it fails, for -2 it panics, for -3 it waits until the call is over.
type service struct {
	testpb.UnimplementedTestServiceServer
	inner *profiler.Step
	mu    sync.Mutex
	calls int
	ids   []string // of a call that has more than one
	over  chan struct{}
}

func (s *service) work(ctx context.Context, size int32) (*testpb.Payload, error) {
	s.mu.Lock()
	s.calls++
	if md, _ := metadata.FromIncomingContext(ctx); len(md.Get(Key)) > 1 {
		s.ids = md.Get(Key)
	}
	s.mu.Unlock()
	_, span := s.inner.Begin(ctx, "")
	span.End(nil)
	switch size {
	case -1:
		return nil, status.Error(codes.ResourceExhausted, "sold out")
	case -2:
		panic("out of cheese")
	case -3:
		<-ctx.Done()
		close(s.over)
		return nil, ctx.Err()
	}
	return &testpb.Payload{Body: []byte(profiler.ID(ctx))}, nil
}

func (s *service) UnaryCall(ctx context.Context, r *testpb.SimpleRequest) (*testpb.SimpleResponse, error) {
	p, err := s.work(ctx, r.ResponseSize)
	return &testpb.SimpleResponse{Payload: p}, err
}

func (s *service) FullDuplexCall(stream testpb.TestService_FullDuplexCallServer) error {
	for {
		r, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		p, err := s.work(stream.Context(), r.ResponseParameters[0].Size)
		if err != nil {
			return err
		}
		if err := stream.Send(&testpb.StreamingOutputCallResponse{Payload: p}); err != nil {
			return err
		}
	}
}

func (s *service) StreamingInputCall(stream testpb.TestService_StreamingInputCallServer) error {
	n := 0
	for {
		_, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return stream.SendAndClose(&testpb.StreamingInputCallResponse{AggregatedPayloadSize: int32(n)})
		} else if err != nil {
			return err
		}
		n++
	}
}

// dial starts a server on an in-memory connection and returns a client of it.
// The server's events go to one profiler, the client's to another.
func dial(t *testing.T, server, client *profiler.Profiler, opts ...profiler.StepOption) (testpb.TestServiceClient, *service) {
	t.Helper()
	lis := bufconn.Listen(1 << 20)
	flow := server.Workflow("serve")
	tame := func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, h grpc.UnaryHandler) (resp any, err error) {
		defer func() {
			if v := recover(); v != nil {
				err = status.Error(codes.Internal, fmt.Sprint(v))
			}
		}()
		return h(ctx, req)
	}
	srv := grpc.NewServer(grpc.ChainUnaryInterceptor(tame, UnaryServer(flow, nil)), grpc.StreamInterceptor(StreamServer(flow, nil)))
	impl := &service{inner: server.Service("inner"), over: make(chan struct{})}
	testpb.RegisterTestServiceServer(srv, impl)
	served := make(chan error, 1)
	go func() { served <- srv.Serve(lis) }()
	call := client.Producer("call", opts...)
	cc, err := grpc.NewClient("passthrough:///bufconn",
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return lis.DialContext(ctx) }),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithUnaryInterceptor(UnaryClient(call)), grpc.WithStreamInterceptor(StreamClient(call)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cc.Close()
		srv.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return testpb.NewTestServiceClient(cc), impl
}

func ask(size int32) *testpb.StreamingOutputCallRequest {
	return &testpb.StreamingOutputCallRequest{ResponseParameters: []*testpb.ResponseParameters{{Size: size}}}
}

func TestUnary(t *testing.T) {
	for _, tt := range []struct {
		name, set, id  string // set: in the metadata
		size           int32
		server, client string
	}{
		{"good", "", "m1", 0, "completed", "completed"},
		{"own id", "mine", "mine", 0, "completed", "completed"},
		{"fails", "", "m1", -1, "failed: rpc error: code = ResourceExhausted desc = sold out", "failed: rpc error: code = ResourceExhausted desc = sold out"},
		{"panics", "", "m1", -2, "panicked", "failed: rpc error: code = Internal desc = out of cheese"},
	} {
		for _, opts := range [][]profiler.StepOption{nil, {profiler.Fence()}} {
			t.Run(fmt.Sprint(tt.name, len(opts)), func(t *testing.T) {
				var se, ce profilertest.Ear
				sp, cp := profilertest.Listen(t, &se), profilertest.Listen(t, &ce)
				cl, impl := dial(t, sp, cp, opts...)
				ctx, span := cp.Workflow("w").Begin(t.Context(), "m1")
				if tt.set != "" {
					ctx = metadata.AppendToOutgoingContext(ctx, Key, tt.set)
				}
				resp, err := cl.UnaryCall(ctx, &testpb.SimpleRequest{ResponseSize: tt.size})
				if got := string(resp.GetPayload().GetBody()); err == nil && got != tt.id || (err != nil) != (tt.size != 0) {
					t.Errorf("%q, %v", got, err)
				}
				span.End(nil)
				profilertest.Equal(t, profilertest.Heard(t, cp, &ce), "m1 call "+tt.client, "m1 w completed")
				profilertest.Equal(t, profilertest.Heard(t, sp, &se), tt.id+" inner completed", tt.id+" serve "+tt.server)
				if len(ce.Fenced) != len(opts) || impl.ids != nil {
					t.Errorf("fenced %q, ids %q", ce.Fenced, impl.ids)
				}
			})
		}
	}
}

func TestDuplex(t *testing.T) {
	for _, opts := range [][]profiler.StepOption{nil, {profiler.Fence()}} {
		var se, ce profilertest.Ear
		sp, cp := profilertest.Listen(t, &se), profilertest.Listen(t, &ce)
		cl, _ := dial(t, sp, cp, opts...)
		ctx := metadata.AppendToOutgoingContext(t.Context(), Key, "m2") // outside of any workflow
		stream, err := cl.FullDuplexCall(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := stream.Send(ask(0)); err != nil {
				t.Fatal(err)
			}
			if r, err := stream.Recv(); err != nil || string(r.Payload.Body) != "m2" {
				t.Fatalf("%v, %v", r, err)
			}
		}
		profilertest.Equal(t, profilertest.Ends(t, cp, &ce))
		if err := stream.CloseSend(); err != nil {
			t.Fatal(err)
		}
		if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
			t.Fatal(err)
		}
		profilertest.Equal(t, profilertest.Ends(t, cp, &ce), "m2 call completed")
		profilertest.Equal(t, profilertest.Heard(t, sp, &se), "m2 inner completed", "m2 inner completed", "m2 serve completed")
		if len(ce.Fenced) != len(opts) {
			t.Errorf("fenced %q", ce.Fenced)
		}
	}
}

func TestStreamFails(t *testing.T) {
	var se, ce profilertest.Ear
	sp, cp := profilertest.Listen(t, &se), profilertest.Listen(t, &ce)
	cl, _ := dial(t, sp, cp)
	ctx, span := cp.Workflow("w").Begin(t.Context(), "m1")
	stream, err := cl.FullDuplexCall(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(ask(-1)); err != nil {
		t.Fatal(err)
	}
	_, err = stream.Recv()
	if status.Code(err) != codes.ResourceExhausted {
		t.Fatal(err)
	}
	span.End(&err)
	profilertest.Equal(t, profilertest.Heard(t, cp, &ce), "m1 call failed: "+err.Error(), "m1 w failed: "+err.Error())
	profilertest.Equal(t, profilertest.Heard(t, sp, &se), "m1 inner completed", "m1 serve failed: "+err.Error())
}

// TestOneAnswer: a stream of requests ends with the one answer.
func TestOneAnswer(t *testing.T) {
	var ce profilertest.Ear
	cp := profilertest.Listen(t, &ce)
	cl, _ := dial(t, nil, cp)
	ctx, span := cp.Workflow("w").Begin(t.Context(), "m1")
	stream, err := cl.StreamingInputCall(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := stream.Send(&testpb.StreamingInputCallRequest{}); err != nil {
			t.Fatal(err)
		}
	}
	if r, err := stream.CloseAndRecv(); err != nil || r.AggregatedPayloadSize != 3 {
		t.Fatalf("%v, %v", r, err)
	}
	span.End(nil)
	profilertest.Equal(t, profilertest.Heard(t, cp, &ce), "m1 call completed", "m1 w completed")
}

// TestLeft: who cancels need not receive.
func TestLeft(t *testing.T) {
	var se, ce profilertest.Ear
	sp, cp := profilertest.Listen(t, &se), profilertest.Listen(t, &ce)
	cl, impl := dial(t, sp, cp)
	ctx, span := cp.Workflow("w").Begin(t.Context(), "m1")
	callCtx, cancel := context.WithCancel(ctx)
	stream, err := cl.FullDuplexCall(callCtx)
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(ask(-3)); err != nil {
		t.Fatal(err)
	}
	for n := 0; n == 0; {
		impl.mu.Lock()
		n = impl.calls
		impl.mu.Unlock()
	}
	cancel()
	<-impl.over
	for len(profilertest.Ends(t, cp, &ce)) == 0 { // gRPC hears of it a moment later
	}
	span.End(nil)
	profilertest.Equal(t, profilertest.Heard(t, cp, &ce), "m1 call failed: rpc error: code = Canceled desc = context canceled", "m1 w completed")
	got := profilertest.Heard(t, sp, &se)
	if len(got) != 2 || got[1] != "m1 serve failed: context canceled" {
		t.Errorf("heard %q", got)
	}
}

// TestFenceShut: what a fence refuses is not called.
func TestFenceShut(t *testing.T) {
	ce := profilertest.Ear{Shut: profilertest.ErrShut}
	cp := profilertest.Listen(t, &ce)
	cl, impl := dial(t, nil, cp, profiler.Fence())
	ctx, span := cp.Workflow("w").Begin(t.Context(), "m1")
	if _, err := cl.UnaryCall(ctx, &testpb.SimpleRequest{}); !errors.Is(err, profilertest.ErrShut) {
		t.Errorf("unary: %v", err)
	}
	if _, err := cl.FullDuplexCall(ctx); !errors.Is(err, profilertest.ErrShut) {
		t.Errorf("stream: %v", err)
	}
	span.End(nil)
	profilertest.Equal(t, profilertest.Heard(t, cp, &ce), "m1 call failed: not master", "m1 call failed: not master", "m1 w completed")
	if impl.calls != 0 {
		t.Errorf("called %d times", impl.calls)
	}
}

// TestNotOpened: an interceptor further in that refuses ends the step as well.
func TestNotOpened(t *testing.T) {
	var ce profilertest.Ear
	cp := profilertest.Listen(t, &ce)
	ctx, span := cp.Workflow("w").Begin(t.Context(), "m1")
	errNo := errors.New("no")
	opts := slices.Grow([]grpc.CallOption{}, 4)
	_, err := StreamClient(cp.Producer("call"))(ctx, &grpc.StreamDesc{}, nil, "m", func(context.Context, *grpc.StreamDesc, *grpc.ClientConn, string, ...grpc.CallOption) (grpc.ClientStream, error) {
		return nil, errNo
	}, opts...)
	if !errors.Is(err, errNo) {
		t.Error(err)
	}
	span.End(nil)
	profilertest.Equal(t, profilertest.Heard(t, cp, &ce), "m1 call failed: no", "m1 w completed")
}

func TestDisabled(t *testing.T) {
	cl, impl := dial(t, nil, nil)
	if _, err := cl.UnaryCall(t.Context(), &testpb.SimpleRequest{}); err != nil {
		t.Error(err)
	}
	stream, err := cl.FullDuplexCall(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(ask(0)); err != nil {
		t.Error(err)
	}
	if _, err := stream.Recv(); err != nil {
		t.Error(err)
	}
	if err := stream.CloseSend(); err != nil {
		t.Error(err)
	}
	if _, err := stream.Recv(); !errors.Is(err, io.EOF) || impl.calls != 2 {
		t.Errorf("%v, %d calls", err, impl.calls)
	}
}
