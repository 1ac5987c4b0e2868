package server

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"io/fs"
	"maps"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"

	"squall/proto/parts"
	pb "squall/proto/squall/v1"
	"squall/server/archive"
)

// verifyTime is how long one server may take to read its archive whole.
const verifyTime = 10 * time.Minute

// VerifyArchive has every server verify its archive, all at once.
func (d *controlDoor) VerifyArchive(_ *pb.VerifyArchiveRequest, stream grpc.ServerStreamingServer[pb.VerifyArchiveResponse]) error {
	var mu sync.Mutex
	all := map[string]*pb.ServerArchive{}
	note := func(a *pb.ServerArchive) {
		mu.Lock()
		defer mu.Unlock()
		all[a.GetServer()] = a
	}
	var here sync.WaitGroup
	here.Go(func() { note(d.keeper.verifyOnce(stream.Context())) })
	d.peers.each(stream.Context(), asks, verifyTime, func(ctx context.Context, id string, peer pb.PeerServiceClient) {
		a, err := parts.Ask[pb.ServerArchive](ctx, peer.VerifyArchived, &pb.VerifyArchivedRequest{})
		if err != nil {
			a = &pb.ServerArchive{Server: id, Error: "it does not answer: " + err.Error()}
		}
		note(a)
	})
	here.Wait()
	check := &pb.ArchiveCheck{}
	for _, id := range slices.Sorted(maps.Keys(all)) {
		check.Servers = append(check.Servers, all[id])
	}
	return parts.Send(stream, check, func(part []byte) *pb.VerifyArchiveResponse { return &pb.VerifyArchiveResponse{Part: part} })
}

// VerifyArchived verifies this server's archive.
func (d *peerDoor) VerifyArchived(_ *pb.VerifyArchivedRequest, stream grpc.ServerStreamingServer[pb.VerifyArchivedResponse]) error {
	a := d.server.keeper.verifyOnce(stream.Context())
	return parts.Send(stream, a, func(part []byte) *pb.VerifyArchivedResponse { return &pb.VerifyArchivedResponse{Part: part} })
}

// verifyOnce verifies the archive for all who ask meanwhile. Where the one for
// whom it was begun waits no more, it is begun anew.
func (k *keeper) verifyOnce(ctx context.Context) *pb.ServerArchive {
	for {
		found, cut, _ := k.verifying.Do("", func() (any, error) { return k.verify(ctx), ctx.Err() })
		if cut == nil || ctx.Err() != nil {
			return found.(*pb.ServerArchive)
		}
	}
}

// verify reads the archive whole, and says what is wrong and what is lacking.
func (k *keeper) verify(ctx context.Context) *pb.ServerArchive {
	out := &pb.ServerArchive{Server: k.server.id}
	if k.archive == nil {
		out.Error = "it has no archive: this server has no folder"
		return out
	}
	if err := k.archive.Rescan(); err != nil {
		out.Error = "its folder can't be read: " + err.Error()
		return out
	}
	for _, e := range k.archive.Entries() {
		if ctx.Err() != nil {
			out.Error = "it was not read to its end: " + context.Cause(ctx).Error()
			return out
		}
		k.verifyRun(e, out)
	}
	for _, f := range k.archive.Strangers() {
		out.Faults = append(out.Faults, &pb.ArchiveFault{File: f.File, Text: f.Err.Error()})
	}
	return k.lacking(out)
}

// verifyRun reads a run whole. What is damaged is a stranger from then on, and
// told as one. A file that can't be read, or has vanished meanwhile, is not whole
// either; a run that was taken out is no fault.
func (k *keeper) verifyRun(e archive.Entry, out *pb.ServerArchive) {
	err := k.archive.Verify(e.Run())
	switch {
	case err == nil:
		out.Runs++
		out.Bytes += uint64(e.Bytes)
	case errors.Is(err, archive.ErrDamaged):
	case errors.Is(err, archive.ErrUnknown) && !errors.Is(err, fs.ErrNotExist):
	default:
		out.Faults = append(out.Faults, &pb.ArchiveFault{File: e.File, Run: e.Run(), Text: err.Error()})
	}
}

