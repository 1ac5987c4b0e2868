package observe_test

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	dto "github.com/prometheus/client_model/go"

	"squall/server/observe"
)

var update = flag.Bool("update", false, "write the table of metrics anew")

const metricsDoc, docMark = "../../docs/metrics.md", "-update -->\n"

// TestEveryMetricIsDocumented: the page's table is what a server tells, name for
// name, with kinds, labels and meanings.
func TestEveryMetricIsDocumented(t *testing.T) {
	page, err := os.ReadFile(metricsDoc)
	if err != nil {
		t.Fatal(err)
	}
	text, was, ok := strings.Cut(string(page), docMark)
	if !ok {
		t.Fatalf("%s has no place for the table", metricsDoc)
	}
	want := metricsTable(t)
	if *update {
		if err := os.WriteFile(metricsDoc, []byte(text+docMark+want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if d := cmp.Diff(want, was); d != "" {
		t.Errorf("%s is not what servers tell; go test -run EveryMetric -update writes it:\n%s", metricsDoc, d)
	}
}

// metricsTable is a row for each metric of ours, with those of the libraries in one.
func metricsTable(t *testing.T) string {
	var b strings.Builder
	b.WriteString("\n| metric | kind | labels | meaning |\n|---|---|---|---|\n")
	for _, f := range families(t) {
		if strings.HasPrefix(f.GetName(), "squall_") {
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", f.GetName(), strings.ToLower(f.GetType().String()), strings.Join(labels(f), " "), f.GetHelp())
		}
	}
	b.WriteString("\nBesides these there are `go_…` and `process_…`, of the Go runtime and of the process, as Prometheus' Go library tells them.\n")
	return b.String()
}

// families are all metrics of a server that has something to tell in each.
func families(t *testing.T) []*dto.MetricFamily {
	t.Helper()
	all, err := busy(t).Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range observe.Figures() {
		if !slices.ContainsFunc(all, func(f *dto.MetricFamily) bool { return f.GetName() == name }) {
			t.Errorf("%s is not told where everything has something to tell", name)
		}
	}
	return all
}

func labels(f *dto.MetricFamily) []string {
	var names []string
	for _, l := range f.GetMetric()[0].GetLabel() {
		names = append(names, "`"+l.GetName()+"`")
	}
	slices.Sort(names)
	return names
}
