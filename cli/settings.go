package main

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"github.com/spf13/viper"

	"squall/experiments/near"
)

// settings are the client's own, where the servers are and how to print, and what
// a server is told besides its flags.
// Experiments, hosts and workloads never pass through here, since viper
// lower-cases keys and splits them at dots.
type settings struct {
	// Context names the entry of Contexts to use.
	Context  string                 `mapstructure:"context"`
	Contexts map[string]contextSpec `mapstructure:"contexts"`
	// Server and Bundle stand for a context without a name.
	Server []string `mapstructure:"server"`
	Bundle string   `mapstructure:"bundle"`
	Output string   `mapstructure:"output"`
	// Timeout is how long one server may take to answer before the next is tried.
	Timeout time.Duration `mapstructure:"timeout"`
	// UndoAfter is how long Ctrl-C waits for an answer before it undoes the run.
	UndoAfter time.Duration `mapstructure:"undo_after"`
	// Wait is how long halt and undo wait for hosts to show that they are clean.
	Wait time.Duration `mapstructure:"wait"`
	// Metrics are of a server.
	Metrics metricsSpec `mapstructure:"metrics"`
	// Archive is what a server keeps of finished runs.
	Archive archiveSpec `mapstructure:"archive"`
	// Notify is of a server.
	Notify notifySpec `mapstructure:"notify"`
}

// notifySpec says what a server tells sinks with.
type notifySpec struct {
	// Secrets is the folder of a server's secrets; empty is none.
	Secrets string `mapstructure:"secrets"`
}

// metricsSpec says where a server tells how it is.
type metricsSpec struct {
	// Listen is host:port, or off; empty is beside the server's own address, on loopback.
	Listen string `mapstructure:"listen"`
}

// archiveSpec are the limits of a server's archive, each as text, or off.
type archiveSpec struct {
	// Age is how long a run is kept after its end, such as 800d.
	Age string `mapstructure:"age"`
	// Runs is how many are kept.
	Runs string `mapstructure:"runs"`
	// Size is how much they may take on the disk, such as 20GiB.
	Size string `mapstructure:"size"`
}

// contextSpec is a control plane: its servers' addresses (host:port, or
// unix:PATH) and the folder of the user's certificate bundle.
type contextSpec struct {
	Server []string `mapstructure:"server"`
	Bundle string   `mapstructure:"bundle"`
}

// setting is one key with its default and its meaning.
type setting struct {
	key   string
	value any
	text  string
}

// settingTable lists every key: one that is not here is refused.
var settingTable = []setting{
	{"context", "", "name of the control plane to talk to, from contexts"},
	{"contexts", map[string]any{}, "control planes by name: server addresses and bundle folder"},
	{"server", []string{}, "server addresses, host:port or unix:PATH, instead of a context"},
	{"bundle", "", "folder of the certificate bundle that goes with server"},
	{"output", "table", "table, wide, json, yaml or name"},
	{"timeout", "3s", "how long one server may take before the next is tried"},
	{"undo_after", "5s", "how long Ctrl-C in run waits for an answer before it undoes the run"},
	{"wait", "15s", "how long halt and undo wait for hosts to show that they are clean"},
	{"metrics.listen", "", "where a server tells /metrics, /healthz and /readyz: host:port, or off; empty is the port two after its own, on loopback"},
	{"archive.age", "800d", "how long a server keeps a finished run: days, or off for no limit"},
	{"archive.runs", "10000", "how many finished runs a server keeps, the newest: 1 to 10000"},
	{"archive.size", "20GiB", "how much finished runs may take on a server's disk, or off for no limit"},
	{"notify.secrets", "", "folder of a server's secrets for sinks: for each a file NAME, a file NAME.hosts with the hosts that it may go to, and files of authorities; variables SQUALL_SECRET_NAME and SQUALL_SECRET_NAME_HOSTS stand for files that are not there"},
}

var outputs = []string{"table", "wide", "json", "yaml", "name"}

// moreOutputs is the annotation of a command that has forms of its own besides.
const moreOutputs = "outputs"

// reportOutputs are those of a run's report; text is another word for table.
var reportOutputs = map[string]string{moreOutputs: "text,junit,csv,md"}

// outputsOf are the forms that a command's answer has.
func outputsOf(c *cobra.Command) []string {
	if c == nil || c.Annotations[moreOutputs] == "" {
		return outputs
	}
	return append(slices.Clone(outputs), strings.Split(c.Annotations[moreOutputs], ",")...)
}

// settingFlags are the flags that outrank every other layer.
type settingFlags struct{ set *pflag.FlagSet }

func (f *settingFlags) register(set *pflag.FlagSet) {
	f.set = set
	set.String("context", "", "control plane to talk to")
	set.StringSlice("server", nil, "server address, host:port or unix:PATH (may be repeated)")
	set.String("bundle", "", "folder of the certificate bundle")
	set.StringP("output", "o", "table", "output: "+strings.Join(outputs, ", "))
	set.Duration("timeout", 3*time.Second, "how long one server may take before the next is tried")
}

