package main

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"
)

// TestTablesHoldNothingThatATerminalObeys: one writer sees to it for every table.
func TestTablesHoldNothingThatATerminalObeys(t *testing.T) {
	var out bytes.Buffer
	a := &app{stdout: &out, settings: &settings{}}
	err := a.show(view{table: func(w io.Writer, _ bool) {
		fmt.Fprintf(w, "RUN\t%s\t%s\n", "\x1b[2Jgone", "größe")
		fmt.Fprintf(w, "RUN\t%s\t%s\n", "x", "\u009b2J")
	}})
	if err != nil {
		t.Fatal(err)
	}
	if got := out.String(); strings.ContainsAny(got, "\x1b\u009b") || !strings.Contains(got, "größe") || strings.Count(got, "\n") != 2 {
		t.Errorf("printed %q", got)
	}
}
