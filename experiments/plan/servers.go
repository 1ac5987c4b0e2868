package plan

import (
	"fmt"
	"slices"

	"squall/experiments"
	pb "squall/proto/squall/v1"
)

// serverRole is ServerRole: no target has servers, unless a file names the role,
// and no plan has most of them.
const serverRole = experiments.ServerRole

// isServer tells whether a host, or one of the workloads, is a control server.
// No workloads are all of the host's.
func isServer(h *pb.Host, workloads []string) bool {
	if len(workloads) == 0 && slices.Contains(h.GetRole(), serverRole) {
		return true
	}
	return slices.ContainsFunc(h.GetWorkloads(), func(w *pb.HostWorkload) bool {
		return w.GetRole() == serverRole && any1(workloads, w.GetName())
	})
}

func stepOnServer(s *pb.PlannedStep, h *pb.Host) bool { return isServer(h, s.GetWorkload()) }

// meansServers tells whether a target may have control servers: a file names
// their role there. A command is no file.
func meansServers(t *pb.Target, command bool) bool {
	return !command && slices.Contains(t.GetRole(), serverRole)
}

// strangers refuses control servers that no file has named.
func strangers(p *pb.Plan, e *pb.Experiment, w World) []refusal {
	hosts := w.registry().hosts
	var found []refusal
	for _, step := range p.GetSteps() {
		if meansServers(e.GetTargets()[step.GetTarget()], w.Command) {
			continue
		}
		var hit []string
		for _, s := range step.GetSlots() {
			if stepOnServer(step, hosts[s.GetHost()]) {
				hit = append(hit, s.GetHost())
			}
		}
		if len(hit) > 0 {
			found = append(found, refusal{
				pb.Refusal_REFUSAL_GUARDRAIL, "targets." + step.GetTarget(),
				fmt.Sprintf("%s part of the control plane, and %s", some(hit), whyNotServers(w.Command)), fixServers(w.Command),
			})
		}
	}
	return found
}

func whyNotServers(command bool) string {
	if command {
		return "only a file may aim at those"
	}
	return "the target does not name the role " + serverRole
}

func fixServers(command bool) string {
	if command {
		return "write an experiment whose target says `role: " + serverRole + "`, or exclude them"
	}
	return "name the role in the target, or exclude them"
}

// servers keeps a majority of the control servers that are known: lost ones
// are not there to be counted on.
func (l *limiter) servers(b *blast) {
	if len(b.fresh.hosts) == 0 {
		return
	}
	up := key{"server", func(h *pb.Host) string {
		if !connected(h) {
			return ""
		}
		return h.GetName()
	}}
	all, here := len(b.registry.servers), 0
	for _, name := range b.registry.servers {
		if up.in(nil, b.registry.hosts[name]) != "" {
			here++
		}
	}
	if stay := here - b.peak(b.fresh, nil, up); stay <= all/2 {
		l.found = append(l.found, refusal{
			pb.Refusal_REFUSAL_GUARDRAIL, "",
			fmt.Sprintf("only %d of %d control servers stay untouched%s, and a majority must", stay, all, b.others(b.fresh)),
			"aim at fewer of them at one time",
		})
	}
}
