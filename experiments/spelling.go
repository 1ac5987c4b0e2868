package experiments

import (
	"slices"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"

	"squall/experiments/internal/spell"
	"squall/experiments/near"
	pb "squall/proto/squall/v1"
)

// fields are the fields that have a key, in the order of the proto.
func fields(md protoreflect.MessageDescriptor) func(yield func(protoreflect.FieldDescriptor) bool) {
	return func(yield func(protoreflect.FieldDescriptor) bool) {
		all := md.Fields()
		for i := range all.Len() {
			if fd := all.Get(i); !isInline(fd) && !yield(fd) {
				return
			}
		}
	}
}

// offered are the fields that have a key and that this build can carry out.
func offered(md protoreflect.MessageDescriptor) func(yield func(protoreflect.FieldDescriptor) bool) {
	return func(yield func(protoreflect.FieldDescriptor) bool) {
		for fd := range fields(md) {
			if isOffered(fd) && !yield(fd) {
				return
			}
		}
	}
}

// keys are the keys of messages that this build can carry out.
func keys(mds ...protoreflect.MessageDescriptor) []string {
	var names []string
	for _, md := range mds {
		for fd := range offered(md) {
			names = append(names, spell.Key(fd))
		}
	}
	return names
}

// someKeys names the first few keys of a message.
func someKeys(md protoreflect.MessageDescriptor) string {
	all := keys(md)
	return oneOf(all[:min(len(all), 3)])
}

// enumTexts are the spellings that a file may use and this build can carry
// out: all but the unspecified value.
func enumTexts(ed protoreflect.EnumDescriptor) []string {
	var texts []string
	values := ed.Values()
	for i := range values.Len() {
		if v := values.Get(i); v.Number() != 0 && isOffered(v) {
			texts = append(texts, spell.Word(v))
		}
	}
	return texts
}

func isRequired(fd protoreflect.FieldDescriptor) bool { return spell.Option[bool](fd, pb.E_Required) }

func isMeasured(fd protoreflect.FieldDescriptor) bool { return spell.Option[bool](fd, pb.E_Measured) }
func isInline(fd protoreflect.FieldDescriptor) bool   { return spell.Option[bool](fd, pb.E_Inline) }

// scalarForm is the field that a bare scalar or list stands for, nil when there is none.
func scalarForm(md protoreflect.MessageDescriptor) protoreflect.FieldDescriptor {
	return md.Fields().ByName(protoreflect.Name(spell.Option[string](md, pb.E_Scalar)))
}

// inlineField is the field whose arms stand in place of the message, nil when there is none.
func inlineField(md protoreflect.MessageDescriptor) protoreflect.FieldDescriptor {
	all := md.Fields()
	for i := range all.Len() {
		if isInline(all.Get(i)) {
			return all.Get(i)
		}
	}
	return nil
}

// closest is the candidate that a misspelt word probably means, empty when none is near.
func closest(word string, candidates []string) string {
	best, least := "", len(word)/3+1
	for _, c := range candidates {
		if d := near.Distance(strings.ToLower(word), c); d <= least && d < max(len(c), 2) {
			if d < least || best == "" {
				best, least = c, d
			}
		}
	}
	return best
}

// oneOf lists words for a sentence: "a, b or c".
func oneOf(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " or " + words[last]
}

// suggest is the fix of a word that is none of the candidates.
func suggest(word string, candidates []string) string {
	if meant := closest(word, candidates); meant != "" {
		return "did you mean " + quoted(meant) + "?"
	}
	sorted := slices.DeleteFunc(slices.Clone(candidates), func(s string) bool { return s == "" })
	if len(sorted) == 0 {
		return "take it out"
	}
	slices.Sort(sorted)
	return "use " + printable(oneOf(slices.Compact(sorted)))
}
