package conduct

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	pb "squall/proto/squall/v1"
	"squall/server/state"
)

// world is a cluster and its hosts without goroutines: one machine, one
// leader, and hosts that follow their orders, all in simulated time.
type world struct {
	adHoc bool // the run was started by one command
	t     *testing.T
	m     *state.Machine
	d     *Decider
	index uint64
	now   time.Time
	start time.Time
	queue []event
	hosts []*host
	trace strings.Builder

	// leaderless is until when nobody leads: what is to be committed waits.
	leaderless time.Time
	decisions  int
	// crash is what happens to the leader at its decisions, by their number.
	crash func(decision int) accident
	// success is the share of good readings of a probe in a second after the start.
	success func(probe string, second int) float64
}

// accident is what becomes of a leader at a decision.
type accident int

const (
	none     accident = iota
	lost              // it dies before the decision leaves it
	silenced          // it dies after the decision was committed
	repeated          // the decision is committed, and sent again by the next leader
	delayed           // the decision is committed with the next leader's first entry
)

type event struct {
	at time.Time
	do func()
}

// host is an agent that follows orders.
type host struct {
	w     *world
	name  string
	steps map[string]*pb.StepStatus
	// What is wrong with it.
	refuses, slow, mute bool
	// late is how much longer than it said its arming takes, says what it says of
	// that where it is not the truth, and ahead how far its clock is off.
	late, says, ahead time.Duration
	// down is that what ran on it does not come back.
	down             bool
	gone             time.Time // from then on it says nothing
	injected, starts map[string]int
}

const (
	travel   = 2 * time.Millisecond // an order or a report
	armTime  = 5 * time.Millisecond
	bootTime = 3 * time.Second
	armLead  = 1500 * time.Millisecond
	failover = 1500 * time.Millisecond
)

func newWorld(t *testing.T, names ...string) *world {
	w := &world{t: t, m: state.New(), d: new(Decider), start: time.Unix(1_800_000_000, 300e6).UTC()}
	w.now = w.start
	update := &pb.UpdateHosts{Hosts: []*pb.HostUpdate{
		{Name: "bystander", Server: "s1", Session: 1, Host: &pb.Host{Name: "bystander", Zone: "zone-z"}},
	}}
	for i, n := range names {
		zone := fmt.Sprintf("zone-%c", 'a'+i%3)
		update.Hosts = append(update.Hosts, &pb.HostUpdate{Name: n, Server: "s1", Session: 1, Host: &pb.Host{Name: n, Zone: zone}})
		w.hosts = append(w.hosts, &host{
			w: w, name: n, steps: map[string]*pb.StepStatus{}, injected: map[string]int{}, starts: map[string]int{},
		})
	}
	w.commit(&pb.Command{Id: "hosts", Kind: &pb.Command_UpdateHosts{UpdateHosts: update}})
	return w
}

func (w *world) host(name string) *host {
	i := slices.IndexFunc(w.hosts, func(h *host) bool { return h.name == name })
	return w.hosts[i]
}

// commit applies a command and lets hosts see their orders.
func (w *world) commit(c *pb.Command) *pb.Outcome {
	w.index++
	if c.AtUnixNanos == 0 {
		c.AtUnixNanos = w.now.UnixNano()
	}
	o := w.m.Apply(w.index, proto.CloneOf(c))
	for _, h := range w.hosts {
		w.after(travel, h.follow)
	}
	return o
}

func (w *world) after(d time.Duration, do func()) { w.at(w.now.Add(d), do) }

func (w *world) at(t time.Time, do func()) {
	if t.Before(w.now) {
		t = w.now
	}
	i, _ := slices.BinarySearchFunc(w.queue, t, func(e event, t time.Time) int {
		return cmp.Or(e.at.Compare(t), -1) // after equals: first come, first served
	})
	w.queue = slices.Insert(w.queue, i, event{t, do})
}

// whenLed does something as soon as somebody leads.
func (w *world) whenLed(do func()) {
	if w.now.Before(w.leaderless) {
		w.at(w.leaderless, do)
		return
	}
	do()
}

// admit starts a run and its probes.
func (w *world) admit(e *pb.Experiment, p *pb.Plan) {
	admit := &pb.AdmitRun{Run: "r", Experiment: e, Plan: p, AdHoc: w.adHoc}
	if e.GetSchedule() != nil {
		w.commit(&pb.Command{Id: "put", Kind: &pb.Command_PutSchedule{PutSchedule: &pb.PutSchedule{Name: "s", Experiment: e, After: "2026-12-01T09:00"}}})
		admit.Slot = &pb.SlotRef{Schedule: "s", Slot: "2026-12-01T10:00"}
	}
	o := w.commit(&pb.Command{Id: "admit", Kind: &pb.Command_AdmitRun{AdmitRun: admit}})
	if o.GetRefused() != nil {
		w.t.Fatalf("the run was refused: %v", o.GetRefused())
	}
	if len(p.GetProbes()) > 0 {
		w.at(w.now.Truncate(time.Second).Add(1200*time.Millisecond), w.measure)
	}
}

