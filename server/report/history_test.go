package report_test

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	pb "squall/proto/squall/v1"
	"squall/proto/text"
	"squall/server/report"
	"squall/server/state"
)

// lived is an archived run of the experiment dark with its figures.
func lived(i int, v pb.Verdict, f *pb.RunFigures) *pb.Archived {
	return &pb.Archived{Released: true, Servers: []string{"s1"}, Summary: &pb.RunSummary{
		Id: fmt.Sprintf("dark-%02d", i), AdmittedIndex: uint64(i + 1), Experiment: "dark", State: pb.RunState_RUN_STATE_DONE, Verdict: v, Figures: f,
	}}
}

func figuresWith(failover, recovery *pb.Took, success, p95 float64) *pb.RunFigures {
	return &pb.RunFigures{Failover: failover, Recovery: recovery, Expect: []*pb.ExpectFigure{{Name: "served", State: holding, Worst: []*pb.Extreme{
		{Value: "checkout.success", Seen: success, Op: ">=", Limit: 0.99}, {Value: "checkout.p95", Seen: p95, Op: "<", Limit: 300},
	}}}}
}

// historyOf tells the deviations of each run, the newest first.
func historyOf(t *testing.T, lives ...*pb.Archived) (told []string) {
	t.Helper()
	m := state.New()
	s := &pb.State{Rules: state.Rules, Archived: map[string]*pb.Archived{}}
	for _, a := range lives {
		s.Archived[a.GetSummary().GetId()] = a
	}
	if err := m.Restore(s); err != nil {
		t.Fatal(err)
	}
	return pages(t, func(token string) (*pb.HistoryResponse, error) {
		return report.History(m.View(), &pb.HistoryRequest{Experiment: "dark", PageSize: 2, PageToken: token})
	}, func(r *pb.HistoryResponse) (lines []string) {
		for _, e := range r.GetRuns() {
			line := e.GetRun().GetId()
			for _, d := range e.GetDeviations() {
				line += fmt.Sprintf(" %s %s %g/%g of %d %v", text.Word(d.GetKind()), d.GetValue(), d.GetSeen(), d.GetMedian(), d.GetRuns(), map[bool]string{true: "worse", false: "better"}[d.GetWorse()])
			}
			lines = append(lines, strings.ReplaceAll(line, "  ", " "))
		}
		return lines
	})
}

// A regression is told against the median of the runs before, an improvement too.
func TestHistoryTellsWhatIsFarFromTheUsual(t *testing.T) {
	const pass = pb.Verdict_VERDICT_PASS
	even := func(i int) *pb.Archived { return lived(i, pass, figuresWith(after(4e9), after(10e9), 0.999, 100)) }
	got := historyOf(t, even(0), even(1),
		lived(2, pass, figuresWith(after(40e9), after(10e9), 0.5, 299)), // two runs have no usual
		lived(3, pb.Verdict_VERDICT_ABORTED, nil),
		lived(4, pass, figuresWith(after(4.9e9), after(12e9), 0.998, 140)), // within what is usual
		lived(5, pass, figuresWith(after(6e9), after(13e9), 0.995, 151)),
		lived(6, pass, figuresWith(&pb.Took{Never: true}, nil, 0.9999, 40)),
		lived(7, pass, figuresWith(after(1e9), after(1e9), 0.999, 100)))
	want := []string{
		"dark-07 failover 1/4.9 of 6 better recovery 1/10 of 5 better",
		"dark-06 failover +Inf/4.9 of 5 worse worst checkout.p95 40/140 of 5 better",
		"dark-05 failover 6/4 of 4 worse recovery 13/10 of 4 worse worst checkout.success 0.995/0.998 of 4 worse worst checkout.p95 151/100 of 4 worse",
		"dark-04", "dark-03", "dark-02", "dark-01", "dark-00",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// A run of which nothing was learnt is neither better nor worse than others.
func TestOnlyWhatWasJudgedIsFarFromTheUsual(t *testing.T) {
	var lives []*pb.Archived
	for i := range 3 {
		lives = append(lives, lived(i, pb.Verdict_VERDICT_PASS, figuresWith(after(4e9), after(10e9), 0.999, 100)))
	}
	best := figuresWith(after(0), after(0), 1, 1)
	for verdict, want := range map[pb.Verdict]bool{pb.Verdict_VERDICT_PASS: true, pb.Verdict_VERDICT_FAIL: true, pb.Verdict_VERDICT_INCONCLUSIVE: false} {
		got := historyOf(t, append(slices.Clone(lives), lived(3, verdict, best))...)[0]
		if strings.Contains(got, "better") != want {
			t.Errorf("%v is told as %q", verdict, got)
		}
	}
}

// Any figures have a history: it names no deviation that is not one.
func FuzzHistory(f *testing.F) {
	f.Add(int64(4e9), int64(6e9), 0.99, 0.5, 0.99, uint8(3))
	f.Add(int64(-1), int64(math.MaxInt64), math.Inf(1), math.Inf(-1), 0.0, uint8(9))
	f.Add(int64(0), int64(0), math.NaN(), 1.0, math.NaN(), uint8(200))
	f.Fuzz(func(t *testing.T, usual, now int64, usually, seen, limit float64, runs uint8) {
		at := func(i int, took int64, seen float64) *pb.Archived {
			return lived(i, pb.Verdict_VERDICT_PASS, &pb.RunFigures{Failover: after(took), Expect: []*pb.ExpectFigure{{Name: "x", Worst: []*pb.Extreme{{Value: "v", Op: ">", Seen: seen, Limit: limit}}}}})
		}
		s := &pb.State{Rules: state.Rules, Archived: map[string]*pb.Archived{}}
		for i := range int(runs % 12) {
			a := at(i, usual, usually)
			s.Archived[a.GetSummary().GetId()] = a
		}
		last := at(99, now, seen)
		s.Archived[last.GetSummary().GetId()] = last
		m := state.New()
		if err := m.Restore(proto.CloneOf(s)); err != nil {
			t.Fatal(err)
		}
		res, err := report.History(m.View(), &pb.HistoryRequest{Experiment: "dark"})
		if err != nil || len(res.GetRuns()) != int(runs%12)+1 {
			t.Fatalf("%d runs, %v", len(res.GetRuns()), err)
		}
		for _, d := range res.GetRuns()[0].GetDeviations() {
			if d.GetSeen() == d.GetMedian() || d.GetRuns() < 3 {
				t.Errorf("%v is no deviation", d)
			}
		}
	})
}
