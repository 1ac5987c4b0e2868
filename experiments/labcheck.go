package experiments

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"squall/experiments/internal/pattern"
	pb "squall/proto/squall/v1"
)

// checkLab looks at a lab file. What it says of hosts that are alike is checked
// as it stands there, for they don't have their names yet.
func (d *decoder) checkLab(l *pb.Lab) {
	d.inLab = true
	zones, hosts := map[string]bool{}, map[string]bool{}
	for i, z := range l.GetZones() {
		at := fmt.Sprintf("zones[%d]", i)
		d.checkTaken(at+".name", "zone", z.GetName(), zones)
		for j, h := range z.GetHosts() {
			d.checkTaken(fmt.Sprintf("%s.hosts[%d].name", at, j), "host", h.GetName(), hosts)
		}
	}
	for i, alike := range l.GetHosts() {
		d.checkAlike(fmt.Sprintf("hosts[%d]", i), alike, zones, hosts)
	}
	for i, z := range l.GetZones() {
		for j, h := range z.GetHosts() {
			at := fmt.Sprintf("zones[%d].hosts[%d]", i, j)
			d.checkLabWorkloads(at+".workloads", h.GetWorkloads(), hosts)
			d.checkLabCommands(at+".commands", h.GetCommands(), hosts)
		}
	}
	for i, alike := range l.GetHosts() {
		at := fmt.Sprintf("hosts[%d]", i)
		d.checkLabWorkloads(at+".workloads", alike.GetWorkloads(), hosts)
		d.checkLabCommands(at+".commands", alike.GetCommands(), hosts)
	}
}

// checkAlike gives hosts that are alike their names.
func (d *decoder) checkAlike(at string, alike *pb.LabHosts, zones, hosts map[string]bool) {
	for i, zone := range alike.GetZones() {
		if !zones[zone] {
			d.unknownName(fmt.Sprintf("%s.zones[%d]", at, i), "zone", zone, sortedNames(zones))
		}
		for n := range max(alike.GetInstances(), 1) {
			d.checkTaken(at+".name", "host", AlikeName(alike, zone, int(n)+1), hosts)
		}
	}
}

// AlikeName is the name of a lab's n-th host of its kind in a zone, counted from 1.
func AlikeName(alike *pb.LabHosts, zone string, n int) string {
	return fmt.Sprintf("%s-%s%d", alike.GetName(), zone[strings.LastIndex(zone, "-")+1:], n)
}

func (d *decoder) checkLabWorkloads(at string, workloads []*pb.Workload, hosts map[string]bool) {
	d.checkWorkloads(at, workloads)
	d.checkRefs(at, workloads, hosts)
	for i, w := range workloads {
		d.checkInLab(fmt.Sprintf("%s[%d]", at, i), w)
	}
}

// checkInLab refuses what a lab's hosts have not, systemd, and files that have
// no one place.
func (d *decoder) checkInLab(at string, w *pb.Workload) {
	if w.GetUnit() != "" {
		d.badPath(at+".unit", "hosts of a lab have no systemd", "write the unit's command line as `start:`, and its account as `user:`")
	}
	for i, f := range w.GetFiles() {
		file := fmt.Sprintf("%s.files[%d]", at, i)
		if p := f.GetPath(); path.IsAbs(p) || p != path.Clean(p) || p == ".." || strings.HasPrefix(p, "../") {
			d.badPath(file+".path", fmt.Sprintf("path %s does not lie below ${data}", quoted(p)), "write it as app.yml or conf/app.yml, and name it in `start` as ${data}/app.yml")
		}
		if (f.GetContent() == "") == (f.GetFrom() == "") {
			d.badPath(file, "a file has either content, or a file beside the lab file that it comes from", "write `content:` or `from:`")
		}
	}
}

// labRef is a ${…}, or a $${, which is plain text.
var labRef = pattern.Lazy(`\$\$\{|\$\{([^}]*)(\}?)`)

// labWords are what a ${…} of a lab file may name, besides ip:HOST.
var labWords = []string{"zone", "host", "ip", "ip:HOST", "data", "squall"}

// checkRefs finds each ${…} of workloads that stands for nothing.
func (d *decoder) checkRefs(at string, workloads []*pb.Workload, hosts map[string]bool) {
	for i, w := range workloads {
		LabTexts(w, func(below, text string) string {
			d.checkRef(fmt.Sprintf("%s[%d].%s", at, i, below), text, hosts, labWords)
			return text
		})
	}
}

// checkLabCommands does the same with commands. They belong to no workload, and
// so have no folder.
func (d *decoder) checkLabCommands(at string, commands map[string]*pb.HostCommand, hosts map[string]bool) {
	d.checkCommands(at, commands)
	words := slices.DeleteFunc(slices.Clone(labWords), func(w string) bool { return w == "data" })
	for name, c := range commands {
		LabCommandTexts(c, func(below, text string) string {
			d.checkRef(at+"."+name+"."+below, text, hosts, words)
			return text
		})
	}
}

func (d *decoder) checkRef(at, text string, hosts map[string]bool, words []string) {
	for _, ref := range labRef().FindAllStringSubmatch(text, -1) {
		name := ref[1]
		host, isHost := strings.CutPrefix(name, "ip:")
		switch {
		case ref[0] == "$${":
		case ref[2] == "":
			d.badPath(at, "a ${ is not closed", "close it with }, or write $${ for a plain ${")
		case isHost && !hosts[host]:
			d.unknownName(at, "host", host, sortedNames(hosts))
		case !isHost && !slices.Contains(words, name):
			d.badPath(at, fmt.Sprintf("${%s} stands for nothing", printable(name)), "name "+oneOf(words)+", or write $${ for a plain ${")
		}
	}
}
