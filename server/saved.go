package server

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"squall/proto/clock"
	"squall/server/observe"
)

const (
	// saveEvery is how often cluster time is saved.
	saveEvery = 10 * time.Second
	// tick is how exactly the kernel tells the time since boot.
	tick = 10 * time.Millisecond
)

// kernelBoot is the machine's boot as the kernel tells it.
func kernelBoot() (id string, ago time.Duration, err error) {
	name, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", 0, fmt.Errorf("read boot id: %w", err)
	}
	uptime, err := os.ReadFile("/proc/uptime")
	if err != nil {
		return "", 0, fmt.Errorf("read time since boot: %w", err)
	}
	text, _, _ := strings.Cut(string(uptime), " ")
	seconds, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return "", 0, fmt.Errorf("read time since boot: %w", err)
	}
	return strings.TrimSpace(string(name)), time.Duration(seconds * float64(time.Second)), nil
}

// timeFile is where cluster time is saved; empty where nothing outlives the process.
func (s *Server) timeFile() string {
	if s.cfg.Dir == "" {
		return ""
	}
	return filepath.Join(s.cfg.Dir, "time.json")
}

// restoreTime takes up what the process before this one saved. In the same boot
// that goes on exactly; from another, cluster time is not before it.
func (s *Server) restoreTime() {
	saved, err := s.readTime()
	if err != nil {
		s.log.Warn("cluster time that was saved is of no use", "cause", err)
		return
	}
	s.saved = saved
	id, ago, err := s.cfg.Boot()
	if err != nil {
		s.log.Warn("this boot can't be told from others", "cause", err)
		return
	}
	s.clock.Applied(saved.Unix)
	if r, ok := saved.At(id, ago); ok {
		s.clock.Observe(s.local(), r, s.local())
	}
}

// readTime is the zero value where nothing was saved.
func (s *Server) readTime() (clock.Saved, error) {
	path := s.timeFile()
	if path == "" {
		return clock.Saved{}, nil
	}
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return clock.Saved{}, nil
	}
	if err != nil {
		return clock.Saved{}, fmt.Errorf("read saved time: %w", err)
	}
	saved, err := clock.DecodeSaved(data)
	if err != nil {
		return clock.Saved{}, fmt.Errorf("%s: %w", path, err)
	}
	return saved, nil
}

// saveTimes saves cluster time now and then until ctx ends, and then once more.
func (s *Server) saveTimes(ctx context.Context) error {
	for last := false; s.timeFile() != "" && !last; s.turned(observe.Saving) {
		select {
		case <-time.After(saveEvery):
		case <-ctx.Done():
			last = true
		}
		if err := s.saveTime(); err != nil {
			s.log.Warn("cluster time is not saved", "cause", err)
		}
	}
	return nil
}

// saveTime is not synced to disk: the boot ends with what it is exact for.
func (s *Server) saveTime() error {
	now, ok := s.clusterTime()
	if !ok {
		return nil
	}
	id, ago, err := s.cfg.Boot()
	if err != nil {
		return fmt.Errorf("save time: %w", err)
	}
	saved := clock.Saved{BootID: id, Boot: ago, Unix: now.Unix, Doubt: now.Doubt + tick}
	next := s.timeFile() + ".next"
	if err := os.WriteFile(next, saved.Encode(), 0o600); err != nil {
		return fmt.Errorf("save time: %w", err)
	}
	if err := os.Rename(next, s.timeFile()); err != nil {
		return fmt.Errorf("save time: %w", err)
	}
	return nil
}
