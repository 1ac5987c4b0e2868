package experiments

import (
	"fmt"
	"maps"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"squall/experiments/internal/pattern"
	"squall/experiments/quantity"
	pb "squall/proto/squall/v1"
)

var zoneName = pattern.Lazy(`^[a-z0-9][a-z0-9-]{0,62}$`)

// reserved are names that mean something else in expressions.
var reserved = []string{
	"zones", "residue", "true", "false", "null", "in", "as", "break", "const", "continue", "else", "for", "function",
	"if", "import", "let", "loop", "package", "namespace", "return", "var", "void", "while",
}

// checkExperiment holds the parts of an experiment against each other. What it
// can't see, hosts and zones, is left to planning.
func (d *decoder) checkExperiment(e *pb.Experiment) {
	d.checkClock(e.GetClock())
	d.checkNames(e)
	d.checkZones(e)
	for _, name := range slices.Sorted(maps.Keys(e.GetTargets())) {
		d.checkTarget(e, name, e.GetTargets()[name])
	}
	d.checkGuardrails(e.GetGuardrails())
	for _, name := range slices.Sorted(maps.Keys(e.GetProbes())) {
		d.checkProbe(e, "probes."+name, e.GetProbes()[name])
	}
	d.checkTimeline(e)
	d.checkVerdict(e)
	d.checkSchedule(e.GetSchedule())
}

func (d *decoder) checkClock(c *pb.Clock) {
	if c.GetOrigin() == "" {
		return
	}
	if _, err := time.Parse(time.RFC3339, c.GetOrigin()); err != nil {
		d.badPath("clock.origin", fmt.Sprintf("origin: %s is not a date, time and offset", quoted(c.GetOrigin())),
			`write RFC 3339 in quotes, such as "2012-06-29T19:57:00-07:00"`)
	}
}

// checkNames keeps names fit for expressions, where a hyphen is a minus.
func (d *decoder) checkNames(e *pb.Experiment) {
	sections := []struct {
		key   string
		names []string
	}{
		{"zones", slices.Sorted(maps.Keys(e.GetZones()))},
		{"targets", slices.Sorted(maps.Keys(e.GetTargets()))},
		{"probes", slices.Sorted(maps.Keys(e.GetProbes()))},
	}
	for _, s := range sections {
		for _, name := range s.names {
			d.checkName(e, s.key, name)
		}
	}
}

func (d *decoder) checkName(e *pb.Experiment, section, name string) {
	path := section + "." + name
	switch {
	case !quantity.IsName(name):
		d.badPath(path, fmt.Sprintf("name %s can't stand in an expression", quoted(name)),
			"use small letters, digits and _, beginning with a letter, such as "+quoted(tame(name)))
	case slices.Contains(reserved, name) || section == "probes" && name == "control":
		d.badPath(path, fmt.Sprintf("name %s means something else in expressions", quoted(name)), "choose another name")
	case section == "probes" && e.GetTargets()[name] != nil:
		d.badPath(path, fmt.Sprintf("name %s is also that of a target", quoted(name)), "give probes and targets different names, since expressions use both")
	}
}

var notPlain = pattern.Lazy(`[^a-z0-9]+`)

// tame turns a name into one that may stand in an expression.
func tame(name string) string {
	plain := strings.Trim(notPlain().ReplaceAllString(strings.ToLower(name), "_"), "_")
	if !quantity.IsName(plain) {
		return "n_" + plain
	}
	return plain
}

func (d *decoder) checkZones(e *pb.Experiment) {
	for _, role := range slices.Sorted(maps.Keys(e.GetZones())) {
		seen := map[string]bool{}
		for i, zone := range e.GetZones()[role].GetZone() {
			path := fmt.Sprintf("zones.%s.zone[%d]", role, i)
			switch {
			case !zoneName().MatchString(zone):
				d.badPath(path, fmt.Sprintf("%s can't be the name of a zone", quoted(zone)), "use small letters, digits and hyphens, such as zone-a")
			case seen[zone]:
				d.badPath(path, fmt.Sprintf("zone %s stands twice in %s", quoted(zone), quoted(role)), "keep one of the two")
			}
			seen[zone] = true
		}
	}
}

func (d *decoder) checkTarget(e *pb.Experiment, name string, t *pb.Target) {
	path := "targets." + name
	if len(t.GetZone())+len(t.GetRoom())+len(t.GetRole())+len(t.GetHost())+len(t.GetLabels()) == 0 && !d.wrong[path] {
		d.badPath(path, fmt.Sprintf("target %s does not say which hosts", quoted(name)), "add zone, room, role, host or labels")
	}
	d.checkZoneRefs(e, path+".zone", t.GetZone())
	d.checkZoneRefs(e, path+".exclude.zone", t.GetExclude().GetZone())
}

// checkZoneRefs finds names that are no role of this file and can't be zones either.
func (d *decoder) checkZoneRefs(e *pb.Experiment, path string, names []string) {
	for i, name := range names {
		if e.GetZones()[name] == nil && !zoneName().MatchString(name) {
			d.unknownName(fmt.Sprintf("%s[%d]", path, i), "zone", name, slices.Sorted(maps.Keys(e.GetZones())))
		}
	}
}

