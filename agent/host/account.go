package host

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// Account is a user of this host, as its own files tell: a directory service
// may be what a fault has cut off.
type Account struct {
	Name, Home string
	UID, GID   uint32
	// Groups are all that it is a member of, its own included.
	Groups []uint32
}

// LookUpAccount finds an account in /etc/passwd, and its groups in /etc/group.
func LookUpAccount(name string) (*Account, error) {
	users, err := os.ReadFile("/etc/passwd")
	if err != nil {
		return nil, fmt.Errorf("look up account %q: %w", name, err)
	}
	a := parseAccount(users, name)
	if a == nil {
		return nil, fmt.Errorf("look up account %q: /etc/passwd has none of that name", name)
	}
	groups, err := os.ReadFile("/etc/group")
	if err != nil {
		return nil, fmt.Errorf("look up groups of %q: %w", name, err)
	}
	a.Groups = parseGroups(groups, a)
	return a, nil
}

// parseAccount reads NAME:x:UID:GID:COMMENT:HOME:SHELL; lines that are no such are passed over.
func parseAccount(passwd []byte, name string) *Account {
	for line := range strings.Lines(string(passwd)) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), ":")
		if len(f) != 7 || f[0] != name {
			continue
		}
		uid, uidErr := strconv.ParseUint(f[2], 10, 32)
		gid, gidErr := strconv.ParseUint(f[3], 10, 32)
		if uidErr == nil && gidErr == nil {
			return &Account{Name: name, Home: f[5], UID: uint32(uid), GID: uint32(gid)}
		}
	}
	return nil
}

// parseGroups reads NAME:x:GID:MEMBER,MEMBER.
func parseGroups(group []byte, a *Account) []uint32 {
	groups := []uint32{a.GID}
	for line := range strings.Lines(string(group)) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), ":")
		if len(f) != 4 || !slices.Contains(strings.Split(f[3], ","), a.Name) {
			continue
		}
		gid, err := strconv.ParseUint(f[2], 10, 32)
		if err == nil && !slices.Contains(groups, uint32(gid)) {
			groups = append(groups, uint32(gid))
		}
	}
	return groups
}

func (a *Account) credential() *syscall.Credential {
	return &syscall.Credential{Uid: a.UID, Gid: a.GID, Groups: a.Groups}
}

func (a *Account) environment() map[string]string {
	return map[string]string{"HOME": a.Home, "USER": a.Name, "LOGNAME": a.Name}
}
