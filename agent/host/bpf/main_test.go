package bpf_test

import (
	"os"
	"testing"

	"squall/agent/helper"
)

// TestMain lets the test binary be its own delay line, as the real one is.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == "helper" {
		os.Exit(helper.Main(os.Args[2:], os.Stdin, os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}
