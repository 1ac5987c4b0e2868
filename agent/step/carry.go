package step

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"squall/agent/fault"
	"squall/agent/host"
	pb "squall/proto/squall/v1"
	"squall/proto/text"
)

// armLimit is how long an injection may take, beside the wait for its start.
const armLimit = 15 * time.Second

// carryOut begins to carry an effect out, beside the owner. What takes away is
// recorded in the order in which it was asked for.
func (e *Engine) carryOut(ctx context.Context, f effect) {
	switch f := f.(type) {
	case planning:
		e.beside(ctx, f.key, func(ctx context.Context) { e.post(e.plan(ctx, f)) })
	case scheduling:
		k := keyOf(f.record.GetTask())
		e.beside(ctx, k, func(ctx context.Context) { e.post(&noted{k, e.runner.Schedule(ctx, f.record)}) })
	case injecting:
		e.beside(ctx, keyOf(f.intent), func(ctx context.Context) { e.inject(ctx, f) })
	case cutting:
		e.cut(f.key)
	case reverting:
		e.group.Go(func() { e.revert(ctx, f) })
	case looking:
		e.beside(ctx, f.key, func(ctx context.Context) { e.look(ctx, f) })
	case recovering:
		e.group.Go(func() { e.post(awaitReady(ctx, e.host, f)) })
	case renewing:
		e.renew(f.until)
	case sweeping:
		e.group.Go(func() { e.sweep(f) })
	default:
		e.writer.add(func() { e.write(ctx, f) })
	}
}

// beside runs something for a step that cutting ends.
func (e *Engine) beside(ctx context.Context, k key, work func(context.Context)) {
	ctx, cancel := context.WithTimeout(ctx, lead+armLimit)
	e.mu.Lock()
	if e.cancel[k] == nil {
		e.cancel[k] = map[*context.CancelFunc]bool{}
	}
	e.cancel[k][&cancel] = true
	e.mu.Unlock()
	e.group.Go(func() {
		defer cancel()
		work(ctx)
		e.mu.Lock()
		defer e.mu.Unlock()
		if delete(e.cancel[k], &cancel); len(e.cancel[k]) == 0 {
			delete(e.cancel, k)
		}
	})
}

func (e *Engine) cut(k key) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for cancel := range e.cancel[k] {
		(*cancel)()
	}
}

// plan reads the host and asks the planner.
func (e *Engine) plan(ctx context.Context, p planning) *planned {
	n := &planned{key: p.key, facts: p.facts, factsAt: p.factsAt}
	if n.facts == nil {
		n.factsAt = e.host.Boot()
		if n.facts, n.err = e.host.Facts(ctx, detailsFor(p.at)...); n.err != nil {
			n.err = fmt.Errorf("read facts: %w", n.err)
			return n
		}
	}
	n.changes, n.err = fault.Plan(n.facts, p.at)
	return n
}

// detailsFor are the facts that a plan needs beyond those that cost little.
func detailsFor(s *fault.Step) []host.Detail {
	if s.NeedsPorts() {
		return []host.Detail{host.Ports}
	}
	return nil
}

// inject makes the changes of an intent. One that was cut off before it began
// touches nothing.
func (e *Engine) inject(ctx context.Context, f injecting) {
	k := keyOf(f.intent)
	err := ctx.Err()
	if err == nil {
		tell := sync.OnceFunc(func() { e.post(&armedNews{k}) })
		e.host.Renew(fault.Tag(k.run, k.step), f.lease)
		err = e.runner.Inject(ctx, f.intent, tell)
	}
	e.post(&injected{k, e.journaled(k), err})
}

func (e *Engine) journaled(k key) journaled {
	known, _ := e.runner.Step(k.run, k.step)
	return known
}

func (e *Engine) revert(ctx context.Context, f reverting) {
	m, after, err := e.runner.Revert(ctx, f.key.run, f.key.step, f.cause)
	if err != nil {
		e.log.Error("record revert", "run", f.key.run, "step", f.key.step, "err", err)
	}
	e.log.Info("step reverted", "run", f.key.run, "step", f.key.step, "cause", text.Word(m.GetCause()),
		"residue", m.GetResidue())
	e.post(&revertedNews{f.key, m, after, e.journaled(f.key)})
}

