package fleet

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"squall/proto/hist"
	pb "squall/proto/squall/v1"
)

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
