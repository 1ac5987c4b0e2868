package main

import (
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// view is one answer in every form that --output knows.
type view struct {
	// message is the answer whole, for json and yaml.
	message proto.Message
	// names are for `-o name`, a line each.
	names []string
	// table prints for people; wide asks for the columns that are usually too much.
	table func(w io.Writer, wide bool)
}

// show prints an answer to stdout as the settings ask.
func (a *app) show(v view) error {
	switch a.settings.Output {
	case "json":
		return printJSON(a.stdout, v.message)
	case "yaml":
		return printYAML(a.stdout, v.message)
	case "name":
		for _, n := range v.names {
			fmt.Fprintln(a.stdout, escape(n))
		}
		return nil
	}
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	v.table(w, a.settings.Output == "wide")
	return w.Flush()
}

// printJSON prints the proto JSON. It goes through encoding/json once more,
// since protojson's blanks differ from build to build on purpose.
func printJSON(w io.Writer, m proto.Message) error {
	value, err := plainValue(m)
	if err != nil {
		return err
	}
	out := json.NewEncoder(w)
	out.SetIndent("", "  ")
	return out.Encode(value)
}

func printYAML(w io.Writer, m proto.Message) error {
	value, err := plainValue(m)
	if err != nil {
		return err
	}
	out := yaml.NewEncoder(w)
	if err := out.Encode(value); err != nil {
		return err
	}
	return out.Close()
}

func plainValue(m proto.Message) (any, error) {
	data, err := protojson.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("print %s: %w", m.ProtoReflect().Descriptor().Name(), err)
	}
	var value any
	return value, json.Unmarshal(data, &value)
}

// clockTime is an instant in RFC 3339 with milliseconds; "-" where there is none.
func clockTime(unixNanos int64) string {
	if unixNanos == 0 {
		return "-"
	}
	return time.Unix(0, unixNanos).Format("2006-01-02T15:04:05.000Z07:00")
}

// span is a length of time for people: three digits are enough.
func span(d time.Duration) string {
	for _, unit := range []time.Duration{time.Hour, time.Minute, time.Second, time.Millisecond, time.Microsecond} {
		if d >= unit || d <= -unit {
			return d.Round(unit / 100).String()
		}
	}
	return d.String()
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return escape(s)
}
