package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// freezer keeps the processes of a cgroup from running, those that they fork
// included. A frozen process lives, and its sockets stay open.
//
// What is ours is told by an extended attribute with our tag, on the cgroup or,
// for version 1, on a folder of ours: it is there before the first process
// stops, outlives the agent, and goes with the cgroup. What somebody else froze
// or stopped has no such mark, or stands in it, and is left as it is.
type freezer interface {
	// engine names the mechanism.
	engine() string
	// freeze marks and freezes a cgroup; a second time under the same tag it does
	// nothing more.
	freeze(cgroup, tag string) error
	// thaw lets run again what was frozen under the tag, and nothing else. It is
	// legal when nothing was.
	thaw(cgroup, tag string) error
	// frozen tells whether every process of the cgroup is kept from running.
	frozen(cgroup string) (bool, error)
	// tag is the tag under which a cgroup is frozen; empty where we have not. Where
	// that can't be read, nobody knows, and nothing may be taken for clean.
	tag(cgroup string) (string, error)
}

// freezers are the mechanisms that this host has, the best first. Signals are
// the last: a parent sees them, and any SIGCONT undoes them.
func (c cgroups) freezers() []freezer {
	all := []freezer{unifiedFreezer{c}}
	if mount := freezerMount(); mount != "" {
		all = append(all, legacyFreezer{c, mount})
	}
	return append(all, stopper{c})
}

// freezerOf is the best mechanism for a cgroup.
func (c cgroups) freezerOf(cgroup string) (freezer, error) {
	if !c.exists(cgroup) {
		return nil, fmt.Errorf("freeze cgroup %s: %w", cgroup, fs.ErrNotExist)
	}
	all := c.freezers()
	if _, err := os.Stat(c.path(cgroup, "cgroup.freeze")); err != nil {
		all = all[1:] // the kernel is older than 5.2
	}
	return all[0], nil
}

// thaw lets run again what was frozen under a tag, by whichever mechanism.
func (c cgroups) thaw(cgroup, tag string) error {
	var errs []error
	for _, f := range c.freezers() {
		errs = append(errs, f.thaw(cgroup, tag))
	}
	return errors.Join(errs...)
}

// marks of what we froze, and of who was stopped before.
const (
	frozenMark  = "user.squall.frozen"
	stoppedMark = "user.squall.stopped"
	originMark  = "user.squall.origin"
)

// mark sets an attribute of a folder, unless it is there.
func mark(dir, name, value string) error {
	err := unix.Setxattr(dir, name, []byte(value), unix.XATTR_CREATE)
	if errors.Is(err, unix.EEXIST) {
		return nil
	}
	return wrap(err, "mark %s", dir)
}

// markStroke puts an attribute on an open folder at an instant.
func markStroke(dir *os.File, name, value string) *strokeMark {
	return &strokeMark{dir: dir.Fd(), name: append([]byte(name), 0), value: []byte(value)}
}

// usualMark is room for a tag, in bytes, longestMark for the most that an attribute
// holds: who was stopped before may be many.
const usualMark, longestMark = 512, 64 << 10

// marked reads an attribute; empty where there is none, no folder, or a kernel
// that keeps none.
func marked(dir, name string) (string, error) {
	value := make([]byte, usualMark)
	n, err := unix.Getxattr(dir, name, value)
	if errors.Is(err, unix.ERANGE) {
		value = make([]byte, longestMark)
		n, err = unix.Getxattr(dir, name, value)
	}
	switch {
	case err == nil:
		return string(value[:n]), nil
	case errors.Is(err, unix.ENODATA), errors.Is(err, unix.ENOTSUP), vanished(err):
		return "", nil
	}
	return "", fmt.Errorf("read mark of %s: %w", dir, err)
}

func unmark(dir, name string) error {
	err := unix.Removexattr(dir, name)
	if errors.Is(err, unix.ENODATA) || errors.Is(err, unix.ENOENT) {
		return nil
	}
	return wrap(err, "remove mark of %s", dir)
}

// free refuses a cgroup that is frozen under another tag.
func free(f freezer, cgroup, tag string) error {
	own, err := f.tag(cgroup)
	if err == nil && own != "" && own != tag {
		err = fmt.Errorf("%s holds it", own)
	}
	return wrap(err, "freeze cgroup %s", cgroup)
}

// thawLimit is how long processes may take to run again.
const (
	thawLimit = 5 * time.Second
	thawTick  = 2 * time.Millisecond
)

// until waits for a condition; past thawLimit it says what did not come about.
func until(what string, holds func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(context.Background(), thawLimit)
	defer cancel()
	for {
		if ok, err := holds(); ok || err != nil {
			return err
		}
		if pause(ctx, thawTick) != nil {
			return fmt.Errorf("%s: not within %s", what, thawLimit)
		}
	}
}

// vanished tells errors of a cgroup that is no more: nothing is frozen there.
func vanished(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENODEV)
}

// unifiedFreezer is cgroup.freeze of version 2.
type unifiedFreezer struct{ cgroups }

func (unifiedFreezer) engine() string { return "cgroup.freeze" }

func (u unifiedFreezer) freeze(cgroup, tag string) error {
	if err := free(u, cgroup, tag); err != nil {
		return err
	}
	is, err := os.ReadFile(u.path(cgroup, "cgroup.freeze"))
	if err != nil {
		return fmt.Errorf("freeze cgroup %s: %w", cgroup, err)
	}
	if bytes.HasPrefix(is, []byte("1")) {
		return nil // by us already, or by somebody else, who will thaw it
	}
	if err := mark(u.path(cgroup), frozenMark, tag); err != nil {
		return err
	}
	return wrap(u.write(cgroup, "1"), "freeze cgroup %s", cgroup)
}

// stroke opens what freezes a cgroup under a tag at an instant, as freeze does at
// once, and tells the cgroup's number; keep is given each file.
func (u unifiedFreezer) stroke(cgroup, tag string, keep func(*os.File) *os.File) (s stroke, id uint64, err error) {
	dir, err := os.Open(u.path(cgroup))
	if err != nil {
		return s, 0, fmt.Errorf("freeze cgroup %s: %w", cgroup, err)
	}
	keep(dir)
	file, err := os.OpenFile(u.path(cgroup, "cgroup.freeze"), os.O_RDWR, 0)
	if err != nil {
		return s, 0, fmt.Errorf("freeze cgroup %s: %w", cgroup, err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(dir.Fd()), &st); err != nil {
		return s, 0, fmt.Errorf("freeze cgroup %s: %w", cgroup, err)
	}
	return stroke{file: keep(file).Fd(), mark: markStroke(dir, frozenMark, tag)}, st.Ino, nil
}

func (u unifiedFreezer) thaw(cgroup, tag string) error {
	if own, err := u.tag(cgroup); err != nil || own != tag {
		return wrap(err, "thaw cgroup %s", cgroup)
	}
	if err := u.write(cgroup, "0"); err != nil && !vanished(err) {
		return fmt.Errorf("thaw cgroup %s: %w", cgroup, err)
	}
	return unmark(u.path(cgroup), frozenMark)
}

func (u unifiedFreezer) write(cgroup, value string) error {
	return os.WriteFile(u.path(cgroup, "cgroup.freeze"), []byte(value), 0)
}

func (u unifiedFreezer) frozen(cgroup string) (bool, error) {
	b, err := os.ReadFile(u.path(cgroup, "cgroup.events"))
	return bytes.Contains(b, []byte("frozen 1")), wrap(err, "read cgroup %s", cgroup)
}

func (u unifiedFreezer) tag(cgroup string) (string, error) {
	return marked(u.path(cgroup), frozenMark)
}
