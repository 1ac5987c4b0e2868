package experiments

import (
	"strconv"

	"google.golang.org/protobuf/reflect/protoreflect"

	"squall/experiments/fault"
	"squall/experiments/internal/spell"
	pb "squall/proto/squall/v1"
)

// lack is a key of the language that this build can't carry out. The file that
// has it is right: another build may run it.
type lack struct{ what, fix string }

// lacks are the keys that this build can't carry out, beside those that kinds
// of fault lack by their own word.
var lacks = map[protoreflect.FullName]lack{
	"squall.v1.Guardrails.approvals": {"approvals", "take it out; who starts the run is on the record"},
	"squall.v1.Notify.slack":         {"channels in files", "put a sink of kind slack with `squall notify put`, and name it in `sinks`"},
	"squall.v1.Notify.grafana":       {"servers of Grafana in files", "put a sink of kind grafana with `squall notify put`, and name it in `sinks`"},
	"squall.v1.Step.flap":            {"flapping faults", "take `flap` out"},
}

// isOffered says whether this build can carry out what a descriptor stands
// for. What it can't is legal in files, and shown nowhere.
func isOffered(d protoreflect.Descriptor) bool {
	if d == rampOfStep() {
		return fault.Ramps()
	}
	_, missing := lacks[d.FullName()]
	return !missing && fault.Offered(d)
}

func rampOfStep() protoreflect.Descriptor {
	return (&pb.Step{}).ProtoReflect().Descriptor().Fields().ByName("ramp")
}

// Lacking calls found for everything in an experiment, with its defaults
// filled in, that this build can't carry out: where it stands, what it is and
// what to write instead.
func Lacking(e *pb.Experiment, found func(path, message, fix string)) {
	walkFields(e.ProtoReflect(), "", func(fd protoreflect.FieldDescriptor, path string) {
		if l, ok := lacks[fd.FullName()]; ok {
			found(path, "this build has no "+l.what, l.fix)
		}
	})
	for i, phase := range e.GetTimeline() {
		for k, step := range phase.GetFaults() {
			lackingFault(index(join(index("timeline", i), "faults"), k), step.GetFault(), found)
		}
	}
}

func lackingFault(path string, f *pb.Fault, found func(path, message, fix string)) {
	name := fault.Name(f)
	if fault.Of(f) == nil && name != "" {
		found(join(path, name), "this build has no fault "+name, "take it out, or use "+oneOf(fault.Names()))
	}
	for _, m := range fault.Lacking(f) {
		found(join(join(path, name), m.Field), m.Message, m.Fix)
	}
}

// walkFields visits every field that is set in a message and in the messages
// below it, with its path in a file.
func walkFields(m protoreflect.Message, path string, visit func(protoreflect.FieldDescriptor, string)) {
	all := m.Descriptor().Fields()
	for i := range all.Len() {
		fd := all.Get(i)
		if !m.Has(fd) {
			continue
		}
		at := path
		if !isInline(fd) {
			at = join(path, spell.Key(fd))
		}
		visit(fd, at)
		eachSection(m, fd, at, func(section protoreflect.Message, at string) { walkFields(section, at, visit) })
	}
}

// eachSection visits the messages with keys of their own that a field holds.
func eachSection(m protoreflect.Message, fd protoreflect.FieldDescriptor, path string, visit func(protoreflect.Message, string)) {
	switch {
	case fd.IsMap() && isSection(fd.MapValue()):
		entries := m.Get(fd).Map()
		for _, key := range sortedKeys(entries) {
			visit(entries.Get(key).Message(), join(path, key.String()))
		}
	case fd.IsList() && isSection(fd):
		for i := range m.Get(fd).List().Len() {
			visit(m.Get(fd).List().Get(i).Message(), index(path, i))
		}
	case !fd.IsMap() && !fd.IsList() && isSection(fd):
		visit(m.Get(fd).Message(), path)
	}
}

func index(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }
