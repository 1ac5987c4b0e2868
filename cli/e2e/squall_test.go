package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// longest is how long any command may take: the longest scenario, twice.
const longest = 4 * time.Minute

// desk is where commands are typed: a folder for temporary files, and so for
// labs, of its own.
type desk struct {
	dir string
	// flags follow the words of every command.
	flags []string
}

// newDesk makes a desk and shows, at the test's end, that the machine is as it was.
func newDesk(t *testing.T) *desk {
	t.Helper()
	dir, err := os.MkdirTemp("", "sq") //nolint:usetesting // short: a socket's path has 108 bytes
	if err != nil {
		t.Fatal(err)
	}
	before := machine(t)
	t.Cleanup(func() {
		checkNoTrace(t, dir, before)
		os.RemoveAll(dir)
	})
	return &desk{dir: dir}
}

// command is one command line on its way.
type command struct {
	*exec.Cmd
	out, err bytes.Buffer
	line     string
	cancel   context.CancelFunc
}

// result is what one command line did.
type result struct {
	line           string
	code           int
	stdout, stderr string
	took           time.Duration
}

func (r result) String() string {
	return fmt.Sprintf("%s\nexit code %d after %v\n%s\n%s", r.line, r.code, r.took.Round(time.Millisecond), r.stdout, r.stderr)
}

// says reports whether the text is anywhere in what was printed.
func (r result) says(text string) bool { return strings.Contains(r.stdout+r.stderr, text) }

// start starts `squall` with the words given. The test's end ends it.
func (d *desk) start(t *testing.T, words ...string) *command {
	t.Helper()
	return d.startProgram(t, "squall", append(words, d.flags...)...)
}

func (d *desk) startProgram(t *testing.T, name string, words ...string) *command {
	t.Helper()
	c := d.command(t, name, words...)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.cancel(); _ = c.Wait() })
	return c
}

// run starts a command and waits for its end.
func (c *command) run(t *testing.T) result {
	t.Helper()
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	return c.end(t)
}

// command is a command that is not started yet. The test's end ends it.
func (d *desk) command(t *testing.T, name string, words ...string) *command {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), longest)
	c := &command{Cmd: exec.CommandContext(ctx, name, words...), line: name + " " + strings.Join(words, " "), cancel: cancel}
	c.Stdout, c.Stderr = &c.out, &c.err
	c.Dir, c.Env = d.dir, append(os.Environ(), "TMPDIR="+d.dir, "HOME="+d.dir)
	c.WaitDelay = time.Second // what it started may live on and hold its streams
	t.Cleanup(cancel)
	return c
}

// end waits for a command. One that a signal ended has the code -1.
func (c *command) end(t *testing.T) result {
	t.Helper()
	began := time.Now()
	err := c.Wait()
	var ended *exec.ExitError
	if err != nil && !errors.As(err, &ended) && !errors.Is(err, exec.ErrWaitDelay) {
		t.Fatalf("%s: %v", c.line, err)
	}
	return result{line: c.line, code: c.ProcessState.ExitCode(), stdout: c.out.String(), stderr: c.err.String(), took: time.Since(began)}
}

// squall runs one command to its end.
func (d *desk) squall(t *testing.T, words ...string) result {
	t.Helper()
	began := time.Now()
	r := d.start(t, words...).end(t)
	r.took = time.Since(began)
	return r
}

// local runs a command that talks to a host's own agent, at the socket here.
func (d *desk) local(t *testing.T, words ...string) result {
	t.Helper()
	return d.squall(t, append(words, "--socket", filepath.Join(d.dir, "sock"))...)
}

// must runs a command that has to end with the code given, and say each text.
func (d *desk) must(t *testing.T, code int, texts []string, words ...string) result {
	t.Helper()
	r := d.squall(t, words...)
	r.check(t, code, texts...)
	return r
}

// check fails the test unless the command ended so, and said so.
func (r result) check(t *testing.T, code int, texts ...string) {
	t.Helper()
	if r.code != code {
		t.Fatalf("exit code %d, want %d: %v", r.code, code, r)
	}
	for _, text := range texts {
		if !r.says(text) {
			t.Fatalf("it does not say %q: %v", text, r)
		}
	}
}

// read decodes what a command prints with `-o json`.
func (d *desk) read(t *testing.T, into proto.Message, words ...string) result {
	t.Helper()
	r := d.squall(t, append(words, "-o", "json")...)
	if err := decode(r.stdout, into); err != nil {
		t.Fatalf("%v in %v", err, r)
	}
	return r
}

// within polls until yes, or fails. It is patient: the machine may be busy.
func within(t *testing.T, limit time.Duration, what string, yes func() bool) {
	t.Helper()
	for until := time.Now().Add(limit); !yes(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(until) {
			t.Fatalf("waited %v in vain until %s", limit, what)
		}
	}
}

// signal sends one to processes that the test has found.
func signal(t *testing.T, sig syscall.Signal, pids ...int) {
	t.Helper()
	for _, pid := range pids {
		if err := syscall.Kill(pid, sig); err != nil {
			t.Fatalf("signal %v to %d: %v", sig, pid, err)
		}
	}
}

// long skips a test that takes most of a minute, where time is short.
func long(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("it takes most of a minute")
	}
}

func decode(text string, into proto.Message) error { return protojson.Unmarshal([]byte(text), into) }
