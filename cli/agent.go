package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"squall/agent"
	"squall/agent/host"
	"squall/agent/session"
	"squall/experiments"
	"squall/proto/pki"
	pb "squall/proto/squall/v1"
)

const (
	// workerCommand is the agent's second process; the supervisor starts it.
	workerCommand = "agent-worker"
	// defaultSocket and defaultState are where an agent of this host is.
	defaultSocket = "/run/squall/agent.sock"
	defaultState  = "/var/lib/squall/agent"
)

// agentCmd is one agent, in either of its two processes.
type agentCmd struct {
	config     string
	state      string
	runFolder  string
	socket     string
	bundle     string
	cgroup     string
	logs       string
	standalone bool
	log        *slog.Logger
}

func newAgentCmd(a *app) *cobra.Command {
	c := &agentCmd{}
	cmd := &cobra.Command{
		Use:   "agent",
		Short: "Run the agent of this host",
		Long: "Run the agent of this host: it carries out faults, and makes sure that they end.\n" +
			"With --bundle it takes orders from the servers that the bundle names; with\n" +
			"--standalone it takes faults from its own socket alone.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return c.run(cmd, a, (*agent.Process).Supervise) },
	}
	if a.asks(cmd.Name()) {
		cmd.AddCommand(newAgentUndoCmd(a))
	}
	return c.register(cmd)
}

func newAgentWorkerCmd(a *app) *cobra.Command {
	c := &agentCmd{}
	return c.register(&cobra.Command{
		Use: workerCommand, Short: "The agent's working half", Hidden: true, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return c.run(cmd, a, (*agent.Process).Work) },
	})
}

func (c *agentCmd) register(cmd *cobra.Command) *cobra.Command {
	c.registerPlaces(cmd)
	flags := cmd.Flags()
	flags.StringVar(&c.bundle, "bundle", "", "folder of the agent's certificate bundle")
	flags.BoolVar(&c.standalone, "standalone", false, "take faults from the socket alone, without servers")
	return cmd
}

// registerPlaces adds the flags that say where an agent keeps what, which are the
// same for whoever undoes what it has left.
func (c *agentCmd) registerPlaces(cmd *cobra.Command) {
	// A person's settings are not the agent's.
	cmd.PersistentPreRunE = func(*cobra.Command, []string) error { return nil }
	flags := cmd.Flags()
	flags.StringVar(&c.config, "config", "", "file with this host's config")
	flags.StringVar(&c.state, "state", defaultState, "folder for the journal")
	flags.StringVar(&c.runFolder, "run", "", "folder in memory for locks and the journal's mirror (default one of its own in /run/squall)")
	flags.StringVar(&c.logs, "logs", "", "folder for what workloads print (default logs in --state)")
	flags.StringVar(&c.socket, "socket", defaultSocket, "path of this host's own socket")
	flags.StringVar(&c.cgroup, "cgroup", "", "cgroup for workloads without one, relative to the v2 mount (default the agent's own)")
}

// run lives one of the agent's two lives until a signal ends it.
func (c *agentCmd) run(cmd *cobra.Command, a *app, life func(*agent.Process, context.Context) error) error {
	c.log = slog.New(slog.NewTextHandler(a.stderr, nil)).With("pid", os.Getpid())
	p, err := c.process()
	if err != nil {
		return err
	}
	if err := host.CoarseTimers(); err != nil {
		c.log.Warn("it takes more processor time than it needs", "err", err)
	}
	ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	defer stop()
	return agentError(life(p, ctx))
}

// agentError says of what keeps an agent from starting what to do about it.
func agentError(err error) error {
	var held *host.Locked
	switch {
	case errors.As(err, &held):
		// It is no wrong usage, which a unit is not started again for: whoever undoes
		// what an agent has left holds the lock as well, and is soon over.
		return &exitError{experiments.ExitRefused, fmt.Errorf("%w\n  fix: an agent runs here already, or squall agent undo does: stop process %d, or wait for its end; one with --state, --run and --socket of its own takes network faults in another network namespace only", err, held.Pid)}
	case says(err, syscall.ENOSPC):
		return &exitError{experiments.ExitCode(pb.Refusal_REFUSAL_DISK), fmt.Errorf("%w\n  fix: free space on that disk, or give --state a folder on another", err)}
	case says(err, syscall.EROFS):
		return usagef("%w\n  fix: give --state a folder that can be written", err)
	case errors.Is(err, fs.ErrPermission) && os.Geteuid() != 0:
		return usagef("%w\n  fix: an agent needs root: use sudo; validate, plan --fleet, explain and catalog work without", err)
	}
	return err
}

