package report_test

import (
	"fmt"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	pb "squall/proto/squall/v1"
	"squall/server/report"
)

// TestHostsOfAHaltFitWithTheWorstFirst has more clean hosts than a message
// holds, and among them some that are not heard from, or full of residue.
func TestHostsOfAHaltFitWithTheWorstFirst(t *testing.T) {
	var all []*pb.HostClean
	for i := range 50_000 {
		h := &pb.HostClean{Host: fmt.Sprintf("web-%05d", i), Clean: true}
		switch i % 1000 {
		case 1:
			h.Clean, h.Unknown = false, true
		case 2:
			h.Clean, h.Residue = false, many(128, 512)
		}
		all = append(all, h)
	}
	resp := &pb.HaltResponse{}
	resp.Hosts, resp.MoreHosts = report.FitHosts(all)
	if n := proto.Size(resp); n > mostMessage {
		t.Errorf("an answer of %d bytes", n)
	}
	if got := len(resp.GetHosts()) + int(resp.GetMoreHosts()); got != len(all) {
		t.Errorf("%d hosts are accounted for, of %d", got, len(all))
	}
	for i, h := range resp.GetHosts()[:100] {
		if h.GetClean() || (i < 50) != (len(h.GetResidue()) > 0) {
			t.Fatalf("host %d is %.200v", i, h)
		}
	}
	if !resp.GetHosts()[100].GetClean() || !strings.HasPrefix(resp.GetHosts()[0].GetResidue()[1], "and 127 more") {
		t.Errorf("after those that are not clean: %v", resp.GetHosts()[100])
	}
	if few, more := report.FitHosts(all[:10]); len(few) != 10 || more != 0 || few[2] != all[2] {
		t.Errorf("ten hosts became %d, and %d more", len(few), more)
	}
}
