package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/spf13/cobra"

	"squall/agent/host"
	"squall/proto/pki"
	pb "squall/proto/squall/v1"
	control "squall/server"
	"squall/server/consensus"
	"squall/server/notify"
)

// serverOptions are the flags of squall server.
type serverOptions struct {
	bundle, dir string
	listen      string
	socket      string
	metrics     string
	archive     archiveSpec
	wan         bool
}

func newServerCmd(a *app) *cobra.Command {
	o := &serverOptions{}
	c := &cobra.Command{
		Use:   "server",
		Short: "Run one of the control servers",
		Long: "Run one of three or five control servers, which keep one replicated state.\n" +
			"Its certificate, and the addresses of all servers, are in its bundle:\n" +
			"squall server init makes one for each. Servers speak Raft on the port after\n" +
			"the one that is listed.",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return a.runServer(c.Context(), o) },
	}
	f := c.Flags()
	f.StringVar(&o.bundle, "bundle", "", "folder with this server's certificate and the list of servers")
	f.StringVar(&o.dir, "dir", "", "folder for log and snapshots; made with mode 0700")
	f.StringVar(&o.listen, "listen", "", "host:port to listen on, where it is not the one in the bundle")
	f.StringVar(&o.socket, "socket", "", "path of a Unix socket to listen on as well")
	f.StringVar(&o.metrics, "metrics-listen", "", "host:port for /metrics, /healthz and /readyz, or off; the port two after the server's own on loopback where neither this nor the setting metrics.listen says another")
	if len(a.args) == 0 || slices.Contains(a.args, c.Name()) {
		o.archive.register(f)
	}
	f.BoolVar(&o.wan, "wan", false, "servers are far apart: notice a dead leader after 1 s instead of 0.3 s")
	for _, name := range []string{"bundle", "dir"} {
		_ = c.MarkFlagRequired(name) // fails only for a flag that is not there
	}
	c.AddCommand(newServerInitCmd(a))
	return c
}

// runServer serves until a signal comes. It gives the exit code up to main at
// once when the log's disk hangs.
func (a *app) runServer(ctx context.Context, o *serverOptions) error {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	o.metrics = cmp.Or(o.metrics, a.settings.Metrics.Listen)
	o.archive = o.archive.or(a.settings.Archive)
	cfg, err := o.config()
	if err != nil {
		return err
	}
	cfg.Secrets = notify.Secrets{Dir: a.settings.Notify.Secrets}
	cfg.Log = slog.New(slog.NewTextHandler(a.stderr, nil))
	if err := host.CoarseTimers(); err != nil {
		cfg.Log.Warn("it takes more processor time than it needs", "err", err)
	}
	s, err := control.New(cfg)
	if err != nil {
		return errors.Join(err, closeDoors(cfg))
	}
	cfg.Log.Info("serves", "server", s.ID(), "address", cfg.Doors[0].Addr().String())
	tellMetrics(cfg.Log, cfg.Metrics)
	return s.Run(ctx)
}

// config opens everything that a server listens on.
func (o *serverOptions) config() (cfg control.Config, err error) {
	defer func() {
		if err != nil {
			err = errors.Join(err, closeDoors(cfg))
		}
	}()
	cfg = control.Config{Version: readBuildInfo().Version, Dir: o.dir, Timing: consensus.LAN()}
	if cfg.Archive, err = o.archive.limits(); err != nil {
		return cfg, usage(fmt.Errorf("--archive-%w", err))
	}
	if o.wan {
		cfg.Timing = consensus.WAN()
	}
	if cfg.Bundle, err = pki.Load(o.bundle); err != nil {
		return cfg, err
	}
	if cfg.RaftPeers, err = control.RaftPeers(cfg.Bundle.Servers); err != nil {
		return cfg, usage(err)
	}
	address, err := o.address(cfg.Bundle)
	if err != nil {
		return cfg, usage(err)
	}
	return cfg, o.open(&cfg, address)
}

func (o *serverOptions) address(b *pki.Bundle) (string, error) {
	if b.Identity.Role != pb.Role_ROLE_SERVER {
		return "", fmt.Errorf("bundle %s is of %s, not of a server", o.bundle, b.Identity)
	}
	i := slices.IndexFunc(b.Servers, func(s pki.Server) bool { return s.ID == b.Identity.Name })
	if i < 0 {
		return "", fmt.Errorf("bundle %s lists servers, but not %s itself", o.bundle, b.Identity.Name)
	}
	if o.listen != "" {
		return o.listen, nil
	}
	return b.Servers[i].Address, nil
}

