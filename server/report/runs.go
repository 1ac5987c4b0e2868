package report

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"squall/experiments/near"
	pb "squall/proto/squall/v1"
	"squall/server/page"
	"squall/server/state"
)

// Unknown says that a request names something that is nowhere.
type Unknown struct {
	// What it was taken for, such as "zone", and its name.
	What, Name string
	// Fix says what to write instead.
	Fix string
}

// Error implements error.
func (u *Unknown) Error() string { return fmt.Sprintf("there is no %s %q", u.What, u.Name) }

// ListRuns is a page of the runs that the state knows, those that only archives
// have among them, as far as the request wants them. Errors are about the
// request: Unknown for a name.
func ListRuns(v *state.View, req *pb.ListRunsRequest) (*pb.ListRunsResponse, error) {
	all := lines(v)
	if err := knownNames(v, req, all); err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(s *pb.RunSummary) bool { return !wanted(req, s) })
	runs, next, err := runPages(question(req), all, req.GetNewestFirst()).Cut(req)
	if err != nil {
		return nil, err
	}
	res, open := &pb.ListRunsResponse{NextPageToken: next}, openRuns(v)
	for _, s := range runs {
		res.Runs = append(res.Runs, told(v, s, open))
	}
	return res, nil
}

// Runs are the lines of all runs that the state knows, oldest first.
func Runs(v *state.View) []*pb.RunSummary {
	all, open := lines(v), openRuns(v)
	for i, s := range all {
		all[i] = told(v, s, open)
	}
	return all
}

// runPages are runs in the order of their admission, which never changes: what
// is let in meanwhile is behind the last page, or before the first.
func runPages(name string, oldestFirst []*pb.RunSummary, newestFirst bool) page.List[*pb.RunSummary] {
	list := page.List[*pb.RunSummary]{Name: name, Entries: oldestFirst, Key: func(r *pb.RunSummary) string {
		return fmt.Sprintf("%020d/%s", r.GetAdmittedIndex(), r.GetId())
	}}
	if newestFirst {
		slices.Reverse(list.Entries)
		list.Name += "/newest"
		list.Key = newestKey
	}
	return list
}

// newestKey is a run's place in an order that has the newest first.
func newestKey(r *pb.RunSummary) string {
	return fmt.Sprintf("%020d/%s", math.MaxUint64-r.GetAdmittedIndex(), r.GetId())
}

// lines are all runs that the state knows, oldest first. Those that are sealed
// are the state's own, and not to be changed.
func lines(v *state.View) []*pb.RunSummary {
	var all []*pb.RunSummary
	for _, r := range v.Runs() {
		all = append(all, Summary(v, r))
	}
	for _, a := range v.AllArchived() {
		if v.Run(a.GetSummary().GetId()) == nil {
			all = append(all, a.GetSummary())
		}
	}
	slices.SortFunc(all, func(a, b *pb.RunSummary) int {
		return cmp.Or(cmp.Compare(a.GetAdmittedIndex(), b.GetAdmittedIndex()), cmp.Compare(a.GetId(), b.GetId()))
	})
	return all
}

// told is a line as lists have it: with where the whole of the run is.
func told(v *state.View, s *pb.RunSummary, open map[string]uint32) *pb.RunSummary {
	a := v.Archived(s.GetId())
	if v.Run(s.GetId()) == nil {
		return archivedSummary(a, open)
	}
	s.Place = place(a, true)
	return s
}

// wanted tells whether a run is one of those that are asked for.
func wanted(req *pb.ListRunsRequest, s *pb.RunSummary) bool {
	switch {
	case req.GetExperiment() != "" && s.GetExperiment() != req.GetExperiment(),
		req.GetSchedule() != "" && s.GetSlot().GetSchedule() != req.GetSchedule(),
		len(req.GetVerdicts()) > 0 && !slices.Contains(req.GetVerdicts(), s.GetVerdict()),
		s.GetAdmittedUnixNanos() < req.GetSinceUnixNanos(),
		req.GetZone() != "" && !slices.Contains(s.GetZones(), req.GetZone()):
		return false
	}
	return true
}

