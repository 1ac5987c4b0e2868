package main

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"

	"squall/agent/host"
	"squall/experiments"
)

// TestAgentThatCantStartSaysWhatToDo, also where its worker's word is text.
func TestAgentThatCantStartSaysWhatToDo(t *testing.T) {
	for _, c := range []struct {
		err  error
		code int
		fix  string
	}{
		{fmt.Errorf("open journal: %w", syscall.ENOSPC), experiments.ExitRefused, "free space on that disk"},
		{errors.New("the worker can't start: open journal: no space left on device"), experiments.ExitRefused, "free space on that disk"},
		{fmt.Errorf("be the only agent: %w", &host.Locked{Pid: 7}), experiments.ExitRefused, "stop process 7"},
		{fmt.Errorf("make folder: %w", syscall.EROFS), experiments.ExitUsage, "--state a folder that can be written"},
		{errors.New("something else"), experiments.ExitInternal, ""},
	} {
		err := agentError(c.err)
		if exitCode(err) != c.code || c.fix != "" && !strings.Contains(err.Error(), "fix: ") || !strings.Contains(err.Error(), c.fix) {
			t.Errorf("%v ends with %d: %v", c.err, exitCode(err), err)
		}
	}
	if agentError(nil) != nil {
		t.Error("no error is one")
	}
}
