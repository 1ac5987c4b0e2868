package experiments

import (
	"fmt"

	pb "squall/proto/squall/v1"
)

// checkVerdict looks at proof, expectations and abort rules.
func (d *decoder) checkVerdict(e *pb.Experiment) {
	names := map[string]bool{}
	for i, p := range e.GetProof() {
		path := fmt.Sprintf("proof[%d]", i)
		d.checkUnique(path, p.GetName(), names)
		d.checkDuring(e, path, p.GetDuring())
	}
	names = map[string]bool{}
	for i, x := range e.GetExpect() {
		path := fmt.Sprintf("expect[%d]", i)
		d.checkUnique(path, x.GetName(), names)
		d.checkDuring(e, path, x.GetDuring())
		d.checkSpanOf(e, path, x)
	}
	names = map[string]bool{}
	for i, a := range e.GetAbort() {
		d.checkUnique(fmt.Sprintf("abort[%d]", i), a.GetName(), names)
	}
}

func (d *decoder) checkUnique(path, name string, seen map[string]bool) {
	if name != "" && seen[name] {
		d.badPath(path+".name", fmt.Sprintf("name %s stands twice", quoted(name)), "give each its own name, since the report uses it")
	}
	seen[name] = true
}

func (d *decoder) checkDuring(e *pb.Experiment, path string, during []string) {
	seen := map[string]bool{}
	for i, phase := range during {
		at := fmt.Sprintf("%s.during[%d]", path, i)
		d.checkPhaseRef(e, at, phase)
		if seen[phase] {
			d.badPath(at, fmt.Sprintf("phase %s stands twice", quoted(phase)), "keep one of the two")
		}
		seen[phase] = true
	}
}

// checkSpanOf wants either `during`, or `within` and `after`.
func (d *decoder) checkSpanOf(e *pb.Experiment, path string, x *pb.Expectation) {
	during := len(x.GetDuring()) > 0 || d.wrong[path+".during"]
	within := x.GetWithin() != nil || d.wrong[path+".within"]
	after := x.GetAfter() != "" || d.wrong[path+".after"]
	switch {
	case during && (within || after):
		d.badPath(path+".during", `"during" stands beside "within" and "after"`, "keep `during`, or `within` and `after`")
	case within && !after:
		d.badPath(path+".within", `"within" does not say after what`, "add `after:` and the name of a phase")
	case after && !within:
		d.badPath(path+".after", `"after" does not say within what time`, "add `within:` and a length of time")
	case !during && !within && !d.wrong[path]:
		d.badPath(path, fmt.Sprintf("expectation %s does not say when", quoted(x.GetName())), "add `during:` with phases, or `within:` and `after:`")
	}
	if x.GetAfter() != "" {
		d.checkPhaseRef(e, path+".after", x.GetAfter())
	}
}

func (d *decoder) checkPhaseRef(e *pb.Experiment, path, name string) {
	var names []string
	for _, p := range e.GetTimeline() {
		if p.GetPhase() == name {
			return
		}
		if p.GetPhase() != "" {
			names = append(names, p.GetPhase())
		}
	}
	if len(names) == len(e.GetTimeline()) {
		d.unknownName(path, "phase", name, names)
	}
}
