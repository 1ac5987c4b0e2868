// Package spell says how descriptors of the language are spelt in files: keys,
// words, and the options that the protos give them.
package spell

import (
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	pb "squall/proto/squall/v1"
)

// Key is a field's key in a file: its name, but for faults their dotted one.
func Key(fd protoreflect.FieldDescriptor) string {
	if dotted := fd.JSONName(); strings.Contains(dotted, ".") {
		return dotted
	}
	return string(fd.Name())
}

// ByKey is the field of a message with that key, nil when there is none. An
// inline field has no key of its own.
func ByKey(md protoreflect.MessageDescriptor, key string) protoreflect.FieldDescriptor {
	all := md.Fields()
	for i := range all.Len() {
		if fd := all.Get(i); !Option[bool](fd, pb.E_Inline) && Key(fd) == key {
			return fd
		}
	}
	return nil
}

// Word is the spelling of an enum's value: lower case, without the prefix.
func Word(value protoreflect.EnumValueDescriptor) string {
	if text := Option[string](value, pb.E_Text); text != "" {
		return text
	}
	prefix := screamingSnake(string(value.Parent().Name())) + "_"
	return strings.ToLower(strings.TrimPrefix(string(value.Name()), prefix))
}

// Enum is the spelling of an enum's value as generated code holds it; empty
// for a number that the proto does not know.
func Enum(e protoreflect.Enum) string {
	value := e.Descriptor().Values().ByNumber(e.Number())
	if value == nil {
		return ""
	}
	return Word(value)
}

// Option reads one of the options of options.proto.
func Option[T any](d protoreflect.Descriptor, ext protoreflect.ExtensionType) T {
	value, _ := proto.GetExtension(d.Options(), ext).(T)
	return value
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
