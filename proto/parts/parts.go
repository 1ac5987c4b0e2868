// Package parts carries messages of any size in streams of small ones: an answer
// that is one picture of one moment can't be cut into pages, and gRPC's clients
// take no message of more than 4 MiB.
//
// The parts of a message, joined in order, are its bytes.
package parts

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
)

const (
	// Size is how much one part holds, in bytes.
	Size = 512 << 10
	// Most is how large a message may be as a whole, in bytes.
	Most = 256 << 20
)

// Part is a message of a stream: it has some of the bytes.
type Part interface{ GetPart() []byte }

// Send sends a message in parts; wrap makes one of some of its bytes.
func Send[R any](stream grpc.ServerStreamingServer[R], whole proto.Message, wrap func(part []byte) *R) error {
	data, err := proto.Marshal(whole)
	if err != nil {
		return fmt.Errorf("send %s: %w", whole.ProtoReflect().Descriptor().Name(), err)
	}
	for part := range slices.Chunk(data, Size) {
		if err := stream.Send(wrap(part)); err != nil {
			return fmt.Errorf("send %s: %w", whole.ProtoReflect().Descriptor().Name(), err)
		}
	}
	return nil
}

// Method is a call of a gRPC client whose answer comes in parts.
type Method[Q, R any] func(context.Context, Q, ...grpc.CallOption) (grpc.ServerStreamingClient[R], error)

// Ask calls a method and joins the parts of its answer, which is a W. Errors of
// the server are returned as they are.
func Ask[W, Q, R any, PW interface {
	*W
	proto.Message
}, PR interface {
	*R
	Part
}](ctx context.Context, m Method[Q, R], req Q) (*W, error) {
	ctx, cancel := context.WithCancel(ctx) // the stream's resources go with it
	defer cancel()
	stream, err := m(ctx, req)
	if err != nil {
		return nil, err
	}
	data, err := join[R, PR](stream)
	if err != nil {
		return nil, err
	}
	whole := PW(new(W))
	if err := proto.Unmarshal(data, whole); err != nil {
		return nil, fmt.Errorf("join %s: %w", whole.ProtoReflect().Descriptor().Name(), err)
	}
	return (*W)(whole), nil
}

func join[R any, PR interface {
	*R
	Part
}](stream grpc.ServerStreamingClient[R]) (data []byte, err error) {
	for {
		r, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return data, nil
		}
		if err != nil {
			return nil, err
		}
		if data = append(data, PR(r).GetPart()...); len(data) > Most {
			return nil, fmt.Errorf("join parts: there are more than %d bytes", Most)
		}
	}
}