// lacking adds the runs that the cluster has sealed and this archive could not get.
func (k *keeper) lacking(out *pb.ServerArchive) *pb.ServerArchive {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, run := range slices.Sorted(maps.Keys(k.failing)) {
		out.Faults = append(out.Faults, &pb.ArchiveFault{Run: run, Text: "it is lacking here: " + k.failing[run].Error()})
	}
	return out
}

// ExportArchived tells an archived run as lines of JSON.
func (d *controlDoor) ExportArchived(req *pb.ExportArchivedRequest, stream grpc.ServerStreamingServer[pb.ExportArchivedResponse]) error {
	view, err := d.read(stream.Context())
	if err != nil {
		return err
	}
	return d.keeper.export(stream.Context(), view, req.GetRun(), sendParts(func(part []byte) error {
		return stream.Send(&pb.ExportArchivedResponse{Part: bytes.Clone(part)})
	}))
}

// PruneArchive lets go of the oldest archived runs, on every server.
func (d *controlDoor) PruneArchive(ctx context.Context, req *pb.PruneArchiveRequest) (*pb.PruneArchiveResponse, error) {
	limits := archive.Limits{Age: time.Duration(req.GetAgeNanos()), Runs: int(req.GetRuns()), Bytes: int64(req.GetBytes())}
	if limits == (archive.Limits{}) || limits.Age < 0 || limits.Bytes < 0 {
		return nil, refusef(pb.Refusal_REFUSAL_INVALID, "give an age, a number of runs or a size", "the request does not say what is to be kept")
	}
	view, err := d.read(ctx)
	if err != nil {
		return nil, err
	}
	had := slices.DeleteFunc(view.AllArchived(), func(a *pb.Archived) bool {
		return !a.GetReleased() || a.GetPruned() || len(a.GetServers()) == 0
	})
	over := beyond(had, d.now(), limits)
	resp := &pb.PruneArchiveResponse{}
	cmd := &pb.PruneArchived{}
	for _, a := range over {
		cmd.Runs = append(cmd.Runs, a.GetSummary().GetId())
		resp.Runs++
		resp.Bytes += a.GetBytes()
	}
	if len(over) == 0 || req.GetDryRun() {
		return spanOf(resp, over), nil
	}
	outcome, err := d.propose(ctx, &pb.Command{
		Id: "prune/" + rand.Text(), By: d.principal(ctx, req.GetWhy()), Kind: &pb.Command_PruneArchived{PruneArchived: cmd},
	})
	resp.Index = outcome.GetIndex()
	return spanOf(resp, over), err
}

func spanOf(resp *pb.PruneArchiveResponse, over []*pb.Archived) *pb.PruneArchiveResponse {
	if len(over) > 0 {
		resp.OldestUnixNanos, resp.NewestUnixNanos = over[0].GetDoneUnixNanos(), over[len(over)-1].GetDoneUnixNanos()
	}
	return resp
}

// beyond are the runs that limits leave no room for, oldest first.
func beyond(all []*pb.Archived, now time.Time, l archive.Limits) []*pb.Archived {
	slices.SortStableFunc(all, compareDone)
	kept := make([]archive.Kept, len(all))
	for i, a := range all {
		kept[i] = archive.Kept{Done: time.Unix(0, a.GetDoneUnixNanos()), Bytes: int64(a.GetBytes())}
	}
	return all[:archive.Over(kept, now, l)]
}

func compareDone(a, b *pb.Archived) int {
	return cmp.Or(cmp.Compare(a.GetDoneUnixNanos(), b.GetDoneUnixNanos()), cmp.Compare(a.GetSummary().GetId(), b.GetSummary().GetId()))
}
