package quantity

import (
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/testing/protocmp"

	pb "squall/proto/squall/v1"
)

// form is how one kind of quantity is read and printed.
type form struct {
	parse  func(string) (proto.Message, error)
	format func(proto.Message) string
}

var forms = map[protoreflect.FullName]form{
	"squall.v1.Share":   formOf(ParseShare, func(s *pb.Share) string { return FormatShare(s.GetPpm()) }),
	"squall.v1.Span":    formOf(ParseSpan, func(s *pb.Span) string { return FormatSpan(s.GetNanos()) }),
	"squall.v1.Rate":    formOf(ParseRate, FormatRate),
	"squall.v1.Size":    formOf(ParseSize, func(s *pb.Size) string { return FormatSize(s.GetBytes()) }),
	"squall.v1.Amount":  formOf(ParseAmount, FormatAmount),
	"squall.v1.Instant": formOf(ParseInstant, FormatInstant),
}

func formOf[M proto.Message](parse func(string) (M, error), format func(M) string) form {
	return form{
		parse:  func(text string) (proto.Message, error) { return parse(text) },
		format: func(m proto.Message) string { return format(m.(M)) },
	}
}

func after(nanos int64) *pb.Instant {
	return &pb.Instant{Of: &pb.Instant_AfterOrigin{AfterOrigin: nanos}}
}

func TestQuantitiesReadAndPrint(t *testing.T) {
	for _, c := range []struct {
		kind, text, prints string
		want               proto.Message
	}{
		{"Span", "250ms", "250ms", &pb.Span{Nanos: 250e6}},
		{"Span", "1h06m", "1h6m", &pb.Span{Nanos: 66 * 60e9}},
		{"Span", "1.5s", "1.5s", &pb.Span{Nanos: 1.5e9}},
		{"Span", "90s", "1m30s", &pb.Span{Nanos: 90e9}},
		{"Span", "0s", "0s", &pb.Span{}},
		{"Span", "30d", "720h", &pb.Span{Nanos: 30 * 24 * 3600e9}},
		{"Span", "1d12h", "36h", &pb.Span{Nanos: 36 * 3600e9}},
		{"Span", "15us", "15µs", &pb.Span{Nanos: 15e3}},
		{"Share", "5%", "5%", &pb.Share{Ppm: 50_000}},
		{"Share", "0.5%", "0.5%", &pb.Share{Ppm: 5_000}},
		{"Share", "100%", "100%", &pb.Share{Ppm: 1_000_000}},
		{"Share", "0.0001%", "0.0001%", &pb.Share{Ppm: 1}},
		{"Rate", "20x", "20x", &pb.Rate{Of: &pb.Rate_MilliTimes{MilliTimes: 20_000}}},
		{"Rate", "0.5/s", "0.5/s", &pb.Rate{Of: &pb.Rate_MilliEvents{MilliEvents: 500}}},
		{"Rate", "10mbit", "10mbit", &pb.Rate{Of: &pb.Rate_Bits{Bits: 10e6}}},
		{"Rate", "1.5gbit", "1500mbit", &pb.Rate{Of: &pb.Rate_Bits{Bits: 1.5e9}}},
		{"Rate", "1MiB/s", "1MiB/s", &pb.Rate{Of: &pb.Rate_Bytes{Bytes: 1 << 20}}},
		{"Rate", "1MB/s", "1MB/s", &pb.Rate{Of: &pb.Rate_Bytes{Bytes: 1e6}}},
		{"Size", "64MiB", "64MiB", &pb.Size{Bytes: 64 << 20}},
		{"Size", "64MB", "64MB", &pb.Size{Bytes: 64e6}},
		{"Size", "1.5kB", "1500B", &pb.Size{Bytes: 1500}},
		{"Amount", "3", "3", &pb.Amount{Of: &pb.Amount_Count{Count: 3}}},
		{"Amount", "40%", "40%", &pb.Amount{Of: &pb.Amount_Share{Share: &pb.Share{Ppm: 400_000}}}},
		{"Instant", "20:04", "20:04", &pb.Instant{Of: &pb.Instant_TimeOfDay{TimeOfDay: 72_240}}},
		{"Instant", "08:19:30", "08:19:30", &pb.Instant{Of: &pb.Instant_TimeOfDay{TimeOfDay: 29_970}}},
		{"Instant", "T+1h06m", "T+1h6m", after(66 * 60e9)},
		{"Instant", "boot_storm", "boot_storm", &pb.Instant{Of: &pb.Instant_Phase{Phase: "boot_storm"}}},
	} {
		q := forms[protoreflect.FullName("squall.v1."+c.kind)]
		got, err := q.parse(c.text)
		if err != nil {
			t.Errorf("%s %q: %v", c.kind, c.text, err)
			continue
		}
		if diff := cmp.Diff(c.want, got, protocmp.Transform()); diff != "" {
			t.Errorf("%s %q: %s", c.kind, c.text, diff)
		}
		if prints := q.format(got); prints != c.prints {
			t.Errorf("%s %q prints as %q, want %q", c.kind, c.text, prints, c.prints)
		}
	}
}

