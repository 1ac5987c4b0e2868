package state

import (
	"fmt"
	"slices"
	"strings"
	"time"

	pb "squall/proto/squall/v1"
	"squall/proto/text"
)

// The events that sinks are told of. docs/notify.md has one of each.
const (
	EventRunAdmitted    = "run.admitted"
	EventRunBegun       = "run.begun"
	EventRunPhase       = "run.phase"
	EventRunVerdict     = "run.verdict"
	EventRunAborted     = "run.aborted"
	EventRunHalted      = "run.halted"
	EventRunNotStarted  = "run.not_started"
	EventRunResidue     = "run.residue"
	EventSchedulePaused = "schedule.paused"
	EventSlotMissed     = "slot.missed"
)

var events = []string{
	EventRunAdmitted, EventRunBegun, EventRunPhase, EventRunVerdict, EventRunAborted, EventRunHalted,
	EventRunNotStarted, EventRunResidue, EventSchedulePaused, EventSlotMissed,
}

// Events are all events that sinks are told of, a run's in the order of its life.
func Events() []string { return slices.Clone(events) }

const (
	// maxNotices is how many notices wait. The oldest makes room, and the sinks
	// that it was for have lost it.
	maxNotices = 2048
	// mostNamed is how many hosts and zones a notice names.
	mostNamed = 10
)

// Notices are what waits for a sink after the notice of a number, oldest first.
func (v *View) Notices(sink string, after uint64) (waiting []*pb.Notice) {
	after = max(after, v.sinks[sink].GetWatermark())
	for _, n := range v.notices {
		if n.GetSeq() > after && slices.Contains(n.GetSinks(), sink) {
			waiting = append(waiting, n)
		}
	}
	return waiting
}

// NoticeSeq is the number of the newest notice, whether it waits or not.
func (v *View) NoticeSeq() uint64 { return v.noticeSeq }

// awaits tells whether a sink has yet to be told of a notice.
func awaits(s *pb.KeptSink, n *pb.Notice) bool {
	return s.GetWatermark() < n.GetSeq() && slices.Contains(n.GetSinks(), s.GetSink().GetName())
}

// notify has the sinks told that want to be: those of the cluster, and those
// that the experiment's file names.
func (t *change) notify(n *pb.Notice, e *pb.Experiment) {
	var to []string
	for _, s := range t.Sinks() {
		named := slices.Contains(e.GetNotify().GetSinks(), s.GetSink().GetName())
		if slices.Contains(s.GetSink().GetEvents(), n.GetEvent()) && (named || !s.GetSink().GetNamedOnly()) {
			to = append(to, s.GetSink().GetName())
		}
	}
	if len(to) > 0 {
		t.queue(n, to...)
	}
}

func (t *change) queue(n *pb.Notice, to ...string) {
	t.noticeSeq++
	n.Seq, n.Sinks, n.QueuedUnixNanos = t.noticeSeq, to, t.last
	n = brief(n)
	if n.GetAtUnixNanos() == 0 {
		n.AtUnixNanos = t.last
	}
	t.notices = append(slices.Clip(t.notices), n)
	for len(t.notices) > maxNotices {
		t.crowdOut(t.notices[0])
		t.notices = t.notices[1:]
	}
}

// crowdOut notes that a notice made room untold.
func (t *change) crowdOut(n *pb.Notice) {
	for _, name := range n.GetSinks() {
		if s := t.sinks[name]; s != nil && awaits(s, n) {
			t.editSink(name).Lost++
		}
	}
}

// forgetTold drops the notices that nobody has yet to be told of.
func (t *change) forgetTold() {
	t.notices = slices.DeleteFunc(slices.Clone(t.notices), func(n *pb.Notice) bool {
		return !slices.ContainsFunc(n.GetSinks(), func(sink string) bool {
			s := t.sinks[sink]
			return s != nil && awaits(s, n)
		})
	})
}

// tellOf tells of a run: number is which of its event this is.
func (t *change) tellOf(r *pb.Run, event string, number int, more func(*pb.Notice)) {
	if len(t.sinks) == 0 {
		return
	}
	n := &pb.Notice{
		Id: fmt.Sprintf("%s/%s/%d", r.GetId(), event, number), Event: event, Run: r.GetId(),
		Experiment: r.GetExperiment().GetName(), Schedule: r.GetSlot().GetSchedule(), Slot: r.GetSlot().GetSlot(),
		By: r.GetBy().GetName(), Why: r.GetBy().GetWhy(),
	}
	n.PlannedHosts, n.Zones = hit(r.GetPlan())
	if held(r) {
		n.BegunUnixNanos = r.GetT0UnixNanos()
	}
	more(n)
	t.notify(n, r.GetExperiment())
}

// held tells whether a run came as far as its faults.
func held(r *pb.Run) bool { return r.GetEnteredUnixNanos()[uint32(pb.RunState_RUN_STATE_HOLDING)] != 0 }

// hit is how many hosts a plan hits, and the first of their zones.
func hit(p *pb.Plan) (hosts uint32, zones []string) {
	for _, h := range p.GetHosts() {
		if !h.GetHit() {
			continue
		}
		hosts++
		if !slices.Contains(zones, h.GetZone()) {
			zones = append(zones, h.GetZone())
		}
	}
	slices.Sort(zones)
	return hosts, zones[:min(len(zones), mostNamed)]
}

func (t *change) tellAdmitted(r *pb.Run) {
	t.tellOf(r, EventRunAdmitted, 1, func(n *pb.Notice) {
		n.Text = fmt.Sprintf("run %s of %s is let in, started by %s", r.GetId(), r.GetExperiment().GetName(), r.GetBy().GetName())
	})
}

