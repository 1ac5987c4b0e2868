package fleet

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"squall/proto/hist"
	pb "squall/proto/squall/v1"
)

const (
	held     = pb.StepState_STEP_STATE_HELD
	reverted = pb.StepState_STEP_STATE_REVERTED
)

// largest is how many bytes the largest command took, and how many there were of steps.
func (r *rig) largest() (bytes, commands int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.commands {
		bytes = max(bytes, proto.Size(c))
		if c.GetRecordSteps() != nil {
			commands++
		}
	}
	return bytes, commands
}

func TestHostSpeaksForItselfAlone(t *testing.T) {
	inBubble(t, func(r *rig) {
		a := r.join("a")
		r.join("b")
		r.admit("r", "a", "b")
		st := stepOn("r", held)
		st.Host = "b"
		a.report(st)
		if r.step("r", "a").GetState() != held || r.step("r", "b") != nil {
			t.Errorf("recorded %v", r.machine.View().Run("r").GetSteps())
		}
	})
}

func TestReportThatIsKnownCostsNothing(t *testing.T) {
	inBubble(t, func(r *rig) {
		a := r.join("a")
		r.admit("r", "a")
		a.report(stepOn("r", held))
		_, before := r.largest()
		for range 50 {
			a.report(stepOn("r", held))
		}
		if _, after := r.largest(); after != before {
			t.Errorf("%d commands for what is known", after-before)
		}
	})
}

// TestWhatIsSaidIsCut: a host that says too much of a step is heard all the
// same, and what says whether it is clean is never cut to nothing.
func TestWhatIsSaidIsCut(t *testing.T) {
	inBubble(t, func(r *rig) {
		a := r.join("a")
		r.admit("r", "a")
		st := stepOn("r", reverted)
		for i := range 2000 {
			st.Residue = append(st.Residue, fmt.Sprintf("link %d %s", i, strings.Repeat("ä", 100)))
		}
		st.Refused = &pb.Problem{Message: strings.Repeat("ä", 40_000)}
		st.RecoveryFailures = []*pb.RecoveryFailure{{Workload: "w", Log: strings.Split(strings.Repeat("line ", 500), " ")}}
		a.report(st)
		got := r.step("r", "a")
		if got.GetState() != reverted || len(got.GetResidue()) != maxLines || got.GetResidue()[maxLines-1] != "and 1873 more" {
			t.Errorf("recorded %d lines, the last %q", len(got.GetResidue()), got.GetResidue()[len(got.GetResidue())-1])
		}
		if n := proto.Size(got); n > maxStep {
			t.Errorf("it takes %d bytes", n)
		}
	})
}

// TestOneAgentsFloodStopsNobody: forty reports of nearly a message's size from
// one agent, and a report from another.
func TestOneAgentsFloodStopsNobody(t *testing.T) {
	inBubble(t, func(r *rig) {
		a, b := r.join("a"), r.join("b")
		r.admit("r", "a", "b")
		r.set(func() { r.down = errors.New("no leader") })
		for i := range 40 {
			var all []*pb.StepStatus
			for k := range 8 {
				st := stepOn(fmt.Sprint("stray-", i, "-", k), reverted)
				for range maxLines {
					st.Residue = append(st.Residue, strings.Repeat("x", maxLine))
				}
				all = append(all, st)
			}
			a.report(all...)
		}
		r.f.steps.mu.Lock()
		waiting := r.f.steps.waiting["a"]
		r.f.steps.mu.Unlock()
		if waiting > hostBytes {
			t.Errorf("%d bytes of one host wait", waiting)
		}
		told, remembered := 0, 0
		all, _ := r.f.Told()
		for _, st := range all {
			told, remembered = told+1, remembered+proto.Size(st)
		}
		if told == 0 || remembered > hostBytes {
			t.Errorf("%d steps of one host are remembered, in %d bytes", told, remembered)
		}
		r.set(func() { r.down = nil })
		b.report(stepOn("r", held))
		if r.step("r", "b").GetState() != held {
			t.Error("the other agent is not heard")
		}
		if bytes, _ := r.largest(); bytes > batchBytes+maxStep {
			t.Errorf("a command of %d bytes", bytes)
		}
	})
}

// TestFloodIsReadNoFasterThanItMay: what one agent says again and again, each time
// otherwise, does not become as much of the log.
func TestFloodIsReadNoFasterThanItMay(t *testing.T) {
	inBubble(t, func(r *rig) {
		a, b := r.join("a"), r.join("b")
		r.admit("r", "a", "b")
		began, said := time.Now(), 0
		for i := range 400 {
			st := stepOn("r", reverted)
			st.Residue = append(slices.Repeat([]string{strings.Repeat("x", maxLine)}, maxLines-1), fmt.Sprint(i))
			a.report(st)
			said += maxLines * maxLine
			if i == 300 {
				if pong := b.ping(nil); pong == nil || !pong.GetRenewed() {
					t.Error("another agent is not answered")
				}
			}
		}
		if took := time.Since(began); took < time.Duration((said-sayBurst)/sayRate)*time.Second {
			t.Errorf("%d bytes were read in %s, and came to %d commands", said, took, len(r.commands))
		}
	})
}

