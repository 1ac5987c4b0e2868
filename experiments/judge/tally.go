package judge

import (
	"fmt"
	"strconv"
	"strings"

	"cel.dev/cel-go/common/operators"

	pb "squall/proto/squall/v1"
)

// tally is what an expression showed, second by second.
type tally struct {
	x      *expression
	judged int
	// broken and missing count seconds; the instants are the first of them.
	broken, missing     int
	brokenAt, missingAt int64
	// worst holds the worst sample of each term, nil where there was none, and
	// worstAt the end of its second.
	worst   []*sample
	worstAt []int64
}

func newTally(x *expression) *tally {
	return &tally{x: x, worst: make([]*sample, len(x.terms)), worstAt: make([]int64, len(x.terms))}
}

// add judges one moment.
func (t *tally) add(m *moment) outcome {
	o := t.x.eval(m)
	switch o {
	case early:
		return o
	case broken:
		t.broken++
		t.brokenAt = first(t.brokenAt, m.view.end)
	case missing:
		t.missing++
		t.missingAt = first(t.missingAt, m.view.end)
	}
	t.judged++
	for i, term := range t.x.terms {
		s, ok := term.sample(m)
		if ok && (t.worst[i] == nil || term.badness(s) > term.badness(*t.worst[i])) {
			t.worst[i], t.worstAt[i] = &s, m.at()
		}
	}
	return o
}

func first(have, now int64) int64 {
	if have != 0 {
		return have
	}
	return now
}

func (t *tally) state() pb.FindingState {
	switch {
	case t.broken > 0:
		return pb.FindingState_FINDING_STATE_BROKEN
	case t.missing > 0 || t.judged == 0:
		return pb.FindingState_FINDING_STATE_UNKNOWN
	}
	return pb.FindingState_FINDING_STATE_HOLDS
}

// at is when it first broke, or first had no data; 0 where it held.
func (t *tally) at() int64 {
	if t.broken > 0 {
		return t.brokenAt * nanos
	}
	return t.missingAt * nanos
}

// text shows the worst values beside their limits.
func (t *tally) text() string {
	var parts []string
	for i, term := range t.x.terms {
		if t.worst[i] != nil {
			parts = append(parts, term.text(*t.worst[i]))
		}
	}
	if len(parts) == 0 {
		parts = append(parts, t.x.text)
	}
	if t.missing > 0 {
		parts = append(parts, fmt.Sprintf("no data for %ds", t.missing))
	} else if t.judged == 0 {
		parts = append(parts, "no data")
	}
	return strings.Join(parts, ", ")
}

// extremes are the worst values, in the order of the expression.
func (t *tally) extremes() (list []*pb.Extreme) {
	for i, term := range t.x.terms {
		if s := t.worst[i]; s != nil {
			list = append(list, &pb.Extreme{
				Value: term.String(), Seen: s.value, Op: symbol[term.op], Limit: s.limit, AtUnixNanos: t.worstAt[i],
			})
		}
	}
	return list
}

// seen shows an expression with the values that it compares at a moment.
func (x *expression) seen(m *moment) string {
	var parts []string
	for _, term := range x.terms {
		value := "no data"
		if s, ok := term.sample(m); ok {
			value = number(s.value)
		}
		parts = append(parts, term.String()+" "+value)
	}
	if len(parts) == 0 {
		return x.text
	}
	return x.text + " (" + strings.Join(parts, ", ") + ")"
}

// brief is the values that an expression compares at a moment, each with its
// limit; the expression itself where it compares none.
func (x *expression) brief(m *moment) string {
	var parts []string
	for _, term := range x.terms {
		value, limit := "no data", number(term.limit)
		if s, ok := term.sample(m); ok {
			value, limit = number(s.value), number(s.limit)
		} else if term.other != nil {
			limit = term.other.String()
		}
		parts = append(parts, fmt.Sprintf("%s %s, limit %s %s", term.value, value, symbol[term.op], limit))
	}
	if len(parts) == 0 {
		return x.text
	}
	return strings.Join(parts, "; ")
}

func (t term) text(s sample) string {
	what, limit := "worst", number(s.limit)
	if t.op == operators.Less || t.op == operators.LessEquals {
		what = "peak"
	}
	if t.other != nil {
		limit = t.other.String() + " " + limit
	}
	return fmt.Sprintf("%s %s %s, limit %s %s", t.value, what, number(s.value), symbol[t.op], limit)
}

// number prints at most four digits after the point, so that 0.98996 does not look like 0.99.
func number(v float64) string {
	text := strconv.FormatFloat(v, 'f', 4, 64)
	return strings.TrimSuffix(strings.TrimRight(text, "0"), ".")
}