func (e *Engine) look(ctx context.Context, f looking) {
	seen, err := e.host.Evidence(ctx, fault.Tag(f.key.run, f.key.step))
	if err != nil && ctx.Err() == nil {
		e.log.Warn("read evidence", "run", f.key.run, "step", f.key.step, "err", err)
	}
	e.post(&seenNews{f.key, seen, err == nil})
}

func (e *Engine) sweep(f sweeping) {
	left, err := e.host.Leftovers(f.reply.ctx, f.held)
	if err != nil {
		err = fmt.Errorf("sweep: %w", err)
	}
	f.reply.left, f.reply.err = left, err
	close(f.reply.done)
	e.post(&swept{})
}

// renew hands the newest leases to moveGates.
func (e *Engine) renew(until leases) {
	select {
	case <-e.gates:
	default:
	}
	e.gates <- until
}

// moveGates moves the gates of everything attached, until ctx ends: the owner
// must not wait for who attaches.
func (e *Engine) moveGates(ctx context.Context) {
	for {
		select {
		case until := <-e.gates:
			for k, end := range until {
				e.host.Renew(fault.Tag(k.run, k.step), end)
			}
		case <-ctx.Done():
			return
		}
	}
}

// write records what takes away, or that something moved on.
func (e *Engine) write(ctx context.Context, f effect) {
	var n news
	var err error
	switch f := f.(type) {
	case marking:
		if err = e.runner.Mark(f.mark); f.mark.GetState() != pb.StepState_STEP_STATE_REFUSED {
			e.log.Info("step "+text.Word(f.mark.GetState()), "run", f.mark.GetRun(), "step", f.mark.GetStep())
		}
		n = &marked{f.mark, e.journaled(keyOf(f.mark))}
	case latching:
		err = e.runner.Latch(f.latch)
		e.group.Go(func() { e.post(&latched{f.latch, e.runner.Recorded(ctx)}) })
	case accepting:
		err = e.runner.Accept(f.mark)
	case confirming:
		err = e.runner.Confirm(f.id)
		n = &damaged{e.runner.Damage()}
	case forgetting:
		err = e.runner.Forget(f.key.run, f.key.step)
		n = &forgotten{f.key, err}
	}
	if err != nil {
		e.log.Error("record on disk", "what", f.String(), "err", err)
	}
	if n != nil {
		e.post(n)
	}
}

// queue is work that is done in order by one goroutine. Whoever adds to it
// never waits.
type queue struct {
	mu   sync.Mutex // guards list
	list []func()
	more chan struct{}
}

func newQueue() *queue { return &queue{more: make(chan struct{}, 1)} }

func (q *queue) add(work func()) {
	q.mu.Lock()
	q.list = append(q.list, work)
	q.mu.Unlock()
	select {
	case q.more <- struct{}{}:
	default:
	}
}

// run works until ctx ends, and then does what is left.
func (q *queue) run(ctx context.Context) {
	for {
		q.mu.Lock()
		list := q.list
		q.list = nil
		q.mu.Unlock()
		for _, work := range list {
			work()
		}
		switch {
		case len(list) > 0:
			continue
		case ctx.Err() != nil:
			return
		}
		select {
		case <-q.more:
		case <-ctx.Done():
		}
	}
}

// errDigest says that an address set is not what its digest says.
var errDigest = errors.New("digest does not fit")

// AddSets takes address sets. One whose digest is wrong is left out.
func (e *Engine) AddSets(sets []*pb.AddressSet) error {
	n := &brought{map[string][]string{}}
	var errs []error
	for _, s := range sets {
		if digestOf(s.GetPrefix()) != s.GetDigest() {
			errs = append(errs, fmt.Errorf("take address set %s: %w", s.GetDigest(), errDigest))
			continue
		}
		n.sets[s.GetDigest()] = s.GetPrefix()
	}
	return errors.Join(append(errs, e.bring(n))...)
}

// digestOf names a set: SHA-256 over its sorted prefixes, a line each, in hex.
func digestOf(prefixes []string) string {
	sorted := slices.Sorted(slices.Values(prefixes))
	sum := sha256.Sum256([]byte(strings.Join(sorted, "\n")))
	return hex.EncodeToString(sum[:])
}

// Alive says that the named workloads, or all of the host, run.
func Alive(running map[string]bool, names []string) bool {
	if len(names) == 0 {
		names = slices.Collect(maps.Keys(running))
	}
	return !slices.ContainsFunc(names, func(name string) bool { return !running[name] })
}
