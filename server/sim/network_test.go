package sim

import (
	"context"
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/test/bufconn"
)

// network carries what servers, agents and users say to servers' doors. Two
// places that are cut off from one another hear silence, as from a dark zone;
// what a killed server held is closed at once, as by its kernel.
type network struct {
	mu    sync.Mutex // guards all below
	doors map[string]*bufconn.Listener
	wires map[*wire]struct{}
	cuts  map[route]bool
}

// route is from somebody to a server.
type route struct{ from, to string }

func newNetwork() *network {
	return &network{doors: map[string]*bufconn.Listener{}, wires: map[*wire]struct{}{}, cuts: map[route]bool{}}
}

// listen opens a server's door.
func (n *network) listen(server string) net.Listener {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.doors[server] = bufconn.Listen(64 << 10)
	return n.doors[server]
}

// dialer is how somebody reaches doors.
func (n *network) dialer(from string) func(context.Context, string) (net.Conn, error) {
	return func(ctx context.Context, to string) (net.Conn, error) {
		n.mu.Lock()
		door, cut := n.doors[to], n.cuts[route{from, to}]
		n.mu.Unlock()
		if cut {
			<-ctx.Done() // nobody says no
			return nil, ctx.Err()
		}
		if door == nil {
			return nil, fmt.Errorf("dial %s: nobody listens", to)
		}
		inner, err := door.DialContext(ctx)
		if err != nil {
			return nil, err
		}
		return n.wire(route{from, to}, inner), nil
	}
}

func (n *network) wire(r route, inner net.Conn) *wire {
	w := &wire{Conn: inner, net: n, route: r, closed: make(chan struct{})}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.wires[w] = struct{}{}
	return w
}

// cut lets everything between somebody and a server vanish, until heal.
// Connections that it darkens stay dark.
func (n *network) cut(from, to string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cuts[route{from, to}] = true
	for w := range n.wires {
		if w.route == (route{from, to}) {
			w.dark.Store(true)
		}
	}
}

func (n *network) heal(from, to string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.cuts, route{from, to})
}

// kill closes a server's door and all its connections.
func (n *network) kill(server string) {
	n.mu.Lock()
	door := n.doors[server]
	delete(n.doors, server)
	var ends []*wire
	for w := range n.wires {
		if w.route.from == server || w.route.to == server {
			ends = append(ends, w)
		}
	}
	n.mu.Unlock()
	if door != nil {
		_ = door.Close() // it is gone either way
	}
	for _, w := range ends {
		_ = w.Close()
	}
}

// wire is the caller's end of a connection.
type wire struct {
	net.Conn
	net   *network
	route route

	dark     atomic.Bool
	closing  sync.Once
	closed   chan struct{}
	mu       sync.Mutex // guards deadline
	deadline time.Time
}

// Read gives nothing of what arrives once the wire is dark.
func (w *wire) Read(p []byte) (int, error) {
	if !w.dark.Load() {
		if n, err := w.Conn.Read(p); !w.dark.Load() {
			return n, err
		}
	}
	return 0, w.silence()
}

// Write swallows what is sent once the wire is dark.
func (w *wire) Write(p []byte) (int, error) {
	if w.dark.Load() {
		return len(p), nil
	}
	return w.Conn.Write(p)
}

// silence waits for the reader's deadline or for the end.
func (w *wire) silence() error {
	w.mu.Lock()
	deadline := w.deadline
	w.mu.Unlock()
	if deadline.IsZero() {
		<-w.closed
		return net.ErrClosed
	}
	timer := time.NewTimer(time.Until(deadline))
	defer timer.Stop()
	select {
	case <-timer.C:
		return os.ErrDeadlineExceeded
	case <-w.closed:
		return net.ErrClosed
	}
}

// SetReadDeadline implements net.Conn.
func (w *wire) SetReadDeadline(t time.Time) error {
	w.mu.Lock()
	w.deadline = t
	w.mu.Unlock()
	return w.Conn.SetReadDeadline(t)
}

// SetDeadline implements net.Conn.
func (w *wire) SetDeadline(t time.Time) error {
	w.mu.Lock()
	w.deadline = t
	w.mu.Unlock()
	return w.Conn.SetDeadline(t)
}

// Close implements net.Conn.
func (w *wire) Close() error {
	w.closing.Do(func() { close(w.closed) })
	w.net.mu.Lock()
	delete(w.net.wires, w)
	w.net.mu.Unlock()
	return w.Conn.Close()
}