// question names a list of runs, so that the token of another question is not
// taken for one of this. Since when is no part of it: it only ends the list sooner.
func question(req *pb.ListRunsRequest) string {
	name := "runs"
	for _, part := range []string{req.GetExperiment(), req.GetSchedule(), req.GetZone()} {
		name += "/" + strings.ReplaceAll(part, "\x00", "")
	}
	if name == "runs///" {
		name = "runs"
	}
	for _, verdict := range slices.Sorted(slices.Values(req.GetVerdicts())) {
		name += fmt.Sprint("/", int32(verdict))
	}
	return name
}

// knownNames refuses what no run, schedule, file or host has: an empty list
// would say that it had no runs.
func knownNames(v *state.View, req *pb.ListRunsRequest, all []*pb.RunSummary) error {
	for _, n := range []struct {
		what, name string
		known      func() []string
	}{
		{"experiment", req.GetExperiment(), func() []string { return experimentNames(v, all) }},
		{"schedule", req.GetSchedule(), func() []string {
			names := namesOf(v.Schedules(), (*pb.Scheduled).GetName)
			return append(names, namesOf(all, func(s *pb.RunSummary) string { return s.GetSlot().GetSchedule() })...)
		}},
		{"zone", req.GetZone(), func() []string {
			names := namesOf(v.Hosts(), func(h *pb.Registered) string { return h.GetHost().GetZone() })
			for _, s := range all {
				names = append(names, s.GetZones()...)
			}
			return names
		}},
	} {
		if n.name == "" {
			continue
		}
		if known := distinct(n.known()); !slices.Contains(known, n.name) {
			return newUnknown(n.what, n.name, known)
		}
	}
	return nil
}

// experimentNames are those of kept files, schedules and runs.
func experimentNames(v *state.View, all []*pb.RunSummary) []string {
	names := namesOf(v.Experiments(), (*pb.KeptExperiment).GetName)
	names = append(names, namesOf(v.Schedules(), func(s *pb.Scheduled) string { return s.GetExperiment().GetName() })...)
	return append(names, namesOf(all, (*pb.RunSummary).GetExperiment)...)
}

func namesOf[T any](all []T, name func(T) string) []string {
	names := make([]string, len(all))
	for i, one := range all {
		names[i] = name(one)
	}
	return names
}

// distinct are names once each, sorted, but for the empty one.
func distinct(names []string) []string {
	set := make(map[string]bool, 16)
	for _, name := range names {
		set[name] = true
	}
	delete(set, "")
	return slices.Sorted(maps.Keys(set))
}

// newUnknown offers the closest of the names that are known, else the first of them.
func newUnknown(what, name string, known []string) *Unknown {
	if near.Name(name, known) == "" {
		known = known[:min(20, len(known))]
	}
	return &Unknown{What: what, Name: name, Fix: near.Fix(name, what, known)}
}

// mostZones is how many zones a run's line names.
const mostZones = 100

// zonesOf are the zones of the hosts that a run's plan touches.
func zonesOf(r *pb.Run) []string {
	set := make(map[string]bool)
	for _, h := range r.GetPlan().GetHosts() {
		if h.GetHit() {
			set[h.GetZone()] = true
		}
	}
	zones := slices.Sorted(maps.Keys(set))
	return zones[:min(mostZones, len(zones))]
}

// archivedSummary is the line of a run that the state has let go of, with what
// its hosts have left to this day.
func archivedSummary(a *pb.Archived, open map[string]uint32) *pb.RunSummary {
	s := proto.CloneOf(a.GetSummary())
	s.Figures = nil
	s.Residue = open[s.GetId()]
	s.Place = place(a, false)
	return s
}

// place is where the whole of a run is; inState says that the state has it.
func place(a *pb.Archived, inState bool) pb.RunPlace {
	switch {
	case len(a.GetServers()) > 0:
		return pb.RunPlace_RUN_PLACE_ARCHIVE
	case inState:
		return pb.RunPlace_RUN_PLACE_UNSPECIFIED
	}
	return pb.RunPlace_RUN_PLACE_GONE
}

// openRuns counts the hosts that are not clean, by run.
func openRuns(v *state.View) map[string]uint32 {
	hosts := make(map[string]uint32)
	for _, h := range v.Hosts() {
		seen := make(map[string]bool)
		for _, o := range h.GetOpen() {
			if !seen[o.GetRun()] {
				seen[o.GetRun()] = true
				hosts[o.GetRun()]++
			}
		}
	}
	return hosts
}
