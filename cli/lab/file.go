package lab

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"squall/experiments"
	pb "squall/proto/squall/v1"
)

// Default is the lab file behind `squall lab up`.
const Default = "shop"

//go:embed shop.yaml etcd.yaml patroni.yaml
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
	return lab, readFrom(lab, filepath.Dir(file))
}

// maxFrom bounds a file that a lab file names.
const maxFrom = 1 << 20

// readFrom reads the files beside a lab file that it names.
func readFrom(lab *pb.Lab, dir string) error {
	for _, f := range allFiles(lab) {
		if f.GetFrom() == "" {
			continue
		}
		path := f.GetFrom()
		if !filepath.IsAbs(path) {
			path = filepath.Join(dir, path)
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return fmt.Errorf("read lab: file %s: %w", f.GetPath(), err)
		}
		if len(content) > maxFrom {
			return fmt.Errorf("read lab: file %s: %s has %d bytes, at most %d are taken", f.GetPath(), path, len(content), maxFrom)
		}
		f.Content = string(content)
	}
	return nil
}

// allFiles are those of all workloads of a lab.
func allFiles(lab *pb.Lab) (files []*pb.LabFile) {
	add := func(workloads []*pb.Workload) {
		for _, w := range workloads {
			files = append(files, w.GetFiles()...)
		}
	}
	for _, z := range lab.GetZones() {
		for _, h := range z.GetHosts() {
			add(h.GetWorkloads())
		}
	}
	for _, alike := range lab.GetHosts() {
		add(alike.GetWorkloads())
	}
	return files
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
	switch {
	case errors.Is(err, syscall.EISDIR):
		return "", nil, fmt.Errorf("read lab %s: it is a folder; name the lab file in it", nameOrPath)
	case err != nil:
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
