// Package near finds the name that somebody probably meant.
package near

import (
	"slices"
	"strconv"
	"strings"
)

// Name is the one of names that is closest to word, or "" where none is close.
func Name(word string, names []string) string {
	if all := closest(word, names); len(all) > 0 {
		return all[0]
	}
	return ""
}

// closest are the names that are as close to word as any, sorted; none where
// none is close.
func closest(word string, names []string) (best []string) {
	least := max(len(word)/3, 1) + 1
	for _, name := range slices.Compact(slices.Sorted(slices.Values(names))) {
		switch d := Distance(word, name); {
		case d < least:
			best, least = []string{name}, d
		case d == least && len(best) > 0:
			best = append(best, name)
		}
	}
	return best
}

// Fix is a sentence that points at the right name: the closest one, or all of
// them; several that stand in one word are told apart. what names the kind of thing: "zone".
func Fix(word, what string, names []string) string {
	if parts := known(strings.Split(word, ","), names); len(parts) > 1 {
		return "write each as an entry of its own: [" + strings.Join(parts, ", ") + "]"
	}
	if all := closest(word, names); len(all) > 0 {
		return "did you mean " + either(all) + "?"
	}
	if len(names) == 0 {
		return "there is no " + what + " here"
	}
	return "write one of: " + strings.Join(slices.Compact(slices.Sorted(slices.Values(names))), ", ")
}

// either names all: who is offered one of several that are as close takes it
// for the one that is meant.
func either(names []string) string {
	said := make([]string, len(names))
	for i, name := range names {
		said[i] = strconv.Quote(name)
	}
	last := len(said) - 1
	if last == 0 {
		return said[0]
	}
	return strings.Join(said[:last], ", ") + " or " + said[last]
}

// known are words without the space around them, or none where one of them is
// not a name.
func known(words, names []string) []string {
	var all []string
	for _, w := range words {
		if w = strings.TrimSpace(w); !slices.Contains(names, w) {
			return nil
		}
		all = append(all, w)
	}
	return all
}

// far is the distance of words that are too long to be anybody's typing error.
const far = 1 << 10

// Distance counts the letters to add, drop, replace or swap. Words of more than
// 64 bytes are far from everything.
func Distance(a, b string) int {
	if len(a) > 64 || len(b) > 64 {
		return far
	}
	x, y := []rune(a), []rune(b)
	before, last, row := make([]int, len(y)+1), make([]int, len(y)+1), make([]int, len(y)+1)
	for j := range last {
		last[j] = j
	}
	for i := range x {
		row[0] = i + 1
		for j := range y {
			row[j+1] = min(last[j+1]+1, row[j]+1, last[j]+cost(x[i] != y[j]))
			if i > 0 && j > 0 && x[i] == y[j-1] && x[i-1] == y[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(y)]
}

func cost(differ bool) int {
	if differ {
		return 1
	}
	return 0
}
