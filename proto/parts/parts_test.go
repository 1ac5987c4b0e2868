package parts_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"squall/proto/parts"
	pb "squall/proto/squall/v1"
)

// way is a stream from a server to a client, in memory.
type way struct {
	grpc.ServerStream
	grpc.ClientStream
	sent []*pb.ReportResponse
	end  error
}

func (w *way) Context() context.Context        { return context.Background() }
func (w *way) SendMsg(any) error               { return nil }
func (w *way) RecvMsg(any) error               { return nil }
func (w *way) Send(r *pb.ReportResponse) error { w.sent = append(w.sent, r); return nil }

func (w *way) Recv() (*pb.ReportResponse, error) {
	if len(w.sent) == 0 {
		return nil, w.end
	}
	r := w.sent[0]
	w.sent = w.sent[1:]
	return r, nil
}

func (w *way) ask(context.Context, *pb.ReportRequest, ...grpc.CallOption) (grpc.ServerStreamingClient[pb.ReportResponse], error) {
	return w, nil
}

func wrap(part []byte) *pb.ReportResponse { return &pb.ReportResponse{Part: part} }

func TestPartsAreTheMessageAndSmall(t *testing.T) {
	for name, report := range map[string]*pb.RunReport{
		"nothing": {}, "little": {Title: "a"}, "one long text": {Title: strings.Repeat("x", 3<<20)},
		"many steps": {Steps: []*pb.StepReport{{Id: strings.Repeat("a", parts.Size)}, {Id: strings.Repeat("b", parts.Size)}}},
	} {
		w := &way{end: io.EOF}
		if err := parts.Send(w, report, wrap); err != nil {
			t.Fatal(err)
		}
		for _, r := range w.sent {
			if n := proto.Size(r); n > parts.Size+16 {
				t.Errorf("%s: a part of %d bytes", name, n)
			}
		}
		got, err := parts.Ask[pb.RunReport](t.Context(), w.ask, &pb.ReportRequest{})
		if err != nil || !proto.Equal(got, report) {
			t.Errorf("%s: it is another message after its way: %v", name, err)
		}
	}
}

// TestHalfAMessageIsNone holds that a stream which breaks gives its error, and a
// part that is missing another.
func TestHalfAMessageIsNone(t *testing.T) {
	lost := errors.New("connection lost")
	w := &way{end: lost, sent: []*pb.ReportResponse{wrap([]byte{0x12, 1, 'a'})}}
	if got, err := parts.Ask[pb.RunReport](t.Context(), w.ask, &pb.ReportRequest{}); !errors.Is(err, lost) || got != nil {
		t.Errorf("a stream that broke: %v, %v", got, err)
	}
	w = &way{end: io.EOF, sent: []*pb.ReportResponse{wrap([]byte{0x12, 9, 'a'})}}
	if got, err := parts.Ask[pb.RunReport](t.Context(), w.ask, &pb.ReportRequest{}); err == nil || !strings.Contains(err.Error(), "join RunReport") {
		t.Errorf("bytes that are missing: %v, %v", got, err)
	}
}

// FuzzJoin gives the joiner any bytes, cut anywhere.
func FuzzJoin(f *testing.F) {
	f.Add([]byte{}, uint8(1))
	f.Add([]byte{0x12, 1, 'a'}, uint8(2))
	f.Add([]byte{0xff, 0xff, 0xff}, uint8(1))
	f.Fuzz(func(t *testing.T, data []byte, cut uint8) {
		at := min(int(cut), len(data))
		w := &way{end: io.EOF, sent: []*pb.ReportResponse{wrap(data[:at]), wrap(data[at:])}}
		got, err := parts.Ask[pb.RunReport](t.Context(), w.ask, &pb.ReportRequest{})
		want := &pb.RunReport{}
		if plain := proto.Unmarshal(data, want); (plain == nil) != (err == nil) {
			t.Errorf("in parts: %v, as a whole: %v", err, plain)
		}
		if err == nil && !proto.Equal(got, want) {
			t.Error("it is another message in parts")
		}
	})
}
