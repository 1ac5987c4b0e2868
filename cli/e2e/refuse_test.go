package e2e

import (
	"context"
	"crypto/tls"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"squall/agent/host/hosttest/lack"
	"squall/proto/pki"
	pb "squall/proto/squall/v1"
)

// TestRefusalsSayWhatIsWrong asks a whole region for what it must not do.
func TestRefusalsSayWhatIsWrong(t *testing.T) {
	r := newRegion(t)
	dns := func(words ...string) []string { return append([]string{"inject", "dns.fail", "--for", "5s"}, words...) }
	for _, c := range []struct {
		name  string
		words []string
		code  int
		says  []string
	}{
		{"an unknown zone", dns("--zone", "zone-x"), 2, []string{`there is no zone "zone-x"`}},
		{"an empty target", dns("--zone", "zone-a", "--role", "client"), 2, []string{"selects no host"}},
		{"no target at all", dns(), 2, []string{"no target"}},
		{"a fault without an end", []string{"inject", "dns.fail", "--zone", "zone-a"}, 2, []string{"every fault has an end"}},
		{
			"a guardrail, which and by how much",
			[]string{"run", "zone-loss", "--aim", "dark=zone-a,zone-b", "--aim", "lit=zone-c"},
			4,
			[]string{"guardrail max_zones: 2 zones", "at most 1", "guardrail keep: only 1"},
		},
		{
			"a person without a certificate of this authority",
			[]string{"status", "--bundle", r.strange(t, time.Hour)},
			5,
			[]string{"signed by another authority"},
		},
		{"an expired certificate", []string{"status", "--bundle", r.strange(t, -time.Hour)}, 2, []string{"certificate expired"}},
		{"an agent at the users' door", []string{"status", "--bundle", r.agentBundle(t)}, 4, []string{"does not open"}},
	} {
		t.Run(c.name, func(t *testing.T) { r.must(t, c.code, c.says, c.words...) })
	}
	t.Run("an agent's certificate on the Raft port", func(t *testing.T) { r.knock(t) })
	t.Run("a second run with a conflicting claim", func(t *testing.T) {
		run := r.inject(t, "dns.fail", "--zone", "zone-b", "--for", "1m")
		r.must(t, 4, []string{"host/", "which run " + run + " holds", "squall undo " + run}, dns("--host", "web-b1")...)
		r.must(t, 0, nil, "undo", run)
	})
	t.Run("no leader", func(t *testing.T) {
		letGo := pause(t, r.server(t, "server-b"), r.server(t, "server-c"))
		within(t, 30*time.Second, "nobody leads", func() bool {
			out := r.squall(t, dns("--host", "web-a1")...)
			return out.code == 5 && (out.says("no leader") || out.says("no server answers"))
		})
		letGo()
		r.whole(t)
	})
}

// strange is a person's bundle of another authority, with this lab's servers.
func (r *region) strange(t *testing.T, life time.Duration) string {
	t.Helper()
	own, err := pki.Load(filepath.Join(r.folder, "pki", "operator"))
	if err != nil {
		t.Fatal(err)
	}
	other, err := pki.NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	b, err := other.IssueUntil(pki.Identity{Role: pb.Role_ROLE_USER, Name: "kim"}, time.Now().Add(life))
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "bundle")
	if err := b.WithServers(own.Servers).Write(dir); err != nil {
		t.Fatal(err)
	}
	return dir
}

// agentBundle is an agent's, with the people's way in.
func (r *region) agentBundle(t *testing.T) string {
	t.Helper()
	own, err := pki.Load(filepath.Join(r.folder, "pki", "operator"))
	if err != nil {
		t.Fatal(err)
	}
	b, err := pki.Load(filepath.Join(r.folder, "pki", "agent-web-a1"))
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "bundle")
	if err := b.WithServers(own.Servers).Write(dir); err != nil {
		t.Fatal(err)
	}
	return dir
}

// knock shows an agent's certificate, and then a server's, at the Raft port.
func (r *region) knock(t *testing.T) {
	t.Helper()
	bundles := filepath.Join(r.folder, "pki")
	r.on(t, "server-b", selfArgs("raft", filepath.Join(bundles, "server-server-b"), "10.77.1.5:7448")...).check(t, 0, "let in")
	r.on(t, "web-a1", selfArgs("raft", filepath.Join(bundles, "agent-web-a1"), "10.77.1.5:7448")...).check(t, 1, "refused")
	logs, err := filepath.Glob(filepath.Join(r.folder, "hosts", "server-a", "logs", "*"))
	if err != nil || len(logs) == 0 {
		t.Fatalf("the server has no log: %v", err)
	}
	within(t, 10*time.Second, "the server's log names the cause", func() bool {
		var all strings.Builder
		for _, log := range logs {
			text, _ := os.ReadFile(log)
			all.Write(text)
		}
		return strings.Contains(all.String(), "wrong role")
	})
}

// raft shows a bundle's certificate at an address, and tells whether it was let in.
func raft(args []string) int {
	bundle, err := pki.Load(args[0])
	if err != nil {
		fmt.Println(err)
		return 2
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	config := bundle.ClientTLS()
	conn, err := (&tls.Dialer{Config: config}).DialContext(ctx, "tcp", args[1])
	if err != nil {
		fmt.Println("refused:", err)
		return 1
	}
	defer conn.Close()
	// The server's word on our certificate comes after our own handshake; who
	// was let in hears nothing until he speaks.
	_ = conn.SetReadDeadline(time.Now().Add(5 * time.Second))
	if _, err := conn.Read(make([]byte, 1)); err != nil && !os.IsTimeout(err) {
		fmt.Println("refused:", err)
		return 1
	}
	fmt.Println("let in")
	return 0
}

// TestWhoeverIsNotRootLearnsWhatStillWorks needs no privilege, but root to be
// somebody else.
func TestWhoeverIsNotRootLearnsWhatStillWorks(t *testing.T) {
	lack.OfRoot(t) // only root can run as somebody else
	d := newDesk(t)
	if err := os.Chmod(d.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	path, err := exec.LookPath("squall")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(d.write(t, "quiet.yaml", quietFile), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		words []string
		code  int
		says  string
	}{
		{[]string{"lab", "up"}, 2, "needs root"},
		{[]string{"lab", "up"}, 2, "without root, validate, plan, explain and catalog work"},
		{[]string{"validate", "quiet.yaml"}, 0, ""},
		{[]string{"catalog"}, 0, "zone-loss"},
		{[]string{"explain", "experiment.timeline"}, 0, ""},
	} {
		cmd := exec.CommandContext(t.Context(), path, c.words...)
		cmd.Dir, cmd.Env = d.dir, []string{"HOME=" + d.dir, "TMPDIR=" + d.dir}
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		out, _ := cmd.CombinedOutput()
		if cmd.ProcessState.ExitCode() != c.code || !strings.Contains(string(out), c.says) {
			t.Errorf("%v: exit code %d, want %d and %q:\n%s", c.words, cmd.ProcessState.ExitCode(), c.code, c.says, out)
		}
	}
}
