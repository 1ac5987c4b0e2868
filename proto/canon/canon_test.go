package canon

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	pb "squall/proto/squall/v1"
)

// sample has maps, lists of numbers and of messages, doubles, a choice and bytes.
func sample() *pb.State {
	r := &pb.Run{
		Id: "storm-1", State: pb.RunState_RUN_STATE_DONE, AdHoc: true, T0UnixNanos: -7, Source: []byte{0, 1, 2},
		EnteredUnixNanos: map[uint32]int64{}, Steps: map[string]*pb.StepHosts{},
		Plan: &pb.Plan{Steps: []*pb.PlannedStep{{Id: "a", Fault: &pb.Fault{Kind: &pb.Fault_PowerOff{PowerOff: &pb.PowerOff{}}}}}},
	}
	for i := range 20 {
		r.EnteredUnixNanos[uint32(i)] = int64(i) - 10
		r.Steps[fmt.Sprint("step", i)] = &pb.StepHosts{Hosts: map[string]*pb.StepStatus{"h1": {Host: "h1"}, "h0": {}}}
	}
	return &pb.State{
		Index: 1 << 60, Runs: map[string]*pb.Run{"storm-1": r},
		Windows: []*pb.Window{{Second: 9, Lowest: 0.25, HasValue: true, Latency: &pb.Histogram{Index: []uint32{1, 300}, Count: []uint64{1 << 40, 2}}}},
	}
}

func TestBytesAreAlwaysTheSame(t *testing.T) {
	first := Marshal(sample())
	for range 50 {
		if again := Marshal(sample()); !bytes.Equal(first, again) {
			t.Fatalf("the same message gave other bytes:\n%x\n%x", first, again)
		}
	}
	// The digest of a file of the archive rests on this: it never changes.
	const want = "502fc36ffb911e83886fb01ba35b77b16dc4bb28aa45c422d68516b367bb03e9"
	if sum := sha256.Sum256(first); hex.EncodeToString(sum[:]) != want {
		t.Errorf("the canonical bytes of the sample have the digest %x, and had %s before", sum, want)
	}
}

func TestAnyDecoderReadsThem(t *testing.T) {
	for _, m := range []proto.Message{
		sample(), &pb.State{},
		&descriptorpb.FileDescriptorProto{}, wrapperspb.Float(-1.5), wrapperspb.Bool(true), wrapperspb.Int32(-5), wrapperspb.Double(-0.25),
		&structpb.Struct{Fields: map[string]*structpb.Value{"b": structpb.NewNumberValue(1), "a": structpb.NewStringValue(""), "": structpb.NewNullValue()}},
	} {
		again := m.ProtoReflect().New().Interface()
		if err := proto.Unmarshal(Marshal(m), again); err != nil {
			t.Fatalf("%s: %v", m.ProtoReflect().Descriptor().FullName(), err)
		}
		if !proto.Equal(m, again) {
			t.Errorf("%s: read %v, wrote %v", m.ProtoReflect().Descriptor().FullName(), again, m)
		}
	}
}

// Every field of ours that could be set is written: each message is filled from
// its descriptor, to three levels, and read again.
func TestEveryFieldOfOursIsWritten(t *testing.T) {
	for _, m := range []proto.Message{&pb.State{}, &pb.Seal{}, &pb.SealedWindows{}, &pb.SealedEvents{}, &pb.Command{}} {
		full := m.ProtoReflect().New()
		fill(full, 3)
		again := full.New().Interface()
		if err := proto.Unmarshal(Marshal(full.Interface()), again); err != nil {
			t.Fatal(err)
		}
		if !proto.Equal(full.Interface(), again) {
			t.Errorf("%s comes back otherwise", full.Descriptor().FullName())
		}
	}
}

func fill(m protoreflect.Message, depth int) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		fd := fields.Get(i)
		switch {
		case depth == 0 && fd.Message() != nil:
		case fd.IsMap():
			v := m.NewField(fd).Map().NewValue()
			if fd.MapValue().Message() != nil {
				fill(v.Message(), depth-1)
			} else {
				v = scalar(fd.MapValue())
			}
			m.Mutable(fd).Map().Set(scalar(fd.MapKey()).MapKey(), v)
		case fd.IsList() && fd.Message() != nil:
			fill(m.Mutable(fd).List().AppendMutable().Message(), depth-1)
		case fd.IsList():
			m.Mutable(fd).List().Append(scalar(fd))
		case fd.Message() != nil:
			fill(m.Mutable(fd).Message(), depth-1)
		default:
			m.Set(fd, scalar(fd))
		}
	}
}

func scalar(fd protoreflect.FieldDescriptor) protoreflect.Value {
	switch fd.Kind() {
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(true)
	case protoreflect.StringKind:
		return protoreflect.ValueOfString("text")
	case protoreflect.BytesKind:
		return protoreflect.ValueOfBytes([]byte("bytes"))
	case protoreflect.EnumKind:
		return protoreflect.ValueOfEnum(1)
	case protoreflect.DoubleKind:
		return protoreflect.ValueOfFloat64(-0.5)
	case protoreflect.FloatKind:
		return protoreflect.ValueOfFloat32(-0.5)
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		return protoreflect.ValueOfUint64(1 << 63)
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		return protoreflect.ValueOfUint32(1 << 31)
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind:
		return protoreflect.ValueOfInt32(-3)
	}
	return protoreflect.ValueOfInt64(-3)
}

// What a newer build added to a message is not lost when an older one archives it.
func TestUnknownFieldsAreKept(t *testing.T) {
	raw := protowire.AppendString(protowire.AppendTag(Marshal(&pb.Run{Id: "a"}), 9999, protowire.BytesType), "new")
	r := &pb.Run{}
	if err := proto.Unmarshal(raw, r); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(Marshal(r), raw) {
		t.Errorf("read %x, wrote %x", raw, Marshal(r))
	}
}