func TestRampsReadAndPrint(t *testing.T) {
	for _, c := range []struct {
		unit         pb.Unit
		text, prints string
		from, to     int64
	}{
		{pb.Unit_UNIT_SHARE, "30%", "30%", 300_000, 300_000},
		{pb.Unit_UNIT_SHARE, "5% -> 95%", "5% -> 95%", 50_000, 950_000},
		{pb.Unit_UNIT_SHARE, "95%->0%", "95% -> 0%", 950_000, 0},
		{pb.Unit_UNIT_SPAN, "1500ms -> 0ms", "1.5s -> 0s", 1500e6, 0},
		{pb.Unit_UNIT_RATE, "0/s -> 500/s", "0/s -> 500/s", 0, 500_000},
	} {
		r, err := ParseRamp(c.unit, c.text)
		if err != nil || r.GetFrom() != c.from || r.GetTo() != c.to || r.GetUnit() != c.unit {
			t.Errorf("%q reads as %v, %v", c.text, r, err)
		}
		if got := FormatRamp(r); got != c.prints {
			t.Errorf("%q prints as %q, want %q", c.text, got, c.prints)
		}
	}
}

func TestQuantitiesRefuse(t *testing.T) {
	for kind, texts := range map[string][]string{
		"Span":    {"", "5", "-5s", "+5s", "5 s", "1.5d", "d", "1h1d", "1d-1h", "1d+1h", "366d", "999999d", "364d48h", "1d9000h", "s", "1h-5m", "8761h", "9999999h", "NaN", "1e3s"},
		"Share":   {"", "5", "0.05", "-5%", "101%", "0.00001%", "%", ".5%", "5.%", "5 %"},
		"Rate":    {"", "5", "x", "-1x", "10Mbit", "10mb", "1MiB", "/s", "0.0001x", "1.5bit", "99999999999gbit"},
		"Size":    {"", "5", "64mb", "64Mi", "1.5B", "-1B", "99999999TiB"},
		"Amount":  {"", "0", "0%", "-1", "1.5", "03", "101%", "4294967296", "many"},
		"Instant": {"", "24:00", "8:19", "20:60", "20:04:60", "T+", "T+5", "T+8761h", "T-5m", "now!", "Dark", "-1"},
	} {
		for _, text := range texts {
			if got, err := forms[protoreflect.FullName("squall.v1."+kind)].parse(text); err == nil {
				t.Errorf("%s %q reads as %v", kind, text, got)
			}
		}
	}
}

func FuzzQuantitiesRoundTrip(f *testing.F) {
	for _, seed := range []uint64{0, 1, 999, 1000, 1 << 20, 1e6, 3_600_000_000_000, 123_456_789_012_345, math.MaxInt64, math.MaxUint64} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, n uint64) {
		nanos, ppm := int64(n%uint64(Longest)), uint32(n%1_000_001)
		for _, m := range []proto.Message{
			&pb.Span{Nanos: nanos},
			&pb.Share{Ppm: ppm},
			&pb.Size{Bytes: n},
			&pb.Rate{Of: &pb.Rate_Bits{Bits: n}},
			&pb.Rate{Of: &pb.Rate_Bytes{Bytes: n}},
			&pb.Rate{Of: &pb.Rate_MilliEvents{MilliEvents: n}},
			&pb.Rate{Of: &pb.Rate_MilliTimes{MilliTimes: n}},
			&pb.Amount{Of: &pb.Amount_Count{Count: max(uint32(n), 1)}},
			&pb.Amount{Of: &pb.Amount_Share{Share: &pb.Share{Ppm: max(ppm, 1)}}},
			&pb.Instant{Of: &pb.Instant_TimeOfDay{TimeOfDay: uint32(n % 86_400)}},
			after(nanos),
		} {
			q := forms[m.ProtoReflect().Descriptor().FullName()]
			text := q.format(m)
			got, err := q.parse(text)
			if err != nil || !proto.Equal(got, m) {
				t.Errorf("%v prints as %q, which reads as %v, %v", m, text, got, err)
			}
		}
		roundTripRamps(t, n, nanos, ppm)
	})
}

func roundTripRamps(t *testing.T, n uint64, nanos int64, ppm uint32) {
	t.Helper()
	for _, r := range []*pb.Ramp{
		{Unit: pb.Unit_UNIT_SHARE, From: int64(ppm), To: int64(n % 1000)},
		{Unit: pb.Unit_UNIT_SPAN, From: nanos, To: nanos / 2},
		{Unit: pb.Unit_UNIT_RATE, From: 7, To: nanos},
	} {
		got, err := ParseRamp(r.GetUnit(), FormatRamp(r))
		if err != nil || !proto.Equal(got, r) {
			t.Errorf("%v prints as %q, which reads as %v, %v", r, FormatRamp(r), got, err)
		}
	}
}

func FuzzQuantitiesParse(f *testing.F) {
	for _, seed := range strings.Fields("250ms 1h06m 5% 20x 1MiB/s 500/s 10mbit 64MB 20:04 T+5m dark 3 40% 0.0001%") {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for name, q := range forms {
			m, err := q.parse(text)
			if err != nil {
				continue
			}
			again, err := q.parse(q.format(m))
			if err != nil || !proto.Equal(m, again) {
				t.Errorf("%s %q reads as %v, prints as %q, reads as %v, %v", name, text, m, q.format(m), again, err)
			}
		}
	})
}
