package observe

import (
	"maps"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
)

const (
	// mostZones and mostExperiments are how many are told one by one; the rest is
	// told together as other.
	mostZones       = 100
	mostExperiments = 1000
	other           = "other"
)

// names are those that are told one by one, of all that there are: the first by
// name, so that they are the same at each scrape and on each server.
type names map[string]bool

func namesOf(all map[string]bool, most int) names {
	sorted := slices.Sorted(maps.Keys(all))
	out := make(names)
	for _, name := range sorted[:min(len(sorted), most)] {
		out[name] = true
	}
	return out
}

// told is a name, or other.
func (n names) told(name string) string {
	if n[name] {
		return name
	}
	return other
}

// known are names that come one after another, as those of counters do: the first
// that come are told one by one.
type known map[string]bool

func (k known) told(name string, most int) string {
	if !k[name] && len(k) >= most {
		return other
	}
	k[name] = true
	return name
}

// sums are the values of a figure by up to two labels.
type sums map[[2]string]float64

func (s sums) add(n float64, labels ...string) {
	var key [2]string
	copy(key[:], labels)
	s[key] += n
}

// send sends each value under as many labels as the figure has.
func (s sums) send(ch chan<- prometheus.Metric, f figure) {
	for key, n := range s {
		ch <- prometheus.MustNewConstMetric(f.desc(), f.kind(), n, key[:len(f.labels)]...)
	}
}
