package experiments

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"squall/experiments/fault"
	"squall/experiments/internal/spell"
)

const (
	faultsDoc    = "../docs/faults.md"
	faultsMarker = "<!-- below this line: from the tables and the protos; `go test ./experiments -run FaultReference -update` writes it -->\n"
)

// TestFaultReferenceIsCurrent compares the reference of docs/faults.md with
// the tables and the protos' comments.
func TestFaultReferenceIsCurrent(t *testing.T) {
	doc := string(read(t, faultsDoc))
	tour, reference, ok := strings.Cut(doc, faultsMarker)
	if !ok {
		t.Fatalf("%s has lost its marker %q", faultsDoc, faultsMarker)
	}
	want := "\n" + faultReference(t)
	if reference == want {
		return
	}
	if !*update {
		t.Fatalf("%s is not what the tables say; write it again with -update", faultsDoc)
	}
	if err := os.WriteFile(faultsDoc, []byte(tour+faultsMarker+want), 0o644); err != nil {
		t.Fatal(err)
	}
}

func faultReference(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	for i, name := range FaultNames() {
		if i > 0 {
			b.WriteByte('\n')
		}
		section(t, &b, fault.ByName(name))
	}
	return b.String()
}

func section(t *testing.T, b *strings.Builder, k *fault.Kind) {
	t.Helper()
	f, _ := NewFault(k.Name)
	arm := spell.ByKey(f.ProtoReflect().Descriptor(), k.Name)
	fmt.Fprintf(b, "## %s\n\n%s\n\n", k.Name, comment(arm))
	fmt.Fprintf(b, "- **Begins.** %s\n- **Ends.** %s\n", k.Begins, k.Ends)
	fmt.Fprintf(b, "- **Needs** of a host, as `squall doctor` tells: %s.\n", code(k.Needs))
	for _, part := range slices.Sorted(maps.Keys(k.Narrows)) {
		if why := k.Narrows[part]; why == fault.Narrowed {
			fmt.Fprintf(b, "- A target's `%s` narrows it.\n", part)
		} else {
			fmt.Fprintf(b, "- A target's `%s` is refused: %s.\n", part, why)
		}
	}
	fmt.Fprintf(b, "- **Undone**, a plan says: %s.\n", k.Undone(&fault.Scene{Fault: WithDefaults(f), Hosts: 3, Workloads: 4}))
	flags := Flags(armOf(f))
	if len(flags) == 0 {
		b.WriteString("\nIt has no keys of its own.\n")
		return
	}
	b.WriteString("\n| key | takes | default | |\n|---|---|---|---|\n")
	for _, flag := range flags {
		fmt.Fprintf(b, "| `%s` | %s | %s | %s |\n", flag.Name, flag.Takes, absent(flag), flag.Usage())
	}
}

func absent(f Flag) string {
	switch {
	case f.Required:
		return "required"
	case f.Default != "":
		return "`" + f.Default + "`"
	}
	return ""
}

func code(words []string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = "`" + w + "`"
	}
	return strings.Join(quoted, ", ")
}
