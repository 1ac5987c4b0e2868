package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"squall/experiments"
	"squall/experiments/catalog"
	"squall/experiments/near"
	pb "squall/proto/squall/v1"
)

func newCatalogCmd(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:   "catalog",
		Short: "List the scenarios that come with this build",
		Args:  cobra.NoArgs,
		RunE:  func(*cobra.Command, []string) error { return a.listCatalog() },
	}
	c.AddCommand(&cobra.Command{
		Use:   "show NAME",
		Short: "Print a scenario as it is written, to read or to adapt",
		Args:  cobra.ExactArgs(1),

		ValidArgsFunction: completeNames(catalog.List()...),
		RunE: func(_ *cobra.Command, args []string) error {
			src, err := catalog.Source(args[0])
			if err != nil {
				return usage(err)
			}
			_, err = a.stdout.Write(src)
			return err
		},
	})
	return c
}

func (a *app) listCatalog() error {
	var scenarios []described
	for _, name := range catalog.List() {
		e, _, err := catalog.Load(name)
		if err != nil {
			return fmt.Errorf("load scenario %s: %w", name, err)
		}
		scenarios = append(scenarios, described{name, e.GetTitle()})
	}
	return a.show(listView("experiments", scenarios))
}

// errNoExperiment is returned for a name that is neither a file's nor a scenario's.
var errNoExperiment = errors.New("there is no such file, nor such a scenario")

// readExperiment reads a file or, where there is none of that name, a scenario
// of the catalog.
func readExperiment(nameOrPath string) (string, []byte, error) {
	src, err := readFile(nameOrPath)
	if !errors.Is(err, fs.ErrNotExist) {
		return nameOrPath, src, err
	}
	if scenario, unknown := catalog.Source(nameOrPath); unknown == nil {
		return nameOrPath + ".yaml", scenario, nil
	}
	return nameOrPath, nil, fmt.Errorf("read experiment %s: %w; %s", nameOrPath, errNoExperiment, near.Fix(nameOrPath, "scenario", catalog.List()))
}

// readFile reads a file that somebody named. What is longer than any legal file
// is cut off, and so refused by the decoder.
func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read file: %w", err)
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.IsDir() {
		return nil, fmt.Errorf("read %s: it is a folder; name the files in it, such as %s", path, filepath.Join(path, "*.yaml"))
	}
	return readAll(path, f)
}

func readAll(name string, in io.Reader) ([]byte, error) {
	src, err := io.ReadAll(io.LimitReader(in, 32<<20))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return src, nil
}

// decodeExperiment reads and decodes a file, a scenario or a saved plan.
func decodeExperiment(nameOrPath string) (*pb.RunRequest, experiments.Source, error) {
	file, src, err := readExperiment(nameOrPath)
	if err != nil {
		return nil, experiments.Source{}, usage(err)
	}
	if req, ok := savedPlan(src); ok {
		_, at, problems := experiments.Decode(req.GetFile(), req.GetSource())
		return req, at, usage(problems.Err())
	}
	e, at, problems := experiments.Decode(file, src)
	if err := problems.Err(); err != nil {
		return nil, at, usage(err)
	}
	return &pb.RunRequest{Experiment: e, File: file, Source: src}, at, nil
}
