package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	pb "squall/proto/squall/v1"
)

func newConfirmCmd(a *app) *cobra.Command {
	c := &cobra.Command{
		Use: "confirm", Short: "Say that you have seen to a host whose journal was damaged", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return usagef("confirm what? damage HOST") },
	}
	var req pb.ConfirmDamageRequest
	damage := &cobra.Command{
		Use: "damage HOST", Short: "Let a host take faults again whose journal was damaged", Args: cobra.ExactArgs(1),
		Long:              "Let a host take faults again whose journal was damaged. Its agent has undone what it could read and swept what carries its tag; what else an earlier fault may have left there, or which halt it had latched, it can't know. Look at the host first: squall describe host HOST says what is lost and since when. On the host itself, squall resume --local does the same.",
		ValidArgsFunction: a.completeHosts(hostNames),
		RunE: func(c *cobra.Command, args []string) error {
			req.Host = args[0]
			return askAndShow(c.Context(), a, pb.ControlServiceClient.ConfirmDamage, &req, func(resp *pb.ConfirmDamageResponse) view {
				return confirmedView(req.GetHost(), resp)
			})
		},
	}
	damage.Flags().StringVar(&req.Reason, "reason", "", "why, for the record")
	damage.Flags().StringVar(&req.Id, "id", "", "the damage that you have seen; without it, the one that stands now")
	c.AddCommand(damage)
	return c
}

// confirmedView says whether the host takes faults again already.
func confirmedView(host string, resp *pb.ConfirmDamageResponse) view {
	return view{message: resp, names: []string{host}, table: func(w io.Writer, _ bool) {
		if resp.GetTaken() {
			fmt.Fprintf(w, "%s takes faults again\n", escape(host))
			return
		}
		fmt.Fprintf(w, "confirmed; %s takes faults again when it has heard of it\n", escape(host))
	}}
}
