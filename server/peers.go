package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"

	pb "squall/proto/squall/v1"
)

// line is one of the connections to another server. A connection has a bounded
// number of streams (maxStreams), so that what may take long has one of its own:
// leases and halts wait for neither people's calls nor their probes.
type line int

const (
	words  line = iota // confirmations, orders, alarms
	asks               // what people ask and agents say: reads and proposals
	trials             // attempts of probes
	lines
)

// peers are the other servers, by id, on each line.
type peers struct {
	conns   []*grpc.ClientConn
	clients [lines]map[string]pb.PeerServiceClient
}

// dialPeers prepares connections; none is made before it is needed.
func dialPeers(cfg Config) (*peers, error) {
	p := &peers{}
	for l := range p.clients {
		p.clients[l] = make(map[string]pb.PeerServiceClient)
		for _, server := range cfg.Bundle.Servers {
			if server.ID == cfg.Bundle.Identity.Name {
				continue
			}
			conn, err := grpc.NewClient(target(server.Address), dialOptions(cfg)...)
			if err != nil {
				return nil, errors.Join(fmt.Errorf("dial server %s: %w", server.ID, err), p.close())
			}
			p.conns, p.clients[l][server.ID] = append(p.conns, conn), pb.NewPeerServiceClient(conn)
		}
	}
	return p, nil
}

func dialOptions(cfg Config) []grpc.DialOption {
	opts := []grpc.DialOption{
		grpc.WithTransportCredentials(credentials.NewTLS(cfg.Bundle.ClientTLS())),
		grpc.WithStaticStreamWindowSize(window), grpc.WithStaticConnWindowSize(window),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 2 * time.Second, Timeout: 2 * time.Second}),
		// A server that has come back is found within a second.
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: time.Second},
			MinConnectTimeout: 2 * time.Second,
		}),
	}
	if cfg.Dial != nil {
		opts = append(opts, grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
			return cfg.Dial(ctx, address)
		}))
	}
	return opts
}

// target keeps gRPC from resolving names ahead of the dial.
func target(address string) string {
	if strings.HasPrefix(address, "unix:") {
		return address
	}
	return "passthrough:///" + address
}

func (p *peers) client(l line, id string) (pb.PeerServiceClient, error) {
	if c := p.clients[l][id]; c != nil {
		return c, nil
	}
	return nil, fmt.Errorf("call server %q: %w", id, errNoLeader)
}

// each calls all other servers at once and waits for their answers.
func (p *peers) each(ctx context.Context, l line, most time.Duration, call func(context.Context, string, pb.PeerServiceClient)) {
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	var calls sync.WaitGroup
	for id, c := range p.clients[l] {
		calls.Go(func() { call(ctx, id, c) })
	}
	calls.Wait()
}

func (p *peers) close() error {
	var err error
	for _, c := range p.conns {
		err = errors.Join(err, c.Close())
	}
	return err
}
