package host

// Freezer is a mechanism that keeps a cgroup from running, for tests.
type Freezer struct{ freezer }

// Freezers are the mechanisms of this host, the best first, and their names.
func Freezers() (all []Freezer, names []string, err error) {
	c, err := openCgroups()
	for _, f := range c.freezers() {
		all, names = append(all, Freezer{f}), append(names, f.engine())
	}
	return all, names, err
}

// Freeze freezes a cgroup under a tag.
func (f Freezer) Freeze(cgroup, tag string) error { return f.freeze(cgroup, tag) }

// Thaw lets run again what was frozen under the tag.
func (f Freezer) Thaw(cgroup, tag string) error { return f.thaw(cgroup, tag) }

// Frozen tells whether the cgroup is kept from running.
func (f Freezer) Frozen(cgroup string) (bool, error) { return f.frozen(cgroup) }

// Tag is the tag under which a cgroup is frozen.
func (f Freezer) Tag(cgroup string) (string, error) { return f.tag(cgroup) }

// Started names a process by number and start.
func Started(pid int) string { return started(pid) }

// Stopped tells whether a process is stopped by a signal.
func Stopped(pid int) bool {
	s, _ := processOf(pid)
	return s.stopped()
}
