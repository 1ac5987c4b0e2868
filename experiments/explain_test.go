package experiments

import (
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"

	"squall/experiments/fault"
)

func TestExplainSaysWhatTheProtoSays(t *testing.T) {
	for path, wants := range map[string][]string{
		"":                           {"experiment ", "fleet ", "host ", "lab "},
		"experiment":                 {" *timeline", "  guardrails", "--aim re-aims one"},
		"experiment.timeline":        {"a list", " *phase", "  say"},
		"experiment.timeline.faults": {"power.off", " *target", "Default revert."},
		"experiment.timeline.faults.power.off.back": {"or just its start: workloads or none", "boot_limit", "Default 2m."},
		"power.off.back":               {"or just its start: workloads or none", "boot_limit"},
		"net.delay.to.zone":            {"experiment.timeline.faults.net.delay.to.zone"},
		"power.off":                    {"experiment.timeline.faults.power.off", "target, at, until, for"},
		"timeline[1].faults[0].until":  {"a moment", "incident time"},
		"targets.machines.zone":        {"experiment.targets.zone"},
		"guardrails.lease":             {"default 10s", "range 5s to 10m", "without word from a quorum"},
		"dns.fail":                     {"share", "a share, such as 30%"},
		"host.squall":                  {"never", "default allow"},
		"host.workloads":               {"allow_undeclared_kill", " *name"},
		"fleet.hosts.presence":         {"measured"},
		"lab.zones.hosts.workloads":    {"${ip:HOST}"},
		"experiment.proof.check":       {"an expression", "required"},
		"experiment.clock.origin":      {`example "2012-06-29T19:57:00-07:00"`},
		"experiment.targets.a.labels.": {"names that you choose"},
	} {
		text, err := Explain(path)
		if err != nil {
			t.Errorf("explain %q: %v", path, err)
			continue
		}
		for _, want := range wants {
			if !strings.Contains(strings.Join(strings.Fields(text), " "), strings.TrimSpace(want)) {
				t.Errorf("explain %q lacks %q:\n%s", path, want, text)
			}
		}
	}
}

func TestExplainSuggestsTheRightPath(t *testing.T) {
	for path, want := range map[string]string{
		"experiment.timelin":   `did you mean "experiment.timeline"?`,
		"guardrails.leese":     `did you mean "experiment.guardrails.lease"?`,
		"powr.off":             `did you mean "power.off"?`,
		"experiment.name.x":    "has no keys",
		"host.workloads.reddy": `did you mean "host.workloads.ready"?`,
	} {
		if _, err := Explain(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("explain %q: %v, want %q", path, err, want)
		}
	}
}

// TestEveryPathIsExplained asks for every field by the path that problems
// carry. What this build lacks is told from what there is not.
func TestEveryPathIsExplained(t *testing.T) {
	everyField(func(path string, fd protoreflect.FieldDescriptor) {
		path = strings.Replace(path, "faults.fault", "faults", 1)
		if isInline(fd) {
			return
		}
		_, err := Explain(path)
		if err != nil && (isOffered(fd) && reachable(path) || !strings.Contains(err.Error(), "this build can't carry it out")) {
			t.Errorf("%v", err)
		}
		if err == nil && !isOffered(fd) {
			t.Errorf("%s is explained, and this build lacks it", path)
		}
	})
}

// reachable says that no section around a path is one that this build lacks.
func reachable(path string) bool {
	for i := range path {
		if _, err := Explain(path[:i]); path[i] == '.' && err != nil && strings.Contains(err.Error(), "this build can't") {
			return false
		}
	}
	return true
}

// TestNothingIsOfferedThatThisBuildLacks reads every text that lists what may
// be written.
func TestNothingIsOfferedThatThisBuildLacks(t *testing.T) {
	var missing []string
	for _, name := range fault.All() {
		if !slices.Contains(FaultNames(), name) {
			missing = append(missing, name)
		}
	}
	missing = append(missing, "nxdomain", "servfail", "unreachable", "approvals", "flap")
	everyField(func(path string, fd protoreflect.FieldDescriptor) {
		text, err := Explain(strings.Replace(path, "faults.fault", "faults", 1))
		if err != nil {
			return
		}
		for line := range strings.Lines(text) {
			word := strings.TrimLeft(line, " *")
			word, _, _ = strings.Cut(word, " ")
			if slices.Contains(missing, strings.TrimSpace(word)) {
				t.Errorf("explain %s offers %s", path, line)
			}
		}
	})
	for _, name := range FaultNames() {
		f, _ := NewFault(name)
		for _, flag := range Flags(armOf(f)) {
			for _, word := range missing {
				if strings.Contains(flag.Name, word) || strings.Contains(flag.Takes, word) {
					t.Errorf("%s --%s takes %s", name, flag.Name, flag.Takes)
				}
			}
		}
	}
}
