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
}

// term is a comparison of a value with a limit: what findings show.
type term struct {
	name, field string
	op          string
	limit       float64
}

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
		if t, ok := asTerm(e); ok && (slices.Contains(x.probes, t.name) || slices.Contains(x.targets, t.name)) {
			x.terms = append(x.terms, t)
		}
	}))
	return x
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

// asTerm reads `name.field op number`, either way round.
func asTerm(e ast.Expr) (term, bool) {
	if e.Kind() != ast.CallKind || symbol[e.AsCall().FunctionName()] == "" {
		return term{}, false
	}
	op, left, right := e.AsCall().FunctionName(), e.AsCall().Args()[0], e.AsCall().Args()[1]
	if left.Kind() == ast.LiteralKind {
		op, left, right = opposite[op], right, left
	}
	if left.Kind() != ast.SelectKind || left.AsSelect().Operand().Kind() != ast.IdentKind || right.Kind() != ast.LiteralKind {
		return term{}, false
	}
	limit, ok := right.AsLiteral().(types.Double)
	return term{name: left.AsSelect().Operand().AsIdent(), field: left.AsSelect().FieldName(), op: op, limit: float64(limit)}, ok
}

func (t term) value() string { return t.name + "." + t.field }

// worse tells whether a is farther on the wrong side of the limit than b.
func (t term) worse(a, b float64) bool {
	switch t.op {
	case operators.Less, operators.LessEquals:
		return a > b
	case operators.Greater, operators.GreaterEquals:
		return a < b
	case operators.Equals:
		return distance(a, t.limit) > distance(b, t.limit)
	}
	return distance(a, t.limit) < distance(b, t.limit)
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

// eval evaluates the expression as things are at a moment.
func (x *expression) eval(m *moment) outcome {
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
