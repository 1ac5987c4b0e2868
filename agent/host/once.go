package host

import (
	"context"
	"strings"

	pb "squall/proto/squall/v1"
)

// detachTag ends what is held under a tag.
var detachTag = operation{
	arm: func(_ context.Context, h *held) (mechanism, func(context.Context) error, error) {
		return nil, func(ctx context.Context) error {
			return h.host.detach(ctx, h.op)
		}, nil
	},
	says: func(op *pb.Op) string { return "detach " + op.GetTag() },
}

// startWorkloads starts what does not run, by the way that the host's config names.
var startWorkloads = operation{
	arm: func(_ context.Context, h *held) (mechanism, func(context.Context) error, error) {
		return nil, h.start, nil
	},
	says: sayStart,
}

func sayStart(op *pb.Op) string {
	s := op.GetStartWorkloads()
	var parts []string
	if len(s.GetWorkload()) > 0 {
		parts = append(parts, "start "+strings.Join(s.GetWorkload(), " "))
	}
	if len(s.GetIdle()) > 0 {
		parts = append(parts, "leave down "+strings.Join(s.GetIdle(), " ")+", not running before")
	}
	return strings.Join(parts, ", ")
}

// nothing is the other half of an operation without one.
var nothing = operation{
	arm:  func(context.Context, *held) (mechanism, func(context.Context) error, error) { return nil, nil, nil },
	says: func(*pb.Op) string { return "" },
}

// start starts workloads by name.
func (h *held) start(ctx context.Context) error {
	here, err := ownNetwork()
	if err != nil {
		return err
	}
	return each(ctx, h.op.GetStartWorkloads().GetWorkload(), func(ctx context.Context, name string) error {
		return wrap(here.do(func() error { return h.startOne(ctx, name) }), "start %s", name)
	})
}

func (h *held) startOne(ctx context.Context, name string) error {
	w, err := h.host.workload(name)
	if err == nil {
		err = h.mayAct()
	}
	if err != nil {
		return err
	}
	return h.host.workloads.Start(ctx, w)
}
