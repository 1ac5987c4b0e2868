package lab

import (
	"net/netip"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	"squall/experiments"
	pb "squall/proto/squall/v1"
)

func mustLoad(t *testing.T, name string) (*pb.Lab, *Region) {
	t.Helper()
	file, err := Load(name)
	if err != nil {
		t.Fatal(err)
	}
	region, err := NewRegion(file)
	if err != nil {
		t.Fatal(err)
	}
	return file, region
}

// TestAddressesFollowFromPlaces: README.md promises these to scenarios.
func TestAddressesFollowFromPlaces(t *testing.T) {
	_, region := mustLoad(t, "shop")
	for name, want := range map[string]string{
		"server-a": "10.77.1.5", "web-a1": "10.77.1.11", "db-a1": "10.77.1.12",
		"server-c": "10.77.3.5", "db-c1": "10.77.3.12", "shopper-1": "10.77.4.11",
	} {
		h := region.Host(name)
		if h == nil {
			t.Errorf("no host %s", name)
		} else if h.Link.V4 != netip.MustParseAddr(want) {
			t.Errorf("%s is at %v, want %s", name, h.Link.V4, want)
		}
	}
	if got := region.Host("web-b1").Link.V6; got != netip.MustParseAddr("fd77:2::11") {
		t.Errorf("web-b1 is at %v", got)
	}
	if n := len(region.Servers()); n != 3 {
		t.Errorf("%d servers, want one in each zone but the street", n)
	}
}

// TestBuiltInLabsAreWhole: every host's config has nothing left to replace,
// and its own strict decoder takes it.
func TestBuiltInLabsAreWhole(t *testing.T) {
	for _, name := range BuiltIn() {
		t.Run(name, func(t *testing.T) {
			_, region := mustLoad(t, name)
			for _, h := range region.Hosts {
				config, err := words{region: region, host: h, folder: "/lab", squall: "/bin/squall"}.config()
				if err != nil {
					t.Fatal(err)
				}
				text, err := formatYAML(config)
				if err != nil {
					t.Fatal(err)
				}
				if strings.Contains(text, "${") {
					t.Errorf("%s: a variable is left:\n%s", h.Name, text)
				}
				again, problems := experiments.DecodeHostConfig(h.Name, []byte(text))
				if err := problems.Err(); err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(config.GetWorkloads(), again.GetWorkloads(), protocmp.Transform()); diff != "" {
					t.Errorf("%s changed on its way through the file:\n%s", h.Name, diff)
				}
			}
		})
	}
}

func TestFleetPlansLikeTheLab(t *testing.T) {
	file, region := mustLoad(t, "shop")
	fleet, err := Fleet(file)
	if err != nil {
		t.Fatal(err)
	}
	if len(fleet.GetHosts()) != len(region.Hosts) {
		t.Fatalf("%d hosts, want %d", len(fleet.GetHosts()), len(region.Hosts))
	}
	for _, h := range fleet.GetHosts() {
		if h.GetEnvironment() != Environment || len(h.GetAddress()) != 2 || len(h.GetWorkloads()) == 0 {
			t.Errorf("%s lacks environment, addresses or workloads: %v", h.GetName(), h)
		}
		for _, w := range h.GetWorkloads() {
			if !w.GetCanStart() {
				t.Errorf("%s: %s has no way back", h.GetName(), w.GetName())
			}
		}
	}
}

func TestWordsOfALabFile(t *testing.T) {
	_, region := mustLoad(t, "shop")
	v := words{region: region, host: region.Host("web-a1"), folder: "/lab", squall: "/bin/squall"}
	for text, want := range map[string]string{
		"plain":                  "plain",
		"${zone}/${host}":        "zone-a/web-a1",
		"${ip}:80,${ip:db-b1}:1": "10.77.1.11:80,10.77.2.12:1",
		"${squall} ${data}":      "/bin/squall /lab/hosts/web-a1/data/api",
		"$ {zone} $zone":         "$ {zone} $zone",
		"$${zone} ${zone} $$":    "${zone} zone-a $$",
	} {
		got, err := v.replace(text, filepath.Join("/lab/hosts/web-a1/data", "api"))
		if err != nil || got != want {
			t.Errorf("%q became %q (%v), want %q", text, got, err, want)
		}
	}
	for text, want := range map[string]string{
		"${ip:nobody}": `the lab has no host "nobody"`,
		"${zome}":      "stands for nothing",
		"${zone":       "without }",
	} {
		if _, err := v.replace(text, ""); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

// TestCommandsOfALabKnowTheirHost: what an exec probe runs is the host's own, as
// `start` and `ready` are.
func TestCommandsOfALabKnowTheirHost(t *testing.T) {
	src := `version: 1
zones: [{ name: zone-a }, { name: zone-b }]
hosts: [{ name: db, zones: [zone-a, zone-b], commands: { rows: [/bin/rows, "${host}", "${ip}", "${ip:db-a1}", "$${x}"] } }]
`
	file, problems := experiments.DecodeLab("lab.yaml", []byte(src))
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	region, err := NewRegion(file)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"db-a1": "/bin/rows db-a1 10.77.1.11 10.77.1.11 ${x}",
		"db-b1": "/bin/rows db-b1 10.77.2.11 10.77.1.11 ${x}",
	} {
		config, err := words{region: region, host: region.Host(name), folder: "/lab", squall: "/bin/squall"}.config()
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(config.GetCommands()["rows"].GetArgv(), " "); got != want {
			t.Errorf("%s runs %q, want %q", name, got, want)
		}
	}
}

func TestHostsResolveInTheirOwnZone(t *testing.T) {
	_, region := mustLoad(t, "shop")
	if got := region.resolvConf(region.Host("web-b1")); !strings.HasPrefix(got, "nameserver 10.77.2.12\noptions ") {
		t.Errorf("zone-b asks %q", got)
	}
	if got := region.resolvConf(region.Host("shopper-1")); strings.Count(got, "nameserver") != 3 {
		t.Errorf("the street, which has no resolver, asks %q", got)
	}
}

func TestWhatHasNoPlaceIsRefused(t *testing.T) {
	host := &pb.LabHost{Name: "web"}
	many := make([]*pb.LabHost, 90)
	for i := range many {
		many[i] = host
	}
	for want, file := range map[string]*pb.Lab{
		"two hosts are named": {Name: "x", Zones: []*pb.LabZone{{Name: "a", Hosts: []*pb.LabHost{host, host}}}},
		"at most 89":          {Name: "x", Zones: []*pb.LabZone{{Name: "a", Hosts: many}}},
		"at most 99":          {Name: "x", Zones: make([]*pb.LabZone, 100)},
	} {
		if _, err := NewRegion(file); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	if _, err := Load("nonsense"); err == nil || !strings.Contains(err.Error(), "etcd, patroni, shop") {
		t.Errorf("an unknown lab: %v", err)
	}
}

func TestCgroupMountIsFoundWhereverItIs(t *testing.T) {
	for line, want := range map[string]string{
		"41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw": "/sys/fs/cgroup/unified",
		`41 31 0:38 / /a\040b rw shared:1 - cgroup2 none rw`:                   "/a b",
		"32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu":   "",
		"nonsense": "",
	} {
		if got, ok := cgroupMountPoint(line); got != want || ok != (want != "") {
			t.Errorf("%q: %q %v, want %q", line, got, ok, want)
		}
	}
}
