package experiments

import (
	"regexp"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"squall/experiments/fault"
	"squall/experiments/internal/spell"
	"squall/experiments/quantity"
	pb "squall/proto/squall/v1"
)

// Flag is one value of a message as a flag of the command line.
type Flag struct {
	// Name is the path that SetField takes: "to.zone".
	Name string
	// Takes says what the value looks like: "a length of time, such as 250ms or 1h06m".
	Takes string
	// Words are the values that it takes, where they are only a few.
	Words []string
	// Default applies when the flag is left out; empty is none.
	Default string
	// Required flags can't be left out.
	Required bool
	// Repeated flags may be given more than once.
	Repeated bool
	// Bool flags may stand without a value.
	Bool bool

	// says is the field whose comment describes the flag.
	says protoreflect.FieldDescriptor
}

// Usage is what the proto file says of the field, in one sentence. The first
// call reads all of the comments, which takes a while.
func (f Flag) Usage() string { return firstSentence(comment(f.says)) }

// Flags are all values of a message that this build can carry out, nested ones
// by their path, in the order of the proto. Inline fields are left out: they are chosen by name.
func Flags(msg proto.Message) []Flag {
	return flagsOf(msg.ProtoReflect().Descriptor(), "")
}

func flagsOf(md protoreflect.MessageDescriptor, path string) []Flag {
	var flags []Flag
	for fd := range offered(md) {
		name := join(path, spell.Key(fd))
		switch {
		case fd.IsMap() && isSection(fd.MapValue()) || fd.IsList() && isSection(fd):
			// Lists of sections are for files.
		case fd.IsMap():
			flags = append(flags, flagOf(fd, name, fd))
		case isSection(fd):
			if scalar := scalarForm(fd.Message()); scalar != nil {
				flags = append(flags, flagOf(scalar, name, fd))
			}
			flags = append(flags, flagsOf(fd.Message(), name)...)
		default:
			flags = append(flags, flagOf(fd, name, fd))
		}
	}
	return flags
}

// flagOf is the flag of a value; says is the field whose comment describes it.
func flagOf(fd protoreflect.FieldDescriptor, name string, says protoreflect.FieldDescriptor) Flag {
	f := Flag{
		Name:     name,
		Takes:    describe(fd),
		Default:  spell.Option[string](fd, pb.E_Default),
		Required: isRequired(fd) && fd == says,
		Repeated: fd.IsList() || fd.IsMap(),
		Bool:     fd.Kind() == protoreflect.BoolKind,
		says:     says,
	}
	switch {
	case fd.IsMap():
		f.Takes = "key=value"
	case fd.Enum() != nil:
		f.Words = enumTexts(fd.Enum())
	case f.Bool:
		f.Words = []string{"true", "false"}
	}
	return f
}

// SetField sets one value of a message by its path, from text as it would
// stand in a file: SetField(delay, "to.zone", "zone-b"). A list grows by one
// entry. The error says what is wrong with the text and how to put it right.
func SetField(msg proto.Message, path, text string) error {
	m, rest := msg.ProtoReflect(), path
	for {
		fd, below := cutKey(m.Descriptor(), rest)
		if fd == nil {
			return quantity.Mistakef(suggest(rest, keys(m.Descriptor())), "there is no %s", quoted(path))
		}
		if below == "" || fd.IsMap() {
			return setLeaf(m, fd, path, below, text)
		}
		if !isSection(fd) || fd.IsList() {
			return quantity.Mistakef("set "+quoted(strings.TrimSuffix(path, "."+below))+" itself", "there is nothing in it called %s", quoted(below))
		}
		m, rest = m.Mutable(fd).Message(), below
	}
}

// cutKey is the field that a dotted path begins with, and what is below it.
func cutKey(md protoreflect.MessageDescriptor, path string) (protoreflect.FieldDescriptor, string) {
	for fd := range fields(md) {
		if rest, ok := strings.CutPrefix(path, spell.Key(fd)); ok && (rest == "" || rest[0] == '.') {
			return fd, strings.TrimPrefix(rest, ".")
		}
	}
	return nil, ""
}

func setLeaf(m protoreflect.Message, fd protoreflect.FieldDescriptor, path, key, text string) error {
	if !fd.IsMap() {
		return asMistake(setText(m, fd, where{path: path}, text))
	}
	if isSection(fd.MapValue()) {
		return quantity.Mistakef("write it in a file", "%s can't be set by a flag", quoted(path))
	}
	if key == "" {
		var ok bool
		if key, text, ok = strings.Cut(text, "="); !ok {
			return quantity.Mistakef("write key=value", "%s has no value", quoted(key))
		}
		if key == "" {
			return quantity.Mistakef("write key=value", "%s has no key", quoted("="+text))
		}
	}
	m.Mutable(fd).Map().Set(protoreflect.ValueOfString(key).MapKey(), protoreflect.ValueOfString(text))
	return nil
}

// withoutKey takes the key off the beginning of a message: whoever gave a flag
// has its name already.
func withoutKey(message string) string {
	key, rest, ok := strings.Cut(message, ": ")
	if !ok || !quantity.IsName(key) {
		return message
	}
	return rest
}

// AsFlag is a problem with the experiment of one command in the words of that
// command's flags: "--to.prefix" for the path of a file that nobody has written.
func AsFlag(p *pb.Problem) *pb.Problem {
	path := listIndex.ReplaceAllString(p.GetPath(), "")
	for _, prefix := range []string{"targets." + adHocTarget, "targets", "timeline.faults"} {
		path = strings.TrimPrefix(strings.TrimPrefix(path, prefix), ".")
	}
	for _, kind := range fault.Names() {
		if path == kind || strings.HasPrefix(path, kind+".") {
			path = strings.TrimPrefix(strings.TrimPrefix(path, kind), ".")
		}
	}
	said := proto.CloneOf(p)
	said.Message = strings.ReplaceAll(withoutKey(p.GetMessage()), "target "+quoted(adHocTarget), "the target")
	if said.Path = ""; path != "" {
		said.Path = "--" + path
	}
	return said
}

// listIndex is the place of an entry in a list.
var listIndex = regexp.MustCompile(`\[[0-9]+\]`)

// asMistake turns problems with one text into one error, without a place.
func asMistake(problems Problems) error {
	if len(problems) == 0 {
		return nil
	}
	p := problems[0]
	return &quantity.Mistake{Message: withoutKey(p.GetMessage()), Fix: p.GetFix()}
}
