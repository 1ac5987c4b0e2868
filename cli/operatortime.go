package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	pb "squall/proto/squall/v1"
)

func newTimeCmd(a *app) *cobra.Command {
	c := &cobra.Command{
		Use: "time", Short: "Cluster time, which schedules go by", Args: cobra.NoArgs,
		Long: "Cluster time, which schedules go by. It is the first leader's wall clock, carried on by each later one. Where it is more than a second off the servers' wall clocks, slots of schedules wait. squall status says how far off it is.",
		RunE: func(*cobra.Command, []string) error { return usagef("do what with cluster time? accept") },
	}
	c.AddCommand(newTimeAcceptCmd(a))
	return c
}

func newTimeAcceptCmd(a *app) *cobra.Command {
	var req pb.AcceptTimeRequest
	c := &cobra.Command{
		Use: "accept", Short: "Have schedules go by cluster time though it is off the servers' wall clocks", Args: cobra.NoArgs,
		Long:    "Have schedules go by cluster time though it is off the servers' wall clocks. It is not set: it follows the wall clocks slowly while nothing is injected. What is accepted is how far it is off now. It is in doubt again where it gets a second further off, and what was accepted ends once they agree. Slots that wait begin if they are less than a minute late; others are missed, as their schedule says.",
		Example: "  squall operator time accept --why 'the time servers are down; the wall clocks are wrong'",
		RunE: func(c *cobra.Command, _ []string) error {
			req.Id = newID()
			return askAndShow(c.Context(), a, pb.ControlServiceClient.AcceptTime, &req, func(resp *pb.AcceptTimeResponse) view {
				return sentenced(resp, "", acceptedSentence(time.Duration(resp.GetWallOffNanos())))
			})
		},
	}
	c.Flags().StringVar(&req.Why, "why", "", "the reason, for the record; required")
	return c
}

func acceptedSentence(off time.Duration) string {
	way := "behind"
	if off > 0 {
		way = "ahead of"
	}
	return fmt.Sprintf("schedules go by cluster time, %s %s the servers' wall clocks", span(off.Abs()), way)
}
