package state

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	pb "squall/proto/squall/v1"
)

// bench drives a machine by hand: each command gets the next index, an id of
// its own and an instant one second after the one before.
type bench struct {
	t     *testing.T
	m     *Machine
	index uint64
	now   int64
}

func newBench(t *testing.T) *bench {
	b := &bench{t: t, m: New(), now: 1_800_000_000 * int64(time.Second)}
	c := hosts("s1", 1, "bystander")
	c.GetUpdateHosts().Hosts[0].Host.Zone = "zone-z"
	b.must(c, hosts("s1", 1, "d"))
	return b
}

func (b *bench) apply(c *pb.Command) *pb.Outcome {
	b.t.Helper()
	b.index++
	b.now += int64(time.Second)
	c = proto.CloneOf(c)
	if c.Id == "" {
		c.Id = fmt.Sprint("command ", b.index)
	}
	c.AtUnixNanos = b.now
	return b.m.Apply(b.index, c)
}

// must applies commands that have to be accepted.
func (b *bench) must(commands ...*pb.Command) {
	b.t.Helper()
	for _, c := range commands {
		if o := b.apply(c); o.GetRefused() != nil {
			b.t.Fatalf("%v was refused: %v", c, o.GetRefused())
		}
	}
}

// refused applies a command that has to be refused for a reason.
func (b *bench) refused(c *pb.Command, why pb.Refusal) *pb.Problem {
	b.t.Helper()
	before := b.m.View()
	o := b.apply(c)
	if o.GetRefused().GetRefusal() != why {
		b.t.Fatalf("%v: got refusal %v, want %v", c, o.GetRefused(), why)
	}
	if len(before.Active()) != len(b.m.View().Active()) {
		b.t.Fatalf("%v: was refused and took effect", c)
	}
	return o.GetRefused()
}

func (b *bench) run(id string) *pb.Run {
	b.t.Helper()
	r := b.m.View().Run(id)
	if r == nil {
		b.t.Fatalf("there is no run %q", id)
	}
	return r
}

// Commands, short enough for tables.

func hosts(server string, session uint64, names ...string) *pb.Command {
	u := &pb.UpdateHosts{}
	for _, n := range names {
		u.Hosts = append(u.Hosts, &pb.HostUpdate{
			Name: n, Server: server, Session: session,
			Host: &pb.Host{Name: n, Zone: "zone-a", Environment: "lab", Role: []string{"web"}},
		})
	}
	return &pb.Command{Kind: &pb.Command_UpdateHosts{UpdateHosts: u}}
}

func lost(session uint64, name string) *pb.Command {
	return &pb.Command{Kind: &pb.Command_UpdateHosts{UpdateHosts: &pb.UpdateHosts{
		Hosts: []*pb.HostUpdate{{Name: name, Session: session}},
	}}}
}

// planOf is a plan of one step, "dark.dns.fail", of ten seconds.
func planOf(tokens uint32, names ...string) *pb.Plan {
	step := &pb.PlannedStep{
		Id: "dark.dns.fail", Phase: "dark", Target: "all", BootTokens: tokens, BootLimitNanos: int64(time.Minute),
		Fault: &pb.Fault{Kind: &pb.Fault_DnsFail{DnsFail: &pb.DNSFail{}}}, EndNanos: 10e9,
	}
	p := &pb.Plan{
		Experiment: "test", Steps: []*pb.PlannedStep{step}, LengthNanos: 10e9, DeadlineNanos: 20e9, LeaseNanos: 10e9,
		Phases: []*pb.PlannedPhase{{Name: "dark", EndNanos: 10e9}, {Name: "after", StartNanos: 10e9, EndNanos: 12e9}},
		Probes: []*pb.PlannedProbe{{Name: "shop", Hosts: names}},
	}
	for _, n := range names {
		step.Slots = append(step.Slots, &pb.HostSlot{Host: n, EndNanos: 10e9, DeadlineNanos: 20e9})
		p.Hosts = append(p.Hosts, &pb.PlannedHost{Name: n, Hit: true})
		p.Claims = append(p.Claims, &pb.Claim{Resource: "host/" + n + "/dns", Step: step.Id, Host: n, EndNanos: 20e9})
	}
	return p
}

func admit(run string, p *pb.Plan) *pb.Command {
	return &pb.Command{Kind: &pb.Command_AdmitRun{AdmitRun: &pb.AdmitRun{
		Run: run, Plan: p, Experiment: &pb.Experiment{Version: 1, Name: "test"},
	}}, By: &pb.Principal{Name: "ada", Role: pb.Role_ROLE_USER}}
}

// gated is admit of an experiment with a steady state.
func gated(run string, p *pb.Plan) *pb.Command {
	c := admit(run, p)
	c.GetAdmitRun().Experiment.SteadyState = &pb.SteadyState{All: []string{"true"}}
	return c
}

