package experiments

import (
	"cmp"
	"fmt"
	"slices"

	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"squall/experiments/internal/spell"
	pb "squall/proto/squall/v1"
)

// Decode reads an experiment. The Source is returned in any case, so that
// later checks can point into the file. With problems, the experiment holds
// what could be read and is good for nothing but more problems.
func Decode(file string, src []byte) (*pb.Experiment, Source, Problems) {
	e := &pb.Experiment{}
	d := newDecoder(file, "experiment")
	if d.file(src, fileLimits, e) {
		d.checkExperiment(e)
	}
	return e, d.src, d.settled()
}

// DecodeFleet reads a fleet: hosts to plan against without servers. It is the
// one file that may say what is otherwise measured. Defaults are filled in.
func DecodeFleet(file string, src []byte) (*pb.Fleet, Problems) {
	f := &pb.Fleet{}
	d := newDecoder(file, "fleet")
	d.measured = true
	if d.file(src, fleetLimits, f) {
		d.checkFleet(f)
	}
	return filled(f, d.settled())
}

// DecodeHostConfig reads the word of a host's owner. Defaults are filled in.
func DecodeHostConfig(file string, src []byte) (*pb.HostConfig, Problems) {
	h := &pb.HostConfig{}
	d := newDecoder(file, "host")
	if d.file(src, fileLimits, h) {
		d.checkHostConfig(h)
	}
	return filled(h, d.settled())
}

// DecodeLab reads a lab file: a region on one machine. Defaults are filled in.
func DecodeLab(file string, src []byte) (*pb.Lab, Problems) {
	l := &pb.Lab{}
	d := newDecoder(file, "lab")
	if d.file(src, fleetLimits, l) {
		d.checkLab(l)
	}
	return filled(l, d.settled())
}

// filled is a message with its defaults; one with problems is left as it was read.
func filled[M proto.Message](m M, problems Problems) (M, Problems) {
	if len(problems) > 0 {
		return m, problems
	}
	return WithDefaults(m), nil
}

// decoder reads one file into one message and gathers what is wrong with it.
type decoder struct {
	src      Source
	problems Problems
	// more counts problems beyond what is told.
	more int
	// wrong holds the paths that have a problem, so that one mistake is told once.
	wrong map[string]bool
	// measured fields are allowed.
	measured bool
	// misplaced is set when a whole section hides behind an unknown key: what refers to it is then no news.
	misplaced bool
	// inLab is set for lab files: a ${…} stands for something there.
	inLab bool
	// around are the messages around the one being read, outermost first.
	around []scope
}

// where is a field's path in this file and in explain.
type where struct{ path, explain string }

// scope is a message whose keys may stand in a map.
type scope struct {
	msg protoreflect.Message
	at  where
}

func newDecoder(file, root string) *decoder {
	return &decoder{
		src:   Source{file: file, root: root, spots: map[string]spot{}},
		wrong: map[string]bool{},
	}
}

func (w where) key(name string) where {
	return where{path: join(w.path, name), explain: join(w.explain, name)}
}

func (w where) entry(key string) where {
	return where{path: join(w.path, key), explain: w.explain}
}

func (w where) index(i int) where {
	return where{path: fmt.Sprintf("%s[%d]", w.path, i), explain: w.explain}
}

func (w where) String() string {
	if w.path == "" {
		return "the file"
	}
	return quoted(w.path)
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// file reads src into msg; false means that it is not even YAML.
func (d *decoder) file(src []byte, most limits, msg proto.Message) bool {
	root := d.parse(src, most)
	if root == nil {
		return false
	}
	at := where{explain: d.src.root}
	d.mark(at, root)
	d.message(root, msg.ProtoReflect(), at)
	if kind := otherKind(root, d.src.root); kind != "" && len(d.problems) > 0 {
		d.problems, d.more = nil, 0
		d.badNode(at, root, fmt.Sprintf("the file is %s, not %s", withArticle(kind), withArticle(d.src.root)),
			fmt.Sprintf("name another file; `squall explain %s` lists the keys that one has", d.src.root))
		return false
	}
	return true
}

// message reads a node into a message, in whichever form the message allows.
func (d *decoder) message(n *yaml.Node, m protoreflect.Message, at where) {
	md := m.Descriptor()
	if scalar := scalarForm(md); scalar != nil && n.Kind != yaml.MappingNode {
		d.field(n, m, scalar, at.key(spell.Key(scalar)))
		return
	}
	if inline := inlineField(md); inline != nil {
		d.inline(n, m, inline, at)
		return
	}
	if n.Kind != yaml.MappingNode {
		d.wrongType(n, at, "keys and values, such as "+someKeys(md))
		return
	}
	d.body(n, scope{m, at})
}

// body reads a map whose keys belong to one of the scopes; the first is the innermost.
func (d *decoder) body(n *yaml.Node, scopes ...scope) {
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if !d.legalKey(key, seen, scopes[0].at) {
			continue
		}
		in, fd := find(key.Value, scopes)
		if fd == nil {
			d.unknownKey(key, scopes)
			continue
		}
		at := in.at.key(key.Value)
		if d.mayHold(key, in.msg, fd, at) {
			d.around = append(d.around, scopes...)
			d.field(value, in.msg, fd, at)
			d.around = d.around[:len(d.around)-len(scopes)]
		}
	}
	for _, s := range scopes {
		d.missing(n, s, seen)
	}
}

