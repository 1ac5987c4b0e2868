package host

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"squall/agent/host/bpf"
	pb "squall/proto/squall/v1"
)

// slot is where something is held: one of a kind under a tag.
type slot struct {
	tag  string
	kind protoreflect.Name
}

// held is one operation on this host, from when it begins to arm until it is
// detached.
type held struct {
	host *Real
	op   *pb.Op
	// lease is the boot time at which its lease runs out.
	lease atomic.Int64
	// ending says that somebody is ending it.
	ending atomic.Bool
	// arming is the context of its arming, which cancel ends; built is closed when
	// that is over: then mechanism is what it holds, nil where that is nothing, and act
	// what is left to do.
	arming    context.Context
	cancel    context.CancelFunc
	built     chan struct{}
	mechanism mechanism
	act       func(context.Context) error
	err       error
	// closing is the end of mechanism that is under way; nil while none is. The host's mu
	// guards it.
	closing *closing
}

// closing is one attempt to end a mechanism; done is closed when it is over.
type closing struct {
	done chan struct{}
	err  error
}

// open tells whether the gate is open now. An operation without a gate acts
// whenever it is told to.
func (h *held) open() bool {
	if h.op.GetGate() == nil {
		return true
	}
	now := int64(h.host.Boot())
	return now >= h.op.GetGate().GetStartBootNanos() && now < h.closes()
}

// closes is the boot time from which on the gate is closed.
func (h *held) closes() int64 {
	end := h.op.GetGate().GetEndBootNanos()
	if h.op.GetGate().GetIgnoreLease() {
		return end
	}
	return min(end, h.lease.Load())
}

// errGateClosed says that an operation came to its turn outside its gate, and
// did nothing.
var errGateClosed = errors.New("its end or its lease has passed: nothing was done")

// mayAct is read just before an operation acts.
func (h *held) mayAct() error {
	if !h.open() {
		return errGateClosed
	}
	return nil
}

// Do implements Host.
func (r *Real) Do(ctx context.Context, op *pb.Op, armed func()) error {
	o, err := operationOf(op)
	if err != nil {
		return err
	}
	h, err := r.arm(ctx, o, op)
	if err != nil {
		return err
	}
	if armed != nil {
		armed()
	}
	if h.act == nil {
		return nil
	}
	err = h.act(ctx)
	if errors.Is(err, errCalledOff) || errors.Is(err, errGateClosed) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.drop(h) // nothing was done, and nothing is held
	}
	return err
}

