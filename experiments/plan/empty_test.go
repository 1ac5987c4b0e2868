package plan_test

import (
	"strings"
	"testing"

	"squall/experiments/plan"
	pb "squall/proto/squall/v1"
)

// TestEmptyTargetSaysWhichListLeavesNoHost: of which step, of which hosts, and
// what stands there to be selected instead.
func TestEmptyTargetSaysWhichListLeavesNoHost(t *testing.T) {
	freeze := "process.freeze: { target: it, for: 5s }"
	for _, c := range []struct{ target, says, fix string }{
		{"role: wbe", "no host has role wbe", `did you mean "web"?`},
		{"zone: zone-a, role: client", "none of the 3 hosts in zone zone-a has role client", "write one of: db, web"},
		{"zone: zone-a, host: web-b1", "none of the 3 hosts in zone zone-a is named web-b1", `did you mean "web-a1"?`},
		{"host: web-a1, role: db", "no host named web-a1 has role db", "write one of: web"},
		{"zone: zone-a, labels: { tier: gold }", "none of the 3 hosts in zone zone-a has label tier=gold", "there is no label here"},
		{"zone: zone-a, role: db, workload: wbe", "no host in zone zone-a with role db has workload wbe", "write one of: db"},
		{"zone: zone-a, exclude: { zone: zone-a }", "none of the 3 hosts in zone zone-a is left by exclude", "exclude less, or widen the target"},
	} {
		p, _ := planned(t, with("", c.target, freeze), plan.World{})
		if len(p.GetProblems()) != 1 {
			t.Errorf("%s: %d problems: %v", c.target, len(p.GetProblems()), p.GetProblems())
			continue
		}
		got := p.GetProblems()[0]
		if want := `target "it" of step p.process.freeze selects no host: ` + c.says; got.GetMessage() != want || !strings.HasPrefix(got.GetFix(), c.fix) {
			t.Errorf("%s:\n%s\n  fix: %s\nwant\n%s\n  fix: %s", c.target, got.GetMessage(), got.GetFix(), want, c.fix)
		}
	}
}

// TestMistakeIsToldOnce: what follows from a zone that there is not is no
// problem of its own.
func TestMistakeIsToldOnce(t *testing.T) {
	const aimed = "zones: { dark: [zone-a] }\nexpect: [{ name: x, during: p, check: it.alive == 0 }]\ntimeline"
	for name, c := range map[string]struct {
		text string
		aim  map[string]*pb.ZoneRole
		says string
	}{
		"peers in no zone": {with("", "zone: zone-a", "net.delay: { target: it, delay: 9ms, for: 5s, to: { zone: zone-x } }"), nil, `there is no zone "zone-x"`},
		"aimed at no zone": {
			strings.Replace(with("", "zone: dark", dark), "timeline", aimed, 1),
			map[string]*pb.ZoneRole{"dark": {Zone: []string{"zone-x"}}},
			`role "dark" is aimed at "zone-x", and there is no such zone`,
		},
	} {
		p, _ := planned(t, c.text, plan.World{Aim: c.aim})
		if len(p.GetProblems()) != 1 || p.GetProblems()[0].GetMessage() != c.says {
			t.Errorf("%s: %v", name, p.GetProblems())
		}
	}
}
