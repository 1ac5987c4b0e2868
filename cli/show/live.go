package show

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	pb "squall/proto/squall/v1"
	"squall/proto/text"
)

// label is the width of the words at the left.
const label = 7

// Live draws how a run stands: where it is, a map of the zones, the faults with
// what is left of them, and the probes and rules with their values.
func Live(r *pb.LiveRun, o Options) string {
	v := live{r: r, o: o, now: time.Unix(0, r.GetNowUnixNanos())}
	v.head()
	v.zones()
	v.faults()
	v.probes()
	v.rules()
	v.residue()
	return v.b.String()
}

// live is a picture while it is drawn.
type live struct {
	r   *pb.LiveRun
	o   Options
	now time.Time
	b   strings.Builder
}

// put draws a line under its label.
func (v *live) put(name string, parts ...part) {
	v.b.WriteString(v.o.line(append([]part{{text: pad(name, label), colour: bold}}, parts...)...))
}

func (v *live) head() {
	run := v.r.GetRun()
	v.put("RUN", part{text: run.GetId(), may: 1}, part{text: text.Word(run.GetState()), colour: bold}, v.elapsed(),
		part{text: "by " + run.GetBy().GetName(), may: 2}, part{text: run.GetBy().GetWhy(), may: 3})
	clocks := []part{{text: v.now.Format("15:04:05") + " real"}}
	if at := v.r.GetIncidentUnixNanos(); at != 0 {
		clocks = append(clocks, part{text: time.Unix(0, at).UTC().Format("2006-01-02 15:04:05") + " incident"})
	}
	v.put("CLOCK", clocks...)
	if v.r.GetPhase() != "" {
		v.put("PHASE", part{text: v.r.GetPhase(), colour: bold}, part{text: v.until("ends", v.r.GetPhaseEndsUnixNanos())},
			part{text: v.r.GetSay(), colour: grey})
	}
}

// elapsed is how far the run has come of its whole length.
func (v *live) elapsed() part {
	t0, end := v.r.GetRun().GetT0UnixNanos(), v.r.GetRun().GetEndsUnixNanos()
	if t0 == 0 || v.now.UnixNano() < t0 {
		return part{text: v.until("fires", t0)}
	}
	text := "T+" + coarse(v.now.Sub(time.Unix(0, t0)))
	if end > t0 {
		text += " of " + coarse(time.Duration(end-t0))
	}
	return part{text: text}
}

// until says when something is to come: "ends in 42s".
func (v *live) until(verb string, at int64) string {
	left := time.Unix(0, at).Sub(v.now)
	switch {
	case at == 0:
		return ""
	case left <= 0:
		return verb + " now"
	}
	return verb + " in " + coarse(left)
}

// sign is how a host's condition looks.
type sign struct {
	mark   string
	word   string
	colour colour
}

var signs = map[pb.HostCondition]sign{
	pb.HostCondition_HOST_CONDITION_LIT:       {"●", "lit", green},
	pb.HostCondition_HOST_CONDITION_DEGRADED:  {"◐", "degraded", yellow},
	pb.HostCondition_HOST_CONDITION_HIT:       {"✖", "dark", red},
	pb.HostCondition_HOST_CONDITION_RETURNING: {"◔", "returning", blue},
	pb.HostCondition_HOST_CONDITION_UNKNOWN:   {"?", "unknown", red},
	pb.HostCondition_HOST_CONDITION_RESIDUE:   {"!", "residue", red},
	pb.HostCondition_HOST_CONDITION_LOST:      {"○", "lost", grey},
}

// signOf is never empty: a condition that this build doesn't know is unknown.
func signOf(c pb.HostCondition) sign {
	if s, ok := signs[c]; ok {
		return s
	}
	return signs[pb.HostCondition_HOST_CONDITION_UNKNOWN]
}

// zones draws the map: a row a zone, a tile a host, and in words how many are how.
func (v *live) zones() {
	byZone := map[string][]*pb.LiveHost{}
	for _, h := range v.r.GetHosts() {
		byZone[h.GetZone()] = append(byZone[h.GetZone()], h)
	}
	names, said := 0, 0
	for zone, hosts := range byZone {
		names, said = max(names, utf8.RuneCountInString(zone)), max(said, utf8.RuneCountInString(counts(hosts)))
	}
	title := "ZONES"
	for _, zone := range slices.Sorted(maps.Keys(byZone)) {
		hosts := byZone[zone]
		head := []part{{text: pad(zone, names)}, {text: pad(counts(hosts), said), colour: worst(hosts).colour}}
		indent := label + 3*len(gap) + names + said
		if beside := v.o.Width == 0 || v.o.Width-indent >= tileRoom; !beside {
			v.put(title, head...)
			title, head = "", nil
			indent = label + 2*len(gap) + names
		}
		for _, row := range v.tiles(hosts, indent) {
			if head == nil {
				v.b.WriteString(strings.Repeat(" ", indent) + row + "\n")
				continue
			}
			v.put(title, append(head, part{text: row, drawn: true})...)
			title, head = "", nil
		}
	}
}