func (o *serverOptions) open(cfg *control.Config, address string) error {
	door, err := net.Listen("tcp", address)
	if err != nil {
		return fmt.Errorf("open door: %w", err)
	}
	cfg.Doors = append(cfg.Doors, door)
	raft, err := control.RaftAddress(address)
	if err != nil {
		return usage(err)
	}
	if cfg.RaftPort, err = net.Listen("tcp", raft); err != nil {
		return fmt.Errorf("open raft port: %w", err)
	}
	if err := o.openMetrics(cfg, address); err != nil || o.socket == "" {
		return err
	}
	return o.openSocket(cfg)
}

// openSocket takes the place of a socket that a killed server left.
func (o *serverOptions) openSocket(cfg *control.Config) error {
	if info, err := os.Lstat(o.socket); err == nil && info.Mode()&os.ModeSocket != 0 {
		if err := os.Remove(o.socket); err != nil {
			return fmt.Errorf("open socket: %w", err)
		}
	}
	socket, err := net.Listen("unix", o.socket)
	if err != nil {
		return fmt.Errorf("open socket: %w", err)
	}
	cfg.Doors = append(cfg.Doors, socket)
	return nil
}

func closeDoors(cfg control.Config) error {
	var err error
	for _, l := range append(slices.Clone(cfg.Doors), cfg.RaftPort, cfg.Metrics) {
		if l != nil {
			err = errors.Join(err, ignoreClosed(l.Close()))
		}
	}
	return err
}

func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// initOptions are the flags of squall server init.
type initOptions struct {
	out                    string
	servers, agents, users listFlag
}

func newServerInitCmd(a *app) *cobra.Command {
	o := &initOptions{}
	c := &cobra.Command{
		Use:   "init",
		Short: "Make the authority, and a bundle for each server, agent and user",
		Long: "Make the authority, and a bundle for each server, agent and user.\n" +
			"Run again on the same folder, it keeps the authority and makes the bundles\n" +
			"that are named: so more hosts join later. Keep ca/ to yourself: whoever\n" +
			"has it can be anybody. Every user may do everything that squall does:\n" +
			"there is no user who may only read, or only halt.",
		Example: "  squall server init --out pki --server a=10.0.1.10:7400 --server b=10.0.2.10:7400 \\\n" +
			"    --server c=10.0.3.10:7400 --agent web-a1 --user kim",
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return a.initServers(o) },
	}
	f := c.Flags()
	f.StringVar(&o.out, "out", "", "folder to write to")
	f.Var(&o.servers, "server", "servers as ID=HOST:PORT; all of them, each time")
	f.Var(&o.agents, "agent", "names of hosts")
	f.Var(&o.users, "user", "names of users")
	for _, name := range []string{"out", "server"} {
		_ = c.MarkFlagRequired(name) // fails only for a flag that is not there
	}
	return c
}

func (a *app) initServers(o *initOptions) error {
	var servers []pki.Server
	var ids []string
	for _, text := range o.servers {
		s, err := pki.ParseServer(text)
		if err != nil {
			return usage(err)
		}
		servers, ids = append(servers, s), append(ids, s.ID)
	}
	if _, err := control.RaftPeers(servers); err != nil {
		return usage(err)
	}
	if err := checkNames(ids, o.agents, o.users); err != nil {
		return usage(err)
	}
	authority, err := pki.OpenAuthority(filepath.Join(o.out, "ca"))
	if err != nil {
		return err
	}
	for _, set := range []struct {
		folder string
		role   pb.Role
		names  []string
	}{
		{"servers", pb.Role_ROLE_SERVER, ids},
		{"agents", pb.Role_ROLE_AGENT, o.agents},
		{"users", pb.Role_ROLE_USER, o.users},
	} {
		for _, name := range set.names {
			dir := filepath.Join(o.out, set.folder, name)
			if err := issue(authority, pki.Identity{Role: set.role, Name: name}, servers, dir); err != nil {
				return err
			}
			fmt.Fprintln(a.stdout, dir)
		}
	}
	return nil
}

// checkNames refuses names that are wrong, or stand twice among those of their
// role, before anything is written.
func checkNames(sets ...[]string) error {
	for _, names := range sets {
		for i, name := range names {
			if err := pki.CheckName(name); err != nil {
				return err
			}
			if slices.Contains(names[:i], name) {
				return fmt.Errorf("name %q: stands twice", name)
			}
		}
	}
	return nil
}

// issue writes a bundle, unless there is one of this authority that is valid:
// then only its list of servers is renewed.
func issue(authority *pki.Authority, id pki.Identity, servers []pki.Server, dir string) error {
	bundle, err := pki.Load(dir)
	if err != nil || bundle.Identity != id || !authority.Signed(bundle) {
		if bundle, err = authority.Issue(id); err != nil {
			return err
		}
	}
	return bundle.WithServers(servers).Write(dir)
}
