package server

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"squall/experiments"
	"squall/experiments/schedule"
	"squall/proto/parts"
	"squall/proto/pki"
	pb "squall/proto/squall/v1"
)

const (
	// drillSlots are the slots of BenchmarkSlots, a second apart.
	drillSlots = 50
	// killEvery is at each how many of them the leader dies, and killBefore how
	// long before the slot.
	killEvery  = 10
	killBefore = 20 * time.Millisecond
)

// BenchmarkSlots has 50 schedules on three servers of their own, whose slots come
// a second apart, each once. At every tenth the leader is killed with -9. It tells
// how late a client hears that a slot's run was let in; the baseline is a commit.
func BenchmarkSlots(b *testing.B) {
	procs := startProcesses(b, func(string) {})
	procs.settle()
	d := &drillDay{processes: procs, admitted: map[string]time.Time{}}
	d.connectHosts()
	for b.Loop() {
		d.plan()
	}
	calm, killed := d.pass()
	d.onceEach()
	for name, late := range map[string][]time.Duration{"": calm, "kill-": killed} {
		slices.Sort(late)
		b.ReportMetric(inMillis(late[len(late)/2]), name+"median-ms")
		b.ReportMetric(inMillis(late[(len(late)*99+99)/100-1]), name+"p99-ms")
		b.ReportMetric(inMillis(late[len(late)-1]), name+"max-ms")
	}
	slices.Sort(d.commits)
	b.ReportMetric(inMillis(d.commits[len(d.commits)/2]), "commit-ms")
}

func inMillis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// drillDay is schedules, whose slots come one after another.
type drillDay struct {
	*processes
	drills  []dueDrill
	commits []time.Duration

	mu       sync.Mutex           // guards admitted
	admitted map[string]time.Time // by schedule: when a client first heard of its run
}

type dueDrill struct {
	name string
	at   time.Time
}

// plan keeps the schedules: all of one minute, a second apart by their jitter,
// which follows from their names.
func (d *drillDay) plan() {
	minute := time.Now().UTC().Add(80 * time.Second).Truncate(time.Minute)
	for n := range drillSlots {
		d.keep(n, minute, time.Duration(n+1)*time.Second)
	}
	for _, s := range d.servers {
		go d.listen(d.users[s.ID])
	}
}

// keep keeps a schedule whose slot comes so long after a minute.
func (d *drillDay) keep(n int, minute time.Time, after time.Duration) {
	for tries := range 10_000 {
		name := fmt.Sprintf("drill-%02d-%d", n, tries)
		file := drillFile(name, n, minute)
		if at := firstSlot(d.t, name, file, minute); at.Sub(minute) != after {
			continue
		}
		ctx, cancel := context.WithTimeout(context.Background(), enough)
		defer cancel()
		res, err := d.users["a"].PutSchedule(ctx, &pb.PutScheduleRequest{File: name + ".yaml", Source: file})
		if err != nil || len(res.GetRefused()) > 0 {
			d.t.Fatalf("put schedule: %v, %v", err, res.GetRefused())
		}
		d.drills = append(d.drills, dueDrill{name, minute.Add(after)})
		return
	}
	d.t.Fatalf("no name has its slot %s after the minute", after)
}

func drillFile(name string, n int, minute time.Time) []byte {
	return fmt.Appendf(nil, `version: 1
name: %s
title: Names fail on one host
targets: { it: { host: host-%02d } }
guardrails: { environments: [lab] }
schedule: { cron: "%d %d %d %d *", timezone: UTC, jitter: 59s }
timeline:
  - { at: T+0s, phase: dark, until: T+10s, faults: [ dns.fail: { target: it, for: 5s } ] }
`, name, n, minute.Minute(), minute.Hour(), minute.Day(), minute.Month())
}

func firstSlot(t testing.TB, name string, file []byte, after time.Time) time.Time {
	e, _, problems := experiments.Decode(name, file)
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	next, err := schedule.Upcoming(&pb.Scheduled{Name: name, Experiment: e}, after.Add(-time.Second), 1)
	if err != nil || len(next) == 0 {
		t.Fatal(err, next)
	}
	return next[0].Start
}

// pass waits for slot after slot, and kills the leader at some. It gives how late
// each run was heard of: those of slots that came while a leader was there, and
// those that came while none was.
func (d *drillDay) pass() (calm, killed []time.Duration) {
	var led time.Time // since when there is a leader again
	for n, drill := range d.drills {
		kill := n%killEvery == killEvery-1
		time.Sleep(time.Until(drill.at.Add(-killBefore)))
		if !kill {
			d.measureCommit()
		}
		dead := ""
		if kill {
			dead = d.kill()
		}
		heard := d.await(drill)
		late := heard.Sub(drill.at)
		if kill || drill.at.Before(led) {
			killed = append(killed, late)
		} else {
			calm = append(calm, late)
		}
		if kill {
			led = heard
			d.start(dead)
		}
	}
	return calm, killed
}

