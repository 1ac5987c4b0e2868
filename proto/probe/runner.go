package probe

import (
	"context"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	pb "squall/proto/squall/v1"
)

const (
	// defaultEvery applies where a probe names none.
	defaultEvery = time.Second
	// maxInFlight bounds the attempts of one probe that wait at one time; an
	// attempt above it is not made.
	maxInFlight = 64
	// clockRetry is how soon to look again while cluster time is unknown.
	clockRetry = 50 * time.Millisecond
)

// Options say where a runner's readings go.
type Options struct {
	// Zone is this host's; empty on a server.
	Zone string
	// Now is cluster time in Unix nanoseconds; false while it is unknown.
	Now func() (unixNanos int64, ok bool)
	// Attempt makes one attempt, bounded by ctx; nil is Probe. An agent adds what
	// only it can read: whether its workloads run.
	Attempt func(ctx context.Context, p *pb.PlannedProbe) Reading
	// Closed takes each window once its second is over. It must not block.
	Closed func(*pb.Window)
}

// Runner makes the attempts of all probes of a host or a server.
type Runner struct {
	options Options

	mu    sync.Mutex // guards tasks
	tasks map[key]*running
}

type key struct{ run, probe string }

// running is one probe at work.
type running struct {
	task *pb.ProbeTask
	stop context.CancelFunc
	done chan struct{}
}

// NewRunner makes a runner without tasks.
func NewRunner(o Options) *Runner {
	if o.Attempt == nil {
		o.Attempt = func(ctx context.Context, p *pb.PlannedProbe) Reading { return Probe(ctx, p.GetProbe()) }
	}
	return &Runner{options: o, tasks: map[key]*running{}}
}

// Set makes tasks the whole set: what is new begins, what is absent or has
// changed ends before Set returns, what is the same goes on undisturbed.
func (r *Runner) Set(tasks []*pb.ProbeTask) {
	wanted := map[key]*pb.ProbeTask{}
	for _, t := range tasks {
		wanted[key{t.GetRun(), t.GetProbe().GetName()}] = t
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for k, at := range r.tasks {
		if !proto.Equal(at.task, wanted[k]) {
			at.end()
			delete(r.tasks, k)
		}
	}
	for k, t := range wanted {
		if r.tasks[k] == nil {
			r.tasks[k] = r.begin(t)
		}
	}
}

// Close ends all probes.
func (r *Runner) Close() { r.Set(nil) }

func (r *Runner) begin(t *pb.ProbeTask) *running {
	ctx, stop := context.WithCancel(context.Background())
	at := &running{task: proto.CloneOf(t), stop: stop, done: make(chan struct{})}
	go func() {
		defer close(at.done)
		r.repeat(ctx, at.task)
	}()
	return at
}

func (at *running) end() {
	at.stop()
	<-at.done
}

// repeat makes attempts at whole multiples of `every` in cluster time, so that
// all hosts probe at the same instants, and closes windows at whole seconds.
func (r *Runner) repeat(ctx context.Context, t *pb.ProbeTask) {
	readings := make(chan Reading, maxInFlight)
	var inFlight sync.WaitGroup
	defer inFlight.Wait()
	var w window
	waiting := 0
	attempt, tick := time.NewTimer(r.until(every(t))), time.NewTimer(r.until(time.Second))
	defer attempt.Stop()
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-attempt.C:
			attempt.Reset(r.until(every(t)))
			if waiting < maxInFlight {
				waiting++
				inFlight.Go(func() { readings <- r.attempt(ctx, t.GetProbe()) })
			}
		case reading := <-readings:
			waiting--
			r.count(&w, t, reading)
		case <-tick.C:
			tick.Reset(r.until(time.Second))
			r.flush(&w)
		}
	}
}

func (r *Runner) attempt(ctx context.Context, p *pb.PlannedProbe) Reading {
	ctx, cancel := context.WithTimeout(ctx, Timeout(p.GetProbe()))
	defer cancel()
	return r.options.Attempt(ctx, p)
}

// count puts a reading into the second in which it ended. A reading at a time
// of which nothing is known belongs nowhere.
func (r *Runner) count(w *window, t *pb.ProbeTask, reading Reading) {
	now, ok := r.options.Now()
	if !ok {
		return
	}
	if closed := w.add(t, r.options.Zone, now, reading); closed != nil {
		r.options.Closed(closed)
	}
}

func (r *Runner) flush(w *window) {
	now, ok := r.options.Now()
	if !ok {
		return
	}
	if closed := w.close(now); closed != nil {
		r.options.Closed(closed)
	}
}

// until is the time to the next whole multiple of a period in cluster time.
func (r *Runner) until(period time.Duration) time.Duration {
	now, ok := r.options.Now()
	if !ok {
		return clockRetry
	}
	return period - time.Duration(now%int64(period))
}

func every(t *pb.ProbeTask) time.Duration {
	if n := t.GetProbe().GetProbe().GetEvery().GetNanos(); n > 0 {
		return time.Duration(n)
	}
	return defaultEvery
}