// measure commits the windows of the second before, and so on every second.
func (w *world) measure() {
	if w.run().GetState() == pb.RunState_RUN_STATE_DONE {
		return
	}
	second := w.now.Unix() - 1
	batch := &pb.RecordWindows{}
	for _, p := range w.run().GetPlan().GetProbes() {
		share := w.success(p.GetName(), int(second-w.start.Unix()))
		if share < 0 {
			continue // it says nothing
		}
		batch.Windows = append(batch.Windows, &pb.Window{
			Run: "r", Probe: p.GetName(), Zone: "zone-b", Second: second, Hosts: []byte{1},
			Count: 4, Success: uint64(share * 4), NewestUnixNanos: second*1e9 + 9e8,
		})
	}
	w.whenLed(func() {
		w.commit(&pb.Command{Id: fmt.Sprint("windows ", second), Kind: &pb.Command_RecordWindows{RecordWindows: batch}})
	})
	w.after(time.Second, w.measure)
}

func (w *world) run() *pb.Run { return w.m.View().Run("r") }

// play goes on until the run is done.
func (w *world) play() {
	for w.run().GetState() != pb.RunState_RUN_STATE_DONE {
		if w.now.Sub(w.start) > 2*time.Hour {
			w.t.Fatalf("the run does not end:\n%s", w.trace.String())
		}
		wake := w.lead()
		if len(w.queue) > 0 && (wake.IsZero() || !w.queue[0].at.After(wake)) {
			next := w.queue[0]
			w.queue = w.queue[1:]
			w.now = next.at
			next.do()
			continue
		}
		if wake.IsZero() {
			w.t.Fatalf("nobody will ever do anything again:\n%s", w.trace.String())
		}
		w.now = wake
	}
	fmt.Fprintf(&w.trace, "verdict %s, end %s %s\n", word(w.run().GetVerdict()), word(w.run().GetEndCause()), w.run().GetEndDetail())
	for _, f := range w.run().GetFindings() {
		fmt.Fprintf(&w.trace, "  %s %q %s %s %s\n", word(f.GetKind()), f.GetName(), word(f.GetState()), f.GetHost(), f.GetText())
	}
}

// lead carries out what is due, and says when to look again.
func (w *world) lead() time.Time {
	for range 100 {
		if w.now.Before(w.leaderless) {
			return w.leaderless
		}
		d := w.d.Decide(w.now, w.m.View(), "r")
		if len(d.Record) == 0 {
			return d.Wake
		}
		w.carryOut(d)
	}
	w.t.Fatalf("the leader does not come to rest:\n%s", w.trace.String())
	return time.Time{}
}

func (w *world) carryOut(d Decision) {
	w.decisions++
	happens := none
	if w.crash != nil {
		happens = w.crash(w.decisions)
	}
	if happens != lost && happens != delayed {
		for _, c := range d.Record {
			w.propose(c)
		}
	}
	if happens == repeated {
		w.after(failover, func() {
			for _, c := range d.Record {
				if o := w.commit(c); !o.GetRepeatedCommand() {
					w.t.Errorf("the decision %s took effect twice", c.GetId())
				}
			}
		})
	}
	if happens == delayed {
		w.after(failover, func() {
			for _, c := range d.Record {
				w.propose(c)
			}
		})
	}
	if happens != none {
		w.leaderless = w.now.Add(failover)
		w.d = &Decider{Since: w.leaderless}
	}
}

func (w *world) propose(c *pb.Command) {
	fmt.Fprintf(&w.trace, "%s %s%s\n", w.clock(w.now), strings.TrimPrefix(c.GetId(), "r/"), w.detail(c))
	if o := w.commit(c); o.GetRefused() != nil {
		w.t.Errorf("the decision %s was refused: %s", c.GetId(), o.GetRefused().GetMessage())
	}
}

func (w *world) clock(t time.Time) string { return fmt.Sprintf("%+9.3fs", t.Sub(w.start).Seconds()) }

func (w *world) detail(c *pb.Command) string {
	switch k := c.GetKind().(type) {
	case *pb.Command_Fire:
		return ": T0" + w.clock(time.Unix(0, k.Fire.GetT0UnixNanos()))
	case *pb.Command_EndRun:
		return ": " + k.EndRun.GetDetail()
	case *pb.Command_GrantTokens:
		return ": " + strings.Join(k.GrantTokens.GetHosts(), ", ")
	}
	return ""
}

func word(e fmt.Stringer) string {
	text := strings.ToLower(e.String())
	for _, prefix := range []string{"verdict_", "end_cause_", "finding_kind_", "finding_state_"} {
		text = strings.TrimPrefix(text, prefix)
	}
	return text
}

