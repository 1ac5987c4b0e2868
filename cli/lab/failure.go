package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// failure is a workload that did not come up, or whatever else kept its host from it.
type failure struct {
	Host, Workload, Why string
	// Died says that it ended, which others may only have waited for.
	Died bool
	// Said are the last lines of its log.
	Said []string
}

func (f failure) String() string {
	what := "host " + f.Host
	if f.Workload != "" {
		what = fmt.Sprintf("workload %s on host %s", f.Workload, f.Host)
	}
	text := what + ": " + f.Why
	if f.Workload != "" && len(f.Said) == 0 {
		return text + "; it printed nothing"
	}
	for _, line := range f.Said {
		text += "\n    " + line
	}
	return text
}

// failures says all, first those who died: the others may have waited for them.
func failures(all []failure) error {
	slices.SortStableFunc(all, func(a, b failure) int {
		switch {
		case a.Died == b.Died:
			return strings.Compare(a.Host+" "+a.Workload, b.Host+" "+b.Workload)
		case a.Died:
			return -1
		}
		return 1
	})
	var lines []string
	for _, f := range all {
		lines = append(lines, f.String())
	}
	if len(lines) == 0 {
		return nil
	}
	return errors.New(strings.Join(lines, "\n"))
}

const (
	lastLines = 8
	// lastBytes bounds how far back the last lines of a log are looked for.
	lastBytes = 4 << 10
)

// lastOf are the last lines of a log; none when there is no log.
func lastOf(path string) []string {
	file, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer file.Close()
	if info, err := file.Stat(); err == nil && info.Size() > lastBytes {
		_, _ = file.Seek(-lastBytes, io.SeekEnd) // from its beginning, then
	}
	text, _ := io.ReadAll(io.LimitReader(file, lastBytes)) // what can be read of it
	lines := strings.Split(strings.TrimSpace(strings.ToValidUTF8(string(text), "?")), "\n")
	lines = slices.DeleteFunc(lines, func(line string) bool { return strings.TrimSpace(line) == "" })
	return lines[max(0, len(lines)-lastLines):]
}

// checkAlive finds workloads that have ended since they were ready.
func (f Folder) checkAlive(ctx context.Context, region *Region) error {
	var dead []failure
	for _, h := range region.Hosts {
		states, err := f.States(ctx, h.Name)
		if err != nil {
			dead = append(dead, failure{Host: h.Name, Why: err.Error(), Died: true})
		}
		for _, w := range states {
			if !w.Runs {
				dead = append(dead, failure{
					Host: h.Name, Workload: w.Name, Why: "it was ready, and has ended", Died: true, Said: lastOf(f.Log(h.Name, w.Name)),
				})
			}
		}
	}
	return failures(dead)
}

// CheckAlive returns nil when every workload of the lab runs, and else says
// which have ended, and their last words.
func (f Folder) CheckAlive(ctx context.Context) error {
	region, err := f.Region()
	if err != nil {
		return err
	}
	return f.checkAlive(ctx, region)
}

// failedPrefix marks the folders of what labs that failed have printed. Sweep
// leaves them: somebody may be reading.
const failedPrefix = "squall-failed-"

// Failed is where the logs of a lab are that could not be built.
func (f Folder) Failed() string {
	return filepath.Join(filepath.Dir(string(f)), failedPrefix+f.Name())
}

// KeepLogs copies all logs to where they outlive the lab, in the place of those
// of the last failure.
func (f Folder) KeepLogs() error {
	to := f.Failed()
	if err := os.RemoveAll(to); err != nil {
		return fmt.Errorf("keep logs: %w", err)
	}
	// Not MkdirAll: a link that somebody has planted is not followed.
	if err := os.Mkdir(to, 0o700); err != nil {
		return fmt.Errorf("keep logs: %w", err)
	}
	return f.CopyLogs(to)
}

// CopyLogs copies what the lab's processes have printed into a folder, in
// folders named after their hosts.
func (f Folder) CopyLogs(to string) error {
	var logs []string
	for _, pattern := range []string{"*.log", "hosts/*/*.log", "hosts/*/logs/*.log"} {
		found, err := filepath.Glob(f.path(pattern))
		if err != nil {
			return fmt.Errorf("copy logs: %w", err)
		}
		logs = append(logs, found...)
	}
	var errs []error
	for _, from := range logs {
		name := strings.NewReplacer("hosts/", "", "/logs/", "/").Replace(strings.TrimPrefix(from, string(f)+"/"))
		errs = append(errs, copyFile(from, filepath.Join(to, name)))
	}
	return errors.Join(errs...)
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer in.Close()
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}
