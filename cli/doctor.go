package main

import "github.com/spf13/cobra"

func newDoctorCmd(a *app) *cobra.Command {
	local := localFlags{}
	c := &cobra.Command{
		Use:   "doctor",
		Short: "Try every mechanism on this host, and say what works",
		Long:  "Try every mechanism on this host, through its agent, and say what works. Of other hosts, get hosts -o wide lists what is missing.",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return local.do(a, func(l *localClient) error { return l.doctor(c.Context()) })
		},
	}
	c.Flags().StringVar(&local.socket, "socket", defaultSocket, "the agent's socket")
	return c
}
