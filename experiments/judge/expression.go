package judge

import (
	"errors"
	"maps"
	"slices"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
)

// expression is one compiled text with the names it uses.
type expression struct {
	text    string
	program cel.Program
	probes  []string
	targets []string
	roles   []string
	terms   []term
	// valued are the probes that give it a number.
	valued []string
}

// term is a comparison of a value with a limit, or with another value: what
// findings show.
type term struct {
	value
	op    string
	limit float64
	// other is set where the limit is a value too.
	other *value
}

// value is a field of a probe or target.
type value struct{ name, field string }

func (v value) String() string { return v.name + "." + v.field }

// given says that it is a number that a probe's hosts give.
func (v value) given() bool { return v.field == "value" }

// opposite turns a comparison round, for a limit on the left.
var opposite = map[string]string{
	operators.Less: operators.Greater, operators.LessEquals: operators.GreaterEquals,
	operators.Greater: operators.Less, operators.GreaterEquals: operators.LessEquals,
	operators.Equals: operators.Equals, operators.NotEquals: operators.NotEquals,
}

var symbol = map[string]string{
	operators.Less: "<", operators.LessEquals: "<=", operators.Greater: ">",
	operators.GreaterEquals: ">=", operators.Equals: "==", operators.NotEquals: "!=",
}

func newExpression(v *vocabulary, text string, checked *cel.Ast, program cel.Program) *expression {
	x := &expression{text: text, program: program}
	names := map[string]bool{}
	for _, r := range checked.NativeRep().ReferenceMap() {
		names[r.Name] = true
	}
	x.probes = among(names, "", v.probes)
	x.targets = among(names, "", v.targets)
	x.roles = among(names, "zones.", v.roles)
	ast.PostOrderVisit(checked.NativeRep().Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		if t, ok := asTerm(e); ok && x.names(t.name) {
			x.terms = append(x.terms, t)
		}
		if v, ok := asValue(e); ok && v.given() && !slices.Contains(x.valued, v.name) {
			x.valued = append(x.valued, v.name)
		}
	}))
	return x
}

// sources are the planned probes whose readings it speaks of.
func (x *expression) sources() []string {
	names := slices.Clone(x.probes)
	for _, t := range x.targets {
		names = append(names, "target/"+t)
	}
	for _, r := range x.roles {
		names = append(names, "zone/"+r)
	}
	return names
}

// namesTarget tells whether it counts the hosts of a target.
func (x *expression) namesTarget(name string) bool { return slices.Contains(x.targets, name) }

// names tells whether the expression's own name is meant, not one inside a macro.
func (x *expression) names(name string) bool {
	return slices.Contains(x.probes, name) || slices.Contains(x.targets, name)
}

func among(names map[string]bool, prefix string, known []string) []string {
	found := map[string]bool{}
	for _, k := range known {
		if names[prefix+k] {
			found[k] = true
		}
	}
	return slices.Sorted(maps.Keys(found))
}

// asTerm reads `name.field op number`, either way round, or two values.
func asTerm(e ast.Expr) (term, bool) {
	if e.Kind() != ast.CallKind || symbol[e.AsCall().FunctionName()] == "" {
		return term{}, false
	}
	op, left, right := e.AsCall().FunctionName(), e.AsCall().Args()[0], e.AsCall().Args()[1]
	if left.Kind() == ast.LiteralKind {
		op, left, right = opposite[op], right, left
	}
	v, ok := asValue(left)
	if other, both := asValue(right); ok && both {
		return term{value: v, op: op, other: &other}, true
	}
	if !ok || right.Kind() != ast.LiteralKind {
		return term{}, false
	}
	limit, ok := right.AsLiteral().(types.Double)
	return term{value: v, op: op, limit: float64(limit)}, ok
}

func asValue(e ast.Expr) (value, bool) {
	if e.Kind() != ast.SelectKind || e.AsSelect().Operand().Kind() != ast.IdentKind {
		return value{}, false
	}
	return value{e.AsSelect().Operand().AsIdent(), e.AsSelect().FieldName()}, true
}

// sample is a term's value and its limit at one moment.
type sample struct{ value, limit float64 }

// sample reads a term, the worse of its extremes; of what any host is enough for,
// the better one. It is false where there is no data.
func (t term) sample(m *moment) (worst sample, there bool) {
	for _, m := range m.extremes(t.valued()) {
		s, ok := t.sampleOnce(m)
		if ok && (!there || (t.badness(s) > t.badness(worst)) != m.any) {
			worst, there = s, true
		}
	}
	return worst, there
}

// valued are the probes that give it a number.
func (t term) valued() (names []string) {
	for _, v := range []*value{&t.value, t.other} {
		if v != nil && v.given() && !slices.Contains(names, v.name) {
			names = append(names, v.name)
		}
	}
	return names
}

func (t term) sampleOnce(m *moment) (sample, bool) {
	v, err := m.value(t.value)
	if err != nil {
		return sample{}, false
	}
	s := sample{v, t.limit}
	if t.other != nil {
		s.limit, err = m.value(*t.other)
	}
	return s, err == nil
}

// badness grows the farther a sample is on the wrong side of its limit.
func (t term) badness(s sample) float64 {
	switch t.op {
	case operators.Less, operators.LessEquals:
		return s.value - s.limit
	case operators.Greater, operators.GreaterEquals:
		return s.limit - s.value
	case operators.Equals:
		return distance(s.value, s.limit)
	}
	return -distance(s.value, s.limit)
}

func distance(a, b float64) float64 { return max(a-b, b-a) }

// outcome is what an expression gives at one instant.
type outcome int

const (
	holds outcome = iota
	broken
	missing
	early
)

// eval evaluates the expression as things are at a moment: for the lowest and for
// the highest where hosts give a value. What is so only if one probe's lowest and
// another's highest are of hosts that belong together is not known.
func (x *expression) eval(m *moment) outcome {
	all := m.extremes(x.valued)
	if len(all) == 1 {
		return x.evalOnce(m)
	}
	decides, other := broken, holds
	if m.any {
		decides, other = holds, broken
	}
	low, high := x.evalOnce(all[0]), x.evalOnce(all[len(all)-1])
	switch {
	case low == decides || high == decides:
		return decides
	case low != other:
		return low
	case high != other:
		return high
	}
	for _, mixed := range all[1 : len(all)-1] {
		if x.evalOnce(mixed) != other {
			return missing
		}
	}
	return other
}

func (x *expression) evalOnce(m *moment) outcome {
	result, _, err := x.program.Eval(m)
	switch {
	case err == nil && result == types.True:
		return holds
	case err == nil:
		return broken
	case errors.Is(err, errEarly):
		return early
	}
	return missing
}
