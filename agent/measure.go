package agent

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	pb "squall/proto/squall/v1"
)

// Attempt makes one attempt of a probe, within its timeout.
type Attempt func(ctx context.Context, p *pb.Probe) Reading

// measurer runs the probes that the newest order lists, and counts the hosts'
// own workloads for it. A closed window goes to the outbox.
type measurer struct {
	engine  *Engine
	attempt Attempt
	tally   *tally
	windows *outbox
	log     *slog.Logger

	group   sync.WaitGroup
	running map[series]*measuring
}

// measuring is a probe that runs.
type measuring struct {
	task *pb.ProbeTask
	stop context.CancelFunc
}

func newMeasurer(e *Engine, attempt Attempt, zone string, windows *outbox, log *slog.Logger) *measurer {
	return &measurer{
		engine: e, attempt: attempt, tally: newTally(zone), windows: windows, log: log,
		running: map[series]*measuring{},
	}
}

// run wakes at each whole second of cluster time, until ctx ends.
func (m *measurer) run(ctx context.Context) error {
	defer m.group.Wait()
	defer m.reconcile(ctx, nil)
	for {
		rest(ctx, m.untilSecond())
		if ctx.Err() != nil {
			return ctx.Err()
		}
		m.reconcile(ctx, m.engine.Probes())
		m.countAlive(ctx)
		if now, ok := m.now(); ok {
			m.windows.add(m.tally.close(now / int64(time.Second))...)
		}
	}
}

// now is cluster time in Unix nanoseconds.
func (m *measurer) now() (int64, bool) {
	offset, _, ok := m.engine.clock.Offset()
	return int64(m.engine.host.Boot() + offset), ok
}

func (m *measurer) untilSecond() time.Duration {
	now, ok := m.now()
	if !ok {
		return time.Second
	}
	return time.Second - time.Duration(now)%time.Second
}

// reconcile starts and stops probes, so that those run which are listed.
func (m *measurer) reconcile(ctx context.Context, tasks []*pb.ProbeTask) {
	listed := map[series]*pb.ProbeTask{}
	for _, t := range tasks {
		if t.GetProbe().GetProbe() != nil {
			listed[series{t.GetRun(), t.GetProbe().GetName()}] = t
		}
	}
	for s, r := range m.running {
		if !proto.Equal(listed[s], r.task) {
			r.stop()
			delete(m.running, s)
		}
	}
	for s, t := range listed {
		if m.running[s] == nil {
			m.start(ctx, s, t)
		}
	}
}

func (m *measurer) start(ctx context.Context, s series, t *pb.ProbeTask) {
	ctx, stop := context.WithCancel(ctx)
	m.running[s] = &measuring{task: t, stop: stop}
	m.group.Go(func() { m.repeat(ctx, t) })
}

// defaultEvery is the pace of a probe that names none.
const defaultEvery = time.Second

// repeat makes an attempt at each tick. One that is slow makes the next ones
// wait: two attempts of a probe never overlap.
func (m *measurer) repeat(ctx context.Context, t *pb.ProbeTask) {
	every := time.Duration(t.GetProbe().GetProbe().GetEvery().GetNanos())
	if every <= 0 {
		every = defaultEvery
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		r := m.attempt(ctx, t.GetProbe().GetProbe())
		if ctx.Err() != nil {
			return
		}
		if now, ok := m.now(); ok {
			m.tally.count(t, now, r)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// countAlive puts into the second that has just ended whether the workloads
// that a run watches all run.
func (m *measurer) countAlive(ctx context.Context) {
	var watched []*pb.ProbeTask
	for _, t := range m.engine.Probes() {
		if t.GetProbe().GetProbe() == nil {
			watched = append(watched, t)
		}
	}
	now, ok := m.now()
	if len(watched) == 0 || !ok {
		return
	}
	facts, err := m.engine.host.Facts(ctx)
	if err != nil {
		m.log.Warn("count workloads", "err", err)
		return
	}
	ended := now - now%int64(time.Second) - 1
	for _, t := range watched {
		m.tally.count(t, ended, Reading{OK: alive(facts, t.GetProbe().GetWorkload())})
	}
}