// kill kills the leader with -9, and gives its name.
func (d *drillDay) kill() string {
	dead := d.leader()
	_ = d.running[dead].Process.Kill()
	_ = d.running[dead].Wait()
	return dead
}

// measureCommit takes the baseline once for each slot at which nobody dies; it
// begins before the slot and is over when it comes, on a machine that is idle.
func (d *drillDay) measureCommit() {
	began := time.Now()
	d.commit(d.users[d.leader()])
	d.commits = append(d.commits, time.Since(began))
}

// await waits until a slot's run was heard of.
func (d *drillDay) await(drill dueDrill) time.Time {
	for end := drill.at.Add(enough); time.Now().Before(end); time.Sleep(time.Millisecond) {
		d.mu.Lock()
		at, ok := d.admitted[drill.name]
		d.mu.Unlock()
		if ok {
			return at
		}
	}
	d.t.Fatalf("the slot of %s begins no run", drill.name)
	return time.Time{}
}

// listen hears of runs from one server, and again when it is back.
func (d *drillDay) listen(user pb.ControlServiceClient) {
	for d.t.Context().Err() == nil {
		stream, err := user.Watch(d.t.Context(), &pb.WatchRequest{})
		for err == nil {
			var res *pb.WatchResponse
			if res, err = stream.Recv(); err == nil {
				d.hear(res.GetEvent().GetRun())
			}
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func (d *drillDay) hear(run string) {
	name := run[:max(strings.LastIndex(run, "-"), 0)]
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, known := d.admitted[name]; !known {
		d.admitted[name] = time.Now()
	}
}

// onceEach holds that each slot began one run.
func (d *drillDay) onceEach() {
	for _, drill := range d.drills {
		s, err := parts.Ask[pb.Scheduled](d.t.Context(), d.users[d.leader()].GetSchedule, &pb.GetScheduleRequest{Name: drill.name})
		if err != nil {
			d.t.Fatal(err)
		}
		if h := s.GetHistory(); len(h) != 1 || s.GetBegun() != 1 || h[0].GetOutcome() != pb.SlotOutcome_SLOT_OUTCOME_BEGUN {
			d.t.Errorf("the slot of %s became %v", drill.name, h)
		}
	}
	runs, err := d.users["a"].ListRuns(d.t.Context(), &pb.ListRunsRequest{PageSize: 1000})
	if n := len(runs.GetRuns()); err != nil || n != drillSlots {
		d.t.Errorf("%d slots began %d runs: %v", drillSlots, n, err)
	}
}

// connectHosts has a host for each drill, on whichever server is up.
func (d *drillDay) connectHosts() {
	for n := range drillSlots {
		go d.session(fmt.Sprintf("host-%02d", n), n)
	}
	for end := time.Now().Add(enough); ; time.Sleep(20 * time.Millisecond) {
		st, err := parts.Ask[pb.Status](d.t.Context(), d.users["a"].Status, &pb.StatusRequest{})
		if err == nil && st.GetHostsConnected() == drillSlots {
			return
		}
		if time.Now().After(end) {
			d.t.Fatalf("%d hosts of %d are connected: %v", st.GetHostsConnected(), drillSlots, err)
		}
	}
}

// session keeps a host connected that does nothing.
func (d *drillDay) session(host string, n int) {
	bundle, err := d.ca.Issue(pki.Identity{Role: pb.Role_ROLE_AGENT, Name: host})
	if err != nil {
		d.t.Error(err)
		return
	}
	for ; d.t.Context().Err() == nil; n++ {
		conn, err := grpc.NewClient(d.servers[n%len(d.servers)].Address, grpc.WithTransportCredentials(credentials.NewTLS(bundle.ClientTLS())))
		if err != nil {
			d.t.Error(err)
			return
		}
		stream, err := pb.NewAgentServiceClient(conn).Session(d.t.Context())
		if err == nil {
			hello := &pb.Hello{Host: &pb.Host{Name: host, Zone: "zone-a", Environment: "lab"}, BootId: "boot"}
			err = stream.Send(&pb.SessionRequest{Kind: &pb.SessionRequest_Hello{Hello: hello}})
		}
		for err == nil {
			_, err = stream.Recv()
		}
		_ = conn.Close()
		time.Sleep(50 * time.Millisecond)
	}
}
