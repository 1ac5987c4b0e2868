package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"squall/proto/parts"
	pb "squall/proto/squall/v1"
	"squall/server/archive"
	"squall/server/state"
)

// fetchTime bounds the copy of one run from another server.
const fetchTime = 5 * time.Minute

// find is a run whole: from the state, from this server's archive, or from
// another's. One that is nowhere is told so, and never empty.
func (k *keeper) find(ctx context.Context, view *state.View, run string) (*pb.Run, error) {
	if r := view.Run(run); r != nil {
		return r, nil
	}
	a := view.Archived(run)
	if r := k.findHere(run, a.GetDigest()); r != nil {
		return r, nil
	}
	switch {
	case a == nil:
		return nil, unknownRun(run)
	case len(a.GetServers()) == 0:
		return nil, goneRun(a)
	}
	return k.findElsewhere(ctx, a)
}

// findHere is a run of this server's archive, nil where it has none, or another
// record than the cluster's.
func (k *keeper) findHere(run string, digest []byte) *pb.Run {
	if k.archive == nil {
		return nil
	}
	e, err := k.archive.Entry(run)
	if err != nil || len(digest) > 0 && !bytes.Equal(digest, e.Digest) {
		return nil
	}
	r, err := k.archive.Run(run)
	if err != nil {
		k.log.Error("a run of the archive can't be read", "run", run, "cause", err)
		return nil
	}
	return r
}

func goneRun(a *pb.Archived) error {
	why := "its archive is gone: no server has it any more"
	if a.GetPruned() {
		why = "its archive was pruned"
	}
	if !a.GetReleased() && len(a.GetDigest()) == 0 {
		why = "no archive ever had it: none could take it before it had to make room"
	}
	return refusef(pb.Refusal_REFUSAL_UNKNOWN, "its verdict and who ran it are in: squall get runs", "run %q is over, and %s", a.GetSummary().GetId(), why)
}

// findElsewhere asks the servers that have a run for it.
func (k *keeper) findElsewhere(ctx context.Context, a *pb.Archived) (*pb.Run, error) {
	run := a.GetSummary().GetId()
	for _, id := range a.GetServers() {
		r, err := k.findThere(ctx, id, a)
		if err == nil {
			return r, nil
		}
		k.log.Warn("a server does not give a run of its archive", "run", run, "from", id, "cause", err)
	}
	return nil, unreadable(a)
}

func unreadable(a *pb.Archived) error {
	return status.Errorf(codes.Unavailable, "run %q is in the archive of %s, which can't be read now", a.GetSummary().GetId(), strings.Join(a.GetServers(), ", "))
}

func (k *keeper) findThere(ctx context.Context, id string, a *pb.Archived) (*pb.Run, error) {
	file, err := k.open(ctx, id, &pb.FetchArchivedRequest{Run: a.GetSummary().GetId(), Part: pb.ArchivedPart_ARCHIVED_PART_RUN})
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return archive.Decode(file, a.GetDigest())
}

// open begins to read the file of a run in another server's archive.
func (k *keeper) open(ctx context.Context, id string, req *pb.FetchArchivedRequest) (io.ReadCloser, error) {
	peer, err := k.server.peers.client(asks, id)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, fetchTime)
	stream, err := peer.FetchArchived(ctx, req)
	if err != nil {
		cancel()
		return nil, err
	}
	return &fetched{stream: stream, end: cancel}, nil
}

// fetched reads the parts of a file.
type fetched struct {
	stream grpc.ServerStreamingClient[pb.FetchArchivedResponse]
	end    context.CancelFunc
	rest   []byte
}

// Read implements io.Reader.
func (f *fetched) Read(b []byte) (int, error) {
	for len(f.rest) == 0 {
		part, err := f.stream.Recv()
		if err != nil {
			return 0, err
		}
		f.rest = part.GetPart()
	}
	n := copy(b, f.rest)
	f.rest = f.rest[n:]
	return n, nil
}

// Close implements io.Closer: the other server stops sending.
func (f *fetched) Close() error {
	f.end()
	return nil
}

// FetchArchived sends the file of a run in this server's archive, or a part of it.
func (d *peerDoor) FetchArchived(req *pb.FetchArchivedRequest, stream grpc.ServerStreamingServer[pb.FetchArchivedResponse]) error {
	k := d.server.keeper
	if k.archive == nil {
		return status.Error(codes.FailedPrecondition, "this server has no archive")
	}
	send := k.archive.Copy
	switch req.GetPart() {
	case pb.ArchivedPart_ARCHIVED_PART_RUN:
		send = k.archive.CopyRun
	case pb.ArchivedPart_ARCHIVED_PART_WINDOWS:
		send = k.archive.CopyWindows
	}
	err := send(req.GetRun(), sendParts(func(part []byte) error {
		return stream.Send(&pb.FetchArchivedResponse{Part: bytes.Clone(part)})
	}))
	if errors.Is(err, archive.ErrUnknown) {
		return status.Error(codes.NotFound, err.Error())
	}
	return err
}

// sendParts is a writer of a stream's messages, none of which is too large.
type sendParts func(part []byte) error

// Write implements io.Writer.
func (send sendParts) Write(b []byte) (int, error) {
	for at := 0; at < len(b); at += parts.Size {
		if err := send(b[at:min(at+parts.Size, len(b))]); err != nil {
			return at, fmt.Errorf("send part: %w", err)
		}
	}
	return len(b), nil
}
