package undo

import (
	"fmt"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	pb "squall/proto/squall/v1"
)

// Bounds of what is told of an undo, and of a record that can't be written as it
// stands: so many bytes a text, so many texts a list.
const (
	maxText  = 2 << 10
	maxTexts = 64
)

// fitting is a record that can be written: itself, or a copy with its texts made
// valid and cut. One that never could be would keep all behind it from the disk.
func fitting(r *pb.Record) *pb.Record {
	if _, err := appendFrame(nil, 0, r); err == nil {
		return r
	}
	r = proto.CloneOf(r)
	cut(r.ProtoReflect())
	return r
}

// cut makes the texts of a message valid and cuts them.
func cut(m protoreflect.Message) {
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case f.IsList():
			cutList(f, v.List())
		case f.IsMap(): // no record that takes away has one
		case f.Kind() == protoreflect.StringKind:
			m.Set(f, protoreflect.ValueOfString(cutText(v.String())))
		case f.Message() != nil:
			cut(v.Message())
		}
		return true
	})
}

func cutList(f protoreflect.FieldDescriptor, list protoreflect.List) {
	list.Truncate(min(list.Len(), maxTexts))
	for i := range list.Len() {
		switch {
		case f.Kind() == protoreflect.StringKind:
			list.Set(i, protoreflect.ValueOfString(cutText(list.Get(i).String())))
		case f.Message() != nil:
			cut(list.Get(i).Message())
		}
	}
}

func cutText(s string) string {
	if len(s) > maxText {
		s = strings.ToValidUTF8(s[:maxText], "") + "\u2026"
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}

// told is texts as a message can carry them, whatever an error quotes: one that is
// too long to be sent would cut the host off.
func told(texts []string) []string {
	var all []string
	for _, s := range texts[:min(len(texts), maxTexts)] {
		all = append(all, cutText(s))
	}
	if more := len(texts) - len(all); more > 0 {
		all[maxTexts-1] = fmt.Sprintf("and %d more", more+1)
	}
	return all
}
