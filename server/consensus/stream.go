package consensus

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"squall/proto/pki"
	pb "squall/proto/squall/v1"
)

const (
	handshakeTime = 5 * time.Second
	poolSize      = 3
	// messageTime bounds a message: a peer that has fallen silent is given up
	// for a new connection after it.
	messageTime = 3 * time.Second
	// tryTime is how long a connection may take that is only to see how that goes.
	tryTime = 100 * time.Millisecond
)

func newTransport(cfg Config, logger hclog.Logger) Transport {
	layer := &stream{
		listener: cfg.Listener,
		log:      logger,
		server:   cfg.Bundle.ServerTLS(pb.Role_ROLE_SERVER),
		client:   cfg.Bundle.ClientTLS(),
		conns:    make(map[net.Conn]struct{}),
		accepted: make(chan net.Conn),
		closed:   make(chan struct{}),
	}
	go layer.accept()
	t := raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		Stream: layer, MaxPool: poolSize, Timeout: messageTime, Logger: logger,
	})
	return &transport{NetworkTransport: t, layer: layer}
}

// transport closes pooled connections along with the port.
type transport struct {
	*raft.NetworkTransport
	layer *stream
}

// Close ends everything: raft's own closes the port only.
func (t *transport) Close() error {
	err := t.NetworkTransport.Close()
	t.CloseStreams()
	return err
}

// onEnd implements watched.
func (t *transport) onEnd(tell func(server string)) {
	t.layer.mu.Lock()
	defer t.layer.mu.Unlock()
	t.layer.tell = tell
}

// try implements watched.
func (t *transport) try(address raft.ServerAddress) error {
	conn, err := t.layer.Dial(address, tryTime)
	if err == nil {
		_ = conn.Close() // it was only to see
	}
	return err
}

// stream is raft's way to other servers: TLS both ways, servers only. It knows
// all its connections, so that closing it silences a server that hangs.
type stream struct {
	listener net.Listener
	log      hclog.Logger
	server   *tls.Config
	client   *tls.Config
	accepted chan net.Conn
	closed   chan struct{}

	mu    sync.Mutex // guards all below
	conns map[net.Conn]struct{}
	down  bool
	tell  func(server string)
}

// Accept returns a connection whose other end has shown that it is a server.
func (s *stream) Accept() (net.Conn, error) {
	select {
	case conn := <-s.accepted:
		return conn, nil
	case <-s.closed:
		return nil, net.ErrClosed
	}
}

// Dial connects to another server's raft port.
func (s *stream) Dial(address raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), min(timeout, handshakeTime))
	defer cancel()
	dialer := tls.Dialer{Config: s.client}
	conn, err := dialer.DialContext(ctx, "tcp", string(address))
	if err != nil {
		return nil, fmt.Errorf("dial raft port %s: %w", address, err)
	}
	return s.keep(conn)
}

// Addr is the port's own address.
func (s *stream) Addr() net.Addr { return s.listener.Addr() }

// Close closes the port and every connection.
func (s *stream) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down {
		return nil
	}
	s.down = true
	close(s.closed)
	for conn := range s.conns {
		_ = underlying(conn).Close() // a TLS farewell could block
	}
	return s.listener.Close()
}

// accept lets handshakes go on side by side: a slow one holds up nobody.
func (s *stream) accept() {
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			select {
			case <-s.closed:
				return
			case <-time.After(50 * time.Millisecond): // as when file descriptors run out
				continue
			}
		}
		go s.welcome(conn)
	}
}

func (s *stream) welcome(raw net.Conn) {
	conn, err := s.keep(tls.Server(raw, s.server))
	if err != nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), handshakeTime)
	defer cancel()
	if err := conn.(*member).Conn.(*tls.Conn).HandshakeContext(ctx); err != nil {
		s.log.Warn("refused at the raft port", "from", raw.RemoteAddr(), "cause", err)
		_ = conn.Close() // the peer has been told by an alert
		return
	}
	m := conn.(*member)
	about := m.Conn.(*tls.Conn).ConnectionState()
	m.endWith(about.PeerCertificates[0].NotAfter)
	if peer, err := pki.PeerIdentity(&about); err == nil {
		m.peer = peer.Name
	}
	select {
	case s.accepted <- conn:
	case <-s.closed:
		_ = conn.Close()
	}
}

// keep remembers a connection until it is closed.
func (s *stream) keep(conn net.Conn) (net.Conn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down {
		_ = conn.Close()
		return nil, net.ErrClosed
	}
	m := &member{Conn: conn, stream: s}
	s.conns[m] = struct{}{}
	return m, nil
}

// member is a connection that its stream knows.
type member struct {
	net.Conn
	stream *stream
	expiry *time.Timer // of the peer's certificate; nil where we dialed
	peer   string      // the server that dialed; empty where we did
}

// endWith closes the connection when the peer's certificate ends. It is called
// before anybody else holds the connection.
func (m *member) endWith(end time.Time) {
	m.expiry = time.AfterFunc(time.Until(end), func() { _ = m.Close() })
}

// Close closes the connection and forgets it.
func (m *member) Close() error {
	if m.expiry != nil {
		m.expiry.Stop()
	}
	s := m.stream
	s.mu.Lock()
	_, open := s.conns[m]
	delete(s.conns, m)
	tell, down := s.tell, s.down
	s.mu.Unlock()
	err := m.Conn.Close()
	if open && !down && tell != nil {
		tell(m.peer)
	}
	return err
}

func underlying(conn net.Conn) net.Conn {
	if m, ok := conn.(*member); ok {
		conn = m.Conn
	}
	if t, ok := conn.(*tls.Conn); ok {
		return t.NetConn()
	}
	return conn
}
