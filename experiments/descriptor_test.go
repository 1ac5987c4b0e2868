package experiments

import (
	"regexp"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"squall/experiments/internal/spell"
	pb "squall/proto/squall/v1"
)

// sections visits every message that a file can hold, with the path to it.
func sections(visit func(path string, md protoreflect.MessageDescriptor)) {
	seen := map[protoreflect.FullName]bool{}
	var walk func(path string, md protoreflect.MessageDescriptor)
	walk = func(path string, md protoreflect.MessageDescriptor) {
		if seen[md.FullName()] || isQuantity(md) {
			return
		}
		seen[md.FullName()] = true
		if !md.IsMapEntry() {
			visit(path, md)
		}
		for i := range md.Fields().Len() {
			if fd := md.Fields().Get(i); fd.Message() != nil {
				walk(join(path, spell.Key(fd)), fd.Message())
			}
		}
	}
	for _, name := range Kinds {
		walk(name, roots[name])
	}
}

func everyField(visit func(path string, fd protoreflect.FieldDescriptor)) {
	sections(func(path string, md protoreflect.MessageDescriptor) {
		for i := range md.Fields().Len() {
			fd := md.Fields().Get(i)
			visit(join(path, spell.Key(fd)), fd)
		}
	})
}

// TestDefaultsNeedPresence finds fields where a written zero would read as a
// field that was left out, and so be replaced by the default.
func TestDefaultsNeedPresence(t *testing.T) {
	everyField(func(path string, fd protoreflect.FieldDescriptor) {
		text := spell.Option[string](fd, pb.E_Default)
		if text == "" || fd.HasPresence() || fd.IsList() {
			return
		}
		m := newMessage(fd.ContainingMessage())
		setDefault(m, fd, text)
		if !m.Has(fd) {
			return
		}
		if zero, legal := zeroText(fd); legal {
			t.Errorf("%s: default %q differs from the legal value %q, and the field has no presence", path, text, zero)
		}
	})
}

// zeroText is the zero value as a file would write it, and whether it may.
func zeroText(fd protoreflect.FieldDescriptor) (string, bool) {
	zero := map[protoreflect.Kind]string{
		protoreflect.BoolKind: "false", protoreflect.Uint32Kind: "0", protoreflect.Uint64Kind: "0",
	}[fd.Kind()]
	return zero, setText(newMessage(fd.ContainingMessage()), fd, where{path: spell.Key(fd)}, zero) == nil
}

func newMessage(md protoreflect.MessageDescriptor) protoreflect.Message {
	mt, err := protoregistry.GlobalTypes.FindMessageByName(md.FullName())
	if err != nil {
		panic(err)
	}
	return mt.New()
}

func TestOptionsReadAsTheirFields(t *testing.T) {
	everyField(func(path string, fd protoreflect.FieldDescriptor) {
		if p := spell.Option[string](fd, pb.E_Pattern); p != "" {
			regexp.MustCompile(p)
		}
		for label, text := range map[string]string{"default": spell.Option[string](fd, pb.E_Default), "example": spell.Option[string](fd, pb.E_Example)} {
			if text == "" {
				continue
			}
			if label == "example" && text[0] == '"' {
				text = text[1 : len(text)-1]
			}
			m := newMessage(fd.ContainingMessage())
			if problems := setText(m, fd, where{path: spell.Key(fd)}, text); problems != nil {
				t.Errorf("%s: %s %q: %v", path, label, text, problems)
			}
		}
		low, high := bounds(fd)
		for _, bound := range []string{low, high} {
			if bound == "" {
				continue
			}
			if _, values := measure(fd, bound); len(values) == 0 {
				t.Errorf("%s: bound %q can't be compared", path, bound)
			}
			if fd.Message() != nil {
				if _, err := parseQuantity(fd, bound); err != nil {
					t.Errorf("%s: bound %q: %v", path, bound, err)
				}
			}
		}
	})
}

func TestEveryFieldHasAKindThatFilesCanHold(t *testing.T) {
	everyField(func(path string, fd protoreflect.FieldDescriptor) {
		switch fd.Kind() {
		case protoreflect.MessageKind, protoreflect.EnumKind, protoreflect.BoolKind,
			protoreflect.Uint32Kind, protoreflect.Uint64Kind, protoreflect.StringKind:
		default:
			t.Errorf("%s: kind %s is not for files", path, fd.Kind())
		}
		if fd.IsMap() && fd.MapKey().Kind() != protoreflect.StringKind {
			t.Errorf("%s: keys of files are text", path)
		}
		ramp := fd.Message() != nil && fd.Message().FullName() == "squall.v1.Ramp"
		if ramp != (spell.Option[pb.Unit](fd, pb.E_Ramp) != pb.Unit_UNIT_UNSPECIFIED) {
			t.Errorf("%s: a Ramp has a unit, and nothing else has", path)
		}
	})
}

// TestFaultKeysDoNotClash keeps a fault's own keys apart from those of its
// step, since both stand in one map.
func TestFaultKeysDoNotClash(t *testing.T) {
	step := (&pb.Step{}).ProtoReflect().Descriptor()
	arms := faultKinds().Fields()
	for i := range arms.Len() {
		for fd := range fields(arms.Get(i).Message()) {
			if spell.ByKey(step, spell.Key(fd)) != nil {
				t.Errorf("%s: key %q is also a key of every step", arms.Get(i).JSONName(), spell.Key(fd))
			}
		}
	}
}

// TestDescriptorSetIsCurrent fails when a proto file has changed and the
// embedded set was not built again.
func TestDescriptorSetIsCurrent(t *testing.T) {
	files, err := describedFiles()
	if err != nil {
		t.Fatal(err)
	}
	for _, compiled := range []protoreflect.FileDescriptor{
		pb.File_squall_v1_experiment_proto, pb.File_squall_v1_fault_proto, pb.File_squall_v1_host_proto,
		pb.File_squall_v1_options_proto, pb.File_squall_v1_quantity_proto,
	} {
		embedded, err := files.FindFileByPath(compiled.Path())
		if err != nil {
			t.Errorf("%s: %v", compiled.Path(), err)
			continue
		}
		got, want := protodesc.ToFileDescriptorProto(embedded), protodesc.ToFileDescriptorProto(compiled)
		if got.SourceCodeInfo = nil; !sameBytes(t, got, want) {
			t.Errorf("%s has changed since descriptor.binpb was built: run `make proto`", compiled.Path())
		}
	}
}

// sameBytes compares on the wire, where unknown and known options look alike.
func sameBytes(t *testing.T, a, b proto.Message) bool {
	t.Helper()
	marshal := proto.MarshalOptions{Deterministic: true}
	x, err := marshal.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	y, err := marshal.Marshal(b)
	if err != nil {
		t.Fatal(err)
	}
	return string(x) == string(y)
}

func TestEveryFieldIsExplained(t *testing.T) {
	everyField(func(path string, fd protoreflect.FieldDescriptor) {
		said := comment(fd) != "" || fd.Message() != nil && comment(fd.Message()) != ""
		if !said && !isQuantity(fd.ContainingMessage()) {
			t.Errorf("%s has no comment in the proto file", path)
		}
	})
}
