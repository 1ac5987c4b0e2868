package text

import (
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// Unmarshal reads a message whose texts need not be valid UTF-8: what is not is
// replaced. Anything else that is wrong is an error, as in proto.Unmarshal.
func Unmarshal(b []byte, m proto.Message) error {
	err := proto.Unmarshal(b, m)
	if err == nil {
		return nil
	}
	mended, ok := mend(b, m.ProtoReflect().Descriptor(), maxDepth)
	if !ok {
		return err
	}
	return proto.Unmarshal(mended, m)
}

// maxDepth bounds how deep messages may stand in one another.
const maxDepth = 64

// mend is the bytes of a message with all texts valid. It reports false where
// the bytes are no message.
func mend(b []byte, md protoreflect.MessageDescriptor, depth int) ([]byte, bool) {
	if depth == 0 {
		return nil, false
	}
	var out []byte
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return nil, false
		}
		size := protowire.ConsumeFieldValue(num, typ, b[n:])
		if size < 0 {
			return nil, false
		}
		field, value := md.Fields().ByNumber(num), b[n:n+size]
		if typ != protowire.BytesType || field == nil {
			out = append(out, b[:n+size]...)
		} else {
			content, _ := protowire.ConsumeBytes(value)
			content, ok := mendField(content, field, depth)
			if !ok {
				return nil, false
			}
			out = protowire.AppendBytes(protowire.AppendTag(out, num, typ), content)
		}
		b = b[n+size:]
	}
	return out, true
}

func mendField(content []byte, fd protoreflect.FieldDescriptor, depth int) ([]byte, bool) {
	switch {
	case fd.Kind() == protoreflect.StringKind && !utf8.Valid(content):
		return []byte(strings.ToValidUTF8(string(content), string(utf8.RuneError))), true
	case fd.Kind() == protoreflect.MessageKind:
		return mend(content, fd.Message(), depth-1)
	}
	return content, true
}
