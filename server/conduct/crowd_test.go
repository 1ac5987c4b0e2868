package conduct

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	pb "squall/proto/squall/v1"
	"squall/server/state"
)

// crowd is many runs at once under one conductor in real or simulated time: a
// log in memory, and hosts that do at once what they are told.
type crowd struct {
	t testing.TB
	m *state.Machine

	mu    sync.Mutex // guards all below
	index uint64
	// moved is when a report on a run was last applied, heard is when its last
	// windows were.
	moved, heard map[string]time.Time
	// late is how long after its cause each decision was proposed, by its id.
	late  map[string]time.Duration
	steps map[string]pb.StepState // what a host last said, by run and host
	work  sync.WaitGroup
}

const (
	crowdLength = 4 * time.Second
	crowdProbe  = "shop"
)

// newCrowd admits runs, each on as many hosts of its own.
func newCrowd(t testing.TB, runs, hosts int) *crowd {
	t.Helper()
	c := &crowd{
		t: t, m: state.New(), moved: map[string]time.Time{}, heard: map[string]time.Time{},
		late: map[string]time.Duration{}, steps: map[string]pb.StepState{},
	}
	c.mustCommit(&pb.Command{Id: "bystander", Kind: &pb.Command_UpdateHosts{UpdateHosts: &pb.UpdateHosts{Hosts: []*pb.HostUpdate{
		{Name: "bystander", Server: "s1", Session: 1, Host: &pb.Host{Name: "bystander", Zone: "zone-z"}},
	}}}})
	for r := range runs {
		id := fmt.Sprint("run-", r)
		update, names := &pb.UpdateHosts{}, []string{}
		for h := range hosts {
			name := fmt.Sprintf("%s-host-%d", id, h)
			names = append(names, name)
			update.Hosts = append(update.Hosts, &pb.HostUpdate{
				Name: name, Server: "s1", Session: 1, Host: &pb.Host{Name: name, Zone: fmt.Sprintf("zone-%c", 'a'+h%3)},
			})
		}
		c.mustCommit(&pb.Command{Id: "hosts of " + id, Kind: &pb.Command_UpdateHosts{UpdateHosts: update}})
		c.mustCommit(&pb.Command{Id: id, Kind: &pb.Command_AdmitRun{AdmitRun: crowdRun(id, names)}})
		c.moved[id] = time.Now()
	}
	return c
}

func crowdRun(id string, hosts []string) *pb.AdmitRun {
	p := planOf(hosts)
	p.LengthNanos, p.DeadlineNanos = int64(crowdLength), int64(2*crowdLength)
	p.Phases = []*pb.PlannedPhase{
		{Name: "dark", EndNanos: int64(crowdLength / 2)},
		{Name: "whole", StartNanos: int64(crowdLength / 2), EndNanos: int64(crowdLength)},
	}
	for _, s := range p.Steps[0].Slots {
		s.EndNanos, s.DeadlineNanos = p.LengthNanos, p.DeadlineNanos
	}
	probed(p)
	p.Probes[0].Hosts = hosts
	return &pb.AdmitRun{Run: id, Plan: p, Experiment: &pb.Experiment{
		Version: 1, Name: "scene", Timeline: []*pb.Phase{{Phase: "dark"}, {Phase: "whole"}},
		Probes: map[string]*pb.Probe{crowdProbe: {Every: spanOf(time.Second), Timeout: spanOf(time.Second), From: []string{"control"}}},
		Abort:  []*pb.AbortRule{{Name: "really hurt", When: "shop.success < 0.4", For: spanOf(2 * time.Second)}},
	}}
}

func (c *crowd) View() *state.View { return c.m.View() }

func (c *crowd) mustCommit(cmd *pb.Command) {
	c.t.Helper()
	if o, _ := c.Propose(context.Background(), cmd); o[0].GetRefused() != nil {
		c.t.Fatalf("%s: %v", cmd.GetId(), o[0].GetRefused())
	}
}

// Propose commits at once, and notes how late a decision is.
func (c *crowd) Propose(_ context.Context, commands ...*pb.Command) (all []*pb.Outcome, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, cmd := range commands {
		all = append(all, c.commit(cmd))
	}
	return all, nil
}

