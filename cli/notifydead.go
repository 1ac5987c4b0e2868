package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	pb "squall/proto/squall/v1"
)

func newNotifyDeadCmd(a *app) *cobra.Command {
	c := &cobra.Command{
		Use: "dead", Short: "Notices that sinks did not take",
		Long: "Notices that sinks did not take: 15 minutes have passed, or the sink said that trying again is no use. The newest 100 of each sink are kept.",
	}
	c.AddCommand(
		newDeadListCmd(a),
		newDeadSettleCmd(a, "retry", "Deliver a sink's dead notices once more: those that are named, or all", false),
		newDeadSettleCmd(a, "drop", "Forget a sink's dead notices: those that are named, or all", true),
	)
	return c
}

func newDeadListCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "list [SINK]", Short: "Notices that sinks did not take, and why", Args: cobra.MaximumNArgs(1), ValidArgsFunction: a.completeSinks(),
		RunE: func(c *cobra.Command, args []string) error {
			req := &pb.ListDeadNoticesRequest{PageSize: pageSize}
			if len(args) > 0 {
				req.Sink = args[0]
			}
			client, err := a.connect()
			if err != nil {
				return err
			}
			defer client.close()
			resp, err := listDead(c.Context(), client, req)
			if err != nil {
				return err
			}
			return a.show(deadView(resp))
		},
	}
}

func listDead(ctx context.Context, c *client, req *pb.ListDeadNoticesRequest) (*pb.ListDeadNoticesResponse, error) {
	return collect(func(token string) (*pb.ListDeadNoticesResponse, error) {
		req.PageToken = token
		return ask(ctx, c, pb.ControlServiceClient.ListDeadNotices, req)
	})
}

func deadView(resp *pb.ListDeadNoticesResponse) view {
	v := view{message: resp, table: func(w io.Writer, _ bool) {
		if len(resp.GetDead()) == 0 {
			fmt.Fprintln(w, "no notice was given up")
			return
		}
		fmt.Fprintln(w, "SINK\tNOTICE\tAT\tATTEMPTS\tWHY")
		for _, d := range resp.GetDead() {
			n := d.GetDead().GetNotice()
			fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%s\n", d.GetSink(), n.GetId(), clockTime(n.GetAtUnixNanos()), d.GetDead().GetAttempts(), d.GetDead().GetWhy())
		}
	}}
	for _, d := range resp.GetDead() {
		v.names = append(v.names, d.GetDead().GetNotice().GetId())
	}
	return v
}

func newDeadSettleCmd(a *app, use, short string, drop bool) *cobra.Command {
	req := &pb.SettleDeadNoticesRequest{Drop: drop}
	c := &cobra.Command{
		Use: use + " SINK [NOTICE…]", Short: short, Args: cobra.MinimumNArgs(1), ValidArgsFunction: a.completeSinks(),
		RunE: func(c *cobra.Command, args []string) error {
			req.Id, req.Sink, req.Notices = newID(), args[0], args[1:]
			return askAndShow(c.Context(), a, pb.ControlServiceClient.SettleDeadNotices, req, func(resp *pb.SettleDeadNoticesResponse) view {
				if drop {
					return sentenced(resp, args[0], "dead notices of sink "+args[0]+" are dropped")
				}
				return sentenced(resp, args[0], "dead notices of sink "+args[0]+" are delivered once more")
			})
		},
	}
	c.Flags().StringVar(&req.Reason, "reason", "", "why, for the record")
	return c
}
