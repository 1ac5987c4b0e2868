package session

import (
	"context"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"time"

	pb "squall/proto/squall/v1"
)

// connect opens what is missing.
func (s *Session) connect(ctx context.Context) {
	if s.host == nil {
		return
	}
	if s.active == nil {
		s.active = s.open(ctx, false)
	}
	if s.active != nil && s.active.welcome && s.standby == nil {
		s.standby = s.open(ctx, true)
	}
}

// open begins a link to the server that is free and was put off longest ago:
// one that answers must not wait behind two that are silent.
func (s *Session) open(ctx context.Context, standby bool) *link {
	address, ok := s.next()
	if !ok {
		return nil
	}
	ctx, cancel := context.WithCancel(ctx)
	l := &link{address: address, out: make(chan *pb.SessionRequest, queued), cancel: cancel}
	l.patience = time.AfterFunc(welcomeWithin, cancel)
	hello := s.hello(standby)
	l.damage = hello.GetDamage().GetId()
	s.links.Go(func() { s.runLink(ctx, l, hello) })
	return l
}

// next is the server to dial, if one is free and may be dialed now.
func (s *Session) next() (address string, ok bool) {
	for _, a := range turned(s.servers.All(), s.engine.Name()) {
		taken := s.active != nil && s.active.address == a || s.standby != nil && s.standby.address == a
		if !taken && s.boot() >= s.retry[a].at && (!ok || s.retry[a].at < s.retry[address].at) {
			address, ok = a, true
		}
	}
	return address, ok
}

func (s *Session) hello(standby bool) *pb.Hello {
	return &pb.Hello{
		Host: s.host, Version: s.version, BootId: s.bootID, Instance: s.instance, Order: s.engine.Newest(), Standby: standby,
		Halt: s.engine.Halted(), Damage: s.engine.Damage(),
	}
}

// drop ends a link.
func (s *Session) drop(l *link) {
	if l != nil {
		l.cancel()
	}
}

// putOff keeps a server from being dialed for a while, longer each time, with
// jitter: a fleet must not come back in step.
func (s *Session) putOff(address string) {
	pause := min(max(2*s.retry[address].pause, firstRetry), lastRetry)
	jitter := time.Duration(rand.Int64N(int64(pause)))
	s.retry[address] = retry{at: s.boot() + pause/2 + jitter, pause: pause}
}

// turned begins the list at another place on each host, so that a fleet
// spreads over the servers.
func turned(servers []string, name string) []string {
	if len(servers) == 0 {
		return nil
	}
	h := fnv.New32a()
	h.Write([]byte(name))
	at := int(h.Sum32()) % len(servers)
	return slices.Concat(servers[at:], servers[:at])
}