func (c *crowd) commit(cmd *pb.Command) *pb.Outcome {
	if run, decision, ok := strings.Cut(cmd.GetId(), "/"); ok {
		c.late[cmd.GetId()] = time.Since(c.due(run, decision))
	}
	c.index++
	if cmd.AtUnixNanos == 0 {
		cmd.AtUnixNanos = time.Now().UnixNano()
	}
	o := c.m.Apply(c.index, proto.CloneOf(cmd))
	for _, s := range cmd.GetRecordSteps().GetSteps() {
		c.moved[s.GetRun()] = time.Now()
	}
	for _, w := range cmd.GetRecordWindows().GetWindows() {
		c.heard[w.GetRun()] = time.Now()
	}
	return o
}

// due is when the cause of a decision was there: the last report, or the
// instant of a phase; of a verdict, the end of the timeline or the last windows.
func (c *crowd) due(run, decision string) time.Time {
	name, isPhase := strings.CutPrefix(decision, "phase/")
	r := c.m.View().Run(run)
	for _, p := range r.GetPlan().GetPhases() {
		if isPhase && p.GetName() == name {
			return later(time.Unix(0, r.GetT0UnixNanos()+p.GetStartNanos()), c.moved[run])
		}
	}
	if decision == "finish" {
		return later(time.Unix(0, r.GetT0UnixNanos()+r.GetPlan().GetLengthNanos()), c.heard[run])
	}
	return c.moved[run]
}

// Push makes hosts do what they are told.
func (c *crowd) Push(_ context.Context, orders map[string]*pb.Order) {
	said := &pb.RecordSteps{}
	for host, o := range orders {
		for _, t := range o.GetTasks() {
			said.Steps = append(said.Steps, c.obey(host, t)...)
		}
	}
	c.say(said)
}

// obey is what a host says to a task at once. What it does later it says then.
func (c *crowd) obey(host string, t *pb.Task) []*pb.StepStatus {
	c.mu.Lock()
	defer c.mu.Unlock()
	key, to := t.GetRun()+"/"+host, pb.StepState_STEP_STATE_READY
	if t.GetFire() {
		to = pb.StepState_STEP_STATE_ARMED
	}
	if c.steps[key] >= to {
		return nil
	}
	c.steps[key] = to
	return []*pb.StepStatus{{Run: t.GetRun(), Step: t.GetStep(), Host: host, State: to, ArmNanos: int64(armTime)}}
}

func (c *crowd) say(s *pb.RecordSteps) {
	if len(s.GetSteps()) == 0 {
		return
	}
	c.work.Go(func() {
		time.Sleep(travel)
		c.mustCommit(&pb.Command{Id: rand.Text(), Kind: &pb.Command_RecordSteps{RecordSteps: s}})
	})
}

// live lets hosts revert at their ends and probes tell, until every run is done.
func (c *crowd) live(ctx context.Context) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	ended, measured := map[string]bool{}, int64(0)
	for n := 0; ctx.Err() == nil; n++ {
		now := time.Now()
		active := c.m.View().Active()
		if len(active) == 0 {
			return
		}
		for _, r := range active {
			if end := r.GetT0UnixNanos() + int64(crowdLength); r.GetT0UnixNanos() != 0 && now.UnixNano() >= end && !ended[r.GetId()] {
				ended[r.GetId()] = true
				c.say(c.reverted(r))
			}
		}
		if measured != now.Unix() {
			measured = now.Unix()
			c.measure(active, measured-1)
		}
		<-tick.C
	}
}

func (c *crowd) reverted(r *pb.Run) *pb.RecordSteps {
	out := &pb.RecordSteps{}
	for _, s := range r.GetPlan().GetSteps()[0].GetSlots() {
		out.Steps = append(out.Steps, &pb.StepStatus{
			Run: r.GetId(), Step: r.GetPlan().GetSteps()[0].GetId(), Host: s.GetHost(),
			State: pb.StepState_STEP_STATE_REVERTED, Cause: pb.RevertCause_REVERT_CAUSE_END,
			Evidence: []*pb.Evidence{{Name: "dropped", Holds: true}},
			Journal:  []*pb.JournalMark{{Seq: 1, State: pb.StepState_STEP_STATE_HELD, ActualUnixNanos: r.GetT0UnixNanos()}},
		})
	}
	return out
}