func (t *change) tellBegun(r *pb.Run) {
	t.tellOf(r, EventRunBegun, 1, func(n *pb.Notice) {
		n.AtUnixNanos = r.GetT0UnixNanos()
		n.Text = fmt.Sprintf("run %s of %s begins on %s", r.GetId(), r.GetExperiment().GetName(), text.Count(int(n.GetPlannedHosts()), "host"))
	})
}

func (t *change) tellPhase(r *pb.Run, phase *pb.PlannedPhase) {
	t.tellOf(r, EventRunPhase, int(r.GetPhasesBegun()), func(n *pb.Notice) {
		n.Phase, n.AtUnixNanos = phase.GetName(), r.GetT0UnixNanos()+phase.GetStartNanos()
		n.Text = fmt.Sprintf("run %s of %s: phase %s", r.GetId(), r.GetExperiment().GetName(), phaseText(phase))
	})
}

// ends are the events of verdicts; all others are EventRunVerdict.
var ends = map[pb.Verdict]string{
	pb.Verdict_VERDICT_ABORTED: EventRunAborted, pb.Verdict_VERDICT_HALTED: EventRunHalted, pb.Verdict_VERDICT_NOT_STARTED: EventRunNotStarted,
}

// tellEnd tells what a run came to, and which of its hosts are not clean.
func (t *change) tellEnd(r *pb.Run) {
	event := ends[r.GetVerdict()]
	if event == "" {
		event = EventRunVerdict
	}
	t.tellOf(r, event, 1, func(n *pb.Notice) {
		n.Verdict, n.EndedUnixNanos = r.GetVerdict(), t.last
		n.Text = fmt.Sprintf("run %s of %s ended: %s", r.GetId(), r.GetExperiment().GetName(), text.Word(r.GetVerdict()))
		if r.GetEndDetail() != "" {
			n.Text += ", " + r.GetEndDetail()
		}
	})
	var dirty []string
	for _, c := range Clean(r) {
		if !c.GetClean() {
			dirty = append(dirty, c.GetHost())
		}
	}
	if len(dirty) > 0 {
		t.tellResidue(r, 1, dirty)
	}
}

func (t *change) tellResidue(r *pb.Run, number int, hosts []string) {
	t.tellOf(r, EventRunResidue, number, func(n *pb.Notice) {
		n.Hosts, n.HostCount = hosts[:min(len(hosts), mostNamed)], uint32(len(hosts))
		n.Text = fmt.Sprintf("run %s of %s: %s not shown clean: %s", r.GetId(), r.GetExperiment().GetName(), text.Count(len(hosts), "host"), few(hosts))
	})
}

// tellLate tells of residue that a host reports after its run was done, and that
// nobody was told of.
func (t *change) tellLate(host string, o *pb.OpenStep) {
	r := t.Run(o.GetRun())
	if r == nil || active(r) || len(o.GetResidue()) == 0 || len(t.sinks) == 0 {
		return
	}
	slots := r.GetPlan().GetHosts()
	at := slices.IndexFunc(slots, func(h *pb.PlannedHost) bool { return h.GetName() == host })
	t.tellResidue(r, at+2, []string{host}) // the first was told at the end of the run
}

// tellPaused tells that a run paused its schedule.
func (t *change) tellPaused(s *pb.Scheduled, r *pb.Run) {
	t.notify(&pb.Notice{
		Id: fmt.Sprintf("%s/%s/%s", s.GetName(), EventSchedulePaused, r.GetId()), Event: EventSchedulePaused,
		Experiment: s.GetExperiment().GetName(), Schedule: s.GetName(), Slot: r.GetSlot().GetSlot(), Run: r.GetId(), Verdict: r.GetVerdict(),
		By: s.GetPausedBy().GetName(), Why: s.GetPausedBy().GetWhy(),
		Text: fmt.Sprintf("schedule %s is paused: %s; let it go on with: squall schedule resume %s", s.GetName(), s.GetPausedBy().GetWhy(), s.GetName()),
	}, s.GetExperiment())
}

// tellMissed tells of a slot that should have begun a run. What a schedule's own
// rules leave out is no news.
func (t *change) tellMissed(c *pb.PassSlot) {
	if c.GetOutcome() == pb.SlotOutcome_SLOT_OUTCOME_SKIPPED {
		return
	}
	s, slot := t.Schedule(c.GetSlot().GetSchedule()), c.GetSlot()
	what := "slot " + slot.GetSlot()
	if c.GetCount() > 1 {
		what = fmt.Sprintf("%d slots from %s to %s", c.GetCount(), c.GetFrom(), slot.GetSlot())
	}
	t.notify(&pb.Notice{
		Id:    strings.Join([]string{s.GetName(), EventSlotMissed, slot.GetSlot(), fmt.Sprint(max(slot.GetTry(), 1))}, "/"),
		Event: EventSlotMissed, Experiment: s.GetExperiment().GetName(), Schedule: s.GetName(), Slot: slot.GetSlot(), Outcome: c.GetOutcome(), Why: c.GetWhy(),
		Text: fmt.Sprintf("schedule %s: %s began no run: %s, %s", s.GetName(), what, text.Word(c.GetOutcome()), c.GetWhy()),
	}, s.GetExperiment())
}

// Age is how long a notice has waited at an instant of cluster time.
func Age(n *pb.Notice, now time.Time) time.Duration {
	return now.Sub(time.Unix(0, n.GetQueuedUnixNanos()))
}
