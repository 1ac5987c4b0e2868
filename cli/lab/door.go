package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"golang.org/x/sys/unix"

	"squall/agent/host"
	pb "squall/proto/squall/v1"
)

// order is what a person tells a host's init, and answer what it says.
type order struct{ Do, Workload string }

type answer struct {
	Err string `json:",omitempty"`
	// Workloads are all of the host, in the order of the lab file.
	Workloads []WorkloadState
}

// WorkloadState is whether a workload's processes run.
type WorkloadState struct {
	Name string
	Runs bool
}

const (
	doStart, doStop, doTell = "start", "stop", "tell"
	// orderLimit is how long an order may take to arrive, and stopLimit how long
	// processes have to end by themselves.
	orderLimit, stopLimit = 2 * time.Second, 10 * time.Second
)

// serveDoor takes orders until the door is closed.
func (i *hostInit) serveDoor(ctx context.Context, door net.Listener) {
	for {
		conn, err := door.Accept()
		if err != nil {
			return
		}
		go func() {
			defer conn.Close()
			if err := i.serve(ctx, conn); err != nil {
				slog.Warn("serve order", "host", i.host.Name, "error", err)
			}
		}()
	}
}

func (i *hostInit) serve(ctx context.Context, conn net.Conn) error {
	if err := conn.SetReadDeadline(time.Now().Add(orderLimit)); err != nil {
		return err
	}
	var o order
	if err := json.NewDecoder(conn).Decode(&o); err != nil {
		return nil //nolint:nilerr // who only wants to know our process id says nothing
	}
	var a answer
	err := i.carryOut(ctx, o)
	if err == nil {
		a.Workloads, err = i.states(ctx)
	}
	if err != nil {
		a.Err = err.Error()
	}
	return json.NewEncoder(conn).Encode(a)
}

func (i *hostInit) carryOut(ctx context.Context, o order) error {
	if o.Do == doTell {
		return nil
	}
	for _, w := range i.config.GetWorkloads() {
		if w.GetName() != o.Workload {
			continue
		}
		switch o.Do {
		case doStart:
			return i.start(ctx, w)
		case doStop:
			return i.stop(ctx, w)
		}
		return fmt.Errorf("order %q: a host's init knows start and stop", o.Do)
	}
	return fmt.Errorf("host %s has no workload %q", i.host.Name, o.Workload)
}

func (i *hostInit) states(ctx context.Context) ([]WorkloadState, error) {
	var all []WorkloadState
	for _, w := range i.config.GetWorkloads() {
		runs, err := i.starter.Runs(ctx, w)
		if err != nil {
			return nil, err
		}
		all = append(all, WorkloadState{w.GetName(), runs})
	}
	return all, nil
}

// start starts a workload and returns when it is ready.
func (i *hostInit) start(ctx context.Context, w *pb.Workload) error {
	if err := i.starter.Start(ctx, w); err != nil {
		return err
	}
	return awaitReady(ctx, i.starter, w)
}

// stop asks a workload's processes to end, and kills those that don't.
func (i *hostInit) stop(ctx context.Context, w *pb.Workload) error {
	pids, err := i.starter.Processes(ctx, w)
	if err != nil {
		return err
	}
	for _, pid := range pids {
		if err := unix.Kill(pid, unix.SIGTERM); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("stop workload %s: %w", w.GetName(), err)
		}
	}
	for patience := time.Now().Add(stopLimit); time.Now().Before(patience); {
		runs, err := i.starter.Runs(ctx, w)
		if err != nil || !runs {
			return err
		}
		if err := pause(ctx); err != nil {
			return err
		}
	}
	return i.starter.Kill(ctx, w)
}

// ask gives an order to a host's init.
func (f Folder) ask(ctx context.Context, name string, o order) (*answer, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "unix", f.initSocket(name))
	if err != nil {
		return nil, fmt.Errorf("find the init of %s: %w", name, err)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
	a := &answer{}
	if err := errors.Join(json.NewEncoder(conn).Encode(o), json.NewDecoder(conn).Decode(a)); err != nil {
		return nil, fmt.Errorf("ask the init of %s: %w", name, errors.Join(ctx.Err(), err))
	}
	if a.Err != "" {
		return nil, errors.New(a.Err)
	}
	return a, nil
}

// Start starts a workload that doesn't run, and returns when it is ready.
func (f Folder) Start(ctx context.Context, host, workload string) error {
	_, err := f.ask(ctx, host, order{doStart, workload})
	return err
}

// Stop ends a workload: its processes are asked to end, and killed after ten
// seconds. It stays down until somebody starts it.
func (f Folder) Stop(ctx context.Context, host, workload string) error {
	_, err := f.ask(ctx, host, order{doStop, workload})
	return err
}

// States tells which workloads of a host run.
func (f Folder) States(ctx context.Context, host string) ([]WorkloadState, error) {
	a, err := f.ask(ctx, host, order{Do: doTell})
	if err != nil {
		return nil, err
	}
	return a.Workloads, nil
}

// settleTime is how long a workload without a `ready` must have run to be ready:
// a program that can't do its work mostly ends at once.
const settleTime = 300 * time.Millisecond

// awaitReady returns when a workload is ready, at the latest at its own limit.
// One whose processes have all ended will not be.
func awaitReady(ctx context.Context, starter *host.Workloads, w *pb.Workload) error {
	limit := time.Duration(w.GetReadyWithin().GetNanos())
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	began := time.Now()
	for wait := readyFirst; ; wait = min(2*wait, readyLast) {
		err := starter.Ready(ctx, w)
		switch {
		case err == nil && (w.GetReady() != nil || time.Since(began) >= min(settleTime, limit/2)):
			return nil
		case err == nil:
			err = errSettling
		case errors.Is(err, host.ErrNotRunning):
			return errDied
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w after %v: %w", errLate, limit, err)
		case <-time.After(wait):
		}
	}
}

// What keeps a workload from being ready: it ended meanwhile, or takes too long.
var (
	errDied = errors.New("it has ended")
	errLate = errors.New("it is not ready")
	// errSettling is no failure yet.
	errSettling = errors.New("it has run for a moment only")
)

// Whether a workload is ready is looked at soon, and then less often.
const readyFirst, readyLast = 5 * time.Millisecond, 100 * time.Millisecond
