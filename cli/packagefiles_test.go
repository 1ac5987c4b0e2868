package main

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
	"go.yaml.in/yaml/v3"

	"squall/agent/host/hosttest"
	"squall/experiments"
	pb "squall/proto/squall/v1"
)

// packageFiles is where `make packages` wants what a package takes from the
// commands themselves. Those are made here, since nothing but them needs the
// libraries, and no other program can import this one.
var packageFiles = flag.String("package.files", "", "folder for manual pages, completions and the default settings")

// TestPackageFiles makes them, and looks whether anything is missing.
func TestPackageFiles(t *testing.T) {
	dir := *packageFiles
	if dir == "" {
		dir = t.TempDir()
	}
	root := newRootCmd(&app{stdin: strings.NewReader(""), stdout: io.Discard, stderr: io.Discard})
	root.DisableAutoGenTag = true
	t.Run("each command has a manual page", func(t *testing.T) { writeManuals(t, root, filepath.Join(dir, "man", "man1")) })
	t.Run("shells complete", func(t *testing.T) { writeCompletions(t, root, dir) })
	t.Run("the default settings", func(t *testing.T) {
		writePackageFile(t, filepath.Join(dir, "..", "squall.yaml"), defaultSettings())
	})
}

// writePackageFile writes one file, and the folders above it.
func writePackageFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// packageDate is that of the commit which is packaged.
func packageDate(t *testing.T) *time.Time {
	t.Helper()
	var seconds int64
	if text := os.Getenv("SOURCE_DATE_EPOCH"); text != "" {
		if _, err := fmt.Sscan(text, &seconds); err != nil {
			t.Fatal(err)
		}
	}
	at := time.Unix(seconds, 0).UTC()
	return &at
}

func writeManuals(t *testing.T, root *cobra.Command, dir string) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	header := &doc.GenManHeader{Section: "1", Source: "Squall", Manual: "Squall", Date: packageDate(t)}
	if err := doc.GenManTree(root, header, dir); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"squall.1", "squall-run.1", "squall-agent-undo.1", "squall-server-init.1"} {
		text, err := os.ReadFile(filepath.Join(dir, path))
		if err != nil || !strings.Contains(string(text), ".SH SYNOPSIS") || !strings.Contains(string(text), ".SH OPTIONS") {
			t.Errorf("%s: %v:\n%s", path, err, text)
		}
	}
}

func writeCompletions(t *testing.T, root *cobra.Command, dir string) {
	for path, write := range map[string]func(io.Writer) error{
		"bash-completion/completions/squall":    func(w io.Writer) error { return root.GenBashCompletionV2(w, true) },
		"zsh/vendor-completions/_squall":        root.GenZshCompletion,
		"fish/vendor_completions.d/squall.fish": func(w io.Writer) error { return root.GenFishCompletion(w, true) },
	} {
		var text bytes.Buffer
		if err := write(&text); err != nil || !strings.Contains(text.String(), "__complete") {
			t.Errorf("%s: %v", path, err)
		}
		writePackageFile(t, filepath.Join(dir, path), text.String())
	}
}

// defaultSettings is a file of all settings, each with what it is for and as it
// is when nobody sets it.
func defaultSettings() string {
	var b strings.Builder
	b.WriteString("# Settings of squall on this machine: of its commands, and of a server.\n" +
		"# Each line that is commented out shows the default. A flag, SQUALL_KEY in the\n" +
		"# environment, .squall.yaml in the folder and a person's own file outrank this\n" +
		"# one; squall config explain KEY tells which has won.\n")
	parent := ""
	for _, s := range settingTable {
		above, key, nested := strings.Cut(s.key, ".")
		if !nested {
			above, key = "", s.key
		}
		b.WriteString("\n")
		if above != parent && above != "" {
			fmt.Fprintf(&b, "#%s:\n", above)
		}
		parent = above
		mark, indent := "", strings.Repeat("  ", strings.Count(s.key, "."))
		if nested {
			mark = "#" + indent
		}
		fmt.Fprintf(&b, "%s# %s\n#%s%s: %s\n", mark, strings.ToUpper(s.text[:1])+s.text[1:]+".", indent, key, yamlValue(s.value))
	}
	return b.String()
}

