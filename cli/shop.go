package main

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"squall/cli/lab/shop"
)

// newShopCmd runs the programs of the lab's shop. It is for lab files.
func newShopCmd(*app) *cobra.Command {
	c := &cobra.Command{Use: "shop", Short: "Programs of the lab's built-in shop", Hidden: true}
	c.PersistentPreRunE = func(c *cobra.Command, _ []string) error {
		// They end when they are told to, whatever settings a person has.
		ctx, _ := signal.NotifyContext(c.Context(), syscall.SIGTERM, syscall.SIGINT)
		c.SetContext(ctx)
		return nil
	}
	c.AddCommand(
		&cobra.Command{Use: "frontend", Args: cobra.NoArgs, RunE: func(c *cobra.Command, _ []string) error { return shop.RunFrontend(c.Context()) }},
		&cobra.Command{Use: "api", Args: cobra.NoArgs, RunE: func(c *cobra.Command, _ []string) error { return shop.RunAPI(c.Context()) }},
		&cobra.Command{Use: "client", Args: cobra.NoArgs, RunE: func(c *cobra.Command, _ []string) error { return shop.RunClient(c.Context()) }},
		newShopStoreCmd(),
		newShopResolverCmd(),
		newShopWriterCmd("etcd-writer", shop.RunWriter),
		newShopWriterCmd("postgres-writer", func(ctx context.Context, members []string) error {
			return shop.RunPostgresWriter(ctx, members, os.Stdout)
		}),
	)
	return c
}

func newShopStoreCmd() *cobra.Command {
	var config shop.StoreConfig
	var peers []string
	c := &cobra.Command{Use: "store", Args: cobra.NoArgs, RunE: func(c *cobra.Command, _ []string) error {
		config.Peers = map[string]string{}
		for _, p := range peers {
			name, ip, ok := strings.Cut(p, "=")
			if !ok {
				return usagef("peer %q: want NAME=IP", p)
			}
			config.Peers[name] = ip
		}
		if config.Peers[config.Name] == "" {
			return usagef("name %q is not one of the peers", config.Name)
		}
		return shop.RunStore(c.Context(), config)
	}}
	c.Flags().StringVar(&config.Name, "name", "", "this member")
	c.Flags().StringVar(&config.Data, "data", "", "folder of its log")
	c.Flags().StringArrayVar(&peers, "peer", nil, "a member, NAME=IP, itself included")
	return c
}

func newShopResolverCmd() *cobra.Command {
	var ip string
	var texts []string
	c := &cobra.Command{Use: "resolver", Args: cobra.NoArgs, RunE: func(c *cobra.Command, _ []string) error {
		at, err := netip.ParseAddr(ip)
		if err != nil {
			return usage(fmt.Errorf("ip: %w", err))
		}
		var sets []shop.Set
		for _, text := range texts {
			s, err := shop.ParseSet(text)
			if err != nil {
				return usage(err)
			}
			sets = append(sets, s)
		}
		return shop.RunResolver(c.Context(), at, sets)
	}}
	c.Flags().StringVar(&ip, "ip", "", "address to answer on")
	c.Flags().StringArrayVar(&texts, "serve", nil, "a name and who is behind it, NAME:PORT=IP,IP")
	return c
}

func newShopWriterCmd(use string, run func(context.Context, []string) error) *cobra.Command {
	var members []string
	c := &cobra.Command{Use: use, Args: cobra.NoArgs, RunE: func(c *cobra.Command, _ []string) error {
		if len(members) == 0 {
			return usagef("no --member given")
		}
		return run(c.Context(), members)
	}}
	c.Flags().StringArrayVar(&members, "member", nil, "a member of the store, IP:PORT")
	return c
}
