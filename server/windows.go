package server

import (
	"bytes"
	"context"
	"iter"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"squall/proto/parts"
	pb "squall/proto/squall/v1"
	"squall/server/archive"
	"squall/server/state"
)

// Windows tells the windows of a run, by probe, zone and second: those of a run
// under way as far as they have come. No more of them are held here at one time
// than a message or a chunk of the archive has.
func (d *controlDoor) Windows(req *pb.WindowsRequest, stream grpc.ServerStreamingServer[pb.WindowsResponse]) error {
	view, err := d.read(stream.Context())
	if err != nil {
		return err
	}
	if why := d.keeper.lacksWindows(view, req.GetRun()); why != "" {
		return refusef(pb.Refusal_REFUSAL_UNKNOWN, "its report has what they came to: squall report", "run %q lacks %s", req.GetRun(), why)
	}
	batch, size := &pb.WindowsResponse{}, 0
	for w, err := range d.keeper.windows(stream.Context(), view, req.GetRun()) {
		if err != nil {
			return err
		}
		if size += proto.Size(w); size > parts.Size && len(batch.GetWindows()) > 0 {
			if err := stream.Send(batch); err != nil {
				return err
			}
			batch, size = &pb.WindowsResponse{}, proto.Size(w)
		}
		batch.Windows = append(batch.Windows, w)
	}
	return stream.Send(batch)
}

// lacksWindows says what is missing of a run whose windows are nowhere, though
// the run itself is known.
func (k *keeper) lacksWindows(view *state.View, run string) string {
	if view.Run(run).GetWindowsDropped() {
		return "its windows: there was no room for them until they could be archived"
	}
	return view.Archived(run).GetLacks()
}

// windows are those of a run: from the state, from this server's archive, or from
// another's. The state may have had to drop what some archive has.
func (k *keeper) windows(ctx context.Context, view *state.View, run string) iter.Seq2[*pb.Window, error] {
	a := view.Archived(run)
	if view.Run(run) != nil && !a.GetReleased() && (view.HasWindows(run) || a.GetWindows() == 0) {
		return func(yield func(*pb.Window, error) bool) {
			view.WindowsOf(run)(func(w *pb.Window) bool { return yield(w, nil) })
		}
	}
	if k.archive != nil {
		if e, err := k.archive.Entry(run); err == nil && (len(a.GetDigest()) == 0 || bytes.Equal(a.GetDigest(), e.Digest)) {
			return k.archive.Windows(run)
		}
	}
	return func(yield func(*pb.Window, error) bool) { k.windowsElsewhere(ctx, a, run, yield) }
}

// windowsElsewhere are those that another server's archive has.
func (k *keeper) windowsElsewhere(ctx context.Context, a *pb.Archived, run string, yield func(*pb.Window, error) bool) {
	switch {
	case a == nil:
		yield(nil, unknownRun(run))
		return
	case len(a.GetServers()) == 0:
		yield(nil, goneRun(a))
		return
	}
	for _, id := range k.others(a) {
		told, err := k.windowsThere(ctx, id, a, yield)
		if err == nil {
			return
		}
		k.log.Warn("a server does not give the windows of a run of its archive", "run", run, "from", id, "cause", err)
		if told {
			break // what was told can't be told again
		}
	}
	yield(nil, unreadable(a))
}

// windowsThere are those that one server's archive has. told says that at least
// one was handed on.
func (k *keeper) windowsThere(ctx context.Context, id string, a *pb.Archived, yield func(*pb.Window, error) bool) (told bool, err error) {
	file, err := k.open(ctx, id, &pb.FetchArchivedRequest{Run: a.GetSummary().GetId(), Part: pb.ArchivedPart_ARCHIVED_PART_WINDOWS})
	if err != nil {
		return false, err
	}
	defer file.Close()
	for w, err := range archive.DecodeWindows(file, a.GetDigest()) {
		if err != nil {
			return told, err
		}
		if told = true; !yield(w, nil) {
			return told, nil
		}
	}
	return told, nil
}
