package state

import (
	"testing"

	"google.golang.org/protobuf/proto"

	pb "squall/proto/squall/v1"
)

func TestEveryActIsOnTheRecord(t *testing.T) {
	b := holding(t)
	b.must(halt("h"))
	b.refused(admit("x", planOf(0, "d")), pb.Refusal_REFUSAL_HALTED)
	b.must(resume("h"), recovers("r"), finish("r"))
	b.must(endRunOf(b, "y"))
	var acts []string
	for _, a := range b.m.View().Audit() {
		acts = append(acts, a.GetAct()+" "+a.GetObject())
	}
	want := []string{"run r", "fire r", "halt h", "run x", "resume h", "run y", "undo y"}
	if len(acts) != len(want) {
		t.Fatalf("the record is %q", acts)
	}
	for i := range want {
		if acts[i] != want[i] {
			t.Errorf("act %d is %q, want %q", i, acts[i], want[i])
		}
	}
	if a := b.m.View().Audit()[3]; a.GetResult() == "done" || a.GetBy().GetName() != "ada" {
		t.Errorf("the refused act reads %v", a)
	}
}

// endRunOf admits a run and ends it.
func endRunOf(b *bench, id string) *pb.Command {
	b.must(gated(id, planOf(0, "d")))
	return endRun(id, pb.EndCause_END_CAUSE_UNDO)
}

func TestAuditShowsAnyEdit(t *testing.T) {
	b := newBench(t)
	b.must(halt("a"), resume("a"), halt("b"), resume("b"))
	audit := b.m.View().Audit()
	if err := CheckAudit(audit); err != nil {
		t.Fatal(err)
	}
	edits := map[string]func([]*pb.AuditRecord) []*pb.AuditRecord{
		"edited":  func(r []*pb.AuditRecord) []*pb.AuditRecord { r[1].Act = "nothing"; return r },
		"removed": func(r []*pb.AuditRecord) []*pb.AuditRecord { return append(r[:1], r[2:]...) },
		"swapped": func(r []*pb.AuditRecord) []*pb.AuditRecord { r[1], r[2] = r[2], r[1]; return r },
	}
	for name, edit := range edits {
		var forged []*pb.AuditRecord
		for _, r := range audit {
			forged = append(forged, proto.CloneOf(r))
		}
		if CheckAudit(edit(forged)) == nil {
			t.Errorf("%s: the chain still holds", name)
		}
	}
}
