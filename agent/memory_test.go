package agent

import (
	"context"
	"net"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"

	"squall/agent/host/hosttest"
	pb "squall/proto/squall/v1"
)

// memory is a socket path in memory: each worker listens on it in turn.
type memory struct {
	mu  sync.Mutex // guards now
	now *bufconn.Listener
}

func newMemory() *memory { return &memory{} }

func (m *memory) listen() net.Listener {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.now = bufconn.Listen(1 << 16)
	return m.now
}

func (m *memory) connect(ctx context.Context, _ string) (net.Conn, error) {
	m.mu.Lock()
	l := m.now
	m.mu.Unlock()
	return l.DialContext(ctx)
}

func (m *memory) dial(t *testing.T) (pb.LocalServiceClient, func()) {
	t.Helper()
	conn, err := inMemory(m.connect)
	if err != nil {
		t.Fatal(err)
	}
	return pb.NewLocalServiceClient(conn), func() { conn.Close() }
}

func inMemory(dial func(context.Context, string) (net.Conn, error)) (*grpc.ClientConn, error) {
	return grpc.NewClient("passthrough:///memory", grpc.WithContextDialer(dial),
		grpc.WithTransportCredentials(insecure.NewCredentials()))
}

// runs says whether the fake's workload runs.
func runs(f *hosttest.Fake) bool {
	running, _ := f.Running(context.Background())
	return running["web"]
}
