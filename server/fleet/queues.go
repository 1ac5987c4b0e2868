package fleet

import (
	"maps"
	"slices"
	"sync"

	pb "squall/proto/squall/v1"
)

// batchSize is how many hosts or steps travel in one command.
const batchSize = 256

// hosts gathers registry changes, the newest of each host.
type hosts struct {
	wake signal
	mu   sync.Mutex
	next map[string]*pb.HostUpdate
}

func newHosts() *hosts {
	return &hosts{wake: make(signal, 1), next: make(map[string]*pb.HostUpdate)}
}

func (h *hosts) ready() <-chan struct{} { return h.wake }

// add keeps the description of an update that it replaces: a later one may say
// only that the host is still there.
func (h *hosts) add(u *pb.HostUpdate) {
	h.mu.Lock()
	defer h.mu.Unlock()
	before := h.next[u.GetName()]
	if u.Host == nil && before.GetSession() == u.GetSession() {
		u.Host = before.GetHost()
	}
	if before.GetSession() <= u.GetSession() {
		h.next[u.GetName()] = u
	}
	h.wake.set()
}

func (h *hosts) take() (*pb.Command, func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	batch := &pb.UpdateHosts{}
	for _, name := range first(h.next) {
		batch.Hosts = append(batch.Hosts, h.next[name])
		delete(h.next, name)
	}
	if len(h.next) > 0 {
		h.wake.set()
	}
	if len(batch.GetHosts()) == 0 {
		return nil, nil
	}
	return &pb.Command{Kind: &pb.Command_UpdateHosts{UpdateHosts: batch}}, nil
}

// stepKey names a step on a host.
type stepKey struct{ run, step, host string }

func keyOf(s *pb.StepStatus) stepKey { return stepKey{s.GetRun(), s.GetStep(), s.GetHost()} }

// steps gathers reports, the newest of each step.
type steps struct {
	wake signal
	mu   sync.Mutex
	next map[stepKey]*pb.StepStatus
	// order is that of arrival: what is waited for longest goes first.
	order []stepKey
}

func newSteps() *steps {
	return &steps{wake: make(signal, 1), next: make(map[stepKey]*pb.StepStatus)}
}

func (q *steps) ready() <-chan struct{} { return q.wake }

// add keeps a report that is further on than one that comes after it: steps
// only move forward, so the later one is a late repeat.
func (q *steps) add(s *pb.StepStatus) {
	q.mu.Lock()
	defer q.mu.Unlock()
	k := keyOf(s)
	known, waits := q.next[k]
	if !waits {
		q.order = append(q.order, k)
	}
	if s.GetState() >= known.GetState() {
		q.next[k] = s
	}
	q.wake.set()
}

func (q *steps) take() (*pb.Command, func()) {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := min(batchSize, len(q.order))
	if n == 0 {
		return nil, nil
	}
	batch := &pb.RecordSteps{}
	for _, k := range q.order[:n] {
		batch.Steps = append(batch.Steps, q.next[k])
		delete(q.next, k)
	}
	q.order = slices.Clone(q.order[n:])
	if len(q.order) > 0 {
		q.wake.set()
	}
	return &pb.Command{Kind: &pb.Command_RecordSteps{RecordSteps: batch}}, nil
}

// first are up to batchSize keys in order.
func first(m map[string]*pb.HostUpdate) []string {
	names := slices.Sorted(maps.Keys(m))
	return names[:min(batchSize, len(names))]
}
