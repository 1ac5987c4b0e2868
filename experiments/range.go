package experiments

import (
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"squall/experiments/fault"
	"squall/experiments/internal/spell"
	"squall/experiments/quantity"
	pb "squall/proto/squall/v1"
)

// form is how a message that stands for one value is read and printed.
type form struct {
	parse  func(fd protoreflect.FieldDescriptor, text string) (proto.Message, error)
	format func(proto.Message) string
	means  func(fd protoreflect.FieldDescriptor) string
}

var quantities = map[protoreflect.FullName]form{
	"squall.v1.Share":   formOf(quantity.ParseShare, func(s *pb.Share) string { return quantity.FormatShare(s.GetPpm()) }, "a share, such as 5%"),
	"squall.v1.Span":    formOf(quantity.ParseSpan, func(s *pb.Span) string { return quantity.FormatSpan(s.GetNanos()) }, "a length of time, such as 250ms or 1h06m"),
	"squall.v1.Rate":    formOf(quantity.ParseRate, quantity.FormatRate, "a rate, such as 20x, 500/s or 10mbit"),
	"squall.v1.Size":    formOf(quantity.ParseSize, func(s *pb.Size) string { return quantity.FormatSize(s.GetBytes()) }, "a size, such as 64MiB"),
	"squall.v1.Amount":  formOf(quantity.ParseAmount, quantity.FormatAmount, "a count or a share, such as 3 or 40%"),
	"squall.v1.Instant": formOf(quantity.ParseInstant, quantity.FormatInstant, `a moment: "20:04" in quotes, T+1h06m, or the name of a phase`),
	"squall.v1.Ramp": {
		parse: func(fd protoreflect.FieldDescriptor, text string) (proto.Message, error) {
			return quantity.ParseRamp(spell.Option[pb.Unit](fd, pb.E_Ramp), text)
		},
		format: func(m proto.Message) string { return quantity.FormatRamp(m.(*pb.Ramp)) },
		means: func(fd protoreflect.FieldDescriptor) string {
			switch unit := spell.Option[pb.Unit](fd, pb.E_Ramp); {
			case !fault.Moves(fd):
				return still(unit)
			case unit == pb.Unit_UNIT_SPAN:
				return "a length of time, or two: 250ms, or 1500ms -> 0ms with `ramp`"
			case unit == pb.Unit_UNIT_RATE:
				return "a rate, or two: 500/s, or 0/s -> 500/s with `ramp`"
			}
			return "a share, or two: 30%, or 5% -> 95% with `ramp`"
		},
	},
}

// still is what a magnitude takes that this build can't move.
func still(unit pb.Unit) string {
	switch unit {
	case pb.Unit_UNIT_SPAN:
		return "a length of time, such as 250ms"
	case pb.Unit_UNIT_RATE:
		return "a rate, such as 500/s"
	}
	return "a share, such as 30%"
}

// formOf wraps a typed parser and printer.
func formOf[M proto.Message](parse func(string) (M, error), format func(M) string, means string) form {
	return form{
		parse: func(_ protoreflect.FieldDescriptor, text string) (proto.Message, error) {
			return parse(text)
		},
		format: func(m proto.Message) string { return format(m.(M)) },
		means:  func(protoreflect.FieldDescriptor) string { return means },
	}
}

func isQuantity(md protoreflect.MessageDescriptor) bool {
	_, ok := quantities[md.FullName()]
	return ok
}

func parseQuantity(fd protoreflect.FieldDescriptor, text string) (proto.Message, error) {
	return quantities[fd.Message().FullName()].parse(fd, text)
}

// bounds are the two sides of a field's range as they would be written; either may be empty.
func bounds(fd protoreflect.FieldDescriptor) (low, high string) {
	low, high, _ = strings.Cut(spell.Option[string](fd, pb.E_Range), "..")
	return low, high
}

// inWords is a field's range for a sentence: "1s to 30m", "at least 1s".
func inWords(fd protoreflect.FieldDescriptor) string {
	low, high := bounds(fd)
	switch {
	case low != "" && low == high:
		return low
	case low != "" && high != "":
		return low + " to " + high
	case low != "":
		return "at least " + low
	case high != "":
		return "at most " + high
	}
	return describe(fd)
}

// checkRange holds a value against the range that the descriptor gives.
func checkRange(fd protoreflect.FieldDescriptor, text string, value protoreflect.Value) error {
	low, high := bounds(fd)
	for side, bound := range []string{low, high} {
		if bound == "" {
			continue
		}
		kind, limit := measure(fd, bound)
		got, values := measureValue(fd, value)
		if got != kind {
			return quantity.Mistakef("write "+inWords(fd), "%s has another unit than its range", quoted(text))
		}
		for _, v := range values {
			if side == 0 && v < limit[0] || side == 1 && v > limit[0] {
				return quantity.Mistakef("write "+inWords(fd), "%s is out of range", quoted(text))
			}
		}
	}
	return nil
}

// measure reads a bound as the field itself would be read.
func measure(fd protoreflect.FieldDescriptor, text string) (unit string, values []uint64) {
	if fd.Kind() != protoreflect.MessageKind {
		n, _ := quantity.WholeNumber(text, 1<<64-1)
		return "", []uint64{n}
	}
	m, err := parseQuantity(fd, text)
	if err != nil {
		return "", []uint64{0}
	}
	return measureValue(fd, protoreflect.ValueOfMessage(m.ProtoReflect()))
}

// measureValue is a value as numbers that can be compared, and the unit that they are in.
func measureValue(fd protoreflect.FieldDescriptor, value protoreflect.Value) (unit string, values []uint64) {
	if fd.Kind() != protoreflect.MessageKind {
		return "", []uint64{value.Uint()}
	}
	switch m := value.Message().Interface().(type) {
	case *pb.Span:
		return "", []uint64{uint64(m.GetNanos())}
	case *pb.Share:
		return "", []uint64{uint64(m.GetPpm())}
	case *pb.Ramp:
		return "", []uint64{uint64(m.GetFrom()), uint64(m.GetTo())}
	case *pb.Rate:
		return rateUnit(m)
	}
	return "", nil
}

func rateUnit(r *pb.Rate) (unit string, values []uint64) {
	switch of := r.GetOf().(type) {
	case *pb.Rate_Bits:
		return "bits", []uint64{of.Bits}
	case *pb.Rate_Bytes:
		return "bytes", []uint64{of.Bytes}
	case *pb.Rate_MilliEvents:
		return "events", []uint64{of.MilliEvents}
	case *pb.Rate_MilliTimes:
		return "times", []uint64{of.MilliTimes}
	}
	return "", nil
}