// tileRoom is how many columns tiles need to stand beside their zone's name.
const tileRoom = 30

// counts says how many hosts of a zone are how: "2 dark, 1 lit".
func counts(hosts []*pb.LiveHost) string {
	many := map[pb.HostCondition]int{}
	for _, h := range hosts {
		many[h.GetCondition()]++
	}
	var said []string
	for _, c := range slices.Sorted(maps.Keys(many)) {
		said = append(said, fmt.Sprintf("%d %s", many[c], signOf(c).word))
	}
	slices.Reverse(said)
	return strings.Join(said, ", ")
}

// worst is the sign of the zone's host that is in the worst condition.
func worst(hosts []*pb.LiveHost) sign {
	return signOf(slices.MaxFunc(hosts, func(a, b *pb.LiveHost) int { return int(a.GetCondition() - b.GetCondition()) }).GetCondition())
}

// tileRows is how many rows the tiles of a zone may take with their names.
const tileRows = 2

// tiles are the rows of a zone's hosts with their names, or, where there are
// too many, of their signs alone.
func (v *live) tiles(hosts []*pb.LiveHost, indent int) []string {
	slices.SortFunc(hosts, func(a, b *pb.LiveHost) int {
		return strings.Compare(a.GetRoom()+"\x00"+a.GetName(), b.GetRoom()+"\x00"+b.GetName())
	})
	room := max(v.o.Width-indent, 1)
	if v.o.Width == 0 {
		room = 1 << 20
	}
	named := v.rows(hosts, room, func(h *pb.LiveHost) string { return signOf(h.GetCondition()).mark + " " + h.GetName() }, gap)
	if len(named) > tileRows {
		return v.rows(hosts, room, func(h *pb.LiveHost) string { return signOf(h.GetCondition()).mark }, "")
	}
	return named
}

// rows breaks tiles into rows of so many columns.
func (v *live) rows(hosts []*pb.LiveHost, room int, tile func(*pb.LiveHost) string, between string) []string {
	var rows []string
	row, used := "", 0
	for _, h := range hosts {
		text := Cut(tile(h), room)
		n := utf8.RuneCountInString(text)
		switch {
		case used > 0 && used+len(between)+n > room:
			rows = append(rows, row)
			row, used = "", 0
		case used > 0:
			row, used = row+between, used+len(between)
		}
		row += v.o.paint(part{text: text, colour: signOf(h.GetCondition()).colour})
		used += n
	}
	return append(rows, row)
}

// bar is the width of what shows how much of a fault has passed.
const bar = 20

func (v *live) faults() {
	names, times := 0, 0
	for _, f := range v.r.GetFaults() {
		when, _ := v.when(f)
		names, times = max(names, utf8.RuneCountInString(f.GetFault())), max(times, utf8.RuneCountInString(when))
	}
	title := "FAULTS"
	for _, f := range v.r.GetFaults() {
		start, end := f.GetStartUnixNanos(), f.GetEndUnixNanos()
		when, paint := v.when(f)
		v.put(title, part{text: pad(f.GetFault(), names), colour: paint}, part{text: pad(when, times)},
			part{text: heldBy(f)},
			part{text: passed(v.now.UnixNano(), start, end), colour: paint, may: 2}, part{text: f.GetStep(), colour: grey, may: 3})
		title = ""
	}
}

// heldBy counts the hosts of a fault; before it is known when it begins, none
// is to hold it.
func heldBy(f *pb.LiveFault) string {
	if f.GetStartUnixNanos() == 0 && f.GetHeld() == 0 {
		return "on " + text.Count(int(f.GetHosts()), "host")
	}
	return fmt.Sprintf("held by %d of %d", f.GetHeld(), f.GetHosts())
}

// when says what a fault is about to do. One of a run that has not fired has
// neither begun nor ended.
func (v *live) when(f *pb.LiveFault) (string, colour) {
	switch now := v.now.UnixNano(); {
	case f.GetStartUnixNanos() == 0 && v.r.GetRun().GetState() == pb.RunState_RUN_STATE_DONE:
		return "never began", grey
	case f.GetStartUnixNanos() == 0:
		return "not begun", grey
	case now >= f.GetEndUnixNanos() && f.GetHeld() == 0:
		return "ended", grey
	case now >= f.GetStartUnixNanos():
		return v.until("ends", f.GetEndUnixNanos()), red
	}
	return v.until("begins", f.GetStartUnixNanos()), grey
}

// passed is a bar of how much of a stretch is over.
func passed(now, start, end int64) string {
	if end <= start {
		return ""
	}
	full := int(float64(bar) * float64(min(max(now, start), end)-start) / float64(end-start))
	return strings.Repeat("█", full) + strings.Repeat("░", bar-full)
}

