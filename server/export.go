package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"

	pb "squall/proto/squall/v1"
	"squall/server/archive"
	"squall/server/state"
)

// export writes an archived run as lines of JSON: from this server's archive, or
// from another's as it comes from there. It is not kept here, where the limits may
// leave no room for it.
func (k *keeper) export(ctx context.Context, view *state.View, run string, to io.Writer) error {
	a := view.Archived(run)
	switch {
	case k.archive == nil:
		return refusef(pb.Refusal_REFUSAL_UNSUPPORTED, "ask another server", "this server has no archive")
	case k.findHere(run, a.GetDigest()) != nil:
		return k.archive.Export(run, to)
	case view.Run(run) != nil && len(a.GetServers()) == 0 && !a.GetReleased():
		return refusef(pb.Refusal_REFUSAL_UNKNOWN, "wait until it is over, and shown clean or over for a day", "run %q is not archived yet", run)
	case a == nil:
		return unknownRun(run)
	case len(a.GetServers()) == 0:
		return goneRun(a)
	}
	if err := k.exportElsewhere(ctx, a, to); err != nil {
		return refusef(pb.Refusal_REFUSAL_UNKNOWN, "see where it is with: squall operator archive list", "run %q can't be had: %v", run, err)
	}
	return nil
}

// exportElsewhere exports a run from the first server that gives it.
func (k *keeper) exportElsewhere(ctx context.Context, a *pb.Archived, to io.Writer) error {
	var failed []error
	out := &counted{to: to}
	for _, id := range k.others(a) {
		err := k.exportThere(ctx, id, a, out)
		if err == nil {
			return nil
		}
		if failed = append(failed, fmt.Errorf("from server %s: %w", id, err)); out.wrote > 0 {
			break // what was told can't be told again
		}
	}
	return cmp.Or(errors.Join(failed...), errNowhere)
}

func (k *keeper) exportThere(ctx context.Context, id string, a *pb.Archived, to io.Writer) error {
	if err := k.exportPart(ctx, id, a, pb.ArchivedPart_ARCHIVED_PART_RUN, archive.ExportRun, to); err != nil {
		return err
	}
	return k.exportPart(ctx, id, a, pb.ArchivedPart_ARCHIVED_PART_WINDOWS, archive.ExportWindows, to)
}

func (k *keeper) exportPart(ctx context.Context, id string, a *pb.Archived, part pb.ArchivedPart, export func(io.Reader, []byte, io.Writer) error, to io.Writer) error {
	file, err := k.open(ctx, id, &pb.FetchArchivedRequest{Run: a.GetSummary().GetId(), Part: part})
	if err != nil {
		return err
	}
	return errors.Join(export(file, a.GetDigest(), to), file.Close())
}

// counted counts the bytes that it hands on.
type counted struct {
	to    io.Writer
	wrote int
}

// Write implements io.Writer.
func (c *counted) Write(b []byte) (int, error) {
	n, err := c.to.Write(b)
	c.wrote += n
	return n, err
}
