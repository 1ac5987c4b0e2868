package experiments

import (
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"squall/experiments/near"
	pb "squall/proto/squall/v1"
)

// spelling is a field's key in a file: its name, but for faults their dotted one.
func spelling(fd protoreflect.FieldDescriptor) string {
	if dotted := fd.JSONName(); strings.Contains(dotted, ".") {
		return dotted
	}
	return string(fd.Name())
}

// byKey is the field with that key, nil when there is none. An inline field has no key of its own.
func byKey(md protoreflect.MessageDescriptor, key string) protoreflect.FieldDescriptor {
	for fd := range fields(md) {
		if spelling(fd) == key {
			return fd
		}
	}
	return nil
}

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

func keys(mds ...protoreflect.MessageDescriptor) []string {
	var names []string
	for _, md := range mds {
		for fd := range fields(md) {
			names = append(names, spelling(fd))
		}
	}
	return names
}

// someKeys names the first few keys of a message.
func someKeys(md protoreflect.MessageDescriptor) string {
	all := keys(md)
	return oneOf(all[:min(len(all), 3)])
}

// enumText is the spelling of an enum's value: lower case, without the prefix.
func enumText(value protoreflect.EnumValueDescriptor) string {
	if text := option[string](value, pb.E_Text); text != "" {
		return text
	}
	prefix := screamingSnake(string(value.Parent().Name())) + "_"
	return strings.ToLower(strings.TrimPrefix(string(value.Name()), prefix))
}

// enumTexts are the spellings that a file may use: all but the unspecified value.
func enumTexts(ed protoreflect.EnumDescriptor) []string {
	var texts []string
	values := ed.Values()
	for i := range values.Len() {
		if v := values.Get(i); v.Number() != 0 {
			texts = append(texts, enumText(v))
		}
	}
	return texts
}

// screamingSnake turns PowerMode into POWER_MODE.
func screamingSnake(camel string) string {
	var b strings.Builder
	for i, r := range camel {
		if i > 0 && r >= 'A' && r <= 'Z' {
			b.WriteByte('_')
		}
		b.WriteRune(r)
	}
	return strings.ToUpper(b.String())
}

// option reads one of the options of options.proto.
func option[T any](d protoreflect.Descriptor, ext protoreflect.ExtensionType) T {
	value, _ := proto.GetExtension(d.Options(), ext).(T)
	return value
}

func isRequired(fd protoreflect.FieldDescriptor) bool { return option[bool](fd, pb.E_Required) }
func isMeasured(fd protoreflect.FieldDescriptor) bool { return option[bool](fd, pb.E_Measured) }
func isInline(fd protoreflect.FieldDescriptor) bool   { return option[bool](fd, pb.E_Inline) }

// scalarForm is the field that a bare scalar or list stands for, nil when there is none.
func scalarForm(md protoreflect.MessageDescriptor) protoreflect.FieldDescriptor {
	return md.Fields().ByName(protoreflect.Name(option[string](md, pb.E_Scalar)))
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
	if len(candidates) == 0 {
		return "take it out"
	}
	sorted := slices.Clone(candidates)
	slices.Sort(sorted)
	return "use " + printable(oneOf(slices.Compact(sorted)))
}
