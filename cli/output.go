package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"squall/cli/show"
)

// view is one answer in every form that --output knows.
type view struct {
	// message is the answer whole, for json and yaml: a proto message, or
	// whatever encoding/json takes.
	message any
	// names are for `-o name`, a line each.
	names []string
	// table prints for people; wide asks for the columns that are usually too much.
	table func(w io.Writer, wide bool)
	// red are words that stand out on a terminal: they say it without colour, too.
	red []string
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
	var text bytes.Buffer
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	v.table(w, a.settings.Output == "wide")
	if err := w.Flush(); err != nil {
		return err
	}
	return putText(a.stdout, text.String(), v.red...)
}

// putText prints what people read: without what a terminal would obey, and as
// wide as the terminal is, where there is one. Words may be red there.
func putText(to io.Writer, what string, red ...string) error {
	f, ok := terminal(to)
	if !ok {
		_, err := io.WriteString(to, escape(what))
		return err
	}
	columns, _ := sizeOf(f)
	text := show.Fold(escape(what), columns)
	if os.Getenv("NO_COLOR") == "" {
		text = inRed(text, red)
	}
	_, err := io.WriteString(to, text)
	return err
}

func inRed(text string, words []string) string {
	for _, word := range words {
		text = strings.ReplaceAll(text, word, "\x1b[31m"+word+"\x1b[0m")
	}
	return text
}

// printJSON prints a proto message as its proto JSON, and anything else as
// encoding/json has it.
func printJSON(w io.Writer, message any) error {
	value, err := plainValue(message)
	if err != nil {
		return err
	}
	out := json.NewEncoder(w)
	out.SetIndent("", "  ")
	return out.Encode(value)
}

func printYAML(w io.Writer, message any) error {
	value, err := plainValue(message)
	if err != nil {
		return err
	}
	out := yaml.NewEncoder(w)
	if err := out.Encode(value); err != nil {
		return err
	}
	return out.Close()
}

// plainValue is a message as maps, lists and scalars. protojson's blanks differ
// from build to build on purpose, so its text is read again.
func plainValue(message any) (any, error) {
	marshal := json.Marshal
	if m, ok := message.(proto.Message); ok {
		marshal = func(any) ([]byte, error) { return protojson.Marshal(m) }
	}
	data, err := marshal(message)
	if err != nil {
		return nil, fmt.Errorf("print %T: %w", message, err)
	}
	var value any
	return value, json.Unmarshal(data, &value)
}

// described is a named thing and its line for people, in a list.
type described struct {
	Name  string `json:"name"`
	Title string `json:"title"`
}

// listView shows named things: in JSON as an object with one list of that name.
func listView(list string, things []described) view {
	v := view{message: map[string]any{list: things}, table: func(w io.Writer, _ bool) {
		fmt.Fprintln(w, "NAME\tTITLE")
		for _, t := range things {
			fmt.Fprintf(w, "%s\t%s\n", escape(t.Name), escape(t.Title))
		}
	}}
	for _, t := range things {
		v.names = append(v.names, t.Name)
	}
	return v
}

// clockTime is an instant in RFC 3339 with milliseconds; "-" where there is none.
func clockTime(unixNanos int64) string {
	if unixNanos == 0 {
		return "-"
	}
	return time.Unix(0, unixNanos).Format("2006-01-02T15:04:05.000Z07:00")
}

// span is a length of time for people: three digits are enough.
func span(d time.Duration) string { return show.Span(d) }

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return escape(s)
}