// says tells whether an error is the system's, also where it has come from the
// other process as text.
func says(err error, number syscall.Errno) bool {
	return err != nil && strings.Contains(err.Error(), number.Error())
}

// process reads what the agent works with.
func (c *agentCmd) process() (*agent.Process, error) {
	if c.standalone == (c.bundle != "") {
		return nil, usagef("give --bundle, or --standalone for a host without servers")
	}
	config, err := c.hostConfig()
	if err != nil {
		return nil, usage(err)
	}
	p := c.at(config)
	p.Worker = c.workerArgs()
	if !c.standalone {
		err = c.connect(p)
	}
	return p, err
}

// at is an agent with its places.
func (c *agentCmd) at(config *pb.HostConfig) *agent.Process {
	return &agent.Process{
		Config: config, State: c.state, Run: c.runFolder, Logs: c.logs, Socket: c.socket, Cgroup: c.cgroup,
		Version: readBuildInfo().Version, Log: c.log,
	}
}

// hostConfig reads what the host's owner says of it.
func (c *agentCmd) hostConfig() (*pb.HostConfig, error) {
	if c.config == "" {
		return nil, errors.New("give --config, the file with this host's config")
	}
	source, err := os.ReadFile(c.config)
	if err != nil {
		return nil, fmt.Errorf("read host config: %w", err)
	}
	config, problems := experiments.DecodeHostConfig(c.config, source)
	return config, problems.Err()
}

// workerArgs are the supervisor's own, for the other process.
func (c *agentCmd) workerArgs() []string {
	args := []string{
		workerCommand, "--config", c.config, "--state", c.state, "--run", c.runFolder, "--socket", c.socket, "--cgroup", c.cgroup, "--logs", c.logs,
	}
	if c.standalone {
		return append(args, "--standalone")
	}
	return append(args, "--bundle", c.bundle)
}

// connect gives the agent its way to the servers.
func (c *agentCmd) connect(p *agent.Process) error {
	bundle, err := pki.Load(c.bundle)
	if err != nil {
		return usage(err)
	}
	for _, s := range bundle.Servers {
		p.Servers = append(p.Servers, s.Address)
	}
	if len(p.Servers) == 0 {
		return usagef("bundle %s names no servers", c.bundle)
	}
	p.Dial = dialMarked(bundle)
	return nil
}

// window is how much of a stream may be under way, in bytes. It is fixed, for
// measuring what the way could take costs a ping with each message.
const window = 1 << 20

// dialMarked dials without DNS and marks its sockets, so that the agent's own
// stream, and nothing else, is exempt from our faults.
func dialMarked(bundle *pki.Bundle) session.Dial {
	marked := &net.Dialer{Control: host.SocketMark(agent.ExemptMark)}
	dial := func(ctx context.Context, address string) (net.Conn, error) {
		if path, ok := strings.CutPrefix(address, "unix:"); ok {
			return (&net.Dialer{}).DialContext(ctx, "unix", path)
		}
		if _, err := netip.ParseAddrPort(address); err != nil {
			return nil, fmt.Errorf("dial %s: %w", address, errNamed)
		}
		return marked.DialContext(ctx, "tcp", address)
	}
	return func(address string) (*grpc.ClientConn, error) {
		return grpc.NewClient("passthrough:///"+address,
			grpc.WithTransportCredentials(credentials.NewTLS(bundle.ClientTLS())),
			grpc.WithContextDialer(dial), grpc.WithNoProxy(), grpc.WithDisableServiceConfig(),
			grpc.WithReadBufferSize(2<<10), grpc.WithWriteBufferSize(2<<10),
			grpc.WithStaticStreamWindowSize(window), grpc.WithStaticConnWindowSize(window))
	}
}

// errNamed says that an address would need DNS, which may be what fails.
var errNamed = errors.New("an agent's servers are written as IP:port, since it must not need DNS")
