package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	"squall/agent/host"
	"squall/agent/process"
	"squall/agent/session"
	"squall/agent/step"
	"squall/agent/undo"
	pb "squall/proto/squall/v1"
)

// Worker does the agent's work: it holds what is injected, and ends with it.
type Worker struct {
	// Config is the host's own.
	Config *pb.HostConfig
	Host   host.Host
	// Journal is the folder of the journal, Options how it is opened.
	Journal string
	Options undo.Options
	// Pipe leads to the supervisor.
	Pipe io.ReadWriteCloser
	// Supervisor is asked why it is silent.
	Supervisor process.Scheduled
	// Servers are the agent doors to begin with, host:port or unix:PATH. Without
	// any, the agent is standalone: its supervisor grants the lease.
	Servers []string
	Dial    session.Dial
	// Attempt makes one attempt of a probe; nil is probe.Probe.
	Attempt session.Attempt
	// Local is the host's own socket; nil for none.
	Local net.Listener
	// Rest gives memory back when the worker has begun; nil does nothing.
	Rest    func() error
	Version string
	Log     *slog.Logger
}

// Run works until the supervisor is gone or ctx ends. Then it reverts whatever
// it holds.
func (w *Worker) Run(ctx context.Context) error {
	journal, err := undo.Open(w.Journal, w.Options)
	if err != nil {
		return fmt.Errorf("open journal: %w", err)
	}
	runner := undo.NewRunner(w.Host, journal, w.Log)
	if err := runner.Recover(ctx, pb.RevertCause_REVERT_CAUSE_CRASH); err != nil {
		w.Log.Error("recover", "err", err)
	}
	worked := w.work(ctx, journal)
	if errors.Is(worked, process.ErrOrphaned) || errors.Is(worked, context.Canceled) {
		w.Log.Info("worker ends", "why", worked)
		worked = nil
	}
	reverted := runner.Recover(context.WithoutCancel(ctx), pb.RevertCause_REVERT_CAUSE_CRASH)
	return errors.Join(worked, reverted, journal.Close())
}

// work runs the parts of a worker until the first of them ends.
func (w *Worker) work(ctx context.Context, journal *undo.Journal) error {
	group, ctx := errgroup.WithContext(ctx)
	standalone := len(w.Servers) == 0
	servers := session.NewServers(w.Servers, w.Host.Exempt, w.Log)
	clusterTime := session.NewClock(w.Host.Boot)
	var clock step.ClusterClock = clusterTime
	if standalone {
		clock = session.NewAlone(w.Host.Boot())
	}
	heartbeat := process.NewHeartbeat(w.Pipe, w.Supervisor, standalone)
	engine := step.NewEngine(step.EngineConfig{
		Name: w.Config.GetName(), Host: heartbeat.Watched(w.Host), Journal: journal, Clock: clock, Log: w.Log,
	})
	heartbeat.Follow(engine)
	server := func() string { return "" }
	group.Go(func() error { return engine.Run(ctx) })
	group.Go(func() error { return heartbeat.Run(ctx) })
	group.Go(func() error { return w.warm(ctx) })
	if !standalone {
		contact := w.contact(engine, servers, clusterTime)
		server = contact.Server
		group.Go(func() error { return contact.Run(ctx) })
	}
	if w.Local != nil {
		group.Go(func() error {
			return serveLocal(ctx, w.Local, &local{
				engine: engine, config: w.Config, standalone: standalone, server: server, quicken: heartbeat.Quicken,
			})
		})
	}
	return group.Wait()
}

// warm tries every mechanism before the first fault has to wait for it, and
// gives back the memory that this took: an agent is idle most of its life.
func (w *Worker) warm(ctx context.Context) error {
	if _, err := w.Host.Facts(ctx); err != nil {
		w.Log.Warn("read facts", "err", err)
	}
	if w.Rest == nil {
		return nil
	}
	if err := w.Rest(); err != nil {
		w.Log.Warn("rest", "err", err)
	}
	return nil
}

// contact is the worker's session with the servers.
func (w *Worker) contact(engine *step.Engine, servers *session.Servers, clock *session.Clock) *session.Session {
	return session.New(session.Config{
		Engine: engine, Clock: clock, Host: w.Config, Attempt: w.Attempt, Servers: servers, Dial: w.Dial,
		Version: w.Version, BootID: w.Options.BootID, Log: w.Log,
	})
}

// serveLocal serves the host's own socket until ctx ends.
func serveLocal(ctx context.Context, listener net.Listener, l *local) error {
	server := grpc.NewServer()
	pb.RegisterLocalServiceServer(server, l)
	stop := context.AfterFunc(ctx, server.Stop)
	defer stop()
	if err := server.Serve(listener); err != nil {
		return fmt.Errorf("serve local socket: %w", err)
	}
	return ctx.Err()
}

// Recover opens the journal in a folder, reverts what is open in it, sweeps,
// and closes it. Where the journal can't be opened, everything of ours is swept
// all the same.
func Recover(ctx context.Context, h host.Host, folder string, o undo.Options, cause pb.RevertCause, log *slog.Logger) error {
	journal, err := undo.Open(folder, o)
	if err != nil {
		_, swept := h.Leftovers(ctx, nil)
		return errors.Join(fmt.Errorf("open journal: %w", err), swept)
	}
	if journal.Damaged() {
		log.Error("the journal is damaged: undoing what can be read, then sweeping", "folder", folder)
	}
	reverted := undo.NewRunner(h, journal, log).Recover(ctx, cause)
	return errors.Join(reverted, journal.Close())
}
