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