// follow makes a host do what its order says.
func (h *host) follow() {
	if h.mute || h.isGone() {
		return
	}
	o := h.w.m.View().Order(h.name)
	ordered := make(map[string]bool)
	for _, t := range o.GetTasks() {
		ordered[t.GetStep()] = true
		h.take(t)
	}
	for step, s := range h.steps {
		if !ordered[step] && !state.Ended(s) {
			h.drop(step)
		}
	}
}

func (h *host) isGone() bool { return !h.gone.IsZero() && !h.w.now.Before(h.gone) }

func (h *host) take(t *pb.Task) {
	s := h.steps[t.GetStep()]
	switch {
	case s == nil && h.refuses:
		h.move(t.GetStep(), pb.StepState_STEP_STATE_REFUSED)
	case s == nil:
		h.move(t.GetStep(), pb.StepState_STEP_STATE_READY)
	case s.GetState() == pb.StepState_STEP_STATE_READY && t.GetFire():
		h.schedule(t)
	case s.GetState() == pb.StepState_STEP_STATE_RETURNING && t.GetToken():
		h.revert(t, pb.RevertCause_REVERT_CAUSE_END)
	}
}

// schedule keeps the task: from here on the host needs nobody.
func (h *host) schedule(t *pb.Task) {
	step := t.GetStep()
	if until := t.GetObeyUntilUnixNanos(); until != 0 && h.w.now.UnixNano() > until {
		return // it came too late
	}
	h.move(step, pb.StepState_STEP_STATE_SCHEDULED)
	if h.slow {
		return
	}
	start, end := time.Unix(0, t.GetStartUnixNanos()), time.Unix(0, t.GetEndUnixNanos())
	arm := start.Add(-armLead)
	if arm.Before(h.w.now) {
		arm = h.w.now
	}
	h.w.at(arm.Add(armTime+h.late), func() { h.moveFrom(step, pb.StepState_STEP_STATE_SCHEDULED, pb.StepState_STEP_STATE_ARMED) })
	h.w.at(later(start, arm.Add(armTime+h.late)), func() { h.moveFrom(step, pb.StepState_STEP_STATE_ARMED, pb.StepState_STEP_STATE_HELD) })
	h.w.at(end, func() {
		if t.GetNeedsToken() {
			h.moveFrom(step, pb.StepState_STEP_STATE_HELD, pb.StepState_STEP_STATE_RETURNING)
			return
		}
		h.revert(t, pb.RevertCause_REVERT_CAUSE_END)
	})
}

func (h *host) moveFrom(step string, from, to pb.StepState) {
	if h.steps[step].GetState() == from {
		h.move(step, to)
	}
}

func (h *host) revert(t *pb.Task, cause pb.RevertCause) {
	s := h.steps[t.GetStep()]
	if state.Ended(s) {
		return
	}
	s.Cause = cause
	h.move(t.GetStep(), pb.StepState_STEP_STATE_REVERTED)
	if t.GetNeedsToken() && !h.down {
		h.w.after(bootTime, func() {
			s.ReadyAgain = true
			h.report(t.GetStep())
		})
	}
}

func (h *host) drop(step string) {
	s := h.steps[step]
	if s.GetState() < pb.StepState_STEP_STATE_ARMED {
		h.move(step, pb.StepState_STEP_STATE_REFUSED)
		return
	}
	s.Cause = pb.RevertCause_REVERT_CAUSE_ORDER
	h.move(step, pb.StepState_STEP_STATE_REVERTED)
}

func (h *host) move(step string, to pb.StepState) {
	s := h.steps[step]
	if s == nil {
		s = &pb.StepStatus{Run: "r", Step: step, Host: h.name, ArmNanos: int64(cmp.Or(h.says, armTime))}
		h.steps[step] = s
	}
	s.State = to
	s.Journal = append(s.Journal, &pb.JournalMark{Seq: uint64(len(s.Journal) + 1), State: to, ActualUnixNanos: h.w.now.Add(h.ahead).UnixNano()})
	switch to {
	case pb.StepState_STEP_STATE_ARMED:
		h.injected[step]++
		s.Evidence = []*pb.Evidence{{Name: "dropped", Holds: true}}
	case pb.StepState_STEP_STATE_REFUSED:
		s.Refused = &pb.Problem{Message: "not today", Refusal: pb.Refusal_REFUSAL_HOST}
	}
	h.report(step)
}

// report travels, and waits for somebody to lead.
func (h *host) report(step string) {
	if h.isGone() {
		return
	}
	s := proto.CloneOf(h.steps[step])
	h.w.after(travel, func() {
		h.w.whenLed(func() {
			h.w.commit(&pb.Command{Kind: &pb.Command_RecordSteps{RecordSteps: &pb.RecordSteps{Steps: []*pb.StepStatus{s}}}})
		})
	})
}