func prepare(run string) *pb.Command {
	return &pb.Command{Kind: &pb.Command_Prepare{Prepare: &pb.Prepare{Run: run}}}
}

func fire(run string, t0 int64) *pb.Command {
	return &pb.Command{Kind: &pb.Command_Fire{Fire: &pb.Fire{Run: run, T0UnixNanos: t0}}}
}

func hold(run string) *pb.Command {
	return &pb.Command{Kind: &pb.Command_Hold{Hold: &pb.Hold{Run: run}}}
}

func endRun(run string, cause pb.EndCause) *pb.Command {
	return &pb.Command{Kind: &pb.Command_EndRun{EndRun: &pb.EndRun{Run: run, Cause: cause}}}
}

func recovers(run string) *pb.Command {
	return &pb.Command{Kind: &pb.Command_Recover{Recover: &pb.Recover{Run: run}}}
}

func finish(run string) *pb.Command {
	return &pb.Command{Kind: &pb.Command_Finish{Finish: &pb.Finish{Run: run, Verdict: pb.Verdict_VERDICT_PASS}}}
}

func phase(run, name string) *pb.Command {
	return &pb.Command{Kind: &pb.Command_BeginPhase{BeginPhase: &pb.BeginPhase{Run: run, Phase: name}}}
}

func halt(id string) *pb.Command {
	return &pb.Command{Kind: &pb.Command_Halt{Halt: &pb.Halt{Id: id, Reason: "smoke"}}}
}

func resume(id string) *pb.Command {
	return &pb.Command{Kind: &pb.Command_Resume{Resume: &pb.Resume{Id: id}}}
}

func forget(host string) *pb.Command {
	return &pb.Command{Kind: &pb.Command_ForgetHost{ForgetHost: &pb.ForgetHost{Host: host}}}
}

func steps(statuses ...*pb.StepStatus) *pb.Command {
	return &pb.Command{Kind: &pb.Command_RecordSteps{RecordSteps: &pb.RecordSteps{Steps: statuses}}}
}

func status(run, host string, s pb.StepState) *pb.StepStatus {
	return &pb.StepStatus{Run: run, Step: "dark.dns.fail", Host: host, State: s}
}

func tokens(run string, names ...string) *pb.Command {
	return &pb.Command{Kind: &pb.Command_GrantTokens{GrantTokens: &pb.GrantTokens{Run: run, Step: "dark.dns.fail", Hosts: names}}}
}

func recorded(ws ...*pb.Window) *pb.Command {
	return &pb.Command{Kind: &pb.Command_RecordWindows{RecordWindows: &pb.RecordWindows{Windows: ws}}}
}

