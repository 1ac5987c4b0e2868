package state

import (
	"google.golang.org/protobuf/proto"

	pb "squall/proto/squall/v1"
)

// noteDamage takes what a host says of its journal: nil is that nothing stands.
// What somebody has confirmed stays confirmed until the host says that it knows.
func (t *change) noteDamage(h *pb.Registered, told *pb.Damage) {
	if SameDamage(told, h.GetDamage()) {
		return
	}
	name := h.GetHost().GetName()
	h.Damage = told
	t.reorder(name)
	if told != nil {
		t.tellHost(name, "part of the journal of "+name+" can't be read: nothing new is injected there until somebody confirms it")
	}
}

// SameDamage tells whether two words about a host's journal are of one damage, or
// both of none: one that lacks its id is damage all the same.
func SameDamage(a, b *pb.Damage) bool { return (a == nil) == (b == nil) && a.GetId() == b.GetId() }

// confirmDamage notes that somebody has seen what a host's journal lost. The
// host hears it with its order, and takes faults again when it has said so.
func (t *change) confirmDamage(c *pb.ConfirmDamage) *pb.Problem {
	name := c.GetHost()
	switch d := t.hosts.get(name).GetDamage(); {
	case t.hosts.get(name) == nil:
		return refuse(pb.Refusal_REFUSAL_UNKNOWN, "list them with: squall get hosts", "there is no host %q", name)
	case d == nil:
		return refuse(pb.Refusal_REFUSAL_INVALID, "", "no damage of the journal of host %q is known", name)
	case d.GetId() != c.GetId():
		return refuse(pb.Refusal_REFUSAL_INVALID, "look at it again with: squall describe host "+name,
			"the damage on host %q is another one: %q", name, d.GetId())
	}
	h := t.editHost(name)
	h.Damage = proto.CloneOf(h.GetDamage())
	h.Damage.Confirmed = true
	t.reorder(name)
	return nil
}

// confirmed is the id of damage that somebody has confirmed, for the host's order.
func confirmed(h *pb.Registered) string {
	if !h.GetDamage().GetConfirmed() {
		return ""
	}
	return h.GetDamage().GetId()
}
