package main

import (
	"cmp"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// packaged and packagedFrom are the version and the revision of a package, which
// its build sets; a build from a checkout has them from Go itself.
var packaged, packagedFrom string

// buildInfo says which build this is.
type buildInfo struct {
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func newVersionCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Say which build this is",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			info := readBuildInfo()
			return a.show(view{message: info, names: []string{info.Version}, table: func(w io.Writer, _ bool) {
				fmt.Fprintf(w, "squall %s %s %s %s\n", info.Version, info.Revision, info.Go, info.Platform)
			}})
		},
	}
}

func readBuildInfo() buildInfo {
	info := buildInfo{Version: cmp.Or(packaged, "devel"), Revision: packagedFrom, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	build, ok := debug.ReadBuildInfo()
	if !ok {
		return info
	}
	if v := build.Main.Version; packaged == "" && v != "" && v != "(devel)" {
		info.Version = v
	}
	for _, s := range build.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			info.Revision = s.Value[:12]
		}
	}
	return info
}