// randomCommand is one that the machine may well be sent, at any time, in any
// order, right or wrong.
func randomCommand(r *rand.Rand, now int64) *pb.Command {
	names := []string{"a", "b", "c", "d"}
	run := fmt.Sprint("run-", r.IntN(6))
	host := names[r.IntN(len(names))]
	st := status(run, host, pb.StepState(r.IntN(8)))
	st.ReadyAgain = r.IntN(4) == 0
	st.Journal = []*pb.JournalMark{{Seq: r.Uint64N(9), State: st.State}}
	if r.IntN(4) == 0 {
		st.Residue = []string{"web still runs"}
	}
	w := &pb.Window{
		Run: run, Probe: "shop", Zone: "zone-a", Second: now/1e9 - r.Int64N(5),
		Hosts: []byte{byte(1 << r.IntN(3))}, Count: 2, Success: r.Uint64N(3),
	}
	all := []*pb.Command{
		hosts(names[r.IntN(2)], r.Uint64N(5), host), lost(r.Uint64N(5), host),
		admit(run, planOf(uint32(r.IntN(3)), names[:1+r.IntN(4)]...)), gated(run, planOf(0, names...)),
		prepare(run), fire(run, now+1e8), hold(run), phase(run, "dark"), phase(run, "after"),
		endRun(run, pb.EndCause(1+r.IntN(7))), recovers(run), finish(run),
		steps(st), steps(st), steps(st), recorded(w), recorded(w), tokens(run, host),
		forget(host), says(uint64(r.IntN(9)), host, &pb.Damage{Id: fmt.Sprint(r.IntN(3))}), confirmDamage(host, fmt.Sprint(r.IntN(3))), halt(fmt.Sprint("halt-", r.IntN(9))), resume(fmt.Sprint("halt-", r.IntN(9))), resume(fmt.Sprint("halt-", r.IntN(9))),
		seal(run), seal(run),
		{Kind: &pb.Command_PruneArchived{PruneArchived: &pb.PruneArchived{Runs: []string{run}}}},
		keeps(fmt.Sprint("s", r.IntN(3)), run, fmt.Sprint("digest-", r.IntN(2))), gone(fmt.Sprint("s", r.IntN(3)), run),
		{Kind: &pb.Command_RaiseEpoch{RaiseEpoch: &pb.RaiseEpoch{}}},
		{Kind: &pb.Command_SetGuardrails{SetGuardrails: &pb.SetGuardrails{Guardrails: &pb.Guardrails{MaxZones: uint32(1 + r.IntN(4))}}}},
		setGuard(&pb.Guard{Name: names[r.IntN(2)], Rule: &pb.Guard_HostsAMinute{HostsAMinute: uint32(1 + r.IntN(4))}}, r.IntN(2) == 0),
		removeGuard(names[r.IntN(2)]), except(fmt.Sprint(r.IntN(3)), now+r.Int64N(60e9), names[r.IntN(2)]), except(fmt.Sprint(r.IntN(3)), now+r.Int64N(60e9)),
		{Kind: &pb.Command_ExceptGuards{ExceptGuards: &pb.ExceptGuards{Revoke: true, Exception: &pb.GuardException{Digest: Digest([]byte(fmt.Sprint(r.IntN(3))))}}}},
		putSchedule(names[r.IntN(2)], fmt.Sprint("2026-12-01T1", r.IntN(9))), removeSchedule(names[r.IntN(2)]), pauseSchedule(names[r.IntN(2)], r.IntN(2) == 0),
		passSlot(names[r.IntN(2)], fmt.Sprint("2026-12-01T1", r.IntN(9)), uint32(r.IntN(3))), holdSlot(names[r.IntN(2)], fmt.Sprint("2026-12-01T1", r.IntN(9))),
		inSlot(admit(run, planOf(0, host)), names[r.IntN(2)], fmt.Sprint("2026-12-01T1", r.IntN(9)), uint32(r.IntN(3))),
		endsAs(run, pb.Verdict(1+r.IntN(8))),
		fromFile(admit(run, planOf(0, host)), fmt.Sprint(r.IntN(3))), fromFile(gated(run, planOf(0, host)), fmt.Sprint(r.IntN(3))),
		putFile(names[r.IntN(2)], fmt.Sprint(r.IntN(3))), removeFile(names[r.IntN(2)], ""), removeFile(names[r.IntN(2)], Digest([]byte(fmt.Sprint(r.IntN(3))))),
		putDays(names[r.IntN(2)], "2026-12-31"), removeDays(names[r.IntN(2)]),
		{Kind: &pb.Command_AcceptTime{AcceptTime: &pb.AcceptTime{WallOffNanos: r.Int64N(2)}}},
		{Kind: &pb.Command_SetRules{SetRules: &pb.SetRules{Version: uint32(r.IntN(3))}}},
		putSink(names[r.IntN(2)]), removeSink(names[r.IntN(2)]), settle(names[r.IntN(2)], r.IntN(2) == 0),
		delivered(&pb.SinkProgress{Sink: names[r.IntN(2)], PutIndex: r.Uint64N(600), Watermark: r.Uint64N(300), Delivered: 1, GivenUp: []*pb.GivenUp{{Seq: r.Uint64N(300)}}}),
		{},
	}
	c := proto.CloneOf(all[r.IntN(len(all))])
	c.Id = fmt.Sprint("id-", r.IntN(1_000_000))
	c.AtUnixNanos = now + r.Int64N(1e9) - 5e8
	return c
}

// randomLog is a log of n commands with a fixed seed.
func randomLog(seed uint64, n int) []*pb.Command {
	r := rand.New(rand.NewPCG(seed, 1))
	now := int64(1_800_000_000e9)
	log := make([]*pb.Command, n)
	for i := range log {
		now += r.Int64N(1e9)
		log[i] = randomCommand(r, now)
	}
	return log
}

func replay(m *Machine, from uint64, log []*pb.Command) *Machine {
	for i, c := range log {
		m.Apply(from+uint64(i)+1, proto.CloneOf(c))
	}
	return m
}

func TestSameLogGivesSameState(t *testing.T) {
	for seed := range uint64(10) {
		log := randomLog(seed, 600)
		if a, b := replay(New(), 0, log), replay(New(), 0, log); a.Hash() != b.Hash() {
			t.Errorf("seed %d: two machines differ after one log", seed)
		}
	}
}

func TestSnapshotAndTailGiveSameState(t *testing.T) {
	for seed := range uint64(10) {
		log := randomLog(seed, 600)
		whole := replay(New(), 0, log)
		cut := int(seed) * 60
		restored := New()
		if err := restored.Restore(roundTrip(t, replay(New(), 0, log[:cut]).Snapshot())); err != nil {
			t.Fatal(err)
		}
		if replay(restored, uint64(cut), log[cut:]); whole.Hash() != restored.Hash() {
			t.Errorf("seed %d: snapshot at %d and tail differ from the whole log", seed, cut)
		}
	}
}

