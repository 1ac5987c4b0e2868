package main

import (
	"context"

	"github.com/spf13/cobra"
)

// removeCmd is a command that drops what servers keep under a name, on record
// with the reason. noun says what that is.
func removeCmd[Req, Resp any](a *app, use, short, noun string, names completion, m method[Req, Resp], request func(name, reason string) Req) *cobra.Command {
	var reason string
	c := &cobra.Command{
		Use: use, Short: short, Args: cobra.ExactArgs(1), ValidArgsFunction: names,
		RunE: func(c *cobra.Command, args []string) error {
			return askAndShow(c.Context(), a, m, request(args[0], reason), func(resp Resp) view {
				return sentenced(resp, args[0], noun+" "+args[0]+" is removed")
			})
		},
	}
	c.Flags().StringVar(&reason, "reason", "", "why, for the record")
	return c
}

// completeListed offers the names of a list as the only argument, as -o name
// prints them.
func completeListed[R any](a *app, list func(context.Context, *client) (R, error), show func(R) view) completion {
	return onlyArgument(a.completeLive(func(ctx context.Context, c *client, add func(string)) {
		resp, _ := list(ctx, c)
		for _, name := range show(resp).names {
			add(name)
		}
	}))
}
