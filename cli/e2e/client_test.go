package e2e

import (
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	pb "squall/proto/squall/v1"
)

// quietFile is a short run that nothing disturbs.
const quietFile = `version: 1
name: quiet
title: One host loses its names for a while
hypothesis: The run ends as it should, whatever becomes of the client.
targets:
  callers: { host: web-b1 }
guardrails: { environments: [lab], max_zones: 1, max_runtime: 2m }
timeline:
  - at: T+0s
    phase: silent
    faults:
      - dns.fail: { target: callers, for: 6s }
revert: { timeout: 30s, verify: [residue.count == 0] }
`

// TestTheClientMayGo: a signal undoes the run and halts nothing else, and only a
// death without a word lets the run go on by itself.
func TestTheClientMayGo(t *testing.T) {
	r := newRegion(t)
	file := r.write(t, "quiet.yaml", quietFile)
	for name, sig := range map[string]syscall.Signal{
		"Ctrl-C undoes the run where nobody answers": syscall.SIGINT,
		"SIGTERM undoes the run":                     syscall.SIGTERM,
	} {
		t.Run(name, func(t *testing.T) {
			c := r.start(t, "run", file)
			run := r.heldRun(t, "web-b1")
			signal(t, sig, c.Process.Pid)
			c.end(t).check(t, 12, "undone: "+run)
			if cause := r.stepOf(t, run, "web-b1").GetCause(); cause != pb.RevertCause_REVERT_CAUSE_ORDER {
				t.Errorf("the host reverted for %v", cause)
			}
			// No lever is engaged: the next one is let in, and comes to its end.
			r.must(t, 0, nil, "undo", r.inject(t, "dns.fail", "--host", "web-b1", "--for", "5s"))
		})
	}
	t.Run("a plan's digest and seed run that plan", func(t *testing.T) {
		p := &pb.Plan{}
		if out := r.read(t, p, "plan", file); out.code != 0 {
			t.Fatalf("not planned: %v", out)
		}
		r.must(t, 4, []string{"the plan has changed"}, "run", file, "--detach", "--digest", p.GetDigest(), "--seed", "1")
		out := r.must(t, 0, nil, "run", file, "--detach", "--digest", p.GetDigest()[:12], "--seed", strconv.FormatUint(p.GetSeed(), 10))
		r.must(t, 0, []string{"ended quiet-"}, "undo", strings.TrimSpace(out.stdout))
		r.must(t, 0, []string{"ended before: quiet-"}, "undo", strings.TrimSpace(out.stdout))
		r.done(t, strings.TrimSpace(out.stdout))
	})
	t.Run("kill -9 lets the run go on to its verdict", func(t *testing.T) {
		c := r.start(t, "run", file)
		run := r.heldRun(t, "web-b1")
		signal(t, syscall.SIGKILL, c.Process.Pid)
		c.end(t)
		r.checkPassed(t, run)
	})
	t.Run("--detach returns at once, and the run goes on to its verdict", func(t *testing.T) {
		out := r.must(t, 0, nil, "run", file, "--detach")
		run := strings.TrimSpace(out.stdout)
		if !strings.HasPrefix(run, "quiet-") || strings.Contains(run, "\n") {
			t.Fatalf("it does not print the run alone: %v", out)
		}
		r.checkPassed(t, run)
	})
}

func (r *region) checkPassed(t *testing.T, run string) {
	t.Helper()
	report, code := r.done(t, run)
	if code != 0 || report.GetSummary().GetVerdict() != pb.Verdict_VERDICT_PASS {
		t.Errorf("exit code %d, verdict %v, findings %v", code, report.GetSummary().GetVerdict(), report.GetFindings())
	}
	for _, h := range report.GetSteps()[0].GetHosts() {
		if h.GetCause() != pb.RevertCause_REVERT_CAUSE_END {
			t.Errorf("%s reverted for %v", h.GetHost(), h.GetCause())
		}
	}
	within(t, 10*time.Second, "lookups work", func() bool {
		return r.on(t, "web-b1", "/usr/bin/getent", "hosts", "shop.test").code == 0
	})
}
