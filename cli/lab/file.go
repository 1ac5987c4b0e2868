package lab

import (
	"embed"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"squall/experiments"
	pb "squall/proto/squall/v1"
)

// Default is the lab file behind `squall lab up`.
const Default = "shop"

//go:embed shop.yaml etcd.yaml
var embedded embed.FS

// Load reads a lab file: one of the built-in ones by name, or a file by path.
func Load(nameOrPath string) (*pb.Lab, error) {
	file, src, err := source(nameOrPath)
	if err != nil {
		return nil, err
	}
	lab, problems := experiments.DecodeLab(file, src)
	if err := problems.Err(); err != nil {
		return nil, err
	}
	return lab, nil
}

func source(nameOrPath string) (string, []byte, error) {
	if !strings.ContainsAny(nameOrPath, "/.") {
		file := nameOrPath + ".yaml"
		src, err := embedded.ReadFile(file)
		if err == nil {
			return file, src, nil
		}
		return "", nil, fmt.Errorf("read lab %q: no built-in lab has this name; they are %s", nameOrPath, strings.Join(BuiltIn(), ", "))
	}
	src, err := os.ReadFile(nameOrPath)
	if err != nil {
		return "", nil, fmt.Errorf("read lab: %w", err)
	}
	return nameOrPath, src, nil
}

// BuiltIn are the names of the lab files that come with the binary.
func BuiltIn() []string {
	var names []string
	files, _ := fs.Glob(embedded, "*.yaml") // the pattern is a good one
	for _, f := range files {
		names = append(names, strings.TrimSuffix(f, ".yaml"))
	}
	return names
}
