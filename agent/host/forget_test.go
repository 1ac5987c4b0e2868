package host

import (
	"context"
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
