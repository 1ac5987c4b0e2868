package main

import (
	"encoding/json"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// listed is what `go list` tells of a package.
type listed struct {
	ImportPath    string
	Doc           string
	Imports, Deps []string
}

func packages(t *testing.T) []listed {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Doc,Imports,Deps", "squall/...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []listed
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		if err := d.Decode(&p); err == io.EOF {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

// below says that a path is one of the packages, or lies in one of them.
func below(path string, roots ...string) bool {
	return slices.ContainsFunc(roots, func(root string) bool {
		return path == root || strings.HasPrefix(path, root+"/")
	})
}

// The house: who may import whom. Standard-library bans look at a package's own
// imports, since generated gRPC stubs pull net into everything; bans on our own
// packages and on libraries look at all that it depends on.
func TestWhoImportsWhom(t *testing.T) {
	for _, p := range packages(t) {
		for _, rule := range []struct {
			why     string
			applies bool
			direct  bool
			banned  func(string) bool
		}{
			{"proto imports nothing else of ours", below(p.ImportPath, "squall/proto"), false, func(d string) bool {
				return below(d, "squall") && !below(d, "squall/proto")
			}},
			{"experiments import only proto", below(p.ImportPath, "squall/experiments"), false, func(d string) bool {
				return below(d, "squall") && !below(d, "squall/proto", "squall/experiments")
			}},
			{"agent imports neither server nor cli", below(p.ImportPath, "squall/agent"), false, func(d string) bool {
				return below(d, "squall/server", "squall/cli")
			}},
			{"steps know nothing of sessions and processes", below(p.ImportPath, "squall/agent/step"), false, func(d string) bool {
				return below(d, "squall/agent/session", "squall/agent/process")
			}},
			{"processes know nothing of sessions and steps", below(p.ImportPath, "squall/agent/process"), false, func(d string) bool {
				return below(d, "squall/agent/session", "squall/agent/step", "squall/agent/undo")
			}},
			{"server imports neither agent nor cli", below(p.ImportPath, "squall/server"), false, func(d string) bool {
				return below(d, "squall/agent", "squall/cli")
			}},
			{"pure packages do no I/O", below(p.ImportPath, "squall/experiments", "squall/agent/fault", "squall/server/state"), true, func(d string) bool {
				return slices.Contains([]string{"os", "net", "os/exec", "math/rand", "math/rand/v2", "crypto/rand", "syscall"}, d)
			}},
			{"raft lives in server/consensus and in the lab's shop", !below(p.ImportPath, "squall/server/consensus", "squall/cli/lab/shop"), true, func(d string) bool {
				return below(d, "github.com/hashicorp/raft", "github.com/hashicorp/raft-wal")
			}},
			{"agents carry neither raft nor viper nor metrics", below(p.ImportPath, "squall/agent"), false, func(d string) bool {
				return below(d, "github.com/hashicorp/raft", "github.com/spf13/viper", "github.com/prometheus")
			}},
			{"metrics are told by server/observe alone", !below(p.ImportPath, "squall/server/observe"), true, func(d string) bool {
				return below(d, "github.com/prometheus")
			}},
			{"viper and cobra end in cli", !below(p.ImportPath, "squall/cli"), true, func(d string) bool {
				return below(d, "github.com/spf13")
			}},
			{"only the doors to the kernel touch it", !below(p.ImportPath, "squall/agent/host", "squall/agent/helper", "squall/cli/lab"), true, func(d string) bool {
				// Signals, which end in cli, have their names in syscall, and so has what a
				// refused connection, which tells consensus of a death, fails with, and how
				// notify opens files that users name, so that none makes it wait.
				return d == "os/exec" || d == "syscall" && !slices.Contains([]string{"squall/cli", "squall/server/consensus", "squall/server/notify"}, p.ImportPath) ||
					below(d, "golang.org/x/sys/unix", "github.com/cilium/ebpf", "github.com/vishvananda/netlink")
			}},
		} {
			if !rule.applies {
				continue
			}
			imports := p.Deps
			if rule.direct {
				imports = p.Imports
			}
			for _, d := range imports {
				if rule.banned(d) {
					t.Errorf("%s imports %s: %s", p.ImportPath, d, rule.why)
				}
			}
		}
	}
}

func TestEveryPackageSaysWhatItIsFor(t *testing.T) {
	for _, p := range packages(t) {
		if len(p.Doc) < 20 {
			t.Errorf("%s has no package comment", p.ImportPath)
		}
	}
}
