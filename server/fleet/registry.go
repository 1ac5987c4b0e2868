package fleet

import (
	"context"
	"time"

	pb "squall/proto/squall/v1"
	"squall/server/state"
)

// join makes a session the host's, or keeps it as a standby.
func (f *Fleet) join(s *session, standby bool) {
	f.mu.Lock()
	if standby {
		f.standby[s] = struct{}{}
		f.mu.Unlock()
		return
	}
	delete(f.standby, s)
	old := f.sessions[s.host]
	if old != s && f.rival(s, old) {
		f.mu.Unlock()
		s.end(errConflict)
		return
	}
	if old != s {
		s.number = f.nextNumber(s.host, old)
		f.sessions[s.host] = s
	}
	delete(f.missed, s.host)
	f.mu.Unlock()
	if old != nil && old != s {
		old.end(errSuperseded)
	}
	f.announce(s)
	s.consider(f.cfg.View())
}

// rival tells whether a session would take the place of another machine's that
// is alive, while it is known that two machines say they are this host. It is
// told of, so that the conflict stands for as long as both go on. The caller
// holds mu.
func (f *Fleet) rival(s, old *session) bool {
	known := f.cfg.View().Host(s.host)
	elsewhere := known.GetServer() != "" && known.GetServer() != f.cfg.Server
	if !f.conflicted(known) || known.GetInstance() == s.instance() || old == nil && !elsewhere {
		return false
	}
	f.hosts.add(&pb.HostUpdate{
		Name: s.host, Session: known.GetSession(), Conflict: &pb.HostConflict{Instance: s.instance(), Server: f.cfg.Server},
	})
	return true
}

func (f *Fleet) conflicted(known *pb.Registered) bool {
	now, ok := f.cfg.Time()
	return known.GetConflict() != nil && (!ok || state.Conflicted(known, now.Unix))
}

// nextNumber is higher than that of any session of the host before: sessions
// on other servers took theirs from the same clock. The caller holds mu.
func (f *Fleet) nextNumber(host string, old *session) uint64 {
	now, ok := f.cfg.Time()
	if !ok { // before the first word from a leader: about right is enough
		now.Unix = time.Now().UnixNano()
	}
	n := max(uint64(max(now.Unix, 0)), f.cfg.View().Host(host).GetSession()+1)
	if old != nil {
		n = max(n, old.number+1)
	}
	return n
}

// leave forgets a session that has ended. Its host is lost after a while,
// unless it comes back, here or elsewhere.
func (f *Fleet) leave(s *session) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.standby, s)
	if f.sessions[s.host] == s {
		delete(f.sessions, s.host)
		f.missed[s.host] = time.Now()
	}
}

// announce tells the registry of a session.
func (f *Fleet) announce(s *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.announced = time.Now()
	f.hosts.add(&pb.HostUpdate{
		Name: s.host, Host: s.hello.GetHost(), Server: f.cfg.Server, Session: s.number,
		Instance: s.hello.GetInstance(), BootId: s.hello.GetBootId(), Version: s.hello.GetVersion(), RoundTripNanos: s.trip,
		Damage: s.hello.GetDamage(),
	})
}

// sweepRegistry compares what the registry says with the streams that there
// are, and proposes the difference until they agree.
func (f *Fleet) sweepRegistry(ctx context.Context) error {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
		v := f.cfg.View()
		for _, s := range f.all() {
			f.checkSession(s, v.Host(s.host))
		}
		f.findLost(v)
		f.cfg.Swept()
	}
}

func (f *Fleet) checkSession(s *session, known *pb.Registered) {
	s.mu.Lock()
	silent := time.Since(s.heard) >= s.lease
	settled := known.GetSession() == s.number && known.GetServer() == f.cfg.Server &&
		near(known.GetRoundTripNanos(), s.trip) && state.SameDamage(known.GetDamage(), s.hello.GetDamage()) && (known.GetConflict() == nil || f.conflicted(known))
	waiting := time.Since(s.announced) < sweepEvery
	s.mu.Unlock()
	switch {
	case silent:
		s.end(errSilent)
	case known.GetSession() > s.number && known.GetServer() != "":
		s.end(errSuperseded)
	case !settled && !waiting:
		f.announce(s)
	}
}

// near tells whether a new round trip is close enough to the known one not to
// be worth a command.
func near(known, now int64) bool {
	return now == 0 || known != 0 && now <= 2*known && known <= 2*now
}

// findLost proposes that hosts without a stream are lost: those that the
// registry places here, and on the leader also those of servers that are gone.
func (f *Fleet) findLost(v *state.View) {
	for _, h := range v.Hosts() {
		name := h.GetHost().GetName()
		mine := h.GetServer() == f.cfg.Server && f.missedFor(name) >= Grace
		orphan := h.GetServer() != "" && h.GetServer() != f.cfg.Server && f.cfg.Gone(h.GetServer())
		if mine || orphan {
			f.hosts.add(&pb.HostUpdate{Name: name, Session: h.GetSession()})
		}
	}
}

// missedFor is how long a host of ours has been without a stream.
func (f *Fleet) missedFor(host string) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.sessions[host] != nil {
		return 0
	}
	since, known := f.missed[host]
	if !known { // as after a restart of this server
		f.missed[host] = time.Now()
		return 0
	}
	return time.Since(since)
}