// TestEndsAreToldUntilTheyAreRecorded: without a quorum, what agents said is
// all there is; more of it than a fixed number must not be lost.
func TestEndsAreToldUntilTheyAreRecorded(t *testing.T) {
	inBubble(t, func(r *rig) {
		a := r.join("a")
		var runs []string
		for i := range 30 {
			run := fmt.Sprint("r", i)
			r.admit(run, "a")
			r.must(&pb.Command{Kind: &pb.Command_EndRun{EndRun: &pb.EndRun{Run: run, Cause: pb.EndCause_END_CAUSE_UNDO}}})
			runs = append(runs, run)
		}
		for i := range 300 { // a long day: ends that the state knows
			a.report(stepOn(fmt.Sprint("r", i%10), reverted))
		}
		r.set(func() { r.down = errors.New("no quorum") })
		_, more := r.f.Told()
		for _, run := range runs[10:] {
			a.report(stepOn(run, reverted))
		}
		select {
		case <-more:
		default:
			t.Error("nobody is told that there is more")
		}
		told, _ := r.f.Told()
		if len(told) != 20 {
			t.Errorf("%d ends are told, of 20 that are not recorded", len(told))
		}
		r.set(func() { r.down = nil })
		for _, run := range runs {
			a.report(stepOn(run, reverted))
		}
		a.report()
		if told, _ := r.f.Told(); len(told) != 0 {
			t.Errorf("%d ends are kept that the state knows", len(told))
		}
	})
}

func TestManyEndsOfOneHostAreAllTold(t *testing.T) {
	inBubble(t, func(r *rig) {
		a := r.join("a")
		r.set(func() { r.down = errors.New("no quorum") })
		var all []*pb.StepStatus
		for i := range 600 {
			all = append(all, stepOn(fmt.Sprint("r", i), reverted))
		}
		a.report(all...)
		if told, _ := r.f.Told(); len(told) != 600 {
			t.Errorf("%d of 600 ends are told", len(told))
		}
	})
}

// reading is a window of one attempt as an agent sends it: without a zone or a bit.
func reading(run string, second int64) *pb.Window {
	h := &pb.Histogram{}
	hist.Add(h, 5e6)
	return &pb.Window{Run: run, Probe: "shop", Zone: "made up", Hosts: []byte{0xff}, Second: second, Count: 1, Success: 1, Latency: h}
}

func TestReadingsOfManyHostsBecomeOneWindow(t *testing.T) {
	inBubble(t, func(r *rig) {
		hosts := names(40)
		var agents []*agent
		for _, h := range hosts {
			agents = append(agents, r.join(h))
		}
		r.admit("r", hosts...)
		second := time.Now().Unix()
		for i, a := range agents {
			a.windows(uint64(i+1), false, reading("r", second))
		}
		for _, a := range agents {
			if len(heard(a, acks)) != 0 {
				t.Fatal("acknowledged before the commit")
			}
		}
		time.Sleep(gatherWindows + time.Millisecond)
		w := r.machine.View().Readings("r").Window("shop", "zone-a", second)
		if w.GetCount() != 40 || len(w.GetHosts()) != 5 || w.GetHosts()[4] != 0xff {
			t.Errorf("recorded %v", w)
		}
		for i, a := range agents {
			if got := heard(a, acks); len(got) != 1 || got[0] != uint64(i+1) {
				t.Errorf("acknowledged %v", got)
			}
		}
	})
}

func TestReadingThatIsSentAgainCountsOnce(t *testing.T) {
	inBubble(t, func(r *rig) {
		a, b := r.join("a"), r.join("b")
		r.admit("r", "a", "b")
		second := time.Now().Unix()
		a.windows(1, false, reading("r", second))
		time.Sleep(gatherWindows + time.Millisecond)
		a.windows(1, false, reading("r", second)) // the acknowledgement was lost
		b.windows(1, false, reading("r", second))
		time.Sleep(gatherWindows + time.Millisecond)
		b.windows(2, true, reading("r", second))
		time.Sleep(gatherWindows + time.Millisecond)
		if w := r.machine.View().Readings("r").Window("shop", "zone-a", second); w.GetCount() != 2 {
			t.Errorf("counted %v", w)
		}
		if got := heard(b, acks); len(got) != 2 {
			t.Errorf("acknowledged %v", got)
		}
	})
}

