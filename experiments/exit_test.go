package experiments

import (
	"fmt"
	"os"
	"regexp"
	"testing"

	"google.golang.org/grpc/codes"

	pb "squall/proto/squall/v1"
)

// TestExitCodesAreThoseInTheProto reads the codes from the comments of
// plan.proto, so that the table and the words that people read stay one.
func TestExitCodesAreThoseInTheProto(t *testing.T) {
	src, err := os.ReadFile("../proto/squall/v1/plan.proto")
	if err != nil {
		t.Fatal(err)
	}
	said := map[string]string{}
	for _, m := range regexp.MustCompile(`\((\d+)\)\.\n\s+(REFUSAL_[A-Z_]+) =`).FindAllStringSubmatch(string(src), -1) {
		said[m[2]] = m[1]
	}
	for number, name := range pb.Refusal_name {
		if number == 0 {
			continue
		}
		r := pb.Refusal(number)
		if got := fmt.Sprint(ExitCode(r)); got != said[name] {
			t.Errorf("%s exits with %s, the proto says %q", name, got, said[name])
		}
		if c := GRPCCode(r); c == codes.Internal || c == codes.OK {
			t.Errorf("%s travels as %s", name, c)
		}
	}
	if ExitCode(pb.Refusal(999)) != ExitInternal {
		t.Error("an unknown refusal is not an internal error")
	}
}

func TestResidueOutranksEveryVerdict(t *testing.T) {
	want := map[pb.Verdict]int{
		pb.Verdict_VERDICT_UNSPECIFIED: 1, pb.Verdict_VERDICT_PASS: 0, pb.Verdict_VERDICT_FAIL: 10, pb.Verdict_VERDICT_ABORTED: 11,
		pb.Verdict_VERDICT_HALTED: 12, pb.Verdict_VERDICT_INCONCLUSIVE: 13, pb.Verdict_VERDICT_ERROR: 1, pb.Verdict_VERDICT_NOT_STARTED: 3,
		pb.Verdict_VERDICT_DONE: 0,
	}
	for number := range pb.Verdict_name {
		v := pb.Verdict(number)
		code, ok := want[v]
		if !ok || VerdictExitCode(v, false) != code {
			t.Errorf("%s exits with %d, want %d", v, VerdictExitCode(v, false), code)
		}
		if VerdictExitCode(v, true) != 20 {
			t.Errorf("%s with residue exits with %d", v, VerdictExitCode(v, true))
		}
	}
}
