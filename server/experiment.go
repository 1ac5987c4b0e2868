package server

import (
	"context"
	"strings"

	"google.golang.org/grpc"

	"squall/experiments"
	"squall/proto/parts"
	pb "squall/proto/squall/v1"
	"squall/server/report"
	"squall/server/state"
)

// PutExperiment keeps a file, as the newest version of its experiment's name.
// It is checked as far as it can be without hosts.
func (d *controlDoor) PutExperiment(ctx context.Context, req *pb.PutExperimentRequest) (*pb.PutExperimentResponse, error) {
	e, _, problems := experiments.Decode(req.GetFile(), req.GetSource())
	if len(problems) > 0 {
		return &pb.PutExperimentResponse{Refused: fewProblems(problems)}, nil
	}
	outcome, err := d.act(ctx, "put experiment", req, &pb.Command{
		By: d.principal(ctx, req.GetReason()),
		Kind: &pb.Command_PutExperiment{PutExperiment: &pb.PutExperiment{
			Name: e.GetName(), Source: req.GetSource(), DueNanos: e.GetDue().GetNanos(),
		}},
	})
	if err != nil {
		return nil, err
	}
	return &pb.PutExperimentResponse{
		Index: outcome.GetIndex(), Kept: &pb.Pin{Experiment: e.GetName(), Digest: state.Digest(req.GetSource())},
	}, nil
}

// ListExperiments tells the files that are kept, by name, in pages.
func (d *controlDoor) ListExperiments(ctx context.Context, req *pb.ListExperimentsRequest) (*pb.ListExperimentsResponse, error) {
	return listed(ctx, d, req, report.ListExperiments)
}

// GetExperiment tells one version of a file.
func (d *controlDoor) GetExperiment(req *pb.GetExperimentRequest, stream grpc.ServerStreamingServer[pb.GetExperimentResponse]) error {
	view, err := d.read(stream.Context())
	if err != nil {
		return err
	}
	version, err := versionOf(view, req.GetName(), req.GetDigest())
	if err != nil {
		return err
	}
	told := report.Version(view, req.GetName(), version)
	told.Source = version.GetSource()
	return parts.Send(stream, told, func(part []byte) *pb.GetExperimentResponse { return &pb.GetExperimentResponse{Part: part} })
}

// RemoveExperiment drops a version of a file, or all of them, unless a schedule
// pins it.
func (d *controlDoor) RemoveExperiment(ctx context.Context, req *pb.RemoveExperimentRequest) (*pb.RemoveExperimentResponse, error) {
	digest := req.GetDigest()
	if digest != "" {
		view, err := d.read(ctx)
		if err != nil {
			return nil, err
		}
		if version, err := versionOf(view, req.GetName(), digest); err == nil {
			digest = version.GetDigest() // else it is gone, and the machine knows by whose request
		}
	}
	outcome, err := d.act(ctx, "remove experiment", req, &pb.Command{
		By:   d.principal(ctx, req.GetReason()),
		Kind: &pb.Command_RemoveExperiment{RemoveExperiment: &pb.RemoveExperiment{Name: req.GetName(), Digest: digest}},
	})
	return &pb.RemoveExperimentResponse{Index: outcome.GetIndex()}, err
}

// versionOf is the version of a file whose digest begins so; the newest where
// nothing is said of it.
func versionOf(view *state.View, name, digest string) (*pb.ExperimentVersion, error) {
	versions := view.Experiment(name).GetVersions()
	var found []*pb.ExperimentVersion
	for _, v := range versions {
		if digest != "" && strings.HasPrefix(v.GetDigest(), digest) {
			found = append(found, v)
		}
	}
	switch {
	case digest == "" && len(versions) > 0:
		return versions[len(versions)-1], nil
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1:
		return nil, refusef(pb.Refusal_REFUSAL_INVALID, "write more of it", "%d versions of experiment %q have a digest that begins with %q", len(found), name, digest)
	}
	return nil, refusal(state.NoExperiment(name, digest))
}

// referred is a version that is written as NAME or NAME@DIGEST.
func referred(view *state.View, reference string) (*pb.Pin, []byte, error) {
	name, digest, _ := strings.Cut(reference, "@")
	version, err := versionOf(view, name, digest)
	return &pb.Pin{Experiment: name, Digest: version.GetDigest()}, version.GetSource(), err
}
