package experiments

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"squall/experiments/internal/spell"
	pb "squall/proto/squall/v1"
)

// Defaults lists each default that applies to a decoded file, in the order of
// the proto, as it would be written there: "guardrails.lease = 10s".
func Defaults(m proto.Message) []string {
	f := &filler{}
	f.fill(proto.Clone(m).ProtoReflect(), "")
	return f.applied
}

// WithDefaults is a copy of a decoded file with every default filled in.
func WithDefaults[M proto.Message](m M) M {
	c := proto.CloneOf(m)
	(&filler{}).fill(c.ProtoReflect(), "")
	return c
}

// filler writes defaults into a message and notes which.
type filler struct{ applied []string }

func (f *filler) fill(m protoreflect.Message, path string) {
	if isQuantity(m.Descriptor()) {
		return
	}
	all := m.Descriptor().Fields()
	for i := range all.Len() {
		fd := all.Get(i)
		at := join(path, spell.Key(fd))
		if isInline(fd) {
			at = path
		}
		if m.Has(fd) {
			eachSection(m, fd, at, f.fill)
		} else {
			f.absent(m, fd, at)
		}
	}
}

// absent fills a field that is left out. A section that is left out is filled
// when nothing in it is required and something in it has a default.
func (f *filler) absent(m protoreflect.Message, fd protoreflect.FieldDescriptor, at string) {
	if text := spell.Option[string](fd, pb.E_Default); text != "" {
		setDefault(m, fd, text)
		f.applied = append(f.applied, at+" = "+text)
		return
	}
	if fd.IsMap() || fd.IsList() || fd.ContainingOneof() != nil || !isSection(fd) || !fillable(fd.Message()) {
		return
	}
	section := m.NewField(fd)
	before := len(f.applied)
	f.fill(section.Message(), at)
	if len(f.applied) > before {
		m.Set(fd, section)
	}
}

func fillable(md protoreflect.MessageDescriptor) bool {
	if spell.Option[bool](md, pb.E_OneOfRequired) {
		return false
	}
	all := md.Fields()
	for i := range all.Len() {
		if isRequired(all.Get(i)) {
			return false
		}
	}
	return true
}

// defaults are messages with nothing but the default of one field in them, by that
// field: each is read when it is first asked. A server plans a run for each slot of
// its schedules, and reading the same texts again took a sixth of that.
var defaults sync.Map

// setDefault sets a field that is left out to its default.
func setDefault(m protoreflect.Message, fd protoreflect.FieldDescriptor, text string) {
	one, known := defaults.Load(fd)
	if !known {
		one, _ = defaults.LoadOrStore(fd, readDefault(m.New(), fd, text))
	}
	proto.Merge(m.Interface(), one.(proto.Message))
}

// readDefault reads the default's text as a file would be read. A text that is
// no value is a mistake in the proto, which a test finds.
func readDefault(m protoreflect.Message, fd protoreflect.FieldDescriptor, text string) proto.Message {
	if problems := setText(m, fd, where{path: spell.Key(fd)}, text); len(problems) > 0 {
		panic(fmt.Sprintf("default of %s: %v", fd.FullName(), problems))
	}
	return m.Interface()
}

// setText reads the text of one value into a field; for a section, keys and values without braces.
func setText(m protoreflect.Message, fd protoreflect.FieldDescriptor, at where, text string) Problems {
	d := newDecoder("", "")
	node := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Style: yaml.DoubleQuotedStyle, Value: text}
	if isSection(fd) && scalarForm(fd.Message()) == nil && strings.Contains(text, ":") {
		if node = d.parse([]byte("{"+text+"}"), limits{bytes: 1 << 10, nodes: 100, depth: 4}); node == nil {
			return d.problems
		}
	}
	d.field(node, m, fd, at)
	return d.problems
}

func sortedKeys(m protoreflect.Map) []protoreflect.MapKey {
	var all []protoreflect.MapKey
	m.Range(func(k protoreflect.MapKey, _ protoreflect.Value) bool {
		all = append(all, k)
		return true
	})
	slices.SortFunc(all, func(a, b protoreflect.MapKey) int { return strings.Compare(a.String(), b.String()) })
	return all
}
