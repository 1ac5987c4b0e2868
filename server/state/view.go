package state

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"squall/experiments/plan"
	pb "squall/proto/squall/v1"
)

// View is the state at one index. It is immutable, and so is every message
// that it hands out: copy before changing.
type View struct {
	index, epoch uint64
	rules        uint32
	last         int64 // cluster time of the newest command, Unix nanoseconds
	hosts        table[*pb.Registered]
	runs         map[string]*record
	halt         *pb.HaltLatch
	pulled       table[uint64] // halt -> index of its commit
	guardrails   *pb.Guardrails
	guards       map[string]*pb.Guard
	exceptions   map[string]*pb.GuardException // by digest
	schedules    table[*pb.Scheduled]
	restored     int64 // cluster time of the newest restore
	experiments  map[string]*pb.KeptExperiment
	calendars    map[string]*pb.Calendar
	archived     table[*pb.Archived] // sealed runs
	accepted     *pb.AcceptedTime
	sinks        map[string]*pb.KeptSink
	notices      []*pb.Notice // oldest first
	noticeSeq    uint64       // of the newest
	audit        []*pb.AuditRecord
	orders       table[uint64] // host -> index at which its order last changed
	recent       recents       // the newest of those changes
	floor        uint64        // index at which every order last changed
	stale        chan struct{} // closed when a newer view is published
	census       *census       // of the hosts; shared until one changes
}

// record is a run with the windows of its probes, and its plan by what it is
// looked up by.
type record struct {
	run     *pb.Run
	slots   slots
	claims  map[string][]*pb.Claim // by resource
	file    string                 // its file's digest
	windows windows
}

func recordOf(r *pb.Run) *record {
	return &record{run: r, slots: slotsOf(r.GetPlan()), claims: plan.ClaimsByResource(r.GetPlan()), file: FileDigest(r.GetSource())}
}

// census is the registry in order, made when it is first asked for.
type census struct {
	once     sync.Once
	sorted   []*pb.Registered
	hosts    []*pb.Host
	registry *plan.Registry
	barred   []string // two machines say that they are these
	damaged  []string // their journal lost something, and they don't know that anybody has confirmed it
	// environments are those of the hosts.
	environments map[string]bool
}

func (v *View) counted() *census {
	c := v.census
	c.once.Do(func() {
		for _, h := range v.hosts.all() {
			c.sorted = append(c.sorted, h)
		}
		slices.SortFunc(c.sorted, func(a, b *pb.Registered) int { return strings.Compare(a.GetHost().GetName(), b.GetHost().GetName()) })
		c.environments = make(map[string]bool)
		for _, h := range c.sorted {
			c.hosts = append(c.hosts, h.GetHost())
			c.environments[plan.Environment(h.GetHost())] = true
			if h.GetConflict() != nil {
				c.barred = append(c.barred, h.GetHost().GetName())
			}
			if h.GetDamage() != nil {
				c.damaged = append(c.damaged, h.GetHost().GetName())
			}
		}
		c.registry = plan.NewRegistry(c.hosts)
	})
	return c
}

// slots finds a plan's slots by host, then step. It is made once for a run.
type slots map[string]map[string]*pb.HostSlot

func slotsOf(p *pb.Plan) slots {
	out := make(slots)
	for _, step := range p.GetSteps() {
		for _, s := range step.GetSlots() {
			if out[s.GetHost()] == nil {
				out[s.GetHost()] = make(map[string]*pb.HostSlot)
			}
			out[s.GetHost()][step.GetId()] = s
		}
	}
	return out
}

func newView() *View {
	return &View{epoch: 1, rules: Rules, stale: make(chan struct{}), census: &census{}}
}

// at is the view at a later index with nothing else changed.
func (v *View) at(index uint64) *View {
	next := *v
	next.index = index
	next.stale = make(chan struct{})
	return &next
}

// Index is the log index of the last command applied.
func (v *View) Index() uint64 { return v.index }

// Epoch fences everything that was said before a restore or a recovery.
func (v *View) Epoch() uint64 { return v.epoch }

// Rules is the rule version under which commands are applied.
func (v *View) Rules() uint32 { return v.rules }

// Now is the latest instant of cluster time that was applied: no later command
// is earlier. It is the Unix epoch before the first command.
func (v *View) Now() time.Time { return time.Unix(0, v.last).UTC() }

// Stale is closed when there is a newer view. Take the view, look at it, wait.
func (v *View) Stale() <-chan struct{} { return v.stale }

// Halt is the lever: nil when it has never been pulled.
func (v *View) Halt() *pb.HaltLatch { return v.halt }

// Guardrails are the cluster-wide ones: nil when none are set.
func (v *View) Guardrails() *pb.Guardrails { return v.guardrails }

