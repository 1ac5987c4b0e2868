package session

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"squall/agent/host"
	pb "squall/proto/squall/v1"
)

// describeEvery is how often the host is looked at for the registry.
const (
	describeEvery = 15 * time.Second
	// triedEvery is the same while the host still tries its mechanisms.
	triedEvery = 250 * time.Millisecond
)

// describe tells the registry what the host's owner and its kernel say. Command
// lines and environments stay here.
func describe(f *pb.Facts) *pb.Host {
	c := f.GetConfig()
	h := &pb.Host{
		Name: c.GetName(), Zone: c.GetZone(), Room: c.GetRoom(), Environment: c.GetEnvironment(),
		Role: c.GetRole(), Labels: c.GetLabels(), Address: c.GetAddress(), Squall: c.GetSquall(),
		Refuse: c.GetRefuse(), AllowUndeclaredKill: c.GetAllowUndeclaredKill(), AllowHold: c.GetAllowHold(),
		MaxHold: c.GetMaxHold(), Management: c.GetManagement(), Abilities: f.GetAbilities(),
		Undeclared: f.GetUndeclared(), Commands: slices.Sorted(maps.Keys(c.GetCommands())),
	}
	if len(h.Address) == 0 {
		h.Address = f.GetAddress()
	}
	roles := map[string]string{}
	for _, w := range c.GetWorkloads() {
		roles[w.GetName()] = w.GetRole()
	}
	for _, w := range f.GetWorkloads() {
		h.Workloads = append(h.Workloads, &pb.HostWorkload{
			Name: w.GetName(), Role: roles[w.GetName()], CanStart: proto.Bool(w.GetCanStart()), Protect: w.GetProtect(),
		})
	}
	return h
}

// describeHost sends the description when it has changed, until ctx ends.
func describeHost(ctx context.Context, h host.Host, out chan<- *pb.Host, log *slog.Logger) error {
	var told *pb.Host
	for ctx.Err() == nil {
		pause := describeEvery
		facts, err := h.Facts(ctx, host.Undeclared, host.Addresses)
		if err != nil {
			log.Warn("describe host", "err", err)
			pause = time.Second
		} else if len(facts.GetAbilities()) == 0 {
			pause = triedEvery
		}
		if now := describe(facts); err == nil && !proto.Equal(now, told) {
			select {
			case out <- now:
				told = now
			case <-ctx.Done():
			}
		}
		pauseFor(ctx, pause)
	}
	return ctx.Err()
}

// pauseFor waits for d or for ctx.
func pauseFor(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
