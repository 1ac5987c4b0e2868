package session

import (
	"fmt"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	pb "squall/proto/squall/v1"
)

// A server takes no message above 1 MiB: what does not fit into one goes in several.
func TestReportGoesInParts(t *testing.T) {
	if parts := inParts(nil); len(parts) != 0 {
		t.Errorf("nothing goes in %d parts", len(parts))
	}
	var steps []*pb.StepStatus
	for i := range 100 {
		steps = append(steps, &pb.StepStatus{Run: "r", Step: fmt.Sprint(i), Residue: []string{strings.Repeat("x", i<<10)}})
	}
	var told []*pb.StepStatus
	parts := inParts(steps)
	for _, part := range parts {
		if size := proto.Size(part); size > 512<<10 {
			t.Errorf("a part takes %d bytes", size)
		}
		told = append(told, part.GetSteps()...)
	}
	if !proto.Equal(&pb.Report{Steps: told}, &pb.Report{Steps: steps}) || len(parts) > 25 {
		t.Errorf("%d parts tell of %d steps of %d", len(parts), len(told), len(steps))
	}
}
