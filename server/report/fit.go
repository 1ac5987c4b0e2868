package report

import (
	"cmp"
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"

	pb "squall/proto/squall/v1"
)

const (
	// mostHost is how large a host with what is open there may be, in bytes, and
	// mostHosts what is told of hosts in one message.
	mostHost, mostHosts = 128 << 10, 512 << 10
	// fewLines is how many lines of residue each step has left, where all were too much.
	fewLines = 2
)

// Fit is as much of the beginning of a list as so many bytes hold.
func Fit[T proto.Message](all []T, bytes int) []T {
	for i, m := range all {
		if bytes -= proto.Size(m); bytes < 0 {
			return all[:i]
		}
	}
	return all
}

// FitHosts is as much of a list of hosts as one message holds: all of it, or the
// hosts that stand worst, with how many are left out.
func FitHosts(all []*pb.HostClean) (hosts []*pb.HostClean, more uint32) {
	if hosts = Fit(all, mostHosts); len(hosts) == len(all) {
		return all, 0
	}
	hosts = make([]*pb.HostClean, len(all))
	for i, h := range all {
		hosts[i] = proto.CloneOf(h)
		hosts[i].Residue = short(h.GetResidue())
	}
	slices.SortStableFunc(hosts, func(a, b *pb.HostClean) int { return cmp.Compare(badness(b), badness(a)) })
	hosts = Fit(hosts, mostHosts)
	return hosts, uint32(len(all) - len(hosts))
}

// badness orders hosts after a halt or an undo, the worst highest.
func badness(h *pb.HostClean) int {
	switch {
	case len(h.GetResidue()) > 0:
		return 2
	case !h.GetClean():
		return 1
	}
	return 0
}

// Host is a host of the registry as people are told of it: where very much is
// left over there, each step's residue is cut short, and says so.
func Host(h *pb.Registered) *pb.Registered {
	if proto.Size(h) <= mostHost {
		return h
	}
	h = proto.CloneOf(h)
	for _, o := range h.GetOpen() {
		o.Residue = short(o.GetResidue())
	}
	return h
}

// short is the beginning of a list, with a last line that says how much is left out.
func short(lines []string) []string {
	if len(lines) <= fewLines {
		return lines
	}
	return append(slices.Clone(lines[:fewLines-1]), fmt.Sprintf("and %d more: squall report, or squall status --local on the host", len(lines)-fewLines+1))
}
