package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	pb "squall/proto/squall/v1"
)

func TestPruneSaysWhatIsKept(t *testing.T) {
	for _, c := range []struct {
		age, size string
		keep      uint32
		want      *pb.PruneArchiveRequest
		wrong     string
	}{
		{age: "90d", want: &pb.PruneArchiveRequest{AgeNanos: int64(90 * 24 * time.Hour)}},
		{age: "36h", want: &pb.PruneArchiveRequest{AgeNanos: int64(36 * time.Hour)}},
		{size: "5GiB", keep: 7, want: &pb.PruneArchiveRequest{Bytes: 5 << 30, Runs: 7}},
		{wrong: "say what is kept"},
		{age: "90", wrong: `"90" has no unit`},
		{age: "0d", wrong: "whole number of days"},
		{age: "-3d", wrong: "whole number of days"},
		{age: "99999999d", wrong: "whole number of days"},
		{age: "0s", keep: 5, wrong: "that is all of them"},
		{size: "5", wrong: "has no unit"},
		{size: "0B", keep: 5, wrong: "write 1B"},
		{size: "9000000TiB", wrong: "write 1B"},
	} {
		req := &pb.PruneArchiveRequest{Runs: c.keep}
		err := parseKeep(req, c.age, c.size)
		switch {
		case c.wrong != "" && (err == nil || !strings.Contains(err.Error(), c.wrong)):
			t.Errorf("%+v: %v, want %q", c, err, c.wrong)
		case c.wrong == "" && (err != nil || req.String() != c.want.String()):
			t.Errorf("%+v: %v, %v", c, req, err)
		}
	}
}

// What nobody has is told as such, and never as an empty archive.
func TestArchiveListSaysWhereARunIs(t *testing.T) {
	line := func(id string) *pb.RunSummary { return &pb.RunSummary{Id: id, Verdict: pb.Verdict_VERDICT_PASS} }
	var out bytes.Buffer
	archiveView(&pb.ListArchivedResponse{Runs: []*pb.Archived{
		{Summary: line("kept"), Servers: []string{"s1", "s3"}, Released: true, Windows: 9},
		{Summary: line("lost"), Released: true},
		{Summary: line("pruned"), Released: true, Pruned: true},
		{Summary: line("new"), Lacks: "its windows"},
	}}).table(&out, false)
	for id, want := range map[string]string{"kept": "s1,s3", "lost": "none: gone", "pruned": "none: pruned", "new": "none yet\tits windows"} {
		found := false
		for l := range strings.Lines(out.String()) {
			found = found || strings.HasPrefix(l, id+"\t") && strings.Contains(l, "\t"+want)
		}
		if !found {
			t.Errorf("%s is not told as %q:\n%s", id, want, &out)
		}
	}
}

// What is left of a run that nobody has any more is its line, and it says so.
func TestRunThatIsGoneIsListedAsGone(t *testing.T) {
	var out bytes.Buffer
	runsView(&pb.ListRunsResponse{Runs: []*pb.RunSummary{
		{Id: "lost", Experiment: "dark", State: pb.RunState_RUN_STATE_DONE, Verdict: pb.Verdict_VERDICT_FAIL, Place: pb.RunPlace_RUN_PLACE_GONE},
		{Id: "kept", Experiment: "dark", State: pb.RunState_RUN_STATE_DONE, Verdict: pb.Verdict_VERDICT_PASS, Place: pb.RunPlace_RUN_PLACE_ARCHIVE},
	}}).table(&out, true)
	for _, want := range []string{"lost\tdark\tfail (gone)\t", "kept\tdark\tpass\t", "\tgone\n", "\tarchive\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("it does not say %q:\n%s", want, &out)
		}
	}
}

func TestVerifyFailsWhereAnArchiveIsNotWhole(t *testing.T) {
	whole := &pb.ServerArchive{Server: "s1", Runs: 3}
	for name, c := range map[string]struct {
		other *pb.ServerArchive
		fails bool
	}{
		"all whole":     {&pb.ServerArchive{Server: "s2", Runs: 3}, false},
		"no answer":     {&pb.ServerArchive{Server: "s2", Error: "it does not answer"}, true},
		"a damaged one": {&pb.ServerArchive{Server: "s2", Faults: []*pb.ArchiveFault{{File: "x.run", Text: "damaged"}}}, true},
	} {
		err := faulty(&pb.ArchiveCheck{Servers: []*pb.ServerArchive{whole, c.other}})
		if (err != nil) != c.fails || c.fails && !strings.Contains(err.Error(), "s2") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
