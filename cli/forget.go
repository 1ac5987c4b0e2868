package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	pb "squall/proto/squall/v1"
)

func newForgetCmd(a *app) *cobra.Command {
	c := &cobra.Command{
		Use: "forget", Short: "Take a host that is gone for good out of the registry", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return usagef("forget what? host NAME") },
	}
	var req pb.ForgetHostRequest
	host := &cobra.Command{
		Use: "host NAME", Short: "Take a lost host out of the registry: nothing is a share of it any more", Args: cobra.ExactArgs(1),
		Long: "Take a lost host out of the registry, so that no share and no zone counts it any more. It is refused while the host is connected, or may still hold a fault. A host whose agent starts again comes back by itself.",
		RunE: func(c *cobra.Command, args []string) error {
			req.Host = args[0]
			return askAndShow(c.Context(), a, pb.ControlServiceClient.ForgetHost, &req, func(resp *pb.ForgetHostResponse) view {
				return forgottenView(req.GetHost(), resp)
			})
		},
	}
	host.Flags().StringVar(&req.Reason, "reason", "", "why, for the record")
	c.AddCommand(host)
	return c
}

// forgottenView says what was never shown clean there: nobody will ask again.
func forgottenView(host string, resp *pb.ForgetHostResponse) view {
	return view{message: resp, names: []string{host}, table: func(w io.Writer, _ bool) {
		fmt.Fprintf(w, "%s is forgotten\n", escape(host))
		for _, o := range resp.GetOpen() {
			what := "not heard from"
			if len(o.GetResidue()) > 0 {
				what = strings.Join(o.GetResidue(), "; ")
			}
			fmt.Fprintf(w, "never shown clean\t%s\t%s\t%s\n", escape(o.GetRun()), escape(o.GetStep()), escape(what))
		}
	}}
}