// Audit is the record of acts, oldest first. The oldest are dropped when there
// are more than 10,000.
func (v *View) Audit() []*pb.AuditRecord { return v.audit }

// Host is a host of the registry, nil when it is not known.
func (v *View) Host(name string) *pb.Registered { return v.hosts.get(name) }

// Hosts are all hosts of the registry, by name. The list is shared.
func (v *View) Hosts() []*pb.Registered { return v.counted().sorted }

// Run is a run by its id, nil when it is not known.
func (v *View) Run(id string) *pb.Run {
	if r := v.runs[id]; r != nil {
		return r.run
	}
	return nil
}

// Same tells whether a run, its readings included, is the same in two views.
func (v *View) Same(other *View, run string) bool { return v.runs[run] == other.runs[run] }

// Runs are all runs that the state has whole, oldest first: those that are not
// done, and the newest 100 that are, or more that wait for the archive or that
// gaps between runs are counted from.
func (v *View) Runs() []*pb.Run { return v.pick(func(*pb.Run) bool { return true }) }

// Active are the runs that are not done, oldest first.
func (v *View) Active() []*pb.Run { return v.pick(active) }

func active(r *pb.Run) bool { return r.GetState() != pb.RunState_RUN_STATE_DONE }

func (v *View) pick(want func(*pb.Run) bool) []*pb.Run {
	var out []*pb.Run
	for _, r := range v.runs {
		if want(r.run) {
			out = append(out, r.run)
		}
	}
	slices.SortFunc(out, byAge)
	return out
}

func byAge(a, b *pb.Run) int {
	if a.GetAdmittedIndex() != b.GetAdmittedIndex() {
		return int(int64(a.GetAdmittedIndex()) - int64(b.GetAdmittedIndex()))
	}
	return strings.Compare(a.GetId(), b.GetId())
}

// snapshot is the view as a message, without what only the machine knows.
func (v *View) snapshot() *pb.State {
	s := &pb.State{
		Index: v.index, Epoch: v.epoch, Rules: v.rules, LastUnixNanos: v.last,
		Hosts: v.hosts.asMap(), Halt: v.halt, Guardrails: v.guardrails, Audit: v.audit,
		OrderIndex: v.orders.asMap(), OrderFloor: v.floor, HaltIndex: v.pulled.asMap(), Schedules: v.bareSchedules(),
		Experiments: v.experiments, Calendars: v.calendars, RestoredUnixNanos: v.restored, Archived: v.archived.asMap(), AcceptedTime: v.accepted,
		Guards: v.guards, GuardExceptions: v.exceptions,
		Sinks: v.sinks, Notices: v.notices, NoticeSeq: v.noticeSeq,
		Runs: make(map[string]*pb.Run, len(v.runs)),
	}
	for _, r := range v.Runs() {
		s.Runs[r.GetId()] = r
		s.Windows = append(s.Windows, v.runs[r.GetId()].windows.list()...)
	}
	return s
}

// viewOf is the view that a snapshot was taken of.
func viewOf(s *pb.State) (*View, error) {
	v := newView()
	v.index, v.epoch, v.rules, v.last = s.GetIndex(), s.GetEpoch(), s.GetRules(), s.GetLastUnixNanos()
	v.hosts, v.halt, v.guardrails, v.audit = tableOf(s.GetHosts()), s.GetHalt(), s.GetGuardrails(), s.GetAudit()
	v.orders, v.floor, v.pulled = tableOf(s.GetOrderIndex()), s.GetOrderFloor(), tableOf(s.GetHaltIndex())
	if err := cmp.Or(v.restoreKept(s), v.restoreGuards(s)); err != nil {
		return nil, err
	}
	v.restored, v.accepted = s.GetRestoredUnixNanos(), s.GetAcceptedTime()
	v.sinks, v.notices, v.noticeSeq = s.GetSinks(), s.GetNotices(), s.GetNoticeSeq()
	for id, a := range s.GetArchived() {
		if a.GetSummary().GetId() != id {
			return nil, fmt.Errorf("archived run %q: its id is %q", id, a.GetSummary().GetId())
		}
	}
	v.archived = tableOf(s.GetArchived())
	v.recent.since = v.index
	v.runs = make(map[string]*record, len(s.GetRuns()))
	for id, r := range s.GetRuns() {
		if r.GetId() != id {
			return nil, fmt.Errorf("run %q: its id is %q", id, r.GetId())
		}
		v.runs[id] = recordOf(r)
	}
	for _, w := range s.GetWindows() {
		r := v.runs[w.GetRun()]
		if r == nil {
			return nil, fmt.Errorf("window of probe %q: run %q is not in it", w.GetProbe(), w.GetRun())
		}
		r.windows = r.windows.with(w)
	}
	return v, nil
}
