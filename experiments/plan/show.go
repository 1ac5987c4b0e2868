package plan

import (
	"maps"
	"slices"

	"squall/experiments/fault"
	pb "squall/proto/squall/v1"
)

// show lists every host with what the plan's faults mean to it.
func (m *maker) show() {
	workloads := map[string]map[string]bool{}
	hit, dark := map[string]bool{}, map[string]bool{}
	for _, step := range m.p.GetSteps() {
		for _, slot := range step.GetSlots() {
			h := slot.GetHost()
			hit[h] = hit[h] || fault.Of(step.GetFault()) != nil
			dark[h] = dark[h] || fault.TakesHosts(step.GetFault(), step.GetWorkload())
			if workloads[h] == nil {
				workloads[h] = map[string]bool{}
			}
			for _, w := range touched(step, m.hosts[h]) {
				workloads[h][w.GetName()] = true
			}
		}
	}
	for _, name := range m.sorted {
		h := m.hosts[name]
		shown := &pb.PlannedHost{Name: name, Zone: h.GetZone(), Hit: hit[name], Server: isServer(h, nil), Workload: slices.Sorted(maps.Keys(workloads[name]))}
		if dark[name] {
			shown.Undeclared, shown.Management = h.GetUndeclared(), h.GetManagement()
		}
		m.p.Hosts = append(m.p.Hosts, shown)
	}
}
