package sim

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"squall/agent"
	"squall/agent/host/hosttest"
	"squall/agent/process"
	"squall/agent/session"
	"squall/agent/undo"
	"squall/proto/pki"
	"squall/proto/probe"
	pb "squall/proto/squall/v1"
)

// machine is a host with its agent: supervisor and worker.
type machine struct {
	name, zone string
	// journal is its agent's folder.
	journal string
	fake    *hosttest.Fake
	done    chan struct{}
	stop    context.CancelFunc

	mu     sync.Mutex // guards worker
	worker *worker
}

// machineConfig is what an agent needs.
type machineConfig struct {
	name, zone string
	bundle     *pki.Bundle
	net        *network
	doors      []string
	dial       func(host string) []grpc.DialOption
	log        *slog.Logger
}

// startMachine boots a host. Its workload "web" runs and can be started.
func startMachine(t *testing.T, c machineConfig) *machine {
	t.Helper()
	config := &pb.HostConfig{
		Name: c.name, Zone: c.zone, Environment: "lab", Role: []string{"web"}, Address: []string{"10.0.0.1"},
		Workloads: []*pb.Workload{{Name: "web", Start: []string{"/bin/web"}}},
	}
	folder := filepath.Join(t.TempDir(), "journal")
	m := &machine{name: c.name, zone: c.zone, journal: folder, fake: hosttest.NewFake(config), done: make(chan struct{})}
	options := undo.Options{BootID: "boot-" + c.name, Size: 1 << 20, Sync: func(*os.File) error { return nil }}
	log := c.log.With("host", c.name)
	supervisor := &process.Supervisor{
		Start: func(context.Context) (process.Child, error) {
			m.mu.Lock()
			defer m.mu.Unlock()
			m.worker = m.startWorker(config, c, folder, options, log)
			return m.worker, nil
		},
		Recover: func(ctx context.Context, cause pb.RevertCause) error {
			return agent.Recover(ctx, m.fake, folder, options, cause, log)
		},
		Boot: m.fake.Boot, Log: log,
	}
	ctx, stop := context.WithCancel(context.Background())
	m.stop = stop
	go func() {
		defer close(m.done)
		_ = supervisor.Run(ctx) // its end is ours
	}()
	return m
}

// worker is a worker as its supervisor holds it.
type worker struct {
	*pipe
	kill context.CancelFunc
	dead chan struct{}
}

func (w *worker) Kill() error                      { w.kill(); return nil }
func (w *worker) Dead() <-chan struct{}            { return w.dead }
func (w *worker) Processor() (bool, time.Duration) { return false, 0 }

func (m *machine) startWorker(config *pb.HostConfig, c machineConfig, folder string, o undo.Options, log *slog.Logger) *worker {
	ours, theirs := newPipe()
	ctx, kill := context.WithCancel(context.Background())
	child := &worker{pipe: ours, kill: kill, dead: make(chan struct{})}
	w := &agent.Worker{
		Config: config, Host: m.fake, Journal: folder, Options: o, Pipe: theirs, Supervisor: child, Servers: c.doors,
		Dial: c.dialer(), Attempt: m.attempt, Version: "sim", Log: log,
	}
	go func() {
		defer close(child.dead)
		if err := w.Run(ctx); err != nil && ctx.Err() == nil {
			log.Debug("worker ended", "err", err)
		}
	}()
	return child
}

// dies is the death of the worker: what it held is gone, and its supervisor
// starts another.
func (m *machine) dies() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fake.Crash()
	m.worker.kill()
}

func (c machineConfig) dialer() session.Dial {
	options := []grpc.DialOption{
		grpc.WithTransportCredentials(credentials.NewTLS(c.bundle.ClientTLS())),
		grpc.WithContextDialer(c.net.dialer(c.name)),
		grpc.WithStaticStreamWindowSize(1 << 20), grpc.WithStaticConnWindowSize(1 << 20), // as real agents do
	}
	if c.dial != nil {
		options = append(options, c.dial(c.name)...)
	}
	return func(address string) (*grpc.ClientConn, error) {
		return grpc.NewClient("passthrough:///"+address, options...)
	}
}

// attempt measures the fake: lookups fail while they are dropped, nothing
// leaves a host that is silent, and everything else succeeds.
func (m *machine) attempt(_ context.Context, p *pb.Probe) probe.Reading {
	r := probe.Reading{Start: time.Now(), Duration: time.Millisecond, OK: len(m.fake.Acting()) == 0}
	if p.GetTcp() != nil {
		r.OK = m.fake.Runs("web")
	}
	return r
}

// count counts what happened to the fake, by event and name.
func (m *machine) count() map[string]int {
	counts := map[string]int{}
	for _, e := range m.fake.Events() {
		counts[e.What+" "+e.Name]++
	}
	return counts
}
