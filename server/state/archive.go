package state

import (
	"cmp"
	"iter"
	"slices"
	"time"

	pb "squall/proto/squall/v1"
)

const (
	// sealAfter is how long after its end a run that left nothing open is sealed:
	// what hosts still had to say is in it then. openFor is how long one is waited
	// for whose hosts are not all clean.
	sealAfter, openFor = 10 * time.Second, 24 * time.Hour
	// maxArchived is how many sealed runs the state has a line of.
	maxArchived = 10_000
	// maxWaiting is how many windows of runs that are done wait for the archive;
	// past it the oldest run loses its own.
	maxWaiting = 1_000_000
)

// Archived is what the state knows of a sealed run; nil where there is none.
func (v *View) Archived(run string) *pb.Archived { return v.archived.get(run) }

// AllArchived are all sealed runs, oldest first.
func (v *View) AllArchived() []*pb.Archived {
	all := make([]*pb.Archived, 0, v.archived.size)
	for _, a := range v.archived.all() {
		all = append(all, a)
	}
	slices.SortFunc(all, func(a, b *pb.Archived) int { return bySummary(a.GetSummary(), b.GetSummary()) })
	return all
}

func bySummary(a, b *pb.RunSummary) int {
	return cmp.Or(cmp.Compare(a.GetAdmittedIndex(), b.GetAdmittedIndex()), cmp.Compare(a.GetId(), b.GetId()))
}

// SameArchive tells whether no sealed run is another one in two views.
func (v *View) SameArchive(other *View) bool { return v.archived == other.archived }

// ToSeal are the runs that nothing more is expected of at an instant of cluster
// time, oldest first: they left nothing open, or have been done for long, or will
// soon have to make room.
func (v *View) ToSeal(now time.Time) []*pb.Run {
	done := v.pick(func(r *pb.Run) bool { return !active(r) })
	crowded := len(done) - maxDone/2
	var out []*pb.Run
	for i, r := range done {
		since := time.Duration(now.UnixNano() - doneAt(r))
		if v.archived.get(r.GetId()) == nil && !mayHold(r, now.UnixNano()) &&
			(i < crowded || since >= openFor || since >= sealAfter && shownClean(r)) {
			out = append(out, r)
		}
	}
	return out
}

func doneAt(r *pb.Run) int64 { return r.GetEnteredUnixNanos()[uint32(pb.RunState_RUN_STATE_DONE)] }

func shownClean(r *pb.Run) bool {
	return !slices.ContainsFunc(Clean(r), func(c *pb.HostClean) bool { return !c.GetClean() })
}

// WindowsOf are the windows of a run by probe, zone and second, while the state
// has them.
func (v *View) WindowsOf(run string) iter.Seq[*pb.Window] {
	return func(yield func(*pb.Window) bool) {
		r := v.runs[run]
		if r == nil {
			return
		}
		for _, s := range r.windows.keys() {
			for _, w := range r.windows[s].all() {
				if !yield(w) {
					return
				}
			}
		}
	}
}

// HasWindows tells whether the state has windows of a run.
func (v *View) HasWindows(run string) bool { return v.runs[run] != nil && len(v.runs[run].windows) > 0 }

// sealRuns lets runs change no more. What hosts say of them later is theirs.
func (t *change) sealRuns(c *pb.SealRuns) *pb.Problem {
	for _, s := range c.GetRuns() {
		r := t.runs[s.GetId()]
		if r == nil || active(r.run) || t.archived.get(s.GetId()) != nil {
			continue // sealed by the leader before
		}
		a := &pb.Archived{Summary: s, DoneUnixNanos: doneAt(r.run)}
		if r.run.GetWindowsDropped() {
			a.Lacks = "its windows: there was no room for them until they could be archived"
		}
		t.archived = t.archived.with(s.GetId(), a)
	}
	t.boundArchived()
	return nil
}

