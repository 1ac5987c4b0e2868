package show_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"squall/cli/show"
)

// TestFoldKeepsColumnsBelowOneAnother: a table that is too wide goes on below
// each of its lines, all of them at the same column.
func TestFoldKeepsColumnsBelowOneAnother(t *testing.T) {
	const table = "HOST    ZONE    ROLES         STATE      SERVER\n" +
		"db-a1   zone-a  db,resolver   connected  server-b\n" +
		"web-b1  zone-b  web           lost       -\n"
	for columns, want := range map[int]string{
		0:  table,
		60: table,
		46: "HOST    ZONE    ROLES         STATE\n    SERVER\n" +
			"db-a1   zone-a  db,resolver   connected\n    server-b\n" +
			"web-b1  zone-b  web           lost\n    -\n",
		30: "HOST    ZONE    ROLES\n    STATE      SERVER\n" +
			"db-a1   zone-a  db,resolver\n    connected  server-b\n" +
			"web-b1  zone-b  web\n    lost       -\n",
	} {
		if got := show.Fold(table, columns); got != want {
			t.Errorf("at %d columns:\n%s\nwant\n%s", columns, got, want)
		}
	}
}

// TestFoldBreaksBetweenWords, rather between parts, and stands in below the text
// behind the label.
func TestFoldBreaksBetweenWords(t *testing.T) {
	for _, c := range []struct {
		text    string
		columns int
		want    string
	}{
		{"guardrails  max_zones 1 of 1   max_hosts 2 of 9 (22%) of 40%\n", 40, "guardrails  max_zones 1 of 1\n             max_hosts 2 of 9 (22%) of\n             40%\n"},
		{"T+0s  dark  Utility power fails, and the generators of the zone do not start.\n", 40, "T+0s  dark  Utility power fails, and the\n        generators of the zone do not\n        start.\n"},
		{"           defaults.of.a.thing = false and more\n", 40, "           defaults.of.a.thing = false\n             and more\n"},
		{"short\n" + strings.Repeat("x", 50) + "\n", 40, "short\n" + strings.Repeat("x", 40) + "\n  " + strings.Repeat("x", 10) + "\n"},
		{"no newline at the end of it", 20, "no newline at the\n  end of it"},
	} {
		if got := show.Fold(c.text, c.columns); got != c.want {
			t.Errorf("%q becomes\n%s\nwant\n%s", c.text, got, c.want)
		}
	}
}

// TestFoldKeepsAnExcerptWithItsCaret.
func TestFoldKeepsAnExcerptWithItsCaret(t *testing.T) {
	line := "    zones: { dark: [zone-a], lit: [zone-b, zone-c] }   # re-aim with --aim"
	for _, at := range []int{8, 38, 70} {
		folded := strings.Split(show.Fold(line+"\n"+strings.Repeat(" ", at)+"^\n", 40), "\n")
		caret := strings.IndexByte(folded[1], '^')
		if len(folded) != 3 || caret < 0 || []rune(folded[0])[caret] != rune(line[at]) || utf8.RuneCountInString(folded[0]) > 40 {
			t.Errorf("the caret at %d:\n%s", at, strings.Join(folded, "\n"))
		}
	}
}

// TestFoldedLinesFit whatever they hold, and nothing of a line is lost.
func TestFoldedLinesFit(t *testing.T) {
	text := "RUN                        STATE  STARTED                   BY\n" +
		"ad-hoc-net-delay-70fd6a3f  done   2026-11-29T21:47:44.306Z  operator\n" +
		"squall: no server answers: “dial tcp 10.0.0.1:7400: connect: connection refused”\n" +
		"\n  fix: étendre la cible à d'autres hôtes, ou prendre une part plus grande de ceux-ci\n" +
		strings.Repeat("a-very-long-name-", 12) + "\n"
	for columns := 12; columns < 90; columns++ {
		folded := show.Fold(text, columns)
		for line := range strings.Lines(folded) {
			if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > columns {
				t.Fatalf("%d columns: a line of %d: %q", columns, n, line)
			}
		}
		if plain := func(s string) string { return strings.Join(strings.Fields(s), "") }; plain(folded) != plain(text) {
			t.Fatalf("%d columns: something is lost:\n%s", columns, folded)
		}
	}
}
