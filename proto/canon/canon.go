// Package canon writes a message as bytes that are the same in every build: what
// is signed, or told by its digest, must not hang on how a library happens to
// encode it.
//
// The bytes are protobuf's own wire format, so any decoder reads them. What that
// leaves open is settled: fields go by number, entries of maps by key, numbers in
// lists are packed, and what this build does not know of a message follows behind
// as it came.
package canon

import (
	"cmp"
	"math"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// Marshal is a message's canonical bytes. Its fields are those of proto3;
// groups and extensions, which we don't have, are left out.
func Marshal(m proto.Message) []byte { return appendMessage(nil, m.ProtoReflect()) }

func appendMessage(b []byte, m protoreflect.Message) []byte {
	type field struct {
		fd protoreflect.FieldDescriptor
		v  protoreflect.Value
	}
	fields := make([]field, 0, 16)
	for fd, v := range m.Range {
		fields = append(fields, field{fd, v})
	}
	slices.SortFunc(fields, func(a, b field) int { return cmp.Compare(a.fd.Number(), b.fd.Number()) })
	for _, f := range fields {
		b = appendField(b, f.fd, f.v)
	}
	return append(b, m.GetUnknown()...)
}

func appendField(b []byte, fd protoreflect.FieldDescriptor, v protoreflect.Value) []byte {
	switch {
	case fd.IsMap():
		return appendMap(b, fd, v.Map())
	case fd.IsList():
		return appendList(b, fd, v.List())
	}
	return appendOne(b, fd, v)
}

// appendOne is a field with its tag.
func appendOne(b []byte, fd protoreflect.FieldDescriptor, v protoreflect.Value) []byte {
	b = protowire.AppendTag(b, fd.Number(), wireType(fd.Kind()))
	return appendValue(b, fd.Kind(), v)
}

func appendList(b []byte, fd protoreflect.FieldDescriptor, list protoreflect.List) []byte {
	if wireType(fd.Kind()) == protowire.BytesType {
		for i := range list.Len() {
			b = appendOne(b, fd, list.Get(i))
		}
		return b
	}
	var packed []byte
	for i := range list.Len() {
		packed = appendValue(packed, fd.Kind(), list.Get(i))
	}
	return protowire.AppendBytes(protowire.AppendTag(b, fd.Number(), protowire.BytesType), packed)
}

func appendMap(b []byte, fd protoreflect.FieldDescriptor, entries protoreflect.Map) []byte {
	keys := make([]protoreflect.MapKey, 0, entries.Len())
	for k := range entries.Range {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b protoreflect.MapKey) int { return compareKeys(fd.MapKey().Kind(), a, b) })
	for _, k := range keys {
		entry := appendOne(nil, fd.MapKey(), k.Value())
		entry = appendOne(entry, fd.MapValue(), entries.Get(k))
		b = protowire.AppendBytes(protowire.AppendTag(b, fd.Number(), protowire.BytesType), entry)
	}
	return b
}

func compareKeys(kind protoreflect.Kind, a, b protoreflect.MapKey) int {
	switch kind {
	case protoreflect.StringKind:
		return cmp.Compare(a.String(), b.String())
	case protoreflect.BoolKind:
		return cmp.Compare(number(a.Bool()), number(b.Bool()))
	case protoreflect.Uint32Kind, protoreflect.Uint64Kind, protoreflect.Fixed32Kind, protoreflect.Fixed64Kind:
		return cmp.Compare(a.Uint(), b.Uint())
	}
	return cmp.Compare(a.Int(), b.Int())
}

func number(yes bool) uint64 {
	if yes {
		return 1
	}
	return 0
}

func wireType(kind protoreflect.Kind) protowire.Type {
	switch kind {
	case protoreflect.StringKind, protoreflect.BytesKind, protoreflect.MessageKind:
		return protowire.BytesType
	case protoreflect.Fixed32Kind, protoreflect.Sfixed32Kind, protoreflect.FloatKind:
		return protowire.Fixed32Type
	case protoreflect.Fixed64Kind, protoreflect.Sfixed64Kind, protoreflect.DoubleKind:
		return protowire.Fixed64Type
	}
	return protowire.VarintType
}

// appendValue is a value without its tag.
func appendValue(b []byte, kind protoreflect.Kind, v protoreflect.Value) []byte {
	switch kind {
	case protoreflect.MessageKind:
		return protowire.AppendBytes(b, appendMessage(nil, v.Message()))
	case protoreflect.StringKind:
		return protowire.AppendString(b, v.String())
	case protoreflect.BytesKind:
		return protowire.AppendBytes(b, v.Bytes())
	case protoreflect.FloatKind:
		return protowire.AppendFixed32(b, math.Float32bits(float32(v.Float())))
	case protoreflect.DoubleKind:
		return protowire.AppendFixed64(b, math.Float64bits(v.Float()))
	}
	return appendNumber(b, kind, v)
}

func appendNumber(b []byte, kind protoreflect.Kind, v protoreflect.Value) []byte {
	switch kind {
	case protoreflect.BoolKind:
		return protowire.AppendVarint(b, number(v.Bool()))
	case protoreflect.EnumKind:
		return protowire.AppendVarint(b, uint64(v.Enum()))
	case protoreflect.Int32Kind, protoreflect.Int64Kind:
		return protowire.AppendVarint(b, uint64(v.Int()))
	case protoreflect.Sint32Kind, protoreflect.Sint64Kind:
		return protowire.AppendVarint(b, protowire.EncodeZigZag(v.Int()))
	case protoreflect.Sfixed32Kind:
		return protowire.AppendFixed32(b, uint32(v.Int()))
	case protoreflect.Sfixed64Kind:
		return protowire.AppendFixed64(b, uint64(v.Int()))
	case protoreflect.Fixed32Kind:
		return protowire.AppendFixed32(b, uint32(v.Uint()))
	case protoreflect.Fixed64Kind:
		return protowire.AppendFixed64(b, v.Uint())
	}
	return protowire.AppendVarint(b, v.Uint()) // the plain unsigned ones
}
