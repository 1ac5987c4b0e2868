package bench

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protojson"

	"squall/cli/lab"
	pb "squall/proto/squall/v1"
)

var built = flag.String("squall", "../../bin/squall", "the binary to measure")

// commandLimit bounds every command of the binary.
const commandLimit = 4 * time.Minute

// A region is a lab in a temporary folder of its own.
type region struct {
	testing.TB
	squall string
	folder lab.Folder
}

// stage makes the place for a lab. The binary is copied, so that a build
// meanwhile changes nothing.
func stage(b *testing.B) *region {
	b.Helper()
	return stageIn(b, "")
}

// stageIn makes it in a folder of the caller's choice; empty is the one for
// temporary files.
func stageIn(b *testing.B, folder string) *region {
	b.Helper()
	if os.Geteuid() != 0 {
		b.Skip("a lab needs root")
	}
	dir, err := os.MkdirTemp(folder, "sq") //nolint:usetesting // sockets have short paths
	must(b, err)
	b.Cleanup(func() { must(b, os.RemoveAll(dir)) })
	b.Setenv("TMPDIR", dir)
	r := &region{TB: b, squall: filepath.Join(dir, "squall")}
	copyFile(b, *built, r.squall)
	r.leaveNothing(dir)
	return r
}

// leaveNothing takes the lab down at the end, and when a signal ends us first.
func (r *region) leaveNothing(dir string) {
	down := func() error { _, _, err := r.try("lab", "down"); return err }
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT)
	go func() {
		if _, ok := <-interrupted; ok {
			fmt.Fprintln(os.Stderr, errors.Join(down(), os.RemoveAll(dir)))
			os.Exit(1)
		}
	}()
	r.Cleanup(func() {
		must(r, down())
		signal.Stop(interrupted)
		close(interrupted)
	})
}

// newRegion is a lab that is up: a built-in one, or a file.
func newRegion(b *testing.B, name, file string) *region {
	b.Helper()
	r := stage(b)
	r.up(name, file)
	return r
}

func (r *region) up(name, file string) time.Duration {
	r.Helper()
	took := r.run("lab", "up", file)
	r.folder = lab.FolderOf(name)
	return took
}

// run runs a command to its good end, and says how long it took.
func (r *region) run(args ...string) time.Duration {
	r.Helper()
	_, took := r.output(args...)
	return took
}

// output is what a command prints.
func (r *region) output(args ...string) ([]byte, time.Duration) {
	r.Helper()
	out, took, err := r.try(args...)
	if err != nil {
		r.Fatal(err)
	}
	return out, took
}

// try is what a command prints, and how it ended.
func (r *region) try(args ...string) ([]byte, time.Duration, error) {
	ctx, cancel := context.WithTimeout(context.Background(), commandLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, r.squall, args...)
	var out, diagnosis bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &diagnosis
	began := time.Now()
	err := cmd.Run()
	took := time.Since(began)
	if err != nil {
		err = fmt.Errorf("%v: %w\n%s", args, err, diagnosis.Bytes())
	}
	return out.Bytes(), took, err
}

// report is a run's, whatever its verdict.
func (r *region) report(run string) *pb.RunReport {
	r.Helper()
	out, _, _ := r.try("report", run, "-o", "json")
	report := &pb.RunReport{}
	must(r, protojson.Unmarshal(out, report))
	return report
}

// lastRun is the run that was admitted last.
func (r *region) lastRun() string {
	r.Helper()
	out, _ := r.output("get", "runs", "-o", "name")
	lines := bytes.Fields(out)
	if len(lines) == 0 {
		r.Fatal("there is no run")
	}
	return string(lines[len(lines)-1])
}

// instants are when a step of a run came to a state, of every host that has it,
// in Unix nanoseconds.
func instants(report *pb.RunReport, state pb.StepState) []int64 {
	var all []int64
	for _, step := range report.GetSteps() {
		for _, host := range step.GetHosts() {
			for _, m := range host.GetJournal() {
				if m.GetState() == state {
					all = append(all, m.GetActualUnixNanos())
				}
			}
		}
	}
	return all
}

func copyFile(t testing.TB, from, to string) {
	t.Helper()
	src, err := os.Open(from)
	must(t, err)
	defer src.Close()
	dst, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY, 0o755)
	must(t, err)
	_, err = io.Copy(dst, src)
	must(t, errors.Join(err, dst.Close()))
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
