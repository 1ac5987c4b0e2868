package host

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"

	"squall/agent/host/bpf"
	pb "squall/proto/squall/v1"
)

// attach attaches an operation under its tag; what is attached there already stays.
func (r *Real) attach(ctx context.Context, op *pb.Op) error {
	tag, _ := Gated(op)
	if tag == "" {
		return errors.New("attach: the operation has no tag")
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("attach %s: %w", tag, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	at := slot{tag, AbilityFor(op)}
	if r.attached[at] != nil {
		return nil
	}
	h, err := r.hold(proto.CloneOf(op))
	if err != nil {
		return fmt.Errorf("attach %s: %w", tag, err)
	}
	r.attached[at] = h
	return nil
}

// hold asks the kit for what the operation says.
func (r *Real) hold(op *pb.Op) (*held, error) {
	if r.kit == nil {
		return nil, fmt.Errorf("%w: %w", r.why, ErrUnsupported)
	}
	h := &held{op: op}
	var err error
	switch o := op.GetKind().(type) {
	case *pb.Op_Silence:
		h.attachment, err = r.silence(o.Silence)
	case *pb.Op_DropDns:
		h.attachment, err = r.kit.DropDNS(o.DropDns)
	case *pb.Op_DelayLine:
		h.attachment, err = r.kit.Delay(o.DelayLine)
	case *pb.Op_HoldDown:
		err = r.holdDown(h, o.HoldDown)
	}
	if errors.Is(err, bpf.ErrUnsupported) {
		err = fmt.Errorf("%w: %w", err, ErrUnsupported)
	}
	return h, err
}

// silence tells the kernel which flows workloads have, as long as they live:
// one that is idle until its packets are gone would be heard before it is known.
func (r *Real) silence(op *pb.Silence) (bpf.Attachment, error) {
	flows, err := r.workloads.cgroups.flows(op.GetCgroups())
	if err != nil {
		return nil, fmt.Errorf("silence: %w", err)
	}
	return r.kit.Silence(op, flows...)
}

// holdDown catches respawns twice over: programs by the exec hook, and forks
// that execute nothing by the watch of their cgroup. The watch alone is enough
// where the kernel has no hook, but what it catches has lived a while.
func (r *Real) holdDown(h *held, op *pb.HoldDown) error {
	w, err := r.newWatch(op)
	if err != nil {
		return err
	}
	// A cgroup that doesn't exist yet is given to the hook when it appears.
	if ids := r.workloads.cgroups.ids(op.GetCgroups()); len(ids) > 0 {
		h.attachment, err = r.kit.HoldDown(op, ids)
	}
	if errors.Is(err, bpf.ErrUnsupported) {
		r.log.Warn("no exec hook: respawns are caught late", "err", err)
		h.attachment, err = nil, nil
	}
	if err != nil {
		return errors.Join(err, w.free())
	}
	w.hook, _ = h.attachment.(*bpf.Hold)
	h.watch = w
	w.start()
	return nil
}

// close ends an attachment.
func (h *held) close() error {
	if h.watch != nil {
		h.watch.close()
	}
	if h.attachment == nil {
		return nil
	}
	return h.attachment.Close()
}

// detach ends what is attached under a tag or a part of it, and calls off a
// kill that waits.
func (r *Real) detach(tag string) error {
	return r.detachIf(func(t string) bool { return Under(t, tag) })
}

// detachIf ends all attachments with such tags, past errors. One that can't be
// ended is kept, so that the next attempt finds it.
func (r *Real) detachIf(wanted func(tag string) bool) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for tag, k := range r.kills {
		if wanted(tag) {
			k.callOff()
			delete(r.kills, tag)
		}
	}
	var errs []error
	for at, h := range r.attached {
		if !wanted(at.tag) {
			continue
		}
		if err := h.close(); err != nil {
			errs = append(errs, fmt.Errorf("detach %s: %w", at.tag, err))
			continue
		}
		delete(r.attached, at)
	}
	return errors.Join(errs...)
}

// under lists what is attached under a tag.
func (r *Real) under(tag string) []*held {
	r.mu.Lock()
	defer r.mu.Unlock()
	var found []*held
	for at, h := range r.attached {
		if Under(at.tag, tag) {
			found = append(found, h)
		}
	}
	return found
}
