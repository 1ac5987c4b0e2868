package main

import (
	"fmt"
	"io"
	"strings"

	pb "squall/proto/squall/v1"
	"squall/proto/text"
)

func historyView(s *pb.Scheduled) view {
	v := view{
		message: &pb.Scheduled{Name: s.GetName(), History: s.GetHistory(), Held: s.GetHeld(), Retry: s.GetRetry()},
		table: func(w io.Writer, wide bool) {
			historyTable(w, s.GetHistory(), wide)
			waitingLines(w, s)
		},
	}
	for _, h := range s.GetHistory() {
		v.names = append(v.names, h.GetSlot())
	}
	return v
}

// waitingLines are the slot that waits until cluster time is in doubt no more, and
// the one that is tried again.
func waitingLines(w io.Writer, s *pb.Scheduled) {
	if h := s.GetHeld(); h != nil {
		fmt.Fprintf(w, "  waits\tslot %s since %s: cluster time is in doubt: %s\n", h.GetSlot(), clockTime(h.GetSinceUnixNanos()), h.GetWhy())
	}
	if r := s.GetRetry(); r != nil {
		fmt.Fprintf(w, "  tries again\tslot %s at %s, try %d\n", r.GetSlot().GetSlot(), clockTime(r.GetAtUnixNanos()), r.GetSlot().GetTry())
	}
}

func historyTable(w io.Writer, history []*pb.SlotRecord, wide bool) {
	if len(history) == 0 {
		fmt.Fprintln(w, "no slot has come yet")
		return
	}
	fmt.Fprintln(w, "SLOT\tBECAME\tVERDICT\tRUN\tTRIES\tWHY"+when(wide, "\tEARLIER RUNS"))
	for _, h := range history {
		slot := h.GetSlot()
		if h.GetCount() > 1 {
			slot = fmt.Sprintf("%d from %s to %s", h.GetCount(), h.GetFrom(), slot)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s%s\n", slot, text.Word(h.GetOutcome()), verdictOf(h), orDash(h.GetRun()), triesOf(h), orDash(h.GetWhy()),
			when(wide, "\t"+orDash(strings.Join(h.GetEarlier(), " "))))
	}
}

// verdictOf is what a slot's run came to.
func verdictOf(h *pb.SlotRecord) string {
	switch {
	case h.GetRun() == "":
		return "-"
	case h.GetVerdict() == pb.Verdict_VERDICT_UNSPECIFIED:
		return "under way"
	}
	return text.Word(h.GetVerdict())
}

// triesOf is how many runs a slot began.
func triesOf(h *pb.SlotRecord) string {
	if h.GetRun() == "" {
		return "-"
	}
	return fmt.Sprint(1 + len(h.GetEarlier()))
}
