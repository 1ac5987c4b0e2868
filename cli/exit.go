package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"squall/experiments"
	"squall/proto/text"
)

// exitError is an error that knows the process's exit code. Without an err it
// ends the process silently: what there is to say has been said.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// usage marks an error as one of the caller's: a wrong flag, argument or file.
func usage(err error) error {
	if err == nil {
		return nil
	}
	return &exitError{experiments.ExitUsage, err}
}

// usagef is usage of a new error.
func usagef(format string, args ...any) error {
	return usage(fmt.Errorf(format, args...))
}

// exit ends the process with a code and nothing more to say.
func exit(code int) error {
	if code == 0 {
		return nil
	}
	return &exitError{code: code}
}

// exitCode is the process's exit code for an error.
func exitCode(err error) int {
	var e *exitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &e):
		return e.code
	case errors.Is(err, context.DeadlineExceeded):
		return experiments.ExitUnreachable
	case strings.HasPrefix(err.Error(), "unknown command "), strings.HasPrefix(err.Error(), "required flag(s) "):
		return experiments.ExitUsage // cobra has no type for these
	default:
		return experiments.ExitInternal
	}
}

// escape makes text of others harmless to a terminal.
func escape(s string) string { return text.Harmless(s) }
