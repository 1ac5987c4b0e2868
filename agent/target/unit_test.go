package target_test

import (
	"path"
	"strings"
	"testing"

	"squall/agent/target"
)

func TestUnitIsWhereSystemdSays(t *testing.T) {
	for _, c := range []struct {
		shown string
		want  target.Unit
		err   string
	}{
		{
			"Id=web.service\nLoadState=loaded\nActiveState=active\nControlGroup=/system.slice/web.service\nSlice=system.slice\nExecMainStartTimestampMonotonic=12\n",
			target.Unit{Cgroup: "system.slice/web.service", Ran: true},
			"",
		},
		{ // it doesn't run: systemd 254 and later name no cgroup then
			"Id=web@a.service\nLoadState=loaded\nActiveState=inactive\nControlGroup=\nSlice=system-web.slice\nExecMainStartTimestampMonotonic=0\n",
			target.Unit{Cgroup: "system.slice/system-web.slice/web@a.service"},
			"",
		},
		{ // between two automatic restarts
			"Id=web.service\nLoadState=loaded\nActiveState=activating\nControlGroup=\nSlice=-.slice\nActiveEnterTimestampMonotonic=3\n",
			target.Unit{Cgroup: "web.service", Coming: true, Ran: true},
			"",
		},
		{
			"Id=memory.service\nLoadState=loaded\nActiveState=failed\nControlGroup=\nSlice=a-b-c.slice\n",
			target.Unit{Cgroup: "a.slice/a-b.slice/a-b-c.slice/_memory.service"},
			"",
		},
		{"Id=wbe.service\nLoadState=not-found\nActiveState=inactive\nControlGroup=\nSlice=\n", target.Unit{}, `"not-found", not as loaded`},
		{"", target.Unit{}, `"", not as loaded`},
		{"Failed to connect to bus\n", target.Unit{}, `"", not as loaded`},
		{"Id=web.service\nLoadState=loaded\nActiveState=inactive\nControlGroup=\nSlice=\n", target.Unit{}, "neither its cgroup nor its slice"},
		{"LoadState=loaded\nControlGroup=\nSlice=system.slice\n", target.Unit{}, "neither its cgroup nor its slice"},
		{"Id=a.service\nLoadState=loaded\nControlGroup=\nSlice=system\n", target.Unit{}, `"system" as its slice`},
		{"Id=a.service\nLoadState=loaded\nControlGroup=\nSlice=a--b.slice\n", target.Unit{}, `"a--b.slice" as its slice`},
		{"Id=a.service\nLoadState=loaded\nControlGroup=/a/../..\n", target.Unit{}, "no path below the root"},
		{"Id=-.slice\nLoadState=loaded\nControlGroup=/\nSlice=\n", target.Unit{}, "no path below the root"},
		{"Id=a.service\nControlGroup=/a\n\nId=b.service\nControlGroup=/b\n", target.Unit{}, "several units"},
	} {
		got, err := target.ParseUnit(c.shown)
		switch {
		case c.err == "" && (err != nil || got != c.want):
			t.Errorf("%q is %+v, %v; want %+v", c.shown, got, err, c.want)
		case c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)):
			t.Errorf("%q is %+v, %v; want an error with %q", c.shown, got, err, c.err)
		}
	}
}

// FuzzUnit: whatever is printed, a cgroup that is told lies below the mount.
func FuzzUnit(f *testing.F) {
	f.Add("Id=web.service\nLoadState=loaded\nActiveState=active\nControlGroup=/system.slice/web.service\nSlice=system.slice\n")
	f.Add("Id=../../x\nLoadState=loaded\nControlGroup=\nSlice=a-b.slice\n")
	f.Add("Id=..\nLoadState=loaded\nControlGroup=\nSlice=-.slice\n")
	f.Fuzz(func(t *testing.T, shown string) {
		u, err := target.ParseUnit(shown)
		if err != nil {
			return
		}
		if u.Cgroup == "" || path.Join("/", u.Cgroup) != "/"+u.Cgroup {
			t.Errorf("%q is in %q", shown, u.Cgroup)
		}
	})
}
