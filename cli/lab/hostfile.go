package lab

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"squall/experiments"
	pb "squall/proto/squall/v1"
)

// words are what the variables of a lab file stand for on one host.
type words struct {
	region *Region
	host   *Host
	folder Folder
	squall string
}

// workload is a copy of w with every variable replaced, and without files:
// they are written by now.
func (v words) workload(w *pb.Workload) (*pb.Workload, error) {
	out := proto.CloneOf(w)
	out.Files = nil
	change, err := v.change(v.data(w))
	experiments.LabTexts(out, change)
	if *err != nil {
		return nil, fmt.Errorf("workload %s: %w", w.GetName(), *err)
	}
	return out, nil
}

// command is a copy of c with every variable replaced.
func (v words) command(name string, c *pb.HostCommand) (*pb.HostCommand, error) {
	out := proto.CloneOf(c)
	change, err := v.change("")
	experiments.LabCommandTexts(out, change)
	if *err != nil {
		return nil, fmt.Errorf("command %s: %w", name, *err)
	}
	return out, nil
}

// change replaces the variables of one text after the other, and keeps the
// first error.
func (v words) change(data string) (change func(_, text string) string, failed *error) {
	failed = new(error)
	return func(_, text string) string {
		s, err := v.replace(text, data)
		if err != nil && *failed == nil {
			*failed = err
		}
		return s
	}, failed
}

// replace puts values in the place of ${…}.
func (v words) replace(text, data string) (string, error) {
	var b strings.Builder
	for {
		before, rest, ok := strings.Cut(text, "${")
		if !ok {
			b.WriteString(before)
			return b.String(), nil
		}
		if plain, ok := strings.CutSuffix(before, "$"); ok { // $${ is a plain ${
			b.WriteString(plain + "${")
			text = rest
			continue
		}
		b.WriteString(before)
		name, after, ok := strings.Cut(rest, "}")
		if !ok {
			return "", fmt.Errorf("%q: ${ without }", text)
		}
		value, err := v.value(name, data)
		if err != nil {
			return "", err
		}
		b.WriteString(value)
		text = after
	}
}

func (v words) value(name, data string) (string, error) {
	switch name {
	case "zone":
		return v.host.Zone, nil
	case "host":
		return v.host.Name, nil
	case "ip":
		return v.host.Link.V4.String(), nil
	case "data":
		if data != "" {
			return data, nil
		}
	case "squall":
		return v.squall, nil
	case "bundle": // this and the next are for the servers' own workload
		return v.folder.Bundle("server-" + v.host.Name), nil
	case "socket":
		return v.folder.Socket(v.host.Name), nil
	}
	other, ok := strings.CutPrefix(name, "ip:")
	if !ok {
		return "", fmt.Errorf("${%s} stands for nothing; known are zone, host, ip, ip:HOST, data, squall", name)
	}
	if h := v.region.Host(other); h != nil {
		return h.Link.V4.String(), nil
	}
	return "", fmt.Errorf("${%s}: the lab has no host %q", name, other)
}

// config reads the config of a host.
func (f Folder) config(name string) (*pb.HostConfig, error) {
	file := filepath.Join(f.Host(name), "host.yaml")
	src, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	config, problems := experiments.DecodeHostConfig(file, src)
	return config, problems.Err()
}

// config is the host's config with nothing left to replace.
func (v words) config() (*pb.HostConfig, error) {
	h := v.host
	c := &pb.HostConfig{
		Name: h.Name, Zone: h.Zone, Room: h.Room, Environment: Environment, Role: h.Roles, Labels: h.Labels,
		Address:  []string{h.Link.V4.String(), h.Link.V6.String()},
		Commands: map[string]*pb.HostCommand{}, AllowUndeclaredKill: h.AllowUndeclaredKill, AllowHold: h.AllowHold,
		Volatile: slices.Sorted(maps.Keys(volatile)),
	}
	for _, w := range h.Workloads {
		out, err := v.workload(w)
		if err != nil {
			return nil, err
		}
		c.Workloads = append(c.Workloads, out)
	}
	for name, command := range h.Commands {
		out, err := v.command(name, command)
		if err != nil {
			return nil, err
		}
		c.Commands[name] = out
	}
	return c, nil
}

// write makes the host's folder: its config, its place, names and resolver
// settings. The folder is root's alone; what workloads need lies elsewhere.
func (v words) write() error {
	dir := v.folder.Host(v.host.Name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	config, err := v.config()
	if err != nil {
		return err
	}
	text, err := formatYAML(config)
	if err != nil {
		return err
	}
	for name, content := range map[string]string{
		"host.yaml": text, "hosts": v.region.hostsFile(), "resolv.conf": v.region.resolvConf(v.host),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			return err
		}
	}
	for _, w := range v.host.Workloads {
		if err := v.writeData(w); err != nil {
			return fmt.Errorf("workload %s: %w", w.GetName(), err)
		}
	}
	return v.folder.write(place{Host: *v.host, Squall: v.squall}, "hosts", v.host.Name, placeFile)
}

// hostsFile is /etc/hosts of every host.
func (r *Region) hostsFile() string {
	var b strings.Builder
	b.WriteString("127.0.0.1 localhost\n::1 localhost\n")
	for _, h := range r.Hosts {
		fmt.Fprintf(&b, "%s %s\n%s %s\n", h.Link.V4, h.Name, h.Link.V6, h.Name)
	}
	return b.String()
}

// resolvConf names the resolvers of the host's zone, or of the whole region
// where the zone has none.
func (r *Region) resolvConf(h *Host) string {
	var near, all []string
	for _, other := range r.Hosts {
		if !other.hasRole("resolver") {
			continue
		}
		line := fmt.Sprintf("nameserver %s\n", other.Link.V4)
		all = append(all, line)
		if other.Zone == h.Zone {
			near = append(near, line)
		}
	}
	if len(near) == 0 {
		near = all
	}
	return strings.Join(near[:min(3, len(near))], "") + "options timeout:1 attempts:2\n"
}