// arm arms an operation. What is held under its tag already stays; who comes
// while it is being made waits for that.
func (r *Real) arm(ctx context.Context, o *operation, op *pb.Op) (*held, error) {
	h, first, err := r.enter(ctx, op)
	if err != nil {
		return nil, err
	}
	if first {
		r.build(o, h)
		return h, h.err
	}
	select {
	case <-h.built:
		return &held{}, h.err // what is left to do is for the first to do
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// enter takes the place under the operation's tag, and says whether it was free.
func (r *Real) enter(ctx context.Context, op *pb.Op) (h *held, first bool, err error) {
	if err := ctx.Err(); err != nil {
		return nil, false, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	at := slot{op.GetTag(), kindOf(op)}
	if h := r.held[at]; h != nil {
		return h, false, nil
	}
	h = &held{host: r, op: proto.CloneOf(op), built: make(chan struct{})}
	h.arming, h.cancel = context.WithCancel(ctx)
	h.lease.Store(int64(r.leaseOf(op.GetTag())))
	if op.GetTag() != "" {
		r.held[at] = h
	}
	return h, true, nil
}

// build makes what the operation holds. No lock is held meanwhile: the kernel
// may take its time, and others end their faults.
func (r *Real) build(o *operation, h *held) {
	defer close(h.built)
	defer h.cancel()
	mechanism, act, err := o.arm(h.arming, h)
	if err == nil && h.arming.Err() != nil {
		err = h.arming.Err() // it was called off while it was made
	}
	if errors.Is(err, bpf.ErrUnsupported) {
		err = fmt.Errorf("%w: %w", err, ErrUnsupported)
	}
	if err != nil && mechanism != nil {
		if left := mechanism.Close(); left == nil {
			mechanism = nil
		} else {
			err = errors.Join(err, left) // it stays held, for its undo
		}
	}
	r.publish(h, mechanism, act, err)
}

// publish lets others see what was made. Whoever renews its lease from now on
// reaches it; what was renewed before counts.
func (r *Real) publish(h *held, mechanism mechanism, act func(context.Context) error, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	h.mechanism, h.act, h.err = mechanism, act, err
	if mechanism == nil {
		r.drop(h)
		return
	}
	mechanism.renew(time.Duration(h.lease.Load()))
	if died := mechanism.died(); died != nil {
		go r.watchDeath(h, died)
	}
}

// drop frees the place of an operation. The caller holds mu.
func (r *Real) drop(h *held) {
	if at := (slot{h.op.GetTag(), kindOf(h.op)}); r.held[at] == h {
		delete(r.held, at)
	}
}

// watchDeath tells of a mechanism that ends without being closed.
func (r *Real) watchDeath(h *held, died <-chan struct{}) {
	<-died
	if h.ending.Load() {
		return
	}
	select {
	case r.deaths <- Death{h.op.GetTag(), why(h.mechanism)}:
	default: // nobody listens; evidence tells of it too
	}
}

// Died implements Host.
func (r *Real) Died() <-chan Death { return r.deaths }

// why is what is known of a mechanism's death.
func why(t mechanism) string {
	if p, ok := t.(interface{ cause() string }); ok {
		return p.cause()
	}
	return ""
}

// Renew implements Host.
func (r *Real) Renew(tag string, until time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.leases[tag] = until
	for at, h := range r.held {
		if !Under(at.tag, tag) {
			continue
		}
		h.lease.Store(int64(until))
		if h.mechanism != nil {
			h.mechanism.renew(until)
		}
	}
}

// leaseOf is the lease under which a tag falls; 0 where none was granted. The
// caller holds mu.
func (r *Real) leaseOf(tag string) time.Duration {
	var until time.Duration
	for name, lease := range r.leases {
		if Under(tag, name) {
			until = max(until, lease)
		}
	}
	return until
}

// detach ends what is held under an undo's tag or a part of it, and what an
// earlier process of ours has left under it.
func (r *Real) detach(ctx context.Context, undo *pb.Op) error {
	tag, undos := undo.GetTag(), []*pb.Op{undo}
	ours := func(t string) bool { return Under(t, tag) }
	err := r.detachIf(ctx, ours)
	if left := r.remaining(search{undo: undos, groups: groupsOf(undos), ours: ours, remove: true}); len(left) > 0 {
		err = errors.Join(err, fmt.Errorf("detach %s: left: %s", tag, strings.Join(left, ", ")))
	}
	return err
}

// detachIf ends everything with such tags, each by itself and past errors. What
// can't be ended is kept, so that the next attempt finds it.
func (r *Real) detachIf(ctx context.Context, wanted func(tag string) bool) error {
	r.mu.Lock()
	var ending []*held
	for at, h := range r.held {
		if wanted(at.tag) {
			ending = append(ending, h)
		}
	}
	r.mu.Unlock()
	return each(ctx, ending, func(ctx context.Context, h *held) error {
		return wrap(r.end(ctx, h), "detach %s", h.op.GetTag())
	})
}

// end ends one mechanism. One that is still being made is called off and waited for.
func (r *Real) end(ctx context.Context, h *held) error {
	h.ending.Store(true)
	h.cancel()
	select {
	case <-h.built:
	case <-ctx.Done():
		return fmt.Errorf("it is still being made: %w", ctx.Err())
	}
	c := r.close(h)
	select {
	case <-c.done:
		return c.err
	case <-ctx.Done():
		return fmt.Errorf("it is still being taken away: %w", ctx.Err())
	}
}

// close begins to end a mechanism, or finds the attempt that is under way: one that
// hangs in the kernel is not waited for longer than the caller likes.
func (r *Real) close(h *held) *closing {
	r.mu.Lock()
	defer r.mu.Unlock()
	if h.closing == nil {
		h.closing = &closing{done: make(chan struct{})}
		go r.finish(h, h.closing)
	}
	return h.closing
}

// finish ends a mechanism. Where that fails, the next attempt finds it.
func (r *Real) finish(h *held, c *closing) {
	defer close(c.done)
	if h.mechanism != nil {
		c.err = h.mechanism.Close()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	h.closing = nil
	if c.err == nil {
		r.drop(h)
	}
}

// under lists what is held under a tag, and made.
func (r *Real) under(tag string) []*held {
	r.mu.Lock()
	defer r.mu.Unlock()
	var found []*held
	for at, h := range r.held {
		if Under(at.tag, tag) && h.mechanism != nil {
			found = append(found, h)
		}
	}
	return found
}