func find(key string, scopes []scope) (scope, protoreflect.FieldDescriptor) {
	for _, s := range scopes {
		if fd := spell.ByKey(s.msg.Descriptor(), key); fd != nil {
			return s, fd
		}
	}
	return scope{}, nil
}

// legalKey refuses keys that are no plain text or stand twice in their map.
func (d *decoder) legalKey(key *yaml.Node, seen map[string]bool, at where) bool {
	if key.Kind != yaml.ScalarNode || isNull(key) && key.Value != "null" {
		d.badNode(at, key, "a key of "+at.String()+" is not a text", "write `key: value`")
		return false
	}
	if seen[key.Value] {
		d.badNode(at.entry(key.Value), key, "key "+quoted(key.Value)+" stands twice", "keep one of the two")
		return false
	}
	seen[key.Value] = true
	return true
}

// mayHold refuses measured fields and a second arm of a oneof.
func (d *decoder) mayHold(key *yaml.Node, m protoreflect.Message, fd protoreflect.FieldDescriptor, at where) bool {
	if isMeasured(fd) && !d.measured {
		d.badNode(at, key, quoted(key.Value)+" is measured, not written", "take it out")
		return false
	}
	of := fd.ContainingOneof()
	if of == nil || of.IsSynthetic() {
		return true
	}
	if other := m.WhichOneof(of); other != nil && other != fd {
		d.badNode(at, key, fmt.Sprintf("%s stands beside %s, and only one of them can", quoted(key.Value), quoted(spell.Key(other))), "keep one of the two")
		return false
	}
	return true
}

// missing reports required fields that a map leaves out.
func (d *decoder) missing(n *yaml.Node, s scope, seen map[string]bool) {
	md := s.msg.Descriptor()
	for fd := range fields(md) {
		if key := spell.Key(fd); isRequired(fd) && !seen[key] && !d.wrong[s.at.key(key).path] {
			d.badNode(s.at.key(key), n, fmt.Sprintf("%s is missing from %s", quoted(key), s.at), howToAdd(fd))
		}
	}
	if !spell.Option[bool](md, pb.E_OneOfRequired) {
		return
	}
	arms := md.Oneofs().Get(0)
	if s.msg.WhichOneof(arms) == nil && !anyArm(arms, seen) {
		d.badNode(s.at, n, fmt.Sprintf("%s does not say which kind it is", s.at), "add one of "+oneOf(armKeys(arms)))
	}
}

func anyArm(arms protoreflect.OneofDescriptor, seen map[string]bool) bool {
	for i := range arms.Fields().Len() {
		if seen[spell.Key(arms.Fields().Get(i))] {
			return true
		}
	}
	return false
}

// armKeys are the arms that this build can carry out.
func armKeys(arms protoreflect.OneofDescriptor) []string {
	var names []string
	for i := range arms.Fields().Len() {
		if arm := arms.Fields().Get(i); isOffered(arm) {
			names = append(names, spell.Key(arm))
		}
	}
	return names
}

// howToAdd is the fix of a missing field: an example, or what it is.
func howToAdd(fd protoreflect.FieldDescriptor) string {
	key := spell.Key(fd)
	if example := spell.Option[string](fd, pb.E_Example); example != "" {
		return fmt.Sprintf("add `%s: %s`", key, example)
	}
	if fd.Message() == nil && fd.Kind() != protoreflect.StringKind {
		if low, _ := bounds(fd); low != "" {
			return fmt.Sprintf("add `%s: %s`", key, low)
		}
	}
	if says := firstSentence(comment(fd)); says != "" {
		return fmt.Sprintf("add `%s:`, %s", key, lowerFirst(says))
	}
	return fmt.Sprintf("add `%s:`", key)
}

// mark remembers where a field stands.
func (d *decoder) mark(at where, n *yaml.Node) {
	d.src.spots[at.path] = spot{line: n.Line, column: n.Column, explain: at.explain}
}

func (d *decoder) badNode(at where, n *yaml.Node, message, fix string) {
	d.bad(at, n.Line, n.Column, message, fix)
}

func (d *decoder) bad(at where, line, column int, message, fix string) {
	d.wrong[at.path] = true
	if len(d.problems) >= mostProblems {
		d.more++
		return
	}
	d.problems = append(d.problems, &pb.Problem{
		File: d.src.file, Line: uint32(line), Column: uint32(column),
		Message: message, Fix: fix, Path: cmp.Or(at.explain, d.src.root),
		Excerpt: excerpt(d.src.lines, line, column), Refusal: pb.Refusal_REFUSAL_INVALID,
	})
}

// badPath is a problem with a field that was read, unless it has one already.
func (d *decoder) badPath(path, message, fix string) {
	if d.wrong[path] {
		return
	}
	d.wrong[path] = true
	if len(d.problems) >= mostProblems {
		d.more++
		return
	}
	d.problems = append(d.problems, d.src.Problem(path, message, fix))
}

// settled is what was found, in the order of the file, and not too much of it.
func (d *decoder) settled() Problems {
	p := d.problems
	slices.SortStableFunc(p, func(a, b *pb.Problem) int {
		return cmp.Or(cmp.Compare(a.GetLine(), b.GetLine()), cmp.Compare(a.GetColumn(), b.GetColumn()))
	})
	if d.more > 0 {
		p = append(p, d.src.Problem("", fmt.Sprintf("%d more problems are not shown", d.more), "mend these first"))
	}
	return p
}
