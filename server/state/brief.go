package state

import (
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"squall/proto/text"
)

const (
	// mostText bounds each text that is kept of an act, of a refusal, of who did it
	// and of a notice, in bytes. A call may bring 64 KiB of them, and thousands are
	// kept, of calls that were refused too.
	mostText = 1000
	// mostID bounds the id under which a command is remembered, in bytes.
	mostID = 256
)

// brief is a message whose texts are cut to what is kept of them: a copy where one
// is longer. It looks at the message's own texts, at none of what it holds.
func brief[M proto.Message](m M) M {
	short, whole := m, true
	for fd, v := range m.ProtoReflect().Range {
		if fd.Kind() != protoreflect.StringKind || fd.IsList() || len(v.String()) <= mostText {
			continue
		}
		if whole {
			short, whole = shallow(m), false
		}
		short.ProtoReflect().Set(fd, protoreflect.ValueOfString(text.Cut(v.String(), mostText)))
	}
	return short
}
