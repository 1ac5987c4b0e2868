package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"google.golang.org/protobuf/proto"

	"squall/experiments"
	pb "squall/proto/squall/v1"
)

// ended is what a halt and an undo say of hosts.
type ended interface {
	proto.Message
	GetHosts() []*pb.HostClean
	GetMoreHosts() uint32
}

// showClean prints how clean hosts are after a halt or an undo.
func (a *app) showClean(resp ended, line string) error {
	v := view{message: resp, table: func(w io.Writer, wide bool) {
		fmt.Fprintln(w, escape(line))
		for _, h := range resp.GetHosts() {
			if wide || !h.GetClean() {
				fmt.Fprintf(w, "%s\t%s\t%s\n", h.GetHost(), cleanWord(h), escape(strings.Join(h.GetResidue(), "; ")))
			}
		}
		if more := resp.GetMoreHosts(); more > 0 {
			fmt.Fprintf(w, "and %d more hosts, none in a worse state\tsquall status tells all that are not clean\n", more)
		}
	}}
	for _, h := range resp.GetHosts() {
		v.names = append(v.names, h.GetHost())
	}
	return a.show(v)
}

func cleanWord(h *pb.HostClean) string {
	switch {
	case h.GetUnknown():
		return "unknown"
	case h.GetClean():
		return "clean"
	}
	return "residue"
}

// cleanError names the hosts that are not shown clean: that outranks any other
// ending. Unknown is never reverted.
func cleanError(resp ended, otherwise error) error {
	var residue, unknown []string
	for _, h := range resp.GetHosts() {
		switch cleanWord(h) {
		case "unknown":
			unknown = append(unknown, h.GetHost())
		case "residue":
			residue = append(residue, h.GetHost())
		}
	}
	var said []string
	if len(residue) > 0 {
		said = append(said, "residue on "+strings.Join(residue, ", "))
	}
	if len(unknown) > 0 {
		said = append(said, "not heard from "+strings.Join(unknown, ", "))
	}
	if len(said) == 0 {
		return otherwise
	}
	if otherwise != nil {
		said = append(said, otherwise.Error())
	}
	return &exitError{experiments.ExitResidue, errors.New(strings.Join(said, "; "))}
}