// boundArchived forgets the oldest lines, but for each experiment the last of a
// run that passed, which says when it did: unless those alone are too many.
func (t *change) boundArchived() {
	if t.archived.size <= maxArchived {
		return
	}
	all := t.AllArchived()
	passes := lastPasses(all)
	for _, spare := range []bool{true, false} {
		for _, a := range all {
			id := a.GetSummary().GetId()
			if t.archived.size <= maxArchived {
				return
			}
			if t.runs[id] == nil && (!spare || passes[a.GetSummary().GetExperiment()] != id) {
				t.archived = t.archived.without(id)
			}
		}
	}
}

// lastPasses are the newest runs that passed, by experiment, of lines that are
// the oldest first. An ad hoc run is no drill of any.
func lastPasses(all []*pb.Archived) map[string]string {
	passes := make(map[string]string)
	for _, a := range all {
		if s := a.GetSummary(); s.GetVerdict() == pb.Verdict_VERDICT_PASS && !s.GetAdHoc() {
			passes[s.GetExperiment()] = s.GetId()
		}
	}
	return passes
}

// recordArchived takes what a server's archive has. With a majority of the
// servers the state lets go.
func (t *change) recordArchived(c *pb.RecordArchived) *pb.Problem {
	for _, k := range c.GetRuns() {
		a := t.archived.get(k.GetRun())
		if a == nil || !k.GetGone() && len(a.GetDigest()) > 0 && string(a.GetDigest()) != string(k.GetDigest()) {
			continue // another record than the servers before have is none of this run
		}
		a = shallow(a)
		a.Servers = without(a.GetServers(), c.GetServer())
		if !k.GetGone() {
			a.Digest, a.Bytes, a.Windows = k.GetDigest(), k.GetBytes(), k.GetWindows()
			a.Servers = append(a.Servers, c.GetServer())
			slices.Sort(a.Servers)
		}
		if !a.GetReleased() && 2*len(a.GetServers()) > int(c.GetServers()) {
			a.Released = true
			t.release(k.GetRun())
		}
		t.archived = t.archived.with(k.GetRun(), a)
	}
	t.prune()
	return nil
}

// pruneArchived lets go of runs: servers take them out of their archives. One
// that a majority does not have yet is left alone.
func (t *change) pruneArchived(c *pb.PruneArchived) *pb.Problem {
	for _, run := range c.GetRuns() {
		if a := t.archived.get(run); a.GetReleased() && !a.GetPruned() {
			a = shallow(a)
			a.Pruned = true
			t.archived = t.archived.with(run, a)
		}
	}
	return nil
}

func without(list []string, out string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(s string) bool { return s == out })
}

// release lets go of a run's windows.
func (t *change) release(run string) {
	if r := t.edit(run); r != nil {
		r.windows = nil
	}
}

// boundWaiting makes room for windows of runs that are done: the oldest run whose
// windows no majority has loses them, and says so.
func (t *change) boundWaiting() {
	done := t.pick(func(r *pb.Run) bool { return !active(r) && t.runs[r.GetId()].windows != nil })
	waiting := 0
	for _, r := range slices.Backward(done) {
		if waiting += t.runs[r.GetId()].windows.count(); waiting > maxWaiting {
			t.dropWindows(r.GetId())
		}
	}
}

func (t *change) dropWindows(run string) {
	r := t.edit(run)
	r.windows = nil
	a := t.archived.get(run)
	if a == nil {
		r.run.WindowsDropped = true
		return
	}
	if len(a.GetDigest()) > 0 {
		return // some server has them
	}
	a = shallow(a) // the run itself is sealed
	a.Lacks = "its windows: there was no room for them until they could be archived"
	t.archived = t.archived.with(run, a)
}

// count is how many windows there are.
func (w windows) count() (n int) {
	for _, s := range w {
		for _, in := range s {
			for _, c := range in {
				if c == nil {
					continue
				}
				for _, one := range c {
					if one != nil {
						n++
					}
				}
			}
		}
	}
	return n
}
