package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"squall/experiments"
	"squall/experiments/judge"
)

func newValidateCmd(a *app) *cobra.Command {
	var kind string
	c := &cobra.Command{
		Use:   "validate FILE…",
		Short: "Say what is wrong with files, without any server",
		Long: "Say what is wrong with experiments, fleets, host configs and lab files: place, excerpt and fix of every problem. " +
			"FILE - is standard input. Exit code 2 when there is a problem.",
		Args: cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, files []string) error {
			if kind != "" && !slices.Contains(experiments.Kinds, kind) {
				return usagef("kind %q is not one of %s", kind, strings.Join(experiments.Kinds, ", "))
			}
			return a.validate(files, kind)
		},
	}
	c.Flags().StringVar(&kind, "kind", "", "what the files are: "+strings.Join(experiments.Kinds, ", ")+" (default: told from their keys)")
	return c
}

// validation is what was found in one file.
type validation struct {
	File, Kind string
	Problems   experiments.Problems
}

func (a *app) validate(files []string, kind string) error {
	found := make([]validation, 0, len(files))
	code := 0
	for _, file := range files {
		v, err := a.validateFile(file, kind)
		if err != nil {
			return usage(err)
		}
		if len(v.Problems) > 0 {
			code = experiments.ExitUsage
		}
		found = append(found, v)
	}
	if err := a.printValidations(found); err != nil {
		return err
	}
	return exit(code)
}

func (a *app) validateFile(file, kind string) (validation, error) {
	src, err := a.readSource(file)
	if err != nil {
		return validation{}, err
	}
	if req, ok := savedPlan(src); ok && kind == "" {
		_, _, problems := experiments.Decode(req.GetFile(), req.GetSource())
		return validation{File: file, Kind: "saved plan", Problems: problems}, nil
	}
	v := validation{File: file, Kind: kind}
	if v.Kind == "" {
		v.Kind = experiments.Kind(src)
	}
	if v.Problems = experiments.Validate(v.Kind, file, src); len(v.Problems) == 0 && v.Kind == "experiment" {
		e, at, _ := experiments.Decode(file, src)
		_, v.Problems = judge.Compile(e, at)
	}
	return v, nil
}

// readSource reads a file, or standard input for "-".
func (a *app) readSource(file string) ([]byte, error) {
	if file == "-" {
		return readAll("standard input", a.stdin)
	}
	return readFile(file)
}

// MarshalJSON prints the problems as their proto JSON.
func (v validation) MarshalJSON() ([]byte, error) {
	problems := make([]any, len(v.Problems))
	for i, p := range v.Problems {
		value, err := plainValue(p)
		if err != nil {
			return nil, err
		}
		problems[i] = value
	}
	return json.Marshal(map[string]any{"file": v.File, "kind": v.Kind, "problems": problems})
}

func (a *app) printValidations(found []validation) error {
	switch a.settings.Output {
	case "json", "yaml", "name":
		v := view{message: found}
		for _, f := range found {
			v.names = append(v.names, f.File)
		}
		return a.show(v)
	}
	for _, v := range found {
		if len(v.Problems) == 0 {
			fmt.Fprintf(a.stdout, "%s: ok (%s)\n", escape(v.File), v.Kind)
			continue
		}
		if err := putText(a.stdout, v.Problems.Error()+"\n"); err != nil {
			return err
		}
	}
	return nil
}