func (v *live) probes() {
	longest := longestName(v.r.GetProbes())
	title := "PROBES"
	for _, p := range v.r.GetProbes() {
		value := part{text: pad("no data", 6), colour: red}
		if p.Success != nil {
			value = part{text: fmt.Sprintf("%5.1f%%", p.GetSuccess()*100), colour: health(p.GetSuccess())}
		}
		v.put(title, part{text: pad(Cut(p.GetName(), longest), longest)}, value, part{text: v.spark(p.GetHistory()), may: 1},
			part{text: p95(p), may: 2}, part{text: fmt.Sprintf("%s old", coarse(time.Duration(p.GetAgeNanos()))), colour: grey, may: 3})
		title = ""
	}
}

func p95(p *pb.LiveProbe) string {
	if p.Success == nil || p.P95Millis == nil {
		return ""
	}
	return "p95 " + coarse(time.Duration(p.GetP95Millis()*float64(time.Millisecond)))
}

// nameColumns bounds the column of names.
const nameColumns = 24

func longestName[T interface{ GetName() string }](list []T) int {
	longest := 0
	for _, x := range list {
		longest = max(longest, utf8.RuneCountInString(x.GetName()))
	}
	return min(longest, nameColumns)
}

func health(success float64) colour {
	switch {
	case success >= 0.99:
		return green
	case success >= 0.5:
		return yellow
	}
	return red
}

var levels = []rune("▁▂▃▄▅▆▇█")

// spark draws shares from 0 to 1, a column a second, the newest last.
func (v *live) spark(history []float64) string {
	columns := len(history)
	if v.o.Width > 0 {
		columns = min(columns, max(v.o.Width-label-2*len(gap)-50, 12))
	}
	var b strings.Builder
	for _, x := range history[len(history)-columns:] {
		if !(x >= 0) {
			b.WriteRune('·')
			continue
		}
		b.WriteRune(levels[int(min(x, 1)*float64(len(levels)-1)+0.5)])
	}
	return b.String()
}

// shortestName is how much of a rule's name stays, in columns.
const shortestName = 12

func (v *live) rules() {
	names, standing, seen := longestName(v.r.GetRules()), 0, 0
	for _, r := range v.r.GetRules() {
		standing = max(standing, utf8.RuneCountInString(stands(r).text))
		seen = max(seen, utf8.RuneCountInString(r.GetSeen()))
	}
	room, below := v.o.Width-label-standing-2*len(gap)-seen, false
	if v.o.Width > 0 { // a value and its limit are worth more than the whole of a name
		names, below = min(names, max(room, shortestName)), room < shortestName
	}
	last := ""
	for _, r := range v.r.GetRules() {
		title := strings.ToUpper(text.Word(r.GetKind()))
		if title == last {
			title = ""
		} else {
			last = title
		}
		how := stands(r)
		how.text = pad(how.text, standing)
		if below {
			v.put(title, how, part{text: r.GetName()})
			v.put("", part{text: "  " + r.GetSeen()})
			continue
		}
		v.put(title, how, part{text: pad(Cut(r.GetName(), names), names)}, part{text: r.GetSeen()})
	}
}

// stands says how a rule stands: abort rules count the time that they have been
// true, the others hold or do not.
func stands(r *pb.LiveRule) part {
	abort := r.GetKind() == pb.FindingKind_FINDING_KIND_ABORT
	holds := r.GetState() == pb.FindingState_FINDING_STATE_HOLDS
	switch {
	case r.GetState() == pb.FindingState_FINDING_STATE_UNKNOWN && r.GetTrueNanos() == 0:
		return part{text: "no data", colour: yellow}
	case abort && r.GetTrueNanos() > 0:
		return part{text: fmt.Sprintf("true for %s of %s", coarse(time.Duration(r.GetTrueNanos())), coarse(time.Duration(r.GetForNanos()))), colour: red}
	case abort:
		return part{text: "clear", colour: green}
	case holds:
		return part{text: "ok", colour: green}
	}
	return part{text: "BROKEN", colour: red}
}

func (v *live) residue() {
	if len(v.r.GetResidue()) == 0 {
		v.put("RESIDUE", part{text: "0", colour: green})
	}
	for _, h := range v.r.GetResidue() {
		what := strings.Join(h.GetResidue(), "; ")
		if h.GetUnknown() {
			what = "not heard from"
		}
		v.put("RESIDUE", part{text: h.GetHost(), colour: red}, part{text: what})
	}
}

// coarse is a length of time for people who watch it change: whole seconds from
// one second on.
func coarse(d time.Duration) string {
	if d >= time.Second || d <= -time.Second {
		return d.Round(time.Second).String()
	}
	return d.Round(time.Millisecond).String()
}
