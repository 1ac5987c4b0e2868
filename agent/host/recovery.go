package host

import (
	"context"
	"os"
	"path/filepath"
	"strings"
)

const (
	// logTail is how much of the end of a log is read, in bytes.
	logTail = 8 << 10
	// maxLine bounds a line of a log that is told, in bytes.
	maxLine = 400
)

// Ready implements Host.
func (r *Real) Ready(ctx context.Context, name string) error {
	w, err := r.workload(name)
	if err != nil {
		return err
	}
	return r.workloads.Ready(ctx, w)
}

// LastLog implements Host.
func (r *Real) LastLog(name string, lines int) []string {
	if r.workloads.logs == "" {
		return nil
	}
	f, err := os.Open(filepath.Join(r.workloads.logs, name+".log"))
	if err != nil {
		return nil // a unit logs elsewhere
	}
	defer f.Close()
	end, err := f.Seek(0, 2)
	if err != nil {
		return nil
	}
	tail := make([]byte, min(end, logTail))
	if _, err := f.ReadAt(tail, end-int64(len(tail))); err != nil {
		return nil
	}
	return lastLines(string(tail), lines)
}

// lastLines are the last lines of a text, oldest first, each made short and valid.
func lastLines(text string, n int) []string {
	text = strings.TrimRight(text, "\n")
	if text == "" {
		return nil
	}
	all := strings.Split(text, "\n")
	all = all[max(0, len(all)-n):]
	for i, line := range all {
		all[i] = printable(line[:min(len(line), maxLine)])
	}
	return all
}