// settingFiles are the files that are read, the strongest last.
func settingFiles() []string {
	files := []string{"/etc/squall/squall.yaml"}
	if dir, err := os.UserConfigDir(); err == nil {
		files = append(files, filepath.Join(dir, "squall", "squall.yaml"))
	}
	return append(files, ".squall.yaml")
}

func envName(key string) string {
	return "SQUALL_" + strings.ToUpper(strings.ReplaceAll(key, ".", "_"))
}

// readSettings merges the layers and refuses what is unknown or out of range for a
// command; nil is any.
func (a *app) readSettings(c *cobra.Command) error {
	v := viper.New()
	for _, s := range settingTable {
		v.SetDefault(s.key, s.value)
		if err := v.BindEnv(s.key, envName(s.key)); err != nil {
			return err
		}
		if f := a.flags.set.Lookup(s.key); f != nil {
			if err := v.BindPFlag(s.key, f); err != nil {
				return err
			}
		}
	}
	for _, file := range settingFiles() {
		if err := mergeFile(v, file); err != nil {
			return usage(err)
		}
	}
	s := &settings{}
	if err := v.UnmarshalExact(s); err != nil {
		return usage(settingError(v, err))
	}
	a.settings = s
	return usage(s.validate(outputsOf(c)))
}

// invalidKeys is how viper tells of keys that nobody reads.
var invalidKeys = regexp.MustCompile(`'(.*)' has invalid keys: (.*)`)

// settingError puts what is wrong with the settings in our words: a key that is
// not known, or a value that is none of the key's.
func settingError(v *viper.Viper, err error) error {
	if found := invalidKeys.FindStringSubmatch(err.Error()); found != nil {
		known := settingKeys()
		if found[1] != "" {
			known = keysOf(found[1])
		}
		key, _, _ := strings.Cut(found[2], ", ")
		return fmt.Errorf("settings: unknown key %q%s\n  fix: %s", key, when(found[1] != "", " in "+found[1]), near.Fix(key, "key", known))
	}
	for _, key := range settingKeys() {
		if text := v.GetString(key); slices.Contains(durations, key) && text != "" && v.GetDuration(key) == 0 {
			return fmt.Errorf("setting %s: %q is no length of time\n  fix: write a number and a unit, such as 3s; squall config explain %s shows where it stands", key, text, key)
		}
	}
	return fmt.Errorf("settings: %w\n  fix: squall config explain KEY shows where a value stands", err)
}

// keysOf are the keys below a key: of metrics, the archive, or a context.
func keysOf(parent string) []string {
	switch parent {
	case "metrics":
		return []string{"listen"}
	case "notify":
		return []string{"secrets"}
	case "archive":
		return []string{"age", "runs", "size"}
	}
	return []string{"server", "bundle"}
}

// durations are the settings that are lengths of time.
var durations = []string{"timeout", "undo_after", "wait"}

// mergeFile adds one file's keys; a file that is not there has none.
func mergeFile(v *viper.Viper, file string) error {
	layer, err := readLayer(file)
	if err != nil || layer == nil {
		return err
	}
	if err := v.MergeConfigMap(layer); err != nil {
		return fmt.Errorf("read settings %s: %w", file, err)
	}
	return nil
}

func readLayer(file string) (map[string]any, error) {
	l := viper.New()
	l.SetConfigFile(file)
	l.SetConfigType("yaml")
	err := l.ReadInConfig()
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read settings %s: %w", file, err)
	}
	return l.AllSettings(), nil
}

func (s *settings) validate(outputs []string) error {
	for key, d := range map[string]time.Duration{"timeout": s.Timeout, "undo_after": s.UndoAfter, "wait": s.Wait} {
		if d < time.Millisecond {
			return fmt.Errorf("setting %s: %v is under 1ms; write a unit, as in 3s", key, d)
		}
	}
	if !slices.Contains(outputs, s.Output) {
		return fmt.Errorf("setting output: %q is not one of %s", s.Output, strings.Join(outputs, ", "))
	}
	if _, ok := s.Contexts[s.Context]; s.Context != "" && !ok {
		return fmt.Errorf("setting context: %q is not in contexts\n  fix: %s", s.Context, near.Fix(s.Context, "context", slices.Collect(maps.Keys(s.Contexts))))
	}
	if err := checkMetricsListen(s.Metrics.Listen); err != nil {
		return fmt.Errorf("setting metrics.listen: %w", err)
	}
	if _, err := s.Archive.limits(); err != nil {
		return fmt.Errorf("setting archive.%w", err)
	}
	if dir := s.Notify.Secrets; dir != "" && !filepath.IsAbs(dir) {
		return fmt.Errorf("setting notify.secrets: %q is no whole path\n  fix: write it as /etc/squall/secrets", dir)
	}
	return nil
}
