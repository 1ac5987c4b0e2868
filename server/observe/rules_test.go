package observe_test

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/VictoriaMetrics/metricsql"
	dto "github.com/prometheus/client_model/go"
	"go.yaml.in/yaml/v3"

	pb "squall/proto/squall/v1"
	"squall/proto/text"
)

// rules are docs/alerts.yaml, and its tests, as far as they are looked at here.
type rules struct {
	Groups []struct {
		Rules []struct {
			Alert, Expr         string
			Labels, Annotations map[string]string
		}
	}
	Tests []struct {
		AlertRuleTest []struct {
			Alertname string
			ExpAlerts []map[string]any `yaml:"exp_alerts"`
		} `yaml:"alert_rule_test"`
	}
}

func readRules(t *testing.T, file string) (r rules) {
	t.Helper()
	data, err := os.ReadFile("../../docs/" + file)
	if err == nil {
		err = yaml.Unmarshal(data, &r)
	}
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestAlertsAskForWhatServersTell: each expression parses, and asks for metrics
// and labels that there are.
func TestAlertsAskForWhatServersTell(t *testing.T) {
	told := toldLabels(t)
	tried := triedAlerts(t)
	for _, g := range readRules(t, "alerts.yaml").Groups {
		for _, r := range g.Rules {
			told.check(t, r.Alert, r.Expr)
			if !slices.Contains([]string{"page", "warning", "none"}, r.Labels["severity"]) || r.Annotations["summary"] == "" || r.Annotations["description"] == "" {
				t.Errorf("%s has no severity, summary or description", r.Alert)
			}
			if !tried[r.Alert] {
				t.Errorf("%s fires in no test of docs/alerts_test.yaml", r.Alert)
			}
		}
	}
}

// triedAlerts are those that a test has fire.
func triedAlerts(t *testing.T) map[string]bool {
	tried := make(map[string]bool)
	for _, test := range readRules(t, "alerts_test.yaml").Tests {
		for _, a := range test.AlertRuleTest {
			tried[a.Alertname] = tried[a.Alertname] || len(a.ExpAlerts) > 0
		}
	}
	return tried
}

func TestDashboardAsksForWhatServersTell(t *testing.T) {
	data, err := os.ReadFile("../../docs/dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	var board struct {
		UID    string
		Panels []struct {
			Title   string
			Type    string
			Targets []struct{ Expr string }
		}
		Annotations struct {
			List []struct{ Name, Expr string }
		}
		Templating struct {
			List []struct {
				Name  string
				Query any
			}
		}
	}
	if err := json.Unmarshal(data, &board); err != nil {
		t.Fatal(err)
	}
	told, asked := toldLabels(t), 0
	for _, p := range board.Panels {
		if p.Type != "row" && len(p.Targets) == 0 {
			t.Errorf("panel %s asks for nothing", p.Title)
		}
		for _, target := range p.Targets {
			told.check(t, p.Title, target.Expr)
			asked++
		}
	}
	for _, a := range board.Annotations.List {
		told.check(t, a.Name, a.Expr)
	}
	for _, v := range board.Templating.List {
		if q, ok := v.Query.(map[string]any); ok {
			told.checkVariable(t, v.Name, q["query"].(string))
		}
	}
	if board.UID != "squall" || asked < 20 {
		t.Errorf("uid %q asks %d times", board.UID, asked)
	}
}

// TestDashboardColoursByEachOnesOwn: what is red or green is told by what each
// experiment and each cluster says, and by no number that is one for all.
func TestDashboardColoursByEachOnesOwn(t *testing.T) {
	data, err := os.ReadFile("../../docs/dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	var board struct {
		Panels []struct {
			Title       string
			Targets     []struct{ Expr string }
			FieldConfig struct {
				Defaults struct {
					Thresholds struct{ Steps []struct{ Value float64 } }
				}
			}
		}
	}
	if err := json.Unmarshal(data, &board); err != nil {
		t.Fatal(err)
	}
	for series, by := range map[string]string{"squall_experiment_since_pass_seconds": "squall_experiment_due_seconds", "squall_server_ready": "squall_raft_servers"} {
		seen := 0
		for _, p := range board.Panels {
			steps := p.FieldConfig.Defaults.Thresholds.Steps
			for _, target := range p.Targets {
				if len(steps) < 2 || !strings.Contains(target.Expr, series) {
					continue
				}
				seen++
				if last := steps[len(steps)-1].Value; !strings.Contains(target.Expr, by) || last > 1 {
					t.Errorf("%s: its last colour begins at %g, of %q", p.Title, last, target.Expr)
				}
			}
		}
		if seen == 0 {
			t.Errorf("no panel colours by %s", series)
		}
	}
}

// TestEveryRunThatDidNotGoWellIsAlertedOf: but for one that a person ended, or
// that never began.
func TestEveryRunThatDidNotGoWellIsAlertedOf(t *testing.T) {
	well := []string{"pass", "done", "halted", "not started", "unspecified"}
	for _, g := range readRules(t, "alerts.yaml").Groups {
		for _, r := range g.Rules {
			if r.Alert != "SquallRunFailed" {
				continue
			}
			told := regexp.MustCompile(`verdict=~"([^"]*)"`).FindStringSubmatch(r.Expr)
			for n := range pb.Verdict_name {
				verdict := text.Word(pb.Verdict(n))
				if alerted := slices.Contains(strings.Split(told[1], "|"), strings.ReplaceAll(verdict, " ", "_")); alerted == slices.Contains(well, verdict) {
					t.Errorf("a run that came to %s is alerted of: %t", verdict, alerted)
				}
			}
		}
	}
}

// toldSeries are the labels of each series that a scrape has.
type toldSeries map[string][]string

func toldLabels(t *testing.T) toldSeries {
	t.Helper()
	scraped := []string{"job", "instance"} // by whoever scrapes
	told := toldSeries{"up": scraped}
	for _, f := range families(t) {
		names := slices.Clone(scraped)
		for _, l := range f.GetMetric()[0].GetLabel() {
			names = append(names, l.GetName())
		}
		told[f.GetName()] = names
		if f.GetType() == dto.MetricType_HISTOGRAM {
			delete(told, f.GetName())
			told[f.GetName()+"_count"], told[f.GetName()+"_sum"] = names, names
			told[f.GetName()+"_bucket"] = append(slices.Clone(names), "le")
		}
	}
	return told
}

// check parses an expression and finds its metrics and labels among those told.
func (s toldSeries) check(t *testing.T, where, expr string) {
	t.Helper()
	e, err := metricsql.Parse(strings.NewReplacer("$__rate_interval", "5m", "$__interval", "5m", "$job", "squall", "$zone", ".*").Replace(expr))
	if err != nil {
		t.Errorf("%s: %q: %v", where, expr, err)
		return
	}
	var labels []string
	metricsql.VisitAll(e, func(e metricsql.Expr) {
		if m, ok := e.(*metricsql.MetricExpr); ok {
			labels = append(labels, s.checkSeries(t, where, m)...)
		}
	})
	metricsql.VisitAll(e, func(e metricsql.Expr) {
		for _, l := range grouped(e) {
			if !slices.Contains(labels, l) {
				t.Errorf("%s: %q groups by %s, which none of its metrics has", where, expr, l)
			}
		}
	})
}

// checkSeries gives the labels of one selector's metric.
func (s toldSeries) checkSeries(t *testing.T, where string, m *metricsql.MetricExpr) []string {
	t.Helper()
	var name string
	for _, or := range m.LabelFilterss {
		for _, f := range or {
			if f.Label == "__name__" {
				name = f.Value
			}
		}
	}
	labels, ok := s[name]
	if !ok {
		t.Errorf("%s asks for %q, which no server tells", where, name)
	}
	for _, or := range m.LabelFilterss {
		for _, f := range or {
			if f.Label != "__name__" && !slices.Contains(labels, f.Label) {
				t.Errorf("%s asks for label %s of %s, which has %v", where, f.Label, name, labels)
			}
		}
	}
	if !slices.ContainsFunc(m.LabelFilterss, func(or []metricsql.LabelFilter) bool {
		return slices.ContainsFunc(or, func(f metricsql.LabelFilter) bool { return f.Label == "job" })
	}) {
		t.Errorf("%s asks for %s of any job", where, name)
	}
	return labels
}

// grouped are the labels that an expression groups or joins by.
func grouped(e metricsql.Expr) []string {
	switch e := e.(type) {
	case *metricsql.AggrFuncExpr:
		return e.Modifier.Args
	case *metricsql.BinaryOpExpr:
		return append(slices.Clone(e.GroupModifier.Args), e.JoinModifier.Args...)
	}
	return nil
}

var labelValues = regexp.MustCompile(`^label_values\((.*), (\w+)\)$`)

// checkVariable is check for what a variable of the dashboard takes its values from.
func (s toldSeries) checkVariable(t *testing.T, name, query string) {
	t.Helper()
	parts := labelValues.FindStringSubmatch(query)
	if parts == nil {
		t.Fatalf("variable %s: %q is no label_values(series, label)", name, query)
	}
	series := strings.Replace(parts[1], `{job="$job"}`, "", 1)
	if !slices.Contains(s[series], parts[2]) {
		t.Errorf("variable %s: %s has no label %s", name, series, parts[2])
	}
}