// TestMergedReadingsAreNotLostForOneHostsSake drops a window of several hosts for
// what is wrong with one of them: the others' readings count all the same, and are
// acknowledged when they do.
func TestMergedReadingsAreNotLostForOneHostsSake(t *testing.T) {
	for name, spoil := range map[string]func(*rig, *pb.Window){
		// One host changed servers with a batch under way: its reading has come by the other.
		"recorded by another server": func(r *rig, w *pb.Window) {
			w = proto.CloneOf(w)
			w.Zone, w.Hosts = "zone-a", bitOf(0)
			r.must(&pb.Command{Kind: &pb.Command_RecordWindows{RecordWindows: &pb.RecordWindows{Windows: []*pb.Window{w}}}})
		},
		"more attempts than there can be": func(_ *rig, w *pb.Window) { w.Count = 1 << 40 },
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(r *rig) {
				a, b, c := r.join("a"), r.join("b"), r.join("c")
				r.admit("r", "a", "b", "c")
				second := time.Now().Unix()
				bad := reading("r", second)
				spoil(r, bad)
				a.windows(1, false, bad)
				b.windows(1, false, reading("r", second))
				c.windows(1, false, reading("r", second))
				time.Sleep(gatherWindows + time.Millisecond)
				if got := heard(b, acks); len(got) != 0 {
					t.Error("acknowledged what is not recorded")
				}
				time.Sleep(gatherWindows + time.Millisecond)
				w := r.machine.View().Readings("r").Window("shop", "zone-a", second)
				if !hist.Covers(w, &pb.Window{Hosts: []byte{0b110}}) || w.GetCount() > 3 {
					t.Errorf("recorded %v", w)
				}
				for _, agent := range []*agent{a, b, c} {
					if got := heard(agent, acks); len(got) != 1 {
						t.Errorf("%s: acknowledged %v", agent.host, got)
					}
				}
			})
		})
	}
}

// TestHostThatMovesStaysInItsRunsZone: another zone would have its own windows, and
// as many of them as the host has names for it.
func TestHostThatMovesStaysInItsRunsZone(t *testing.T) {
	inBubble(t, func(r *rig) {
		a := r.join("a")
		r.admit("r", "a")
		for i := range 5 {
			a.say(&pb.SessionRequest{Kind: &pb.SessionRequest_Host{Host: &pb.Host{Name: "a", Zone: fmt.Sprint("zone-x", i)}}})
			a.windows(uint64(i), false, reading("r", time.Now().Unix()))
			time.Sleep(time.Second)
		}
		if got := r.machine.View().Readings("r").Zones("shop"); !slices.Equal(got, []string{"zone-a"}) {
			t.Errorf("there are readings in %v", got)
		}
	})
}

func TestReadingsWithoutAnOrderAreLeftOut(t *testing.T) {
	inBubble(t, func(r *rig) {
		a := r.join("a")
		r.join("b")
		r.admit("r", "b") // not on a
		a.windows(1, false, reading("r", time.Now().Unix()), reading("unheard", time.Now().Unix()))
		time.Sleep(gatherWindows + time.Millisecond)
		if zones := r.machine.View().Readings("r").Zones("shop"); len(zones) != 0 {
			t.Errorf("recorded in %v", zones)
		}
		if got := heard(a, acks); len(got) != 1 {
			t.Errorf("what nobody wants is not acknowledged: %v", got)
		}
	})
}

func TestServerThatIsBehindLetsReadingsComeAgain(t *testing.T) {
	inBubble(t, func(r *rig) {
		a := r.join("a", func(h *pb.Hello) { h.Order = &pb.OrderMark{Epoch: 1, Index: 90} })
		a.windows(1, false, reading("of a run that is not known yet", time.Now().Unix()))
		time.Sleep(time.Second)
		if got := heard(a, acks); len(got) != 0 {
			t.Errorf("acknowledged %v", got)
		}
	})
}

// TestOneHostsManyReadingsLeaveRoomForOthers has one host send as many windows as
// it may in a message, again and again, each of another second.
func TestOneHostsManyReadingsLeaveRoomForOthers(t *testing.T) {
	m := newMerger()
	for batch := range 8 {
		var all []*pb.Window
		for i := range maxBatch {
			w := window(0, 1)
			w.Second = int64(batch*maxBatch + i)
			all = append(all, w)
		}
		m.add("greedy", all, false, nil)
	}
	if !m.add("modest", []*pb.Window{window(1, 1)}, false, nil) {
		t.Error("there is no room for another host")
	}
	for i := range hostCount + 1 { // nobody sends the server's own again
		w := window(2, 1)
		w.Second = int64(i)
		if !m.add("", []*pb.Window{w}, false, nil) {
			t.Fatalf("there is no room for %d of the server's own", i)
		}
	}
}

func TestOneHostsReadingsLeaveRoomForOthers(t *testing.T) {
	m := newMerger()
	fat := func(second int64) *pb.Window {
		w := window(0, 1)
		w.Second = second
		for i := range uint32(3000) {
			w.Latency.Index, w.Latency.Count = append(w.Latency.Index, 200+i), append(w.Latency.Count, 1)
		}
		return w
	}
	taken := 0
	for i := range int64(200) {
		if m.add("greedy", []*pb.Window{fat(i)}, false, nil) {
			taken++
		}
	}
	if taken == 200 || m.size > hostWindows+maxStep {
		t.Errorf("took %d windows, %d bytes", taken, m.size)
	}
	if !m.add("modest", []*pb.Window{window(1, 1)}, false, nil) {
		t.Error("there is no room for another host")
	}
	if cmd, _ := m.take(); proto.Size(cmd) > windowBytes+maxStep {
		t.Errorf("a command of %d bytes", proto.Size(cmd))
	}
	if !m.add("greedy", []*pb.Window{fat(999)}, false, nil) {
		t.Error("after the commit there is still no room")
	}
}
