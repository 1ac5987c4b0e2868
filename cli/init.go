package main

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"squall/experiments"
)

// templates are experiments to begin with. Each has an abort rule, and NAME where its name goes.
//
//go:embed templates/*.yaml
var templates embed.FS

func newInitCmd(a *app) *cobra.Command {
	var template string
	c := &cobra.Command{
		Use:   "init [NAME]",
		Short: "Write an experiment to begin with",
		Long:  "Write NAME.yaml from a template: " + strings.Join(templateNames(), ", ") + ". Each has probes, an expectation and an abort rule to adapt. A file that exists is left alone.",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			name := template
			if len(args) == 1 {
				name = args[0]
			}
			return a.writeTemplate(name, template)
		},
	}
	c.Flags().StringVar(&template, "template", "zone-loss", "what to begin with: "+strings.Join(templateNames(), ", "))
	return c
}

func (a *app) writeTemplate(name, template string) error {
	text, err := fillTemplate(name, template)
	if err != nil {
		return err
	}
	file := name + ".yaml"
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return usagef("write %s: the file exists; choose another name", file)
	}
	if err != nil {
		return fmt.Errorf("write template: %w", err)
	}
	_, err = f.WriteString(text)
	if err := errors.Join(err, f.Close()); err != nil {
		return errors.Join(fmt.Errorf("write %s: %w", file, err), os.Remove(file))
	}
	fmt.Fprintf(a.stdout, "%s\n", file)
	fmt.Fprintf(a.stderr, "next: adapt zones, targets and probes, then `squall validate %s` and `squall plan %s`\n", file, file)
	return nil
}

// fillTemplate is a template under its new name. The name is held against the
// language before it becomes a file's.
func fillTemplate(name, template string) (string, error) {
	src, err := templates.ReadFile("templates/" + template + ".yaml")
	if err != nil {
		return "", usagef("unknown template %q; there are %s", template, strings.Join(templateNames(), ", "))
	}
	text := strings.ReplaceAll(string(src), "NAME", name)
	if _, _, problems := experiments.Decode(name+".yaml", []byte(text)); len(problems) > 0 {
		return "", usagef("name %q is not one for an experiment: use small letters, digits and hyphens, such as zone-loss", name)
	}
	return text, nil
}

func templateNames() []string {
	files, _ := fs.Glob(templates, "templates/*.yaml") // the pattern is well formed
	names := make([]string, len(files))
	for i, file := range files {
		names[i] = strings.TrimSuffix(strings.TrimPrefix(file, "templates/"), ".yaml")
	}
	return names
}
