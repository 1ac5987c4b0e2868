package lab

import (
	"errors"
	"io/fs"
	"os/exec"
	"syscall"
)

// What a shell ends with where a command could not be run or was killed.
const (
	codeNotRunnable = 126
	codeNotFound    = 127
	codeSignal      = 128
)

// StartError says why a command could not be started on a host.
type StartError struct {
	Program string
	// Code is what a shell ends with in such a case: 127 where there is no such
	// program, 126 where it can't be run.
	Code int
	err  error
}

// Error names the program and what hinders it.
func (e *StartError) Error() string {
	if e.Code == codeNotFound {
		return "there is no program " + e.Program
	}
	return "program " + e.Program + " can't be run: " + e.err.Error()
}

// Unwrap is the system's own word.
func (e *StartError) Unwrap() error { return e.err }

// ended is a command's exit code as a shell tells it, from what running it came
// to. The error says that it never ran.
func ended(program string, err error) (int, error) {
	var exited *exec.ExitError
	var number syscall.Errno
	switch {
	case err == nil:
		return 0, nil
	case errors.As(err, &exited):
		if status, ok := exited.Sys().(syscall.WaitStatus); ok && status.Signaled() {
			return codeSignal + int(status.Signal()), nil
		}
		return exited.ExitCode(), nil
	case errors.Is(err, exec.ErrNotFound), errors.Is(err, fs.ErrNotExist):
		return 0, &StartError{program, codeNotFound, err}
	case errors.As(err, &number):
		return 0, &StartError{program, codeNotRunnable, number}
	}
	return 0, err
}
