package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"squall/cli/lab"
	"squall/experiments"
	"squall/proto/parts"
	"squall/proto/pki"
	pb "squall/proto/squall/v1"
)

// client speaks to a control plane: to whichever of its servers answers.
type client struct {
	servers []server
	// timeout is how long one server may take before the next is tried.
	timeout time.Duration
}

// server is one way in.
type server struct {
	address string
	conn    *grpc.ClientConn
	control pb.ControlServiceClient
}

// connect finds the control plane of this command line. No packet is sent yet.
func (a *app) connect() (*client, error) {
	dir, addresses, err := a.controlPlane()
	if err != nil {
		return nil, err
	}
	return dial(dir, addresses, a.settings.Timeout)
}

// dial opens ways to the servers that are named, and to no other; where none
// is, to those of the bundle.
func dial(dir string, addresses []string, timeout time.Duration) (*client, error) {
	bundle, err := pki.Load(dir)
	if err != nil {
		return nil, usage(fmt.Errorf("%w\n  fix: --bundle takes a folder that squall server init has written for a user", err))
	}
	if len(addresses) == 0 {
		for _, s := range bundle.Servers {
			addresses = append(addresses, s.Address)
		}
	}
	c := &client{timeout: timeout}
	for _, address := range addresses {
		conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(credentials.NewTLS(bundle.ClientTLS())))
		if err != nil {
			return nil, errors.Join(usage(fmt.Errorf("server %s: %w", address, err)), c.close())
		}
		c.servers = append(c.servers, server{address, conn, pb.NewControlServiceClient(conn)})
	}
	if len(c.servers) == 0 {
		return nil, usagef("bundle %s names no servers; add --server", dir)
	}
	return c, nil
}

// controlPlane is a bundle's folder and the servers' addresses: of the context
// that the settings name, else of the lab that is up.
func (a *app) controlPlane() (dir string, addresses []string, err error) {
	s := a.settings
	switch {
	case s.Bundle != "":
		return s.Bundle, s.Server, nil
	case len(s.Server) > 0:
		return "", nil, usagef("--server needs --bundle: servers talk only to those who show a certificate")
	case s.Context != "":
		return s.Contexts[s.Context].Bundle, s.Contexts[s.Context].Server, nil
	}
	labs, err := lab.Running()
	switch {
	case err != nil:
		return "", nil, err
	case len(labs) == 1:
		return labs[0].UserBundle(), nil, nil
	case len(labs) > 1:
		return "", nil, usagef("several labs are up; name one by --bundle %s", labs[0].UserBundle())
	}
	return "", nil, &exitError{experiments.ExitUnreachable, errors.New(
		"no control plane: no --bundle, no context, and no lab is up; try: sudo squall lab up")}
}

func (c *client) close() error {
	var errs []error
	for _, s := range c.servers {
		errs = append(errs, s.conn.Close())
	}
	return errors.Join(errs...)
}

// call tries the servers one after the other until one answers. A server that
// refuses has answered. Calls must be fit to be made twice.
func (c *client) call(ctx context.Context, limit time.Duration, do func(context.Context, pb.ControlServiceClient) error) error {
	var silent []string
	for _, s := range c.servers {
		err := c.try(ctx, limit, s, do)
		if err == nil || !elsewhere(err) {
			return refusal(err)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		silent = append(silent, s.address+": "+status.Convert(err).Message())
	}
	return &exitError{experiments.ExitUnreachable, fmt.Errorf("no server answers:\n  %s", strings.Join(silent, "\n  "))}
}

func (c *client) try(ctx context.Context, limit time.Duration, s server, do func(context.Context, pb.ControlServiceClient) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return do(ctx, s.control)
}

// method is one of the control service's.
type method[Req, Resp any] = func(pb.ControlServiceClient, context.Context, Req, ...grpc.CallOption) (Resp, error)

// ask is a call that answers at once.
func ask[Req, Resp any](ctx context.Context, c *client, m method[Req, Resp], req Req) (Resp, error) {
	return askWithin(ctx, c, c.timeout, m, req)
}

// askAndShow connects, makes a call and shows what was answered.
func askAndShow[Req, Resp any](ctx context.Context, a *app, m method[Req, Resp], req Req, as func(Resp) view) error {
	client, err := a.connect()
	if err != nil {
		return err
	}
	defer client.close()
	resp, err := ask(ctx, client, m, req)
	if err != nil {
		return err
	}
	return a.show(as(resp))
}

// askWithin is a call that may take its time.
func askWithin[Req, Resp any](ctx context.Context, c *client, limit time.Duration, m method[Req, Resp], req Req) (Resp, error) {
	var resp Resp
	err := c.call(ctx, limit, func(ctx context.Context, control pb.ControlServiceClient) error {
		var err error
		resp, err = m(control, ctx, req)
		return err
	})
	return resp, err
}

// askWhole is a call whose answer, a W, comes in parts.
func askWhole[W, Q, R any, PW interface {
	*W
	proto.Message
}, PR interface {
	*R
	parts.Part
}](ctx context.Context, c *client, m method[Q, grpc.ServerStreamingClient[R]], req Q) (*W, error) {
	return askWholeWithin[W, Q, R, PW, PR](ctx, c, c.timeout, m, req)
}

// askWholeWithin is one that may take its time.
func askWholeWithin[W, Q, R any, PW interface {
	*W
	proto.Message
}, PR interface {
	*R
	parts.Part
}](ctx context.Context, c *client, limit time.Duration, m method[Q, grpc.ServerStreamingClient[R]], req Q) (*W, error) {
	var whole *W
	err := c.call(ctx, limit, func(ctx context.Context, control pb.ControlServiceClient) error {
		var err error
		whole, err = parts.Ask[W, Q, R, PW, PR](ctx, func(ctx context.Context, req Q, o ...grpc.CallOption) (grpc.ServerStreamingClient[R], error) {
			return m(control, ctx, req, o...)
		}, req)
		return err
	})
	return whole, err
}

// elsewhere reports whether another server may answer what this one could not.
func elsewhere(err error) bool {
	switch status.Code(err) {
	case codes.Unavailable, codes.DeadlineExceeded:
		return true
	}
	return false
}

// drain takes a stream's messages to its end. What was taken can't be taken back:
// where it breaks off after the first, no other server is asked to begin anew, and
// short says what is lacking.
func drain[M any](receive func() (M, error), take func(M) error, short func() string) error {
	for n := 0; ; n++ {
		m, err := receive()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil && n == 0:
			return err
		case err != nil:
			return status.Error(codes.Aborted, short()+": "+status.Convert(err).Message())
		}
		if err := take(m); err != nil {
			return err
		}
	}
}

// refusal turns a server's error into one with the right exit code. The
// problem travels in the status; without one, its code must do.
func refusal(err error) error {
	if err == nil {
		return nil
	}
	st := status.Convert(err)
	for _, detail := range st.Details() {
		if p, ok := detail.(*pb.Problem); ok {
			return &exitError{experiments.ExitCode(p.GetRefusal()), errors.New(experiments.FormatProblem(p))}
		}
	}
	return &exitError{statusExit(st.Code()), errors.New(st.Message())}
}

func statusExit(code codes.Code) int {
	switch code {
	case codes.InvalidArgument, codes.NotFound, codes.AlreadyExists, codes.OutOfRange:
		return experiments.ExitUsage
	case codes.FailedPrecondition, codes.PermissionDenied, codes.Unauthenticated, codes.Unimplemented,
		codes.Aborted, codes.ResourceExhausted:
		return experiments.ExitRefused
	case codes.Unavailable, codes.DeadlineExceeded:
		return experiments.ExitUnreachable
	}
	return experiments.ExitInternal
}

// refused is the error of problems that a server found; the first decides the
// exit code.
func refused(problems []*pb.Problem) error {
	if len(problems) == 0 {
		return nil
	}
	texts := make([]string, len(problems))
	for i, p := range problems {
		texts[i] = experiments.FormatProblem(p)
	}
	return &exitError{experiments.ExitCode(problems[0].GetRefusal()), errors.New(strings.Join(texts, "\n"))}
}
