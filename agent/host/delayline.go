package host

import (
	"context"
	"fmt"
	"time"

	"squall/agent/host/bpf"
	pb "squall/proto/squall/v1"
	"squall/proto/text"
)

// delayLine holds packets back, in a process of its own.
var delayLine = operation{
	ability: "delay.line",
	program: &bpf.Trial{
		Engine: "delay line", Port: 9, Counter: "delayed_out",
		Attach: func(l *bpf.Loader, g *pb.Gate) (bpf.Attachment, error) {
			return l.Delay(g, &pb.DelayLine{DelayNanos: 1e6, Direction: pb.Direction_DIRECTION_OUT})
		},
	},
	arm:  armDelayLine,
	says: sayDelayLine,
}

func armDelayLine(_ context.Context, h *held) (mechanism, func(context.Context) error, error) {
	return h.program(effect{name: "delayed", of: []string{"delayed_in", "delayed_out"}},
		func(l *bpf.Loader) (bpf.Attachment, error) { return l.Delay(h.op.GetGate(), h.op.GetDelayLine()) }, nil)
}

func sayDelayLine(op *pb.Op) string {
	d := op.GetDelayLine()
	way := text.Word(d.GetDirection())
	prefixes := "1 prefix"
	if n := len(d.GetPrefix()); n != 1 {
		prefixes = fmt.Sprintf("%d prefixes", n)
	}
	return fmt.Sprintf("hold packets %s, %s, for %s", way, prefixes, time.Duration(d.GetDelayNanos()))
}
