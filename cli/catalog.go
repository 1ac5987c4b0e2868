package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

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

// readExperiment reads a file or, where there is none of that name, a scenario
// of the catalog.
func readExperiment(nameOrPath string) (string, []byte, error) {
	src, err := os.ReadFile(nameOrPath)
	if !errors.Is(err, fs.ErrNotExist) {
		return nameOrPath, src, err
	}
	if scenario, unknown := catalog.Source(nameOrPath); unknown == nil {
		return nameOrPath + ".yaml", scenario, nil
	}
	return nameOrPath, nil, fmt.Errorf("read experiment %s: there is no such file, nor such a scenario; %s", nameOrPath, near.Fix(nameOrPath, "scenario", catalog.List()))
}

// decodeExperiment reads and decodes a file or a scenario.
func decodeExperiment(nameOrPath string) (*pb.RunRequest, experiments.Source, error) {
	file, src, err := readExperiment(nameOrPath)
	if err != nil {
		return nil, experiments.Source{}, usage(err)
	}
	e, at, problems := experiments.Decode(file, src)
	if err := problems.Err(); err != nil {
		return nil, at, usage(err)
	}
	return &pb.RunRequest{Experiment: e, File: file, Source: src}, at, nil
}
