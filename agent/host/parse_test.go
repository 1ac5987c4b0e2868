package host

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/proto"

	pb "squall/proto/squall/v1"
)

const hybridMounts = `31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu
41 31 0:38 / /sys/fs/cgroup/my\040unified rw,relatime shared:9 - cgroup2 cgroup2 rw
`

// prctl cuts a name after 15 bytes, inside a letter if need be. A message that
// is not valid UTF-8 is never sent: it would cut the agent off.
func TestNameCutInsideALetterIsMadeValid(t *testing.T) {
	s, ok := parseStat([]byte("12 (a\xc3) R 7 12 12 0 -1 2097216 0 0 0\n"))
	if !ok || s.name != "a\uFFFD" {
		t.Errorf("read %q, %v", s.name, ok)
	}
	facts := &pb.Facts{Undeclared: names(map[int]stat{12: s})}
	if _, err := proto.Marshal(facts); err != nil {
		t.Error(err)
	}
	for _, line := range lastLines("one\ntwo \xff\n\n", 2) {
		if !utf8.ValidString(line) {
			t.Errorf("line %q", line)
		}
	}
}

func TestFindsCgroup2AmongV1Mounts(t *testing.T) {
	mount, ok := cgroup2Mount([]byte(hybridMounts))
	if !ok || mount != "/sys/fs/cgroup/my unified" {
		t.Errorf("got %q, %t", mount, ok)
	}
	if _, ok := cgroup2Mount([]byte("32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n")); ok {
		t.Error("a v1 mount was taken for v2")
	}
}

// TestTwoCgroup2Mounts: the last that shows the whole hierarchy, whether a part of
// it is mounted before or after.
func TestTwoCgroup2Mounts(t *testing.T) {
	const (
		whole = "30 1 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"
		again = "31 1 0:26 / /run/cgroup2 rw - cgroup2 cgroup2 rw\n"
		part  = "32 1 0:26 /kube.slice /var/lib/pod/cgroup rw - cgroup2 cgroup2 rw\n"
	)
	for mounts, want := range map[string]string{
		whole + again: "/run/cgroup2", whole + part: "/sys/fs/cgroup",
		part + whole: "/sys/fs/cgroup", part: "/var/lib/pod/cgroup",
	} {
		if got, ok := cgroup2Mount([]byte(mounts)); !ok || got != want {
			t.Errorf("of\n%sgot %q, %t; want %q", mounts, got, ok, want)
		}
	}
}

func TestReadsCgroupEvents(t *testing.T) {
	for text, want := range map[string]bool{
		"populated 1\nfrozen 0\n": true,
		"populated 0\nfrozen 1\n": false,
		"frozen 1\npopulated 1":   true,
		"":                        false,
	} {
		if got := populated([]byte(text)); got != want {
			t.Errorf("populated(%q) = %t", text, got)
		}
	}
}

func TestReadsStatOfAnyName(t *testing.T) {
	s, ok := parseStat([]byte("12 (a) b (c\n) R 7 12 12 0 -1 2097216 0 0 0\n"))
	if !ok || s.name != "a) b (c\n" || s.parent != 7 || s.state != 'R' || !s.kernel {
		t.Errorf("got %+v, %t", s, ok)
	}
}

const tcpTable = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0 100 0 0 10 0
   1: 0100007F:1F91 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4712 1 0 100 0 0 10 0
   2: 0100007F:1F92 0100007F:0050 01 00000000:00000000 00:00000000 00000000     0        0 4713 1 0 100 0 0 10 0
`

func TestFindsListeningPortsOfItsOwnSockets(t *testing.T) {
	ports := map[uint32]bool{}
	parseSockets([]byte(tcpTable), tcpListens, map[string]bool{"4711": true, "4713": true}, ports)
	if got := slices.Sorted(maps.Keys(ports)); !slices.Equal(got, []uint32{8080}) {
		t.Errorf("got %v", got)
	}
}

const packetTable = `sk               RefCnt Type Proto  Iface R Rmem   User   Inode
ffff8881057af000 3      3    0003   2     1 0      0      20318
ffff8881057af800 3      2    0000   0     0 0      101    4711
`

func TestReadsPacketSockets(t *testing.T) {
	if got := slices.Sorted(maps.Keys(parsePackets([]byte(packetTable)))); !slices.Equal(got, []string{"20318", "4711"}) {
		t.Errorf("got %v", got)
	}
}

func TestReadsLinkID(t *testing.T) {
	id, ok := linkID([]byte("pos:\t0\nflags:\t02000000\nlink_type:\ttcx\nlink_id:\t42\nprog_tag:\tab\n"))
	if !ok || id != 42 {
		t.Errorf("got %d, %t", id, ok)
	}
}

func TestReadsPendingKill(t *testing.T) {
	for text, want := range map[string]bool{
		"Name:\tsh\nSigPnd:\t0000000000000000\nShdPnd:\t0000000000000000\n":                 false,
		"Name:\tsh\nSigPnd:\t0000000000000100\nShdPnd:\t0000000000000000\n":                 true,
		"SigPnd:\t0000000000000000\nShdPnd:\t0000000000000101\n":                            true,
		"SigPnd:\t0000000000000080\nSigBlk:\t0000000000000100\nSigCgt:\t0000000000000100\n": false,
		"SigPnd:\tnone\n": false,
	} {
		if got := pending([]byte(text), unix.SIGKILL); got != want {
			t.Errorf("%q: kill pending %v, want %v", text, got, want)
		}
	}
}

func FuzzParsers(f *testing.F) {
	for _, seed := range []string{
		hybridMounts, tcpTable, packetTable, "populated 1\n", "1\n22\n0\nx\n",
		"12 (a) b) R 7 12 12 0 -1 2097216 0", "0::/a/b\n", "link_id:\t7\n", `a\04`, `\999`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if mount, ok := cgroup2Mount(b); !ok && mount != "" {
			t.Errorf("a mount %q that is none", mount)
		}
		for _, pid := range parsePids(b) {
			if pid <= 0 {
				t.Errorf("process %d", pid)
			}
		}
		if s, ok := parseStat(b); ok && s.state == 0 {
			t.Error("a process without a state")
		}
		ports := map[uint32]bool{}
		parseSockets(b, tcpListens, map[string]bool{"4711": true}, ports)
		if ports[0] {
			t.Error("port 0")
		}
		for inode := range parsePackets(b) {
			if inode == "" {
				t.Error("a packet socket without an inode")
			}
		}
		populated(b)
		pending(b, unix.SIGKILL)
		ownCgroup(b)
		linkID(b)
		unescape(string(b))
	})
}

// Who kills or freezes process 1 takes the host away, and with it the undo.
func TestNobodyMayTouchTheCgroupsOfTheAgentAndOfProcessOne(t *testing.T) {
	for cgroup, want := range map[string]string{
		"/":                             "root",
		"system.slice/squall.service":   "the agent itself",
		"system.slice":                  "the agent itself",
		"init.scope":                    "process 1",
		"/init.scope/":                  "process 1",
		"system.slice/web.service":      "",
		"init.scopes":                   "",
		"init.scope/below":              "",
		"system.slice/squall.service/x": "",
	} {
		err := touchable(cgroup, "system.slice/squall.service", "init.scope")
		if (err != nil) != (want != "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", cgroup, err, want)
		}
	}
	if err := touchable("a", "", ""); err != nil {
		t.Errorf("where both are in the root: %v", err)
	}
}
