package state

import (
	"slices"

	pb "squall/proto/squall/v1"
)

// maxHosts bounds the registry.
const maxHosts = 100_000

// updateHosts takes a batch of registry changes. Each stands for itself: one
// that is out of date is passed over.
func (t *change) updateHosts(c *pb.UpdateHosts) *pb.Problem {
	for _, u := range c.GetHosts() {
		t.updateHost(u)
	}
	return nil
}

func (t *change) updateHost(u *pb.HostUpdate) {
	name := u.GetName()
	if name == "" {
		name = u.GetHost().GetName()
	}
	known := t.hosts.get(name)
	if u.GetConflict() != nil {
		t.clash(name, u.GetConflict())
		return
	}
	switch {
	case u.GetSession() < known.GetSession(): // a late word about an older session
	case u.GetServer() == "":
		t.lose(name)
	case name != "" && (known != nil || u.GetHost() != nil && t.hosts.size < maxHosts):
		t.greet(name, u)
	}
}

func (t *change) lose(name string) {
	if t.hosts.get(name) == nil || t.hosts.get(name).GetServer() == "" {
		return
	}
	h := t.editHost(name)
	h.Server, h.ChangedUnixNanos = "", t.last
	h.Host = shallow(h.GetHost())
	h.Host.Presence = pb.Presence_PRESENCE_LOST
	t.tellHost(name, name+" is lost")
}

func (t *change) greet(name string, u *pb.HostUpdate) {
	came := t.hosts.get(name).GetServer() == ""
	h := t.editHost(name)
	described := h.GetHost()
	if u.GetHost() != nil {
		described = u.GetHost()
	}
	h.Host = shallow(described)
	h.Host.Name, h.Host.Presence = name, pb.Presence_PRESENCE_CONNECTED
	h.Server, h.Session, h.ChangedUnixNanos = u.GetServer(), u.GetSession(), t.last
	h.BootId, h.Version = u.GetBootId(), u.GetVersion()
	t.identify(h, u)
	t.noteDamage(h, u.GetDamage())
	if u.GetRoundTripNanos() > 0 {
		h.RoundTripNanos = u.GetRoundTripNanos()
	}
	if came {
		t.tellHost(name, name+" is connected")
	}
}

const (
	// maxFormer is how many agent processes of a host are remembered.
	maxFormer = 16
	// conflictTime is how long a conflict stands after two were last heard of, in nanoseconds.
	conflictTime = int64(60e9)
)

// Conflicted tells whether two machines said of late that they are a host; now
// is cluster time.
func Conflicted(h *pb.Registered, now int64) bool {
	return h.GetConflict() != nil && now-h.GetConflict().GetLastUnixNanos() < conflictTime
}

// identify notes which agent process speaks for a host. Processes come one
// after another: one that comes back after another has spoken shows that there
// are two machines with one certificate.
func (t *change) identify(h *pb.Registered, u *pb.HostUpdate) {
	switch {
	case u.GetInstance() == h.GetInstance():
		if h.GetConflict() != nil && !Conflicted(h, t.last) {
			h.Conflict = nil
			t.reorder(h.GetHost().GetName()) // its tasks come back
		}
		return
	case slices.Contains(h.GetFormer(), u.GetInstance()):
		t.clash(h.GetHost().GetName(), &pb.HostConflict{Instance: h.GetInstance(), Server: u.GetServer()})
	}
	if h.GetInstance() != "" {
		h.Former = append(slices.Clone(h.GetFormer()), h.GetInstance())
		h.Former = h.Former[max(0, len(h.Former)-maxFormer):]
	}
	h.Instance = u.GetInstance()
}

// clash notes that two machines say that they are one host: while that stands,
// nothing is injected there.
func (t *change) clash(name string, c *pb.HostConflict) {
	if t.hosts.get(name) == nil {
		return
	}
	h := t.editHost(name)
	if h.GetConflict() == nil {
		t.reorder(name) // its tasks go
		t.tellHost(name, "two machines say that they are "+name+": nothing is injected there")
	}
	h.Conflict = &pb.HostConflict{Instance: c.GetInstance(), Server: c.GetServer(), LastUnixNanos: t.last}
}

// tellHost tells the runs that are under way and concern a host.
func (t *change) tellHost(name, text string) {
	for _, r := range t.Active() {
		if t.runs[r.GetId()].slots[name] != nil {
			t.tell(t.edit(r.GetId()), &pb.Event{Kind: pb.EventKind_EVENT_KIND_HOST, Text: text})
		}
	}
}

// editHost is a host that may be changed; a new one when it was not known.
func (t *change) editHost(name string) *pb.Registered {
	h := t.hosts.get(name)
	if h != nil && t.owned[h] {
		return h
	}
	if h == nil {
		h = &pb.Registered{Host: &pb.Host{Name: name}}
	} else {
		h = shallow(h)
	}
	t.owned[h] = true
	t.hosts, t.census = t.hosts.with(name, h), &census{}
	return h
}

// forgetHost takes a host that is gone for good out of the registry, so that
// nothing is a share of it any more. One that may hold a fault stays.
func (t *change) forgetHost(c *pb.ForgetHost) *pb.Problem {
	name := c.GetHost()
	switch {
	case t.hosts.get(name) == nil:
		return refuse(pb.Refusal_REFUSAL_UNKNOWN, "list them with: squall get hosts", "there is no host %q", name)
	case t.hosts.get(name).GetServer() != "":
		return refuse(pb.Refusal_REFUSAL_HOST, "stop its agent first", "host %q is connected", name)
	}
	if run := t.holder(name); run != "" {
		return refuse(pb.Refusal_REFUSAL_CLAIM, "wait until its deadline has passed",
			"run %q may hold a fault on host %q", run, name)
	}
	t.hosts = t.hosts.without(name)
	t.census = &census{}
	t.reorder(name) // the ends of strays that it told are not confirmed any more
	return nil
}

// holder is a run that may hold a fault on a host, by its deadlines alone.
func (v *View) holder(host string) string {
	for _, r := range v.pick(func(r *pb.Run) bool { return active(r) || mayHold(r, v.last) }) {
		for step, slot := range v.runs[r.GetId()].slots[host] {
			passed := r.GetT0UnixNanos() != 0 && r.GetT0UnixNanos()+slot.GetDeadlineNanos() <= v.last
			if !passed && !Ended(r.GetSteps()[step].GetHosts()[host]) {
				return r.GetId()
			}
		}
	}
	return ""
}
