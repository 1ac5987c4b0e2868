package judge

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"squall/experiments/internal/pattern"
)

// measure is a number with something behind it that belongs to files, not to
// expressions: 99%, 300ms, 10s.
var measure = pattern.Lazy(`"[^"]*"|'[^']*'|\b([0-9]+(?:\.[0-9]+)?)\s?(%|(?:ns|us|ms|s|m|h|x)\b)`)

// inMeasures finds the first number that carries a unit, and says it without:
// expressions know plain numbers only.
func inMeasures(text string) *wrong {
	for _, m := range measure().FindAllStringSubmatchIndex(text, -1) {
		if m[2] < 0 {
			continue // a text in quotes
		}
		number, unit := text[m[2]:m[3]], text[m[4]:m[5]]
		return &wrong{
			column:  utf8.RuneCountInString(text[:m[0]]),
			message: fmt.Sprintf("%q carries a unit, and expressions have plain numbers", text[m[0]:m[1]]),
			fix:     plainly(number, unit),
		}
	}
	return nil
}

// lengths are units of time in milliseconds, as p50, p95 and p99 are.
var lengths = map[string]float64{"ns": 1e-6, "us": 1e-3, "ms": 1, "s": 1e3, "m": 60e3, "h": 3600e3}

func plainly(number, unit string) string {
	value, err := strconv.ParseFloat(number, 64)
	in := func(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }
	millis, isLength := lengths[unit]
	switch {
	case err != nil || unit == "x":
		return "write " + number
	case isLength:
		return fmt.Sprintf("write %s against p50, p95 and p99, which are milliseconds, and %s against age, which is seconds", in(value*millis), in(value*millis/1000))
	}
	return "write " + in(value/100) + ": success and shares go from 0 to 1"
}

// connectives are how words of other languages are written here.
var connectives = map[string]string{
	"and": "&& where both must hold", "or": "|| where one is enough", "not": "! before what must not hold",
	"=>": ">= for at least", "=<": "<= for at most", "<>": "!= for unequal",
}

// unreadable says a complaint of the parser in words: its own name the parts of
// a grammar.
func unreadable(complaint string) (message, fix string) {
	const example = "write a comparison, such as checkout.success >= 0.99 && checkout.p99 < 300"
	quoted, _ := between(complaint, "'", "'")
	quoted = strings.TrimSpace(quoted)
	switch {
	case !strings.HasPrefix(complaint, "Syntax error: "):
		return complaint, "see `squall explain experiment.expect` for what expressions may say"
	case quoted == "" || quoted == "<EOF>" || strings.Contains(complaint, "at '<EOF>'"):
		return "the expression ends too early", example
	case quoted == "=":
		return `"=" compares nothing`, "write == for equal, != for unequal"
	case connectives[strings.ToLower(quoted)] != "":
		return fmt.Sprintf("%q is not written so here", quoted), "write " + connectives[strings.ToLower(quoted)]
	}
	return fmt.Sprintf("%q can't stand here", quoted), example
}
