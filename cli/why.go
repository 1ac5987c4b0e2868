package main

import (
	"fmt"
	"strings"

	pb "squall/proto/squall/v1"
)

// basis lists whose readings a finding rests on, a line for each probe.
func (t *reportText) basis(f *pb.Finding) {
	for _, b := range f.GetBasis() {
		cells := []string{"  " + b.GetProbe(), "heard " + t.speakers(b, b.GetHeard())}
		if s := t.speakers(b, b.GetMissing()); s != none {
			cells = append(cells, "missing "+s)
		}
		if s := t.speakers(b, b.GetDark()); s != none {
			cells = append(cells, "dark by plan "+s)
		}
		t.line(cells...)
	}
}

const none = "nobody"

// speakers names the hosts of a bitmap, or numbers the servers.
func (t *reportText) speakers(b *pb.Basis, bitmap []byte) string {
	hosts := t.probeHosts(b.GetProbe())
	var names []string
	for i := range 8 * len(bitmap) {
		switch {
		case bitmap[i/8]&(1<<(i%8)) == 0:
		case b.GetControl():
			names = append(names, fmt.Sprintf("server %d", i+1))
		case i < len(hosts):
			names = append(names, hosts[i])
		}
	}
	if len(names) == 0 {
		return none
	}
	return strings.Join(names, ", ")
}

func (t *reportText) probeHosts(name string) []string {
	for _, p := range t.report.GetPlan().GetProbes() {
		if p.GetName() == name {
			return p.GetHosts()
		}
	}
	return nil
}