func (c *crowd) measure(active []*pb.Run, second int64) {
	batch := &pb.RecordWindows{}
	for _, r := range active {
		for zone := range 3 {
			batch.Windows = append(batch.Windows, &pb.Window{
				Run: r.GetId(), Probe: crowdProbe, Zone: fmt.Sprintf("zone-%c", 'a'+zone), Second: second, Hosts: inZone(r, zone),
				Count: 2, Success: 2, NewestUnixNanos: second*1e9 + 9e8,
			})
		}
	}
	c.mustCommit(&pb.Command{Id: fmt.Sprint("windows ", second), Kind: &pb.Command_RecordWindows{RecordWindows: batch}})
}

// inZone is a bitmap of a run's hosts in one of three zones.
func inZone(r *pb.Run, zone int) []byte {
	bits := make([]byte, len(r.GetPlan().GetProbes()[0].GetHosts())/8+1)
	for i := zone; i < len(r.GetPlan().GetProbes()[0].GetHosts()); i += 3 {
		bits[i/8] |= 1 << (i % 8)
	}
	return bits
}

// conduct conducts every run to its end. One of them may be slow to judge.
func (c *crowd) conduct(slow func(run string)) {
	c.t.Helper()
	conductor := &Conductor{
		Machine: c, Proposer: c, Pusher: c, Now: time.Now, Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
		Decide: func(d *Decider, now time.Time, v *state.View, run string) Decision {
			slow(run)
			return d.Decide(now, v, run)
		},
	}
	ctx, stop := context.WithTimeout(context.Background(), time.Minute)
	var lead sync.WaitGroup
	lead.Go(func() { _ = conductor.Lead(ctx) })
	c.Push(ctx, c.orders())
	c.live(ctx)
	stop()
	lead.Wait()
	c.work.Wait()
}

// lateness of all decisions but those of some runs, sorted, and which came last.
func (c *crowd) lateness(but ...string) (all []time.Duration, last string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, late := range c.late {
		if run, _, _ := strings.Cut(id, "/"); slices.Contains(but, run) {
			continue
		}
		if all = append(all, late); late >= slices.Max(all) {
			last = id
		}
	}
	slices.Sort(all)
	return all, last
}

func (c *crowd) orders() map[string]*pb.Order {
	orders := map[string]*pb.Order{}
	for _, h := range c.m.View().Hosts() {
		orders[h.GetHost().GetName()] = c.m.View().Order(h.GetHost().GetName())
	}
	return orders
}

// A run that is slow to judge, in one seat of its own, keeps nobody waiting.
func TestSlowRunDelaysNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(t, 64, 3)
		slow := []string{"run-0", "run-1"}
		c.conduct(func(run string) {
			if slices.Contains(slow, run) {
				time.Sleep(700 * time.Millisecond)
			}
		})
		late, last := c.lateness(slow...)
		if worst := late[len(late)-1]; worst > 100*time.Millisecond {
			t.Errorf("%s came %s after its cause", last, worst)
		}
		for _, r := range c.m.View().Runs() {
			if !slices.Contains(slow, r.GetId()) && r.GetVerdict() != pb.Verdict_VERDICT_PASS {
				t.Fatalf("%s: %v: %v", r.GetId(), r.GetVerdict(), r.GetFindings())
			}
		}
	})
}

// BenchmarkCrowd is how late decisions are in real time with 64 runs on 30
// hosts each, one of which takes a second of a processor to judge. The baseline
// is one run alone.
func BenchmarkCrowd(b *testing.B) {
	for b.Loop() {
		one, many := newCrowd(b, 1, 30), newCrowd(b, 64, 30)
		one.conduct(func(string) {})
		many.conduct(func(run string) {
			if run == "run-0" {
				for end := time.Now().Add(time.Second); time.Now().Before(end); {
				}
			}
		})
		alone, _ := one.lateness()
		all, last := many.lateness("run-0")
		b.Logf("last: %s", last)
		b.ReportMetric(millis(all[len(all)/2]), "median-ms")
		b.ReportMetric(millis(all[len(all)-1]), "max-ms")
		b.ReportMetric(millis(alone[len(alone)/2]), "alone-median-ms")
		b.ReportMetric(millis(alone[len(alone)-1]), "alone-max-ms")
		b.ReportMetric(float64(len(all)), "decisions")
	}
}

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
