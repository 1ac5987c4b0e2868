package host

import (
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"testing"

	pb "squall/proto/squall/v1"
)

// What was killed may take its time to die: folders are emptied only if the fault
// still lasts then, and nobody has ended it.
func TestVolatileFoldersOutliveAnEndedFault(t *testing.T) {
	ended, end := context.WithCancel(t.Context())
	end()
	for name, c := range map[string]struct {
		ctx  context.Context
		gate *pb.Gate
		left bool
	}{
		"in time":        {t.Context(), &pb.Gate{EndBootNanos: math.MaxInt64, IgnoreLease: true}, false},
		"past its end":   {t.Context(), &pb.Gate{EndBootNanos: 1, IgnoreLease: true}, true},
		"past its lease": {t.Context(), &pb.Gate{EndBootNanos: math.MaxInt64}, true},
		"ended":          {ended, &pb.Gate{EndBootNanos: math.MaxInt64, IgnoreLease: true}, true},
	} {
		t.Run(name, func(t *testing.T) {
			dir, err := os.MkdirTemp("/dev/shm", "squall-test-forget-") //nolint:usetesting // only what is on a tmpfs is volatile
			if err != nil {
				t.Fatal(err)
			}
			defer os.RemoveAll(dir)
			file := filepath.Join(dir, "file")
			if err := os.WriteFile(file, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			k := &killing{
				held: &held{host: &Real{}, op: &pb.Op{Gate: c.gate}},
				op:   &pb.KillWorkloads{Volatile: []string{dir}},
			}
			if err := k.forget(c.ctx); (err != nil) != c.left {
				t.Errorf("it says %v", err)
			}
			if _, err := os.Stat(file); (err == nil) != c.left {
				t.Errorf("the file: %v", err)
			}
		})
	}
}

// What the agent needs outlives the emptying, wherever it lies and whatever its
// path is called.
func TestVolatileFoldersKeepWhatIsTheAgents(t *testing.T) {
	dir, err := os.MkdirTemp("/dev/shm", "squall-test-forget-") //nolint:usetesting // only what is on a tmpfs is volatile
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	own, alias := filepath.Join(dir, "run", "agent"), filepath.Join(t.TempDir(), "alias")
	err = errors.Join(
		os.MkdirAll(own, 0o700), os.WriteFile(filepath.Join(own, "mirror"), nil, 0o600),
		os.WriteFile(filepath.Join(dir, "run", "pid"), nil, 0o600), os.Symlink(own, alias),
	)
	if err != nil {
		t.Fatal(err)
	}
	k := &killing{
		held: &held{host: &Real{options: Options{Spare: []string{"", "/nowhere", alias}}}, op: &pb.Op{}},
		op:   &pb.KillWorkloads{Volatile: []string{dir}},
	}
	if err := k.forget(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(own, "mirror")); err != nil {
		t.Errorf("the agent's own: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "run", "pid")); err == nil {
		t.Error("what is another's is still there")
	}
}