func roundTrip(t *testing.T, s *pb.State) *pb.State {
	t.Helper()
	b, err := proto.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	out := new(pb.State)
	if err := proto.Unmarshal(b, out); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestViewNeverChanges(t *testing.T) {
	m := New()
	var views []*View
	var before [][]byte
	image := func(v *View) []byte {
		b, err := proto.MarshalOptions{Deterministic: true}.Marshal(v.snapshot())
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for i, c := range randomLog(3, 400) {
		m.Apply(uint64(i+1), c)
		views = append(views, m.View())
		before = append(before, image(m.View()))
	}
	for i, v := range views {
		if string(image(v)) != string(before[i]) {
			t.Fatalf("the view at index %d changed after it was taken", v.Index())
		}
	}
}

func TestCommandTakesEffectOnceHoweverOftenItIsSent(t *testing.T) {
	const effects = 10_000
	b := newBench(t)
	r := rand.New(rand.NewPCG(7, 7))
	sent := make([]*pb.Command, 0, effects)
	index := uint64(0)
	for len(sent) < effects {
		c := &pb.Command{Id: fmt.Sprint(len(sent)), Kind: &pb.Command_RaiseEpoch{RaiseEpoch: &pb.RaiseEpoch{}}}
		sent = append(sent, c)
		index++
		b.m.Apply(index, c)
		for r.IntN(10) < 3 { // sent again, late and out of order
			index++
			again := sent[len(sent)-1-r.IntN(min(len(sent), 1000))]
			if o := b.m.Apply(index, again); !o.GetRepeatedCommand() || o.GetIndex() == index {
				t.Fatalf("command %s took effect again", again.GetId())
			}
		}
	}
	if got := b.m.View().Epoch(); got != effects+1 {
		t.Errorf("epoch is %d after %d commands", got, effects)
	}
	if got := b.m.View().Index(); got != index {
		t.Errorf("index is %d, want %d: repeats advance it too", got, index)
	}
}

func TestMemoryOfCommandsIsBounded(t *testing.T) {
	b := newBench(t)
	for range remembered + 100 {
		b.apply(&pb.Command{})
	}
	if n := len(b.m.Snapshot().GetApplied()); n != remembered {
		t.Errorf("%d commands are remembered, want %d", n, remembered)
	}
	if got := b.m.Snapshot().GetApplied()[0].GetId(); got != "command 103" { // two commands set the bench

		t.Errorf("the oldest remembered is %q", got)
	}
}

func TestClusterTimeNeverStepsBack(t *testing.T) {
	m := New()
	m.Apply(1, &pb.Command{Id: "a", AtUnixNanos: 5e9})
	m.Apply(2, &pb.Command{Id: "b", AtUnixNanos: 3e9})
	if got := m.View().Now(); !got.Equal(time.Unix(5, 0)) {
		t.Errorf("cluster time is %v", got)
	}
}

func TestNewerRulesAreNotRestored(t *testing.T) {
	if err := New().Restore(&pb.State{Rules: Rules + 1}); err == nil {
		t.Error("a snapshot under rules that this build does not know was restored")
	}
}

func TestStaleIsClosedByTheNextCommand(t *testing.T) {
	b := newBench(t)
	v := b.m.View()
	select {
	case <-v.Stale():
		t.Fatal("the newest view is stale")
	default:
	}
	b.apply(&pb.Command{})
	<-v.Stale()
}

func FuzzApply(f *testing.F) {
	for _, c := range randomLog(1, 40) {
		b, err := proto.Marshal(c)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(uint64(1), b)
	}
	f.Fuzz(func(t *testing.T, seed uint64, raw []byte) {
		c := new(pb.Command)
		if proto.Unmarshal(raw, c) != nil {
			return
		}
		log := append(randomLog(seed%16, 60), c, proto.CloneOf(c))
		m := replay(New(), 0, log)
		readAll(m.View())
		restored := New()
		if err := restored.Restore(roundTrip(t, m.Snapshot())); err != nil {
			t.Fatal(err)
		}
		if restored.Hash() != m.Hash() {
			t.Fatal("a restored machine differs")
		}
	})
}

// readAll calls everything that readers call.
func readAll(v *View) {
	v.World()
	for _, h := range []string{"a", "b", "nobody"} {
		v.Order(h)
	}
	for _, r := range v.Runs() {
		Clean(r)
		v.Readings(r.GetId()).Totals()
		v.Events(r.GetId(), v.Index()/2)
		v.Readings(r.GetId()).Residue()
	}
}
