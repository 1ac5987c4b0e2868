package plan

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"squall/experiments"
	"squall/experiments/quantity"
	pb "squall/proto/squall/v1"
)

// lacks names everything in the file that this build can't do. The file is
// right: another build may run it.
func (m *maker) lacks() {
	for i, p := range m.e.GetTimeline() {
		for k, s := range p.GetFaults() {
			m.lacksStep(index(index("timeline", i)+".faults", k), s)
		}
	}
	if n := m.e.GetGuardrails().GetApprovals(); n > 0 {
		m.lacking("guardrails.approvals", fmt.Sprintf("approvals (%d asked for)", n), "take it out; who starts the run is on the record")
	}
	if m.e.GetSchedule() != nil {
		m.lacking("schedule", "schedules", "take it out, and start the run with `squall run`")
	}
	if m.e.GetNotify() != nil {
		m.lacking("notify", "notifications", "take it out, and follow the run with `squall logs -f`")
	}
}

func (m *maker) lacking(path, what, fix string) {
	m.problem(pb.Refusal_REFUSAL_UNSUPPORTED, path, "this build has no "+what, fix)
}

func (m *maker) lacksStep(path string, s *pb.Step) {
	name := experiments.FaultName(s.GetFault())
	if needs[name] == nil {
		m.lacking(path+"."+name, "fault "+name, "take it out, or use one of "+strings.Join(slices.Sorted(maps.Keys(needs)), ", "))
		return
	}
	if s.GetFlap() != nil {
		m.lacking(path+".flap", "flapping faults", "take `flap` out")
	}
	if mode := s.GetFault().GetPowerOff().GetMode(); mode > pb.PowerMode_POWER_MODE_SILENT {
		m.lacking(path+".power.off.mode", "power.off mode "+enum(mode.String(), "POWER_MODE_"), "use `mode: silent`")
	}
	if d := s.GetFault().GetDnsFail(); d != nil {
		m.lacksDNS(path, d)
	}
}

func (m *maker) lacksDNS(path string, d *pb.DNSFail) {
	if !slices.Equal(d.GetNames(), []string{"*"}) {
		m.lacking(path+".dns.fail.names", "dns.fail for single names", `use names: ["*"]`)
	}
	if r := d.GetShare(); r.GetFrom() != r.GetTo() {
		m.lacking(path+".dns.fail.share", "ramp of dns.fail's share: "+quantity.FormatRamp(r), "write one share, such as "+quantity.FormatShare(uint32(max(r.GetFrom(), r.GetTo()))))
	}
	if d.GetAnswer().GetTimeout().GetPpm() == 1_000_000 {
		return
	}
	for _, name := range answers(d.GetAnswer()) {
		m.lacking(path+".dns.fail.answer", "dns.fail answer "+name, "use `answer: { timeout: 100% }`")
	}
}

// answers are the kinds of answer in a mix, but for none at all.
func answers(mix *pb.AnswerMix) []string {
	var names []string
	fields := mix.ProtoReflect().Descriptor().Fields()
	for i := range fields.Len() {
		if fd := fields.Get(i); mix.ProtoReflect().Has(fd) && fd.Name() != "timeout" {
			names = append(names, string(fd.Name()))
		}
	}
	return names
}

// enum is a value's spelling in files.
func enum(value, prefix string) string {
	return strings.ToLower(strings.TrimPrefix(value, prefix))
}
