package fleet

import (
	"maps"
	"slices"
	"sync"

	"google.golang.org/protobuf/proto"

	pb "squall/proto/squall/v1"
)

const (
	// batchSize is how many hosts or steps travel in one command.
	batchSize = 256
	// batchBytes is how much of a command they may take: a larger one is cut.
	batchBytes = 1 << 20
	// hostBytes is how much of one host may wait. Past it, what it says is not
	// taken; it says it again until an order confirms it.
	hostBytes = 1 << 20
)

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
	if u.GetConflict() != nil && before != nil {
		return // it will be told again
	}
	if u.Host == nil && before.GetSession() == u.GetSession() {
		u.Host = before.GetHost()
	}
	if before.GetSession() <= u.GetSession() {
		h.next[u.GetName()] = u
	}
	h.wake.set()
}

func (h *hosts) take() (*pb.Command, func(*pb.Outcome)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	batch, size := &pb.UpdateHosts{}, 0
	for _, name := range first(h.next) {
		if size += proto.Size(h.next[name]); size > batchBytes && len(batch.GetHosts()) > 0 {
			break
		}
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
	// waiting is how much of each host there is, in bytes.
	waiting map[string]int
}

func newSteps() *steps {
	return &steps{wake: make(signal, 1), next: make(map[stepKey]*pb.StepStatus), waiting: make(map[string]int)}
}

func (q *steps) ready() <-chan struct{} { return q.wake }

// add keeps a report that is further on than one that comes after it: steps
// only move forward, so the later one is a late repeat.
func (q *steps) add(s *pb.StepStatus) {
	q.mu.Lock()
	defer q.mu.Unlock()
	k := keyOf(s)
	known, waits := q.next[k]
	if waits && s.GetState() < known.GetState() {
		return
	}
	size := q.waiting[k.host] + proto.Size(s) - proto.Size(known)
	if size > hostBytes {
		return
	}
	if !waits {
		q.order = append(q.order, k)
	}
	q.next[k], q.waiting[k.host] = s, size
	q.wake.set()
}

// some are the reports that wait, none where there are many.
func (q *steps) some() []*pb.StepStatus {
	const few = 64
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.next) > few {
		return nil
	}
	return slices.Collect(maps.Values(q.next))
}

func (q *steps) take() (*pb.Command, func(*pb.Outcome)) {
	q.mu.Lock()
	defer q.mu.Unlock()
	batch, size, n := &pb.RecordSteps{}, 0, 0
	for n < min(batchSize, len(q.order)) {
		s := q.next[q.order[n]]
		if size += proto.Size(s); size > batchBytes && n > 0 {
			break
		}
		q.forget(q.order[n], s)
		batch.Steps = append(batch.Steps, s)
		n++
	}
	if n == 0 {
		return nil, nil
	}
	q.order = slices.Clone(q.order[n:])
	if len(q.order) > 0 {
		q.wake.set()
	}
	return &pb.Command{Kind: &pb.Command_RecordSteps{RecordSteps: batch}}, nil
}

func (q *steps) forget(k stepKey, s *pb.StepStatus) {
	delete(q.next, k)
	if q.waiting[k.host] -= proto.Size(s); q.waiting[k.host] <= 0 {
		delete(q.waiting, k.host)
	}
}

// first are up to batchSize keys in order.
func first(m map[string]*pb.HostUpdate) []string {
	names := slices.Sorted(maps.Keys(m))
	return names[:min(batchSize, len(names))]
}
