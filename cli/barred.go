package main

import (
	"strings"
	"time"

	pb "squall/proto/squall/v1"
)

// barredWord is why nothing is injected on a host, in a word or two; empty where
// nothing bars it.
func barredWord(damage *pb.Damage, conflict *pb.HostConflict) string {
	var words []string
	if damage != nil {
		words = append(words, "journal damaged")
	}
	if conflict != nil {
		words = append(words, "two machines")
	}
	return strings.Join(words, ", ")
}

// damageText says what was lost, and since when that is known by the host's own
// wall clock.
func damageText(d *pb.Damage) string {
	what := "its content is not known"
	if len(d.GetWhat()) > 0 {
		what = strings.Join(d.GetWhat(), "; ")
	}
	text := "since " + time.Unix(0, d.GetSinceUnixNanos()).UTC().Format("2006-01-02 15:04:05Z") + ": " + what
	if d.GetConfirmed() {
		text += " (confirmed; the host has yet to hear of it)"
	}
	return text
}

// barredLines are a host that takes no fault, a line for each reason, with what
// to do about it.
func barredLines(b *pb.BarredHost) (lines []string) {
	if d := b.GetDamage(); d != nil {
		fix := ""
		if !d.GetConfirmed() {
			fix = "; see to it, then: squall confirm damage " + b.GetHost()
		}
		lines = append(lines, "its journal is damaged "+damageText(d)+fix)
	}
	if b.GetConflict() != nil {
		lines = append(lines, conflictText(b.GetConflict()))
	}
	return lines
}

func conflictText(c *pb.HostConflict) string {
	return "two machines have its certificate, one of them heard by " + orDash(c.GetServer()) +
		"; stop the agent of one, issue it a certificate of its own, and wait a minute"
}
