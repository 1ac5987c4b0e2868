package lab

import (
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"squall/experiments/quantity"
	pb "squall/proto/squall/v1"
)

// formatYAML writes a message as people would, so that the strict decoder
// reads it again. A host's config holds spans, and no other quantity.
func formatYAML(m proto.Message) (string, error) {
	value, err := plain(m.ProtoReflect())
	if err != nil {
		return "", err
	}
	text, err := yaml.Marshal(value)
	return string(text), err
}

// plain is a message as maps, lists and scalars.
func plain(m protoreflect.Message) (any, error) {
	if span, ok := m.Interface().(*pb.Span); ok {
		return quantity.FormatSpan(span.GetNanos()), nil
	}
	out := map[string]any{}
	var failed error
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		value, err := plainField(f, v)
		out[f.TextName()] = value
		failed = err
		return err == nil
	})
	return out, failed
}

func plainField(f protoreflect.FieldDescriptor, v protoreflect.Value) (any, error) {
	switch {
	case f.IsMap():
		return plainMap(f.MapValue(), v.Map())
	case f.IsList():
		return plainList(f, v.List())
	}
	return plainScalar(f, v)
}

func plainMap(f protoreflect.FieldDescriptor, m protoreflect.Map) (any, error) {
	out := map[string]any{}
	var failed error
	m.Range(func(k protoreflect.MapKey, v protoreflect.Value) bool {
		out[k.String()], failed = plainScalar(f, v)
		return failed == nil
	})
	return out, failed
}

func plainList(f protoreflect.FieldDescriptor, list protoreflect.List) (any, error) {
	out := make([]any, list.Len())
	for i := range out {
		value, err := plainScalar(f, list.Get(i))
		if err != nil {
			return nil, err
		}
		out[i] = value
	}
	return out, nil
}

func plainScalar(f protoreflect.FieldDescriptor, v protoreflect.Value) (any, error) {
	switch f.Kind() {
	case protoreflect.MessageKind:
		return plain(v.Message())
	case protoreflect.EnumKind:
		return enumText(f.Enum(), v.Enum())
	case protoreflect.BytesKind:
		return nil, fmt.Errorf("format %s: bytes have no place in a file", f.FullName())
	}
	return v.Interface(), nil
}

// enumText is a value as files spell it: without its prefix, in lower case.
func enumText(e protoreflect.EnumDescriptor, n protoreflect.EnumNumber) (string, error) {
	value := e.Values().ByNumber(n)
	if value == nil {
		return "", fmt.Errorf("format %s: no value %d", e.FullName(), n)
	}
	prefix := strings.TrimSuffix(string(e.Values().ByNumber(0).Name()), "UNSPECIFIED")
	return strings.ToLower(strings.TrimPrefix(string(value.Name()), prefix)), nil
}
