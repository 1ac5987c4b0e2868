package state

import (
	"bytes"
	"time"

	"squall/experiments/judge"
	"squall/experiments/plan"
	"squall/proto/hist"
	pb "squall/proto/squall/v1"
)

const (
	// maxSeconds is how much of a run's windows is kept: the longest run, and an
	// hour for its gate and its recovery.
	maxSeconds = int64(plan.MostRuntime/time.Second) + 3600
	// maxOff is how far a window may be ahead of cluster time, and how long before
	// its run was let in, in seconds.
	maxOff = 60
)

// Readings are what the probes of a run measured. Those of a run that is done go
// to the archive; its report has their totals.
type Readings struct {
	run *record
}

// A Readings is what expressions are judged over.
var _ judge.Readings = Readings{}

// Readings of a run; of one that is not known there are none.
func (v *View) Readings(run string) Readings {
	if r := v.runs[run]; r != nil {
		return Readings{r}
	}
	return Readings{&record{}}
}

// Window is the window of a probe in a zone for a second of cluster time, nil
// where there is none. The zone "" is the servers.
func (r Readings) Window(probe, zone string, second int64) *pb.Window {
	return r.run.windows.at(series{probe, zone}, second)
}

// Zones are the zones from which a probe has windows, sorted.
func (r Readings) Zones(probe string) []string {
	var out []string
	for _, s := range r.run.windows.keys() {
		if s.probe == probe {
			out = append(out, s.zone)
		}
	}
	return out
}

// Residue is how many hosts of the run are not shown clean.
func (r Readings) Residue() int {
	n := 0
	for _, c := range Clean(r.run.run) {
		if !c.GetClean() {
			n++
		}
	}
	return n
}

// recordWindows takes closed windows. A window that holds a reading which is
// counted already is dropped whole: that is how one that is sent again counts
// once. So is one that its hosts can't have made. Where several hosts are in it,
// who sent it hears of those that lost their readings by that.
func (t *change) recordWindows(c *pb.RecordWindows) *pb.Problem {
	for i, w := range c.GetWindows() {
		if t.wanted(w) && !t.recordWindow(w) && t.loses(w) {
			t.parted = append(t.parted, uint32(i))
		}
	}
	return nil
}

// wanted tells whether a window belongs to a probe of a run that is under way,
// and names the hosts that are in it.
func (t *change) wanted(w *pb.Window) bool {
	r := t.runs[w.GetRun()]
	if r == nil || !active(r.run) || probeOf(r.run, w.GetProbe()) == nil {
		return false
	}
	now, admitted := t.last/1e9, r.run.GetEnteredUnixNanos()[uint32(pb.RunState_RUN_STATE_GATING)]/1e9
	first := max(now-maxSeconds+1, admitted-maxOff, 0)
	return first <= w.GetSecond() && w.GetSecond() <= now+maxOff &&
		len(w.GetHosts()) <= maxHosts/8 && len(bytes.Trim(w.GetHosts(), "\x00")) > 0 &&
		hist.Check(w.GetLatency()) == nil
}

func probeOf(r *pb.Run, name string) *pb.PlannedProbe {
	for _, p := range r.GetPlan().GetProbes() {
		if p.GetName() == name {
			return p
		}
	}
	return nil
}

// recordWindow tells whether it took the window.
func (t *change) recordWindow(w *pb.Window) bool {
	known := t.known(w)
	if hist.Overlap(known, w) || !hist.Plausible(w, probeOf(t.runs[w.GetRun()].run, w.GetProbe()).GetProbe()) {
		return false
	}
	if known != nil {
		w = hist.Join(known, w)
	}
	r := t.edit(w.GetRun())
	r.windows = r.windows.with(w).since(w, w.GetSecond()-maxSeconds)
	return true
}

// known is what is recorded of a window's probe, zone and second, nil where nothing is.
func (t *change) known(w *pb.Window) *pb.Window {
	return t.runs[w.GetRun()].windows.at(series{w.GetProbe(), w.GetZone()}, w.GetSecond())
}

// loses tells whether a window of several hosts has a reading that is not recorded.
func (t *change) loses(w *pb.Window) bool {
	return hist.Hosts(w) > 1 && !hist.Covers(t.known(w), w)
}

// since drops the blocks of a window's series that lie before a second.
func (w windows) since(of *pb.Window, second int64) windows {
	s := series{of.GetProbe(), of.GetZone()}
	for at := range w[s] {
		if (at+1)*chunk*block <= second {
			delete(w[s], at) // w is our own copy, and no view's yet
		}
	}
	return w
}

// totals fold the windows of a run into one for each series.
func (w windows) totals() []*pb.ProbeTotal {
	var out []*pb.ProbeTotal
	for _, s := range w.keys() {
		out = append(out, total(w[s].all()))
	}
	return out
}

func total(all []*pb.Window) *pb.ProbeTotal {
	t := &pb.ProbeTotal{Total: all[0], Worst: all[0]}
	for i, w := range all[1:] {
		t.Total = hist.Join(t.Total, w)
		t.Gaps += uint32(w.GetSecond() - all[i].GetSecond() - 1)
		if Worse(w, t.Worst) {
			t.Worst = w
		}
	}
	return t
}

// Totals fold each probe and zone into one; those of a run that is done are kept.
func (r Readings) Totals() []*pb.ProbeTotal {
	if kept := r.run.run.GetTotals(); len(kept) > 0 {
		return kept
	}
	return r.run.windows.totals()
}

// Worse tells whether a window has a lower share of successes, without dividing.
func Worse(a, b *pb.Window) bool {
	return a.GetSuccess()*b.GetCount() < b.GetSuccess()*a.GetCount()
}
