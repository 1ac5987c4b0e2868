package main

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

func newConfigCmd(a *app) *cobra.Command {
	c := &cobra.Command{Use: "config", Short: "Settings, and where they come from"}
	explain := &cobra.Command{
		Use:   "explain KEY",
		Short: "Print every layer's value of a setting, and which one won",
		Args:  cobra.ExactArgs(1),
		RunE:  func(_ *cobra.Command, args []string) error { return a.explainSetting(args[0]) },
		// A broken layer is what this command is asked about, so it must not stop it.
		PersistentPreRunE: func(*cobra.Command, []string) error {
			a.settings = &settings{Output: a.flags.set.Lookup("output").Value.String()}
			return nil
		},
	}
	c.AddCommand(explain)
	return c
}

// layer is one place that may set a key.
type layer struct {
	name  string
	value any
	set   bool
}

func (a *app) explainSetting(key string) error {
	i := slices.IndexFunc(settingTable, func(s setting) bool { return s.key == key })
	if i < 0 {
		return usagef("unknown setting %q; known are %s", key, strings.Join(settingKeys(), ", "))
	}
	layers, err := a.settingLayers(settingTable[i])
	if err != nil {
		return usage(err)
	}
	return a.show(layersView(key, settingTable[i].text, layers))
}

// layersView shows the strongest layer first; the first that is set has won.
func layersView(key, text string, layers []layer) view {
	type row struct {
		Layer string `json:"layer"`
		Value string `json:"value,omitempty"`
		Won   bool   `json:"won,omitempty"`
	}
	rows, won := make([]row, len(layers)), false
	for i, l := range layers {
		rows[i] = row{Layer: l.name, Won: l.set && !won}
		if l.set {
			rows[i].Value, won = fmt.Sprint(l.value), true
		}
	}
	return view{message: map[string]any{"key": key, "text": text, "layers": rows}, names: []string{key}, table: func(w io.Writer, _ bool) {
		fmt.Fprintf(w, "%s: %s\n", key, text)
		for _, r := range rows {
			fmt.Fprintf(w, "%s\t%s\t%s\n", cmp.Or(when(r.Won, "*"), " "), r.Layer, orDash(r.Value))
		}
	}}
}

// settingLayers lists the layers of a key, the strongest first.
func (a *app) settingLayers(s setting) ([]layer, error) {
	var layers []layer
	if f := a.flags.set.Lookup(s.key); f != nil {
		layers = append(layers, layer{"flag --" + s.key, f.Value, f.Changed})
	}
	env, ok := os.LookupEnv(envName(s.key))
	layers = append(layers, layer{"environment " + envName(s.key), env, ok && env != ""})
	files := settingFiles()
	for _, file := range slices.Backward(files) {
		values, err := readLayer(file)
		if err != nil {
			return nil, err
		}
		value, set := valueOf(values, s.key)
		layers = append(layers, layer{"file " + file, value, set})
	}
	return append(layers, layer{"default", s.value, true}), nil
}

// valueOf is the value of a key in a file, where a dot stands for what is below.
func valueOf(values map[string]any, key string) (value any, set bool) {
	first, rest, below := strings.Cut(key, ".")
	value, set = values[first]
	if inner, ok := value.(map[string]any); below && ok {
		return valueOf(inner, rest)
	}
	return value, set && !below
}

func settingKeys() []string {
	var keys []string
	for _, s := range settingTable {
		keys = append(keys, s.key)
	}
	return keys
}
