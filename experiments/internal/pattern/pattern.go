// Package pattern has regular expressions that are compiled when they are
// first asked. Compiling those of the language at once would take a tenth of
// what a command needs to start, and most commands read no file.
package pattern

import (
	"regexp"
	"sync"
)

// Lazy is a regular expression; the first call compiles it, and panics where
// it is none.
func Lazy(expression string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(expression) })
}

// wholes are what Whole has compiled, by the expression.
var wholes sync.Map

// Whole is an expression that a whole text has to match. It is compiled once and
// kept, and so is for the expressions of a build, not for those of its users.
func Whole(expression string) *regexp.Regexp {
	if known, ok := wholes.Load(expression); ok {
		return known.(*regexp.Regexp)
	}
	known, _ := wholes.LoadOrStore(expression, regexp.MustCompile(`^(?:`+expression+`)$`))
	return known.(*regexp.Regexp)
}
