package host

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// TestProcessesOfACgroupAreThoseBelowToo holds that a cgroup that looks like a leaf
// is one: its folder is not listed then.
func TestProcessesOfACgroupAreThoseBelowToo(t *testing.T) {
	c := cgroups{t.TempDir()}
	for at, procs := range map[string]string{"web": "1\n", "db": "2\n", "db/main": "3\n", "db/main/one": "4\n"} {
		if err := os.MkdirAll(c.path(at), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(c.path(at), "cgroup.procs"), []byte(procs), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for at, want := range map[string][]int{"web": {1}, "db": {2, 3, 4}, "db/main": {3, 4}, "gone": nil} {
		got, err := c.pids(at)
		slices.Sort(got)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%s has %v, %v, want %v", at, got, err, want)
		}
	}
	if !c.leaf("web") || c.leaf("db") || c.leaf("gone") {
		t.Error("a leaf is not told from others")
	}
}

// TestWhoMovesDownDuringTheLookIsFound: a cgroup that had none below it is asked
// again after it was read.
func TestWhoMovesDownDuringTheLookIsFound(t *testing.T) {
	c := cgroups{t.TempDir()}
	if err := os.Mkdir(c.path("web"), 0o755); err != nil {
		t.Fatal(err)
	}
	var seen []string
	err := c.walk("web", func(dir string) error {
		seen = append(seen, filepath.Base(dir))
		if len(seen) == 1 {
			return os.Mkdir(filepath.Join(dir, "below"), 0o755)
		}
		return nil
	})
	if err != nil || !slices.Equal(seen, []string{"web", "below"}) {
		t.Errorf("visited %v, %v", seen, err)
	}
}

// TestAFreezerOfVersion1IsToldByOnesOwnPlaceInIt holds that its mount is looked for
// where it can be there.
func TestAFreezerOfVersion1IsToldByOnesOwnPlaceInIt(t *testing.T) {
	for cgroup, want := range map[string]string{
		"0::/user.slice\n":                              "",
		"9:freezer:/\n0::/user.slice\n":                 "/",
		"4:cpu,freezer,pids:/jobs\n1:name=systemd:/x\n": "/jobs",
		"3:name=freezer:/x\n":                           "",
		"":                                              "",
	} {
		if got := freezerPlace([]byte(cgroup)); got != want {
			t.Errorf("of %q: %q, want %q", cgroup, got, want)
		}
	}
}
