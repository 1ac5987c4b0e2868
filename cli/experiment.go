package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"squall/experiments"
	pb "squall/proto/squall/v1"
)

func newExperimentCmd(a *app) *cobra.Command {
	c := &cobra.Command{
		Use: "experiment", Short: "Files that the cluster keeps for its schedules",
		Long: "Files that the cluster keeps, each version under its digest, with who put it there and why. A schedule pins one version: another one changes nothing that is scheduled.",
	}
	a.addAsked(c, func() []*cobra.Command {
		return []*cobra.Command{
			newExperimentPutCmd(a), newExperimentGetCmd(a),
			listCmd(a, "list", "The files that are kept, their versions, and which schedules pin them", listExperiments, experimentsView),
			newExperimentRemoveCmd(a),
		}
	})
	return c
}

func newExperimentPutCmd(a *app) *cobra.Command {
	var req pb.PutExperimentRequest
	c := &cobra.Command{
		Use: "put FILE", Short: "Keep a file, as the newest version of its experiment", Args: cobra.ExactArgs(1),
		Long: "Keep a file, as the newest version of its experiment. Of more than 20 versions, the oldest goes that no schedule pins.",
		RunE: func(c *cobra.Command, args []string) (err error) {
			if req.File, req.Source, err = readExperiment(args[0]); err != nil {
				return usage(err)
			}
			if _, _, problems := experiments.Decode(req.GetFile(), req.GetSource()); len(problems) > 0 {
				return usage(problems)
			}
			req.Id = newID()
			client, err := a.connect()
			if err != nil {
				return err
			}
			defer client.close()
			resp, err := ask(c.Context(), client, pb.ControlServiceClient.PutExperiment, &req)
			if err != nil {
				return err
			}
			if err := refused(resp.GetRefused()); err != nil {
				return err
			}
			name := pinName(resp.GetKept())
			return a.show(sentenced(resp, name, "experiment "+name+" is kept"))
		},
	}
	c.Flags().StringVar(&req.Reason, "reason", "", "why, for the record")
	return c
}

// pinName is a version as people write it: NAME@DIGEST, with the beginning of the digest.
func pinName(p *pb.Pin) string { return fmt.Sprintf("%s@%.12s", p.GetExperiment(), p.GetDigest()) }

func newExperimentGetCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "get NAME[@DIGEST]", Short: "What stands in a kept file: in its newest version, or in one", Args: cobra.ExactArgs(1),
		ValidArgsFunction: a.completeExperiments(),
		RunE: func(c *cobra.Command, args []string) error {
			client, err := a.connect()
			if err != nil {
				return err
			}
			defer client.close()
			name, digest, _ := strings.Cut(args[0], "@")
			v, err := askWhole[pb.ExperimentVersion](c.Context(), client, pb.ControlServiceClient.GetExperiment, &pb.GetExperimentRequest{Name: name, Digest: digest})
			if err != nil {
				return err
			}
			return a.show(view{message: v, names: []string{pinName(&pb.Pin{Experiment: name, Digest: v.GetDigest()})}, table: func(w io.Writer, _ bool) {
				fmt.Fprint(w, string(v.GetSource()))
			}})
		},
	}
}

func newExperimentRemoveCmd(a *app) *cobra.Command {
	return removeCmd(a, "remove NAME[@DIGEST]", "Drop a kept file, or one version of it, that no schedule pins", "experiment", a.completeExperiments(), pb.ControlServiceClient.RemoveExperiment,
		func(version, reason string) *pb.RemoveExperimentRequest {
			name, digest, _ := strings.Cut(version, "@")
			return &pb.RemoveExperimentRequest{Id: newID(), Name: name, Digest: digest, Reason: reason}
		})
}

// listExperiments are all files that are kept, by name.
func listExperiments(ctx context.Context, c *client) (*pb.ListExperimentsResponse, error) {
	return collect(func(token string) (*pb.ListExperimentsResponse, error) {
		return ask(ctx, c, pb.ControlServiceClient.ListExperiments, &pb.ListExperimentsRequest{PageSize: pageSize, PageToken: token})
	})
}

func experimentsView(resp *pb.ListExperimentsResponse) view {
	v := view{message: resp, table: func(w io.Writer, _ bool) {
		fmt.Fprintln(w, "EXPERIMENT\tBYTES\tPUT\tBY\tPINNED BY\tREASON")
		for _, k := range resp.GetExperiments() {
			for _, version := range k.GetVersions() {
				fmt.Fprintf(w, "%s\t%d\t%s\t%s\t%s\t%s\n", pinName(&pb.Pin{Experiment: k.GetName(), Digest: version.GetDigest()}), version.GetSize(),
					clockTime(version.GetPutUnixNanos()), orDash(version.GetBy().GetName()), orDash(strings.Join(version.GetPinnedBy(), " ")), orDash(version.GetBy().GetWhy()))
			}
		}
	}}
	for _, k := range resp.GetExperiments() {
		for _, version := range k.GetVersions() {
			v.names = append(v.names, pinName(&pb.Pin{Experiment: k.GetName(), Digest: version.GetDigest()}))
		}
	}
	return v
}
