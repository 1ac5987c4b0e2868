package e2e

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"squall/agent/host/hosttest"
)

// docBlock is a fenced block of a document.
type docBlock struct{ file, language, text string }

// docBlocks are those of every document in the tree.
func docBlocks(t *testing.T) (blocks []docBlock) {
	t.Helper()
	const top = "../.."
	err := filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && path != top && strings.HasPrefix(d.Name(), ".") && d.Name() != ".." {
			return fs.SkipDir
		}
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".md") {
			return err
		}
		text, err := os.ReadFile(path)
		for i, part := range strings.Split("\n"+string(text), "\n```") {
			if language, body, ok := strings.Cut(part, "\n"); ok && i%2 == 1 {
				blocks = append(blocks, docBlock{strings.TrimPrefix(path, top+"/"), language, body + "\n"})
			}
		}
		return err
	})
	if err != nil || len(blocks) < 8 {
		t.Fatalf("%d blocks were found, %v", len(blocks), err)
	}
	return blocks
}

// TestEveryCommandBlockIsRun runs the command blocks of all documents as they
// stand there. Some are run elsewhere: the README's tour and the page that needs
// machines by tests of their own, and `make demo` and `make test` by the gate.
func TestEveryCommandBlockIsRun(t *testing.T) {
	hosttest.RequireRoot(t)
	long(t)
	gate, err := os.ReadFile("../../.ci/run")
	if err != nil {
		t.Fatal(err)
	}
	for i, b := range docBlocks(t) {
		switch {
		case b.language == "" && strings.Contains(b.text, "squall inject"), b.language == "bash", b.language == "shell":
			t.Errorf("%s: a block of commands is not marked as sh:\n%s", b.file, b.text)
		case b.language != "sh" || b.file == "README.md" && strings.HasPrefix(b.text, "bin/squall lab up"):
		case b.file == deployPage:
		case strings.HasPrefix(b.text, "make "):
			for line := range strings.Lines(b.text) {
				if command := strings.TrimSpace(strings.Split(line, "#")[0]); !strings.Contains(string(gate), command) {
					t.Errorf("%s: the gate does not run %q", b.file, command)
				}
			}
		default:
			t.Run(fmt.Sprintf("%s %d", b.file, i), func(t *testing.T) { runBlock(t, b) })
		}
	}
}

// runBlock runs a block in a folder as the document's reader has it.
func runBlock(t *testing.T, b docBlock) {
	d := newDesk(t)
	d.write(t, "block.sh", b.text)
	if strings.Contains(b.text, "--standalone") {
		d.write(t, "host.yaml", hostFile(t, b.file))
		d.runStandalone(t)
		return
	}
	t.Cleanup(func() { d.must(t, 0, nil, "lab", "down") })
	if !strings.Contains(b.text, "lab up") {
		d.must(t, 0, nil, "lab", "up")
	}
	untilInTime(t, func() (result, string) {
		// Tests are root, and need no sudo.
		r := d.startProgram(t, "/bin/bash", "-ec", "sudo() { \"$@\"; }; . ./block.sh").end(t)
		if r.code != 0 {
			d.squall(t, "lab", "down")
			return r, "a command did not end well"
		}
		return r, ""
	})
}

// hostFile is the host's config that a document shows.
func hostFile(t *testing.T, document string) string {
	t.Helper()
	for _, b := range docBlocks(t) {
		if b.file == document && b.language == "yaml" && strings.HasPrefix(b.text, "name:") {
			return b.text
		}
	}
	t.Fatalf("%s shows no host.yaml", document)
	return ""
}

// runStandalone runs the block on what passes for a machine of its own, whose
// agent keeps its state and its socket where an agent does.
func (d *desk) runStandalone(t *testing.T) {
	t.Helper()
	const machine = "mount -t proc proc /proc; mount -t tmpfs tmpfs /run; mount -t tmpfs tmpfs /var/lib; mkdir bin; ln -s \"$(command -v squall)\" bin/squall; . ./block.sh"
	// The agent that the block leaves running holds the streams: it dies with its namespace.
	c := d.command(t, "/bin/bash", "-exc", machine)
	c.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWNET | syscall.CLONE_NEWPID, Unshareflags: syscall.CLONE_NEWNS,
	}
	r := c.run(t)
	r.check(t, 0, "held", "nothing is left")
}