// yamlValue writes a default as a file has it.
func yamlValue(value any) string {
	switch v := value.(type) {
	case map[string]any:
		return "{}"
	case []string:
		return "[" + strings.Join(v, ", ") + "]"
	case string:
		if v == "" {
			return `""`
		}
	}
	return fmt.Sprint(value)
}

// commentedKey is a line that shows a key, or what is below one, commented out:
// prose has one blank behind its mark.
var commentedKey = regexp.MustCompile(`(?m)^( *)#(\w+:|  )`)

// uncommented takes the marks from the keys of a file that shows them.
func uncommented(text string) string { return commentedKey.ReplaceAllString(text, "$1$2") }

// TestDefaultSettingsAreTheSettings: the file that a package installs is accepted
// as it stands and with each line in force, and has every key.
func TestDefaultSettingsAreTheSettings(t *testing.T) {
	home := t.TempDir()
	t.Chdir(home)
	t.Setenv("XDG_CONFIG_HOME", home)
	t.Setenv("HOME", home)
	for _, text := range []string{defaultSettings(), uncommented(defaultSettings())} {
		writePackageFile(t, filepath.Join(home, ".squall.yaml"), text)
		a := &app{}
		newRootCmd(a)
		if err := a.readSettings(nil); err != nil {
			t.Fatalf("%v in\n%s", err, text)
		}
	}
	var values map[string]any
	if err := yaml.Unmarshal([]byte(uncommented(defaultSettings())), &values); err != nil {
		t.Fatal(err)
	}
	for _, key := range settingKeys() {
		if _, set := valueOf(values, key); !set {
			t.Errorf("the file does not show %s", key)
		}
	}
}

// TestDefaultHostConfigIsAHostConfig: so is the host's, and it shows every key.
func TestDefaultHostConfigIsAHostConfig(t *testing.T) {
	source, err := os.ReadFile("../.packaging/etc/host.yaml")
	if err != nil {
		t.Fatal(err)
	}
	full := uncommented(string(source))
	for _, text := range []string{string(source), full} {
		if _, problems := experiments.DecodeHostConfig("host.yaml", []byte(text)); problems.Err() != nil {
			t.Errorf("%v in\n%s", problems.Err(), text)
		}
	}
	fields := (&pb.HostConfig{}).ProtoReflect().Descriptor().Fields()
	for i := range fields.Len() {
		if key := fields.Get(i).TextName(); !regexp.MustCompile(`(?m)^` + key + `:`).MatchString(full) {
			t.Errorf("the file does not show %s", key)
		}
	}
}

// TestUnitsAreSound: systemd finds nothing wrong with the units, and what it says
// of the server's exposure is what the page says.
func TestUnitsAreSound(t *testing.T) {
	hosttest.RequireProgram(t, "systemd-analyze", "systemd")
	// Most is the exposure that a unit may have, in tenths; none is what may do all.
	for unit, most := range map[string]string{"squall-server.service": "14", "squall-agent.service": "", "squall-undo.service": "", "squall.slice": ""} {
		source, err := os.ReadFile("../.packaging/systemd/" + unit)
		if err != nil {
			t.Fatal(err)
		}
		// Where the package isn't installed, its binary isn't either.
		path := filepath.Join(t.TempDir(), unit)
		writePackageFile(t, path, strings.ReplaceAll(strings.ReplaceAll(string(source), "/usr/bin/squall ", "/bin/true "), "man:squall", "man:true"))
		if out, err := exec.CommandContext(t.Context(), "systemd-analyze", "verify", "--man=no", "--recursive-errors=no", path).CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("%s: %v: %s", unit, err, out)
		}
		if most == "" {
			continue
		}
		if out, err := exec.CommandContext(t.Context(), "systemd-analyze", "security", "--offline=true", "--threshold="+most, path).CombinedOutput(); err != nil {
			t.Errorf("%s: %v: %s", unit, err, out)
		}
	}
}
