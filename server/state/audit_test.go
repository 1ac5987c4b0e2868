package state

import (
	"bytes"
	"encoding/hex"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

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

// TestHashOfAnActNeverChanges holds the bytes that the chain is made of: a
// record of today must still be shown genuine in ten years.
func TestHashOfAnActNeverChanges(t *testing.T) {
	rec := &pb.AuditRecord{
		Index: 7, AtUnixNanos: 1_800_000_000e9, Act: "run", Object: "zone-loss-1", Result: "done",
		By: &pb.Principal{Name: "ada", Role: pb.Role_ROLE_USER, From: "10.0.0.1:5", Server: "s1", Why: "drill"},
	}
	const want = "9ac93f296f240fff76adefa7c3e0a693de07b948fd901581541c7acf787ac95b"
	if got := hex.EncodeToString(chain([]byte{1, 2, 3}, rec)); got != want {
		t.Errorf("the hash is %s", got)
	}
	moved := proto.CloneOf(rec)
	moved.Act, moved.Object = "runz", "one-loss-1" // the same letters in a row
	if bytes.Equal(chain(nil, rec), chain(nil, moved)) {
		t.Error("two acts have one hash")
	}
}

// TestEveryFieldOfAnActIsHashed: a field that is added must not stay out.
func TestEveryFieldOfAnActIsHashed(t *testing.T) {
	for _, md := range []protoreflect.MessageDescriptor{(&pb.AuditRecord{}).ProtoReflect().Descriptor(), (&pb.Principal{}).ProtoReflect().Descriptor()} {
		for i := range md.Fields().Len() {
			fd := md.Fields().Get(i)
			rec := &pb.AuditRecord{By: &pb.Principal{}}
			m := rec.ProtoReflect()
			if md.Name() == "Principal" {
				m = rec.By.ProtoReflect()
			}
			switch fd.Kind() {
			case protoreflect.StringKind:
				m.Set(fd, protoreflect.ValueOfString("x"))
			case protoreflect.EnumKind:
				m.Set(fd, protoreflect.ValueOfEnum(1))
			case protoreflect.Uint64Kind:
				m.Set(fd, protoreflect.ValueOfUint64(1))
			case protoreflect.Int64Kind:
				m.Set(fd, protoreflect.ValueOfInt64(1))
			default:
				continue // the hash itself, and who did it, which is looked at by itself
			}
			if bytes.Equal(canon(rec), canon(&pb.AuditRecord{})) {
				t.Errorf("%s is not hashed", fd.FullName())
			}
		}
	}
}
