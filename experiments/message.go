package experiments

import (
	"fmt"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"squall/experiments/fault"
	"squall/experiments/internal/spell"
	pb "squall/proto/squall/v1"
)

// Check says what is wrong with an experiment that came as a message, by the
// same descriptors and the same rules as one that came as a file: flags, API
// and local socket give messages. Problems have paths instead of lines.
func Check(e *pb.Experiment) Problems {
	d := newDecoder("", "experiment")
	if size := proto.Size(e); size > fileLimits.bytes {
		d.absent(where{}, fmt.Sprintf("the experiment has %d bytes", size), fmt.Sprintf("keep it under %d bytes", fileLimits.bytes))
		return d.settled()
	}
	d.whole(e.ProtoReflect(), where{})
	if len(d.problems) == 0 {
		d.checkExperiment(e)
	}
	return d.settled()
}

// CheckFault says what is wrong with a fault that came without a step around it.
func CheckFault(f *pb.Fault) Problems {
	d := newDecoder("", "experiment")
	d.whole(f.ProtoReflect(), where{explain: "timeline.faults"})
	if peers := fault.PeersOf(f); peers != nil && len(d.problems) == 0 {
		d.checkPrefixes(fault.Name(f)+"."+peers.Field, peers.Peers)
	}
	return d.settled()
}

// whole holds a message against its descriptors, with all that is below it.
func (d *decoder) whole(m protoreflect.Message, at where) {
	if len(m.GetUnknown()) > 0 {
		d.absent(at, of(at)+" has fields that this build does not know", "use a client of the servers' build")
	}
	all := m.Descriptor().Fields()
	for i := range all.Len() {
		fd := all.Get(i)
		below := at
		if !isInline(fd) {
			below = at.key(spell.Key(fd))
		}
		switch {
		case m.Has(fd):
			d.wholeField(m, fd, below)
		case isRequired(fd):
			d.absent(below, fmt.Sprintf("%s is missing from %s", quoted(spell.Key(fd)), of(at)), howToAdd(fd))
		}
	}
	d.oneArm(m, at)
}

// of names a message for a sentence.
func of(at where) string {
	if at.path == "" {
		return "what was given"
	}
	return quoted(at.path)
}

// oneArm wants the kind to be chosen where the message has kinds.
func (d *decoder) oneArm(m protoreflect.Message, at where) {
	if !spell.Option[bool](m.Descriptor(), pb.E_OneOfRequired) && m.Descriptor() != faultKinds().Parent() {
		return
	}
	if arms := m.Descriptor().Oneofs().Get(0); m.WhichOneof(arms) == nil {
		d.absent(at, of(at)+" does not say which kind it is", "add one of "+oneOf(armKeys(arms)))
	}
}

// wholeField holds what a field has against its descriptor.
func (d *decoder) wholeField(m protoreflect.Message, fd protoreflect.FieldDescriptor, at where) {
	switch {
	case fd.IsMap():
		m.Get(fd).Map().Range(func(key protoreflect.MapKey, v protoreflect.Value) bool {
			if err := checkLegible(fd.MapKey(), key.String()); err != nil {
				d.refused(at.entry(printable(key.String())), err)
			}
			d.wholeValue(fd.MapValue(), v, at.entry(printable(key.String())))
			return true
		})
	case fd.IsList():
		for i := range m.Get(fd).List().Len() {
			d.wholeValue(fd, m.Get(fd).List().Get(i), at.index(i))
		}
	default:
		d.wholeValue(fd, m.Get(fd), at)
	}
}

// wholeValue holds one value against its descriptor: whatever a file could not
// have said is refused.
func (d *decoder) wholeValue(fd protoreflect.FieldDescriptor, v protoreflect.Value, at where) {
	var err error
	switch {
	case isSection(fd):
		d.whole(v.Message(), at)
		return
	case fd.Message() != nil:
		err = sayable(fd, v)
	case fd.Enum() != nil:
		if value := fd.Enum().Values().ByNumber(v.Enum()); value == nil || value.Number() == 0 {
			d.absent(at, fmt.Sprintf("%s: there is no value %d", spell.Key(fd), v.Enum()), "use "+oneOf(enumTexts(fd.Enum())))
		}
		return
	case fd.Kind() == protoreflect.StringKind:
		err = checkText(fd, v.String())
	case fd.Kind() == protoreflect.Uint32Kind, fd.Kind() == protoreflect.Uint64Kind:
		err = checkRange(fd, fmt.Sprint(v.Uint()), v)
	}
	if err != nil {
		d.refused(at, err)
	}
}

// sayable wants a quantity to be one that a file can say: what it prints as is
// read as the same, and lies in its range.
func sayable(fd protoreflect.FieldDescriptor, v protoreflect.Value) error {
	m := v.Message().Interface()
	said := quantities[fd.Message().FullName()].format(m)
	same, err := parseQuantity(fd, said)
	if err != nil {
		return err
	}
	if !proto.Equal(same, m) {
		return fmt.Errorf("%s is not what it seems", quoted(said))
	}
	return checkRange(fd, said, v)
}

func (d *decoder) refused(at where, err error) {
	message, fix := told(at, err)
	d.absent(at, message, fix)
}

// absent is a problem of a message, which has no lines. Whoever has the file
// finds its place by the path.
func (d *decoder) absent(at where, message, fix string) {
	known := len(d.problems)
	d.bad(at, 0, 0, message, fix)
	if len(d.problems) > known && at.path != "" {
		d.problems[known].Path = at.path
	}
}
