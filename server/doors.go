package server

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/proto" // registers the codec that ours stands on
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"squall/proto/pki"
	pb "squall/proto/squall/v1"
	"squall/proto/text"
	"squall/server/access"
)

const (
	maxRequest = 4 << 20
	maxHeaders = 16 << 10
	// window is how much of a stream may be under way, in bytes. It is fixed, for
	// measuring what the way could take costs a ping with each message.
	window        = 1 << 20
	maxStreams    = 16
	handshakeTime = 5 * time.Second
	// callTime bounds calls whose caller set no deadline.
	callTime = 30 * time.Second
)

// newDoor makes the gRPC server. TLS lets in any role of ours; each service
// then has its own.
func (s *Server) newDoor() *grpc.Server {
	tls := s.cfg.Bundle.ServerTLS(pb.Role_ROLE_SERVER, pb.Role_ROLE_AGENT, pb.Role_ROLE_USER)
	g := grpc.NewServer(
		grpc.Creds(credentials.NewTLS(tls)),
		grpc.ForceServerCodecV2(mendingCodec{encoding.GetCodecV2(codecName)}),
		grpc.MaxRecvMsgSize(maxRequest),
		grpc.MaxHeaderListSize(maxHeaders),
		grpc.MaxConcurrentStreams(maxStreams),
		grpc.ConnectionTimeout(handshakeTime),
		grpc.StaticStreamWindowSize(window), grpc.StaticConnWindowSize(window),
		grpc.ReadBufferSize(2<<10), // half the memory of a connection, and agents have many
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: Lease, Timeout: Lease / 2}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: time.Second, PermitWithoutStream: true}),
		grpc.ChainUnaryInterceptor(s.countUnary, checkUnary),
		grpc.ChainStreamInterceptor(s.countStream, checkStream),
	)
	pb.RegisterAgentServiceServer(g, &agentDoor{server: s})
	pb.RegisterControlServiceServer(g, &controlDoor{Server: s})
	pb.RegisterPeerServiceServer(g, &peerDoor{server: s})
	return g
}

func checkUnary(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	if err := allowed(ctx, info.FullMethod); err != nil {
		return nil, err
	}
	if err := access.Words(info.FullMethod, req); err != nil {
		return nil, refusef(pb.Refusal_REFUSAL_INVALID, "take it out", "%v", err)
	}
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, callTime)
		defer cancel()
	}
	res, err := next(ctx, req)
	return res, statusOf(err)
}

func checkStream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	if err := allowed(stream.Context(), info.FullMethod); err != nil {
		return err
	}
	ctx, cancel := whileValid(stream.Context())
	defer cancel()
	return statusOf(next(srv, validStream{wordStream{stream, info.FullMethod}, ctx}))
}

// wordStream checks the texts of each message that comes in.
type wordStream struct {
	grpc.ServerStream
	method string
}

// RecvMsg takes a message whose texts are checked or mended.
func (s wordStream) RecvMsg(m any) error {
	if err := s.ServerStream.RecvMsg(m); err != nil {
		return err
	}
	if err := access.Words(s.method, m); err != nil {
		return refusef(pb.Refusal_REFUSAL_INVALID, "take it out", "%v", err)
	}
	return nil
}

// errExpired ends whatever outlives the caller's certificate.
var errExpired = status.Error(codes.Unauthenticated, "the caller's certificate has expired; renew it and connect again")

// whileValid ends when the caller's certificate does.
func whileValid(ctx context.Context) (context.Context, context.CancelFunc) {
	end, err := validUntil(ctx)
	if err != nil {
		return context.WithCancel(ctx)
	}
	return context.WithDeadlineCause(ctx, end, errExpired)
}

// validStream is a stream that ends with its caller's certificate.
type validStream struct {
	grpc.ServerStream
	ctx context.Context
}

// Context implements grpc.ServerStream.
func (s validStream) Context() context.Context { return s.ctx }

// allowed holds the caller's role against the method's, and its certificate
// against the time.
func allowed(ctx context.Context, method string) error {
	id, err := identify(ctx)
	if err != nil {
		return status.Error(codes.Unauthenticated, err.Error())
	}
	if end, err := validUntil(ctx); err != nil || !time.Now().Before(end) {
		return errExpired
	}
	if err := access.Check(method, id); err != nil {
		return refusef(pb.Refusal_REFUSAL_ROLE, "use a bundle of another role: squall server init makes them", "%s", status.Convert(err).Message())
	}
	return nil
}

func identify(ctx context.Context) (pki.Identity, error) {
	info, err := tlsOf(ctx)
	if err != nil {
		return pki.Identity{}, err
	}
	return pki.PeerIdentity(&info.State)
}

// validUntil is when the caller's certificate ends: a connection may outlive it.
func validUntil(ctx context.Context) (time.Time, error) {
	info, err := tlsOf(ctx)
	if err != nil {
		return time.Time{}, err
	}
	if len(info.State.PeerCertificates) == 0 {
		return time.Time{}, fmt.Errorf("identify caller: %w", pki.ErrNoCertificate)
	}
	return info.State.PeerCertificates[0].NotAfter, nil
}

func tlsOf(ctx context.Context) (credentials.TLSInfo, error) {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return credentials.TLSInfo{}, errors.New("identify caller: no connection")
	}
	info, ok := p.AuthInfo.(credentials.TLSInfo)
	if !ok {
		return credentials.TLSInfo{}, errors.New("identify caller: no TLS")
	}
	return info, nil
}

// caller is who calls and from which address; allowed has checked it.
func caller(ctx context.Context) (pki.Identity, string) {
	id, err := identify(ctx)
	if err != nil {
		return pki.Identity{}, ""
	}
	p, _ := peer.FromContext(ctx)
	return id, p.Addr.String()
}

// agentDoor is the agents' service.
type agentDoor struct {
	pb.UnimplementedAgentServiceServer
	server *Server
}

// Session serves one agent.
func (d *agentDoor) Session(stream grpc.BidiStreamingServer[pb.SessionRequest, pb.SessionResponse]) error {
	id, _ := caller(stream.Context())
	return d.server.fleet.Serve(stream, id.Name)
}

// codecName is that of gRPC's own codec.
const codecName = "proto"

// mendingCodec reads messages whose texts are not all UTF-8, since a name on a
// host that was cut inside a letter must not cut off its agent.
type mendingCodec struct{ encoding.CodecV2 }

// Unmarshal tries again with the texts mended where the plain way fails.
func (c mendingCodec) Unmarshal(data mem.BufferSlice, v any) error {
	err := c.CodecV2.Unmarshal(data, v)
	m, ok := v.(proto.Message)
	if err == nil || !ok {
		return err
	}
	return text.Unmarshal(data.Materialize(), m)
}
