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
	refused := t.apply()
	if refused != nil {
		t = begin(before, index, c)
	}
	t.auditAct(refused)
	return t.View, &pb.Outcome{Index: index, Refused: refused, Parted: t.parted}
}

func begin(before *View, index uint64, c *pb.Command) *change {
	t := &change{View: before.at(index), cmd: c, owned: make(map[any]bool)}
	t.last = max(before.last, c.GetAtUnixNanos())
	return t
}

func (t *change) apply() *pb.Problem {
	switch k := t.cmd.GetKind().(type) {
	case *pb.Command_UpdateHosts:
		return t.updateHosts(k.UpdateHosts)
	case *pb.Command_AdmitRun:
		return t.admit(k.AdmitRun)
	case *pb.Command_Prepare:
		return t.prepare(k.Prepare)
	case *pb.Command_Fire:
		return t.fire(k.Fire)
	case *pb.Command_Hold:
		return t.hold(k.Hold)
	case *pb.Command_BeginPhase:
		return t.beginPhase(k.BeginPhase)
	case *pb.Command_EndRun:
		return t.endRun(k.EndRun)
	case *pb.Command_Recover:
		return t.recoverRun(k.Recover)
	case *pb.Command_Finish:
		return t.finish(k.Finish)
	case *pb.Command_RecordSteps:
		return t.recordSteps(k.RecordSteps)
	case *pb.Command_RecordWindows:
		return t.recordWindows(k.RecordWindows)
	case *pb.Command_ForgetHost:
		return t.forgetHost(k.ForgetHost)
	case *pb.Command_ConfirmDamage:
		return t.confirmDamage(k.ConfirmDamage)
	case *pb.Command_PutSchedule:
		return t.putSchedule(k.PutSchedule)
	case *pb.Command_RemoveSchedule:
		return t.removeSchedule(k.RemoveSchedule)
	case *pb.Command_PauseSchedule:
		return t.pauseSchedule(k.PauseSchedule)
	case *pb.Command_PassSlot:
		return t.passSlot(k.PassSlot)
	case *pb.Command_HoldSlot:
		return t.holdSlot(k.HoldSlot)
	case *pb.Command_PutExperiment:
		return t.putExperiment(k.PutExperiment.GetName(), k.PutExperiment.GetSource())
	case *pb.Command_RemoveExperiment:
		return t.removeExperiment(k.RemoveExperiment)
	case *pb.Command_PutCalendar:
		return t.putCalendar(k.PutCalendar.GetCalendar())
	case *pb.Command_RemoveCalendar:
		return t.removeCalendar(k.RemoveCalendar.GetName())
	case *pb.Command_SealRuns:
		return t.sealRuns(k.SealRuns)
	case *pb.Command_RecordArchived:
		return t.recordArchived(k.RecordArchived)
	case *pb.Command_GrantTokens:
		return t.grantTokens(k.GrantTokens)
	case *pb.Command_Halt:
		return t.pull(k.Halt)
	case *pb.Command_Resume:
		return t.resume(k.Resume)
	case *pb.Command_SetGuardrails:
		t.guardrails = k.SetGuardrails.GetGuardrails()
		return nil
	case *pb.Command_RaiseEpoch:
		t.epoch++
		t.floor = t.index
		t.restored = t.last
		t.forgetTries()
		return nil
	case *pb.Command_SetRules:
		return t.setRules(k.SetRules)
	}
	return refuse(pb.Refusal_REFUSAL_UNSUPPORTED, "upgrade this server", "this build does not know the command")
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
	r = &record{run: shallow(r.run), slots: r.slots, claims: r.claims, windows: r.windows}
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
