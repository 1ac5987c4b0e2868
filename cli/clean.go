package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"squall/cli/show"
	"squall/experiments"
	pb "squall/proto/squall/v1"
)

// ended is what a halt and an undo say of hosts.
type ended interface {
	proto.Message
	GetHosts() []*pb.HostClean
	GetMoreHosts() uint32
}

// showClean prints how clean hosts are after a halt or an undo. barred are the
// hosts among them that take no fault now.
func (a *app) showClean(resp ended, line string, barred []*pb.BarredHost) error {
	v := view{message: resp, table: func(w io.Writer, wide bool) {
		fmt.Fprintln(w, escape(line))
		for _, h := range resp.GetHosts() {
			if wide || !h.GetClean() {
				fmt.Fprintf(w, "%s\t%s\t%s\n", h.GetHost(), cleanWord(h), cleanText(h))
			}
		}
		if more := resp.GetMoreHosts(); more > 0 {
			fmt.Fprintf(w, "and %d more hosts, none in a worse state\tsquall status tells all that are not clean\n", more)
		}
		for _, b := range barred {
			for _, line := range barredLines(b) {
				fmt.Fprintf(w, "%s\tbarred\t%s\n", b.GetHost(), line)
			}
		}
	}}
	for _, h := range resp.GetHosts() {
		v.names = append(v.names, h.GetHost())
	}
	return a.show(v)
}

// barredAmong are the hosts of an answer that take no fault now. It is asked for
// only where some are not clean: nobody else waits for it, and where nobody
// answers, what is known is told without it.
func (c *client) barredAmong(ctx context.Context, hosts []*pb.HostClean) []*pb.BarredHost {
	if len(show.Dirty(hosts)) == 0 {
		return nil
	}
	return c.barredOf(ctx, func(name string) bool {
		return slices.ContainsFunc(hosts, func(h *pb.HostClean) bool { return h.GetHost() == name })
	})
}

// barredOf are those of some hosts that take no fault now, as far as anybody says.
func (c *client) barredOf(ctx context.Context, wanted func(string) bool) []*pb.BarredHost {
	st, _ := c.status(ctx) // without an answer there is nothing to add
	return slices.DeleteFunc(st.GetBarred(), func(b *pb.BarredHost) bool { return !wanted(b.GetHost()) })
}

// cleanWord is how a host stands, in one word.
func cleanWord(h *pb.HostClean) string {
	switch {
	case h.GetClean():
		return "clean"
	case h.GetUnknown():
		return "unknown"
	case h.GetStanding() == pb.Standing_STANDING_HELD:
		return "held"
	}
	return "residue"
}

// cleanText is what a host that is not clean has.
func cleanText(h *pb.HostClean) string {
	var said []string
	switch cleanWord(h) {
	case "unknown":
		said = append(said, "not heard from: unknown is never reverted")
	case "held":
		said = append(said, "its fault has not ended yet")
	}
	return strings.Join(append(said, h.GetResidue()...), "; ")
}

// cleanError names the hosts that are not shown clean: that outranks any other
// ending. Unknown is never reverted.
func cleanError(resp ended, otherwise error) error {
	names := map[string][]string{}
	for _, h := range resp.GetHosts() {
		names[cleanWord(h)] = append(names[cleanWord(h)], h.GetHost())
	}
	var said []string
	for _, sort := range []struct{ word, says string }{{"residue", "residue on "}, {"held", "still held on "}, {"unknown", "not heard from "}} {
		if len(names[sort.word]) > 0 {
			said = append(said, sort.says+strings.Join(names[sort.word], ", "))
		}
	}
	if len(said) == 0 {
		return otherwise
	}
	if otherwise != nil {
		said = append(said, otherwise.Error())
	}
	return &exitError{experiments.ExitResidue, errors.New(strings.Join(said, "; "))}
}
