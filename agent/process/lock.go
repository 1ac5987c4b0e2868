package process

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"squall/agent/host"
)

// orphanTime is how long a worker without a supervisor may take to revert
// before the next agent on this host ends it.
const orphanTime = 2 * time.Second

// Own becomes the one that writes the journal, whose lock is the file at path. A worker that lost its
// supervisor reverts and ends; one that can't is ended, by the kernel's word on
// who it is.
func Own(ctx context.Context, path string, log *slog.Logger) (*os.File, error) {
	for began := host.BootTime(); ; rest(ctx, brisk/10) {
		f, err := host.LockFile(path)
		if held := new(host.Locked); !errors.As(err, &held) {
			return f, err
		} else if host.BootTime()-began > orphanTime && held.Pid > 0 {
			log.Warn("end a worker without a supervisor", "pid", held.Pid)
			if err := end(ctx, held.Pid); err != nil {
				return nil, fmt.Errorf("end worker %d: %w", held.Pid, err)
			}
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
}

// end kills a process and waits until it is dead.
func end(ctx context.Context, pid int) error {
	process, err := host.OpenPidfd(pid)
	if err != nil {
		return err
	}
	defer process.Close()
	if err := process.Kill(); err != nil {
		return err
	}
	return process.Wait(ctx)
}