// unknownName reports a reference to something that the file does not have. It
// says nothing when a whole section hides behind an unknown key.
func (d *decoder) unknownName(path, kind, name string, known []string) {
	if d.misplaced {
		return
	}
	fix := suggest(name, known)
	if len(known) == 0 {
		fix = "declare it in this file"
	}
	d.badPath(path, fmt.Sprintf("unknown %s %s", kind, quoted(name)), fix)
}

func (d *decoder) checkGuardrails(g *pb.Guardrails) {
	for i, entry := range g.GetProtect() {
		if key, value, ok := strings.Cut(entry, "="); !ok || key == "" || value == "" {
			d.badPath(fmt.Sprintf("guardrails.protect[%d]", i), fmt.Sprintf("protect: %s is not key=value", quoted(entry)), "write role=…, zone=… or a label with its value, such as role=monitoring")
		}
	}
	seen := map[string]bool{}
	for i, keep := range g.GetKeep() {
		if seen[keep.GetRole()] {
			d.badPath(fmt.Sprintf("guardrails.keep[%d].role", i), fmt.Sprintf("role %s is kept twice", quoted(keep.GetRole())), "keep one of the two")
		}
		seen[keep.GetRole()] = true
	}
}

// checkProbe looks at where a probe runs and what it is aimed at.
func (d *decoder) checkProbe(e *pb.Experiment, path string, p *pb.Probe) {
	for i, from := range p.GetFrom() {
		known := from == "control" || e.GetTargets()[from] != nil || e.GetZones()[from] != nil
		if !known && !zoneName().MatchString(from) {
			names := slices.Concat(slices.Sorted(maps.Keys(e.GetTargets())), slices.Sorted(maps.Keys(e.GetZones())), []string{"control"})
			d.unknownName(fmt.Sprintf("%s.from[%d]", path, i), "place", from, names)
		}
	}
	d.checkAim(path, p)
	d.checkCommand(path, p)
}

// checkCommand wants the name of a command, and a host to run it on: what it
// runs is the word of the host's owner, and servers have no such word.
func (d *decoder) checkCommand(path string, p *pb.Probe) {
	if p.GetExec() == nil {
		return
	}
	if argv := p.GetExec().GetArgv(); len(argv) > 1 || len(argv) == 1 && !commandName().MatchString(argv[0]) {
		d.badPath(path+".exec.argv", fmt.Sprintf("%s is not the name of a command", quoted(strings.Join(argv, " "))),
			"write the name under which the host's config lists the program in `commands`")
	}
	if len(p.GetFrom()) == 0 || slices.Contains(p.GetFrom(), "control") {
		d.badPath(path+".exec", "a probe of kind exec runs on hosts, and control is the servers", "add `from:` with a target, a role of zones, or a zone")
	}
}

// commandName is the name of a command in a host's config.
var commandName = pattern.Lazy(`^[a-z0-9][a-z0-9_.-]{0,62}$`)

// checkAim looks at the address of a probe.
func (d *decoder) checkAim(path string, p *pb.Probe) {
	switch kind := p.GetKind().(type) {
	case *pb.Probe_Http:
		d.checkURL(path+".http.url", kind.Http.GetUrl())
	case *pb.Probe_Promql:
		d.checkURL(path+".promql.url", kind.Promql.GetUrl())
	case *pb.Probe_Tcp:
		d.checkAddress(path+".tcp.address", kind.Tcp.GetAddress())
	case *pb.Probe_Grpc:
		d.checkAddress(path+".grpc.address", kind.Grpc.GetAddress())
	case *pb.Probe_Dns:
		if server := kind.Dns.GetServer(); server != "" {
			d.checkAddress(path+".dns.server", server)
		}
	}
}

// isVariable reports whether a ${…} stands in an address. In a lab file it is
// checked as such, and filled in later; nowhere else anybody would.
func (d *decoder) isVariable(path, text string) bool {
	if !strings.Contains(text, "${") {
		return false
	}
	if !d.inLab {
		d.badPath(path, fmt.Sprintf("%s has a variable, and only lab files have those", quoted(text)), "write the address, or the name of a host in its place")
	}
	return true
}

func (d *decoder) checkURL(path, text string) {
	if text == "" || d.isVariable(path, text) {
		return
	}
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		d.badPath(path, fmt.Sprintf("%s is not a web address", quoted(text)), "write the whole address, such as http://10.0.1.11:8080/checkout")
	}
}

func (d *decoder) checkAddress(path, text string) {
	if text == "" || d.isVariable(path, text) {
		return
	}
	colon := strings.LastIndexByte(text, ':')
	port, err := quantity.WholeNumber(text[colon+1:], 65535)
	host := text[:max(colon, 0)]
	_, notV6 := netip.ParseAddr(strings.Trim(host, "[]"))
	bare := strings.Contains(host, ":") && (host[0] != '[' || notV6 != nil)
	if host == "" || err != nil || port == 0 || bare {
		d.badPath(path, fmt.Sprintf("%s is not an address with a port", quoted(text)), "write host:port, such as 10.0.1.11:5432 or [2001:db8::1]:5432")
	}
}
