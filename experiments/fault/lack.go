package fault

import (
	"slices"
	"strings"
	"sync"

	"google.golang.org/protobuf/reflect/protoreflect"

	"squall/experiments/internal/spell"
	"squall/experiments/quantity"
	pb "squall/proto/squall/v1"
)

// Lack is something of a kind's own keys that this build can't carry out. A
// file that asks for it is right: another build may run it.
type Lack struct {
	// Field is a path below the fault: "mode", "answer.servfail".
	Field string
	// Only is the one value that this build can carry out, as a file spells it;
	// empty where the field is lacking with every value.
	Only string
	// Moves restricts the lack to magnitudes that move.
	Moves bool
	// What follows "this build has no"; for the words of an enum it is left to them.
	What string
	// Fix says what to write instead; where a magnitude moves, a value follows.
	Fix string
}

// Lacking is what a fault, with its defaults filled in, asks of this build in
// vain. A kind without an entry in the table is told apart by Of.
func Lacking(f *pb.Fault) []Mistake {
	k := Of(f)
	if k == nil {
		return nil
	}
	var found []Mistake
	for _, lack := range k.Lacks {
		m, fd := below(Body(f).ProtoReflect(), lack.Field)
		if fd == nil || !m.Has(fd) {
			continue
		}
		if what := lack.of(k, fd, m.Get(fd)); what != "" {
			found = append(found, Mistake{shown(lack.Field), "this build has no " + what, lack.fix(m.Get(fd))})
		}
	}
	return found
}

// of is what a value asks for that is lacking; empty for nothing.
func (l Lack) of(k *Kind, fd protoreflect.FieldDescriptor, v protoreflect.Value) string {
	switch {
	case l.Moves:
		if r, _ := v.Message().Interface().(*pb.Ramp); r.GetFrom() != r.GetTo() {
			return l.What + ": " + quantity.FormatRamp(r)
		}
		return ""
	case fd.Enum() != nil:
		if word := spell.Word(fd.Enum().Values().ByNumber(v.Enum())); word != l.Only {
			return k.Name + " " + l.Field + " " + word
		}
		return ""
	case fd.IsList() && l.Only != "":
		if v.List().Len() == 1 && v.List().Get(0).String() == l.Only {
			return ""
		}
	}
	return l.What
}

// fix is what to write instead of a value.
func (l Lack) fix(v protoreflect.Value) string {
	if !l.Moves {
		return l.Fix
	}
	r := v.Message().Interface().(*pb.Ramp)
	most := max(r.GetFrom(), r.GetTo())
	return l.Fix + ", such as " + quantity.FormatRamp(&pb.Ramp{Unit: r.GetUnit(), From: most, To: most})
}

// shown is the key at which a lack is shown: that of its section.
func shown(field string) string {
	section, _, _ := strings.Cut(field, ".")
	return section
}

// below is the field at a dotted path, and the message that holds it.
func below(m protoreflect.Message, path string) (protoreflect.Message, protoreflect.FieldDescriptor) {
	for {
		key, rest, deeper := strings.Cut(path, ".")
		fd := spell.ByKey(m.Descriptor(), key)
		if fd == nil || !deeper {
			return m, fd
		}
		m, path = m.Get(fd).Message(), rest
	}
}

// Offered says whether this build can carry out what a descriptor stands for:
// a kind of fault, one of its keys, or a word of an enum. What is not offered
// is legal in files, and shown nowhere.
func Offered(d protoreflect.Descriptor) bool {
	if fd, ok := d.(protoreflect.FieldDescriptor); ok && fd.ContainingOneof() == Arms() {
		return ByName(fd.JSONName()) != nil
	}
	return !gaps().missing[d.FullName()]
}

// Moves says whether this build can move the magnitude in a field while a fault lasts.
func Moves(d protoreflect.FieldDescriptor) bool { return !gaps().still[d.FullName()] }

// Ramps says whether any magnitude of any kind can move while its fault lasts.
func Ramps() bool { return gaps().ramps }

// A gapTable is what the kinds of the table lack, by the descriptors' names.
type gapTable struct {
	// missing are keys and words that can't be carried out; still are magnitudes that can't move.
	missing, still map[protoreflect.FullName]bool
	// ramps says that some magnitude can move.
	ramps bool
}

// gaps are looked up for every key of every file and flag.
var gaps = sync.OnceValue(func() gapTable {
	t := gapTable{missing: map[protoreflect.FullName]bool{}, still: map[protoreflect.FullName]bool{}}
	var bodies []protoreflect.Message
	for _, k := range kinds {
		f, _ := New(k.Name) // the names of the table are the proto's, by a test
		bodies = append(bodies, Body(f).ProtoReflect())
		for _, l := range k.Lacks {
			if _, fd := below(Body(f).ProtoReflect(), l.Field); fd != nil {
				t.add(l, fd)
			}
		}
	}
	t.ramps = slices.ContainsFunc(bodies, t.moves)
	return t
})

func (t gapTable) add(l Lack, fd protoreflect.FieldDescriptor) {
	switch {
	case l.Moves:
		t.still[fd.FullName()] = true
	case fd.Enum() == nil:
		t.missing[fd.FullName()] = true
	default:
		words := fd.Enum().Values()
		for i := range words.Len() {
			if v := words.Get(i); spell.Word(v) != l.Only {
				t.missing[v.FullName()] = true
			}
		}
	}
}

// moves says whether a kind has a magnitude that can move.
func (t gapTable) moves(body protoreflect.Message) bool {
	fields := body.Descriptor().Fields()
	for i := range fields.Len() {
		fd := fields.Get(i)
		if spell.Option[pb.Unit](fd, pb.E_Ramp) != pb.Unit_UNIT_UNSPECIFIED && !t.missing[fd.FullName()] && !t.still[fd.FullName()] {
			return true
		}
	}
	return false
}
