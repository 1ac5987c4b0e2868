package state

import (
	"fmt"
	"maps"

	"google.golang.org/protobuf/proto"

	pb "squall/proto/squall/v1"
)

// change is a view in the making: one command on its way. What it edits is
// copied first, once for each command.
type change struct {
	*View
	cmd   *pb.Command
	owned map[any]bool // what was copied for this command
	// parted are windows that were dropped with a reading in them that is not
	// recorded, by their place in the command.
	parted []uint32
}

// transact is the view after a command, and what the command came to. A
// refused command changes nothing but index, time and the record of acts.
func transact(before *View, index uint64, c *pb.Command) (*View, *pb.Outcome) {
	t := begin(before, index, c)
	refused := brief(t.apply())
	if refused != nil {
		t = begin(before, index, c)
	}
	t.auditAct(refused)
	return t.View, &pb.Outcome{Index: index, Refused: refused, Parted: t.parted}
}

func begin(before *View, index uint64, c *pb.Command) *change {
	t := &change{View: before.at(index), cmd: signedBriefly(c), owned: make(map[any]bool)}
	t.last = max(before.last, c.GetAtUnixNanos())
	return t
}

// signedBriefly is a command by somebody whose name and reason are short enough to be
// kept, with whatever it changes.
func signedBriefly(c *pb.Command) *pb.Command {
	if by := brief(c.GetBy()); by != c.GetBy() {
		c = shallow(c)
		c.By = by
	}
	return c
}

// apply carries the command out, or says why not.
func (t *change) apply() *pb.Problem {
	if k := kindOf(t.cmd); k.carryOut != nil {
		return k.carryOut(t)
	}
	return refuse(pb.Refusal_REFUSAL_UNSUPPORTED, "upgrade this server", "this build does not know the command")
}

func (t *change) setGuardrails(c *pb.SetGuardrails) *pb.Problem {
	t.guardrails = c.GetGuardrails()
	return nil
}

// raiseEpoch fences what was said before a restore: it may have been forgotten.
func (t *change) raiseEpoch(*pb.RaiseEpoch) *pb.Problem {
	t.epoch++
	t.floor, t.restored, t.accepted = t.index, t.last, nil
	t.exceptions = nil // who let something past knew another state
	t.forgetTries()
	return nil
}

func (t *change) setRules(c *pb.SetRules) *pb.Problem {
	if v := c.GetVersion(); v < t.rules || v > Rules {
		return refuse(pb.Refusal_REFUSAL_INVALID, "", "rule version %d is not between %d and %d", v, t.rules, Rules)
	}
	t.rules = c.GetVersion()
	t.floor = t.index
	return nil
}

func refuse(why pb.Refusal, fix, format string, args ...any) *pb.Problem {
	return &pb.Problem{Refusal: why, Message: fmt.Sprintf(format, args...), Fix: fix}
}

// own copies a map once for each command: m points at a field of something
// that is owned already.
func own[K comparable, V any](t *change, m *map[K]V) {
	if t.owned[m] {
		return
	}
	next := make(map[K]V, len(*m)+1)
	maps.Copy(next, *m)
	*m = next
	t.owned[m] = true
}

// shallow copies a message but for what its fields point at.
func shallow[M proto.Message](m M) M {
	from := m.ProtoReflect()
	to := from.New()
	for fd, v := range from.Range {
		to.Set(fd, v)
	}
	return to.Interface().(M)
}

// edit is a run that may be changed, nil when it is not known.
func (t *change) edit(id string) *record {
	r := t.runs[id]
	if r == nil || t.owned[r] {
		return r
	}
	c := *r // whole: a field that was left out here would come back with a restore
	c.run = shallow(r.run)
	r = &c
	t.owned[r] = true
	own(t, &t.runs)
	t.runs[id] = r
	return r
}

// editStep is a step of a run that may be changed.
func (t *change) editStep(r *record, step string) *pb.StepHosts {
	s := r.run.Steps[step]
	if s != nil && t.owned[s] {
		return s
	}
	s = &pb.StepHosts{Hosts: maps.Clone(s.GetHosts()), TokenUnixNanos: maps.Clone(s.GetTokenUnixNanos())}
	if s.Hosts == nil {
		s.Hosts = make(map[string]*pb.StepStatus)
	}
	if s.TokenUnixNanos == nil {
		s.TokenUnixNanos = make(map[string]int64)
	}
	t.owned[s] = true
	own(t, &r.run.Steps)
	r.run.Steps[step] = s
	return s
}

// reorder notes that the orders of hosts change with this command.
func (t *change) reorder(hosts ...string) {
	if len(hosts) == 0 {
		return
	}
	for _, h := range hosts {
		t.orders = t.orders.with(h, t.index)
	}
	t.recent = t.recent.with(t.index, hosts)
}
