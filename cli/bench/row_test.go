package bench

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// rounds is how many times each figure is taken.
const rounds = 20

// A row is one figure of the table.
type row struct {
	name string
	// unit is what values, limit and base are in.
	unit string
	// values are one for each round; where they were taken elsewhere, only some
	// statistics are known.
	values []float64
	known  map[statistic]float64
	// judged is the statistic that the target is about; noTarget: there is none.
	judged statistic
	limit  float64
	// atLeast: the limit is a lower one.
	atLeast bool
	// base are the baseline's values, and baseName is what it is.
	base     []float64
	baseName string
}

// noTarget is the limit of a figure that explains another.
var noTarget = math.Inf(1)

// A statistic sums values up.
type statistic struct {
	name string
	at   float64
}

var (
	lower  = statistic{"q1", 0.25}
	median = statistic{"median", 0.50}
	upper  = statistic{"q3", 0.75}
	p95    = statistic{"p95", 0.95}
	p99    = statistic{"p99", 0.99}
	most   = statistic{"max", 1}
)

// statistics are those that a row prints, as far as it knows them.
var statistics = []statistic{lower, median, upper, p95, p99, most}

// of is the statistic by nearest rank; NaN without values.
func (s statistic) of(values []float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(values))
	rank := int(math.Ceil(s.at*float64(len(sorted)))) - 1
	return sorted[max(rank, 0)]
}

// print prints the row on a line of its own: the line that the benchmark's own
// name stands on is not ended yet.
func (r row) print() { fmt.Println("\n" + r.String()) }

func (r row) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "bench: %-44s", r.name)
	for _, s := range statistics {
		if v := r.of(s); !math.IsNaN(v) {
			fmt.Fprintf(&b, "  %s %s", s.name, r.figure(v))
		}
	}
	if n := len(r.values); n > 0 {
		fmt.Fprintf(&b, "  n %d", n)
	}
	if r.limit != noTarget {
		fmt.Fprintf(&b, "  target %s %s %s  %s", r.judged.name, r.sign(), r.figure(r.limit), r.verdict())
	}
	if base := median.of(r.base); len(r.base) > 0 {
		fmt.Fprintf(&b, "  baseline %s (%s)  ratio %.3g", r.figure(base), r.baseName, r.of(median)/base)
	}
	return b.String()
}

// of is a statistic of the values; NaN where it is not known.
func (r row) of(s statistic) float64 {
	if v, ok := r.known[s]; ok {
		return v
	}
	return s.of(r.values)
}

func (r row) figure(v float64) string {
	if v >= 1000 {
		return fmt.Sprintf("%.0f %s", v, r.unit)
	}
	return fmt.Sprintf("%.3g %s", v, r.unit)
}

func (r row) sign() string {
	if r.atLeast {
		return "≥"
	}
	return "≤"
}

func (r row) verdict() string {
	v := r.of(r.judged)
	if met := v <= r.limit; math.IsNaN(v) || met == r.atLeast && v != r.limit {
		return "MISS"
	}
	return "ok"
}

// millis are durations in milliseconds.
func millis(all []time.Duration) []float64 { return in(time.Millisecond, all) }

func in(unit time.Duration, all []time.Duration) []float64 {
	out := make([]float64, len(all))
	for i, d := range all {
		out[i] = float64(d) / float64(unit)
	}
	return out
}
