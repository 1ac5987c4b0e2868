package judge

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/types"

	"squall/experiments/internal/pattern"
	"squall/experiments/near"
	pb "squall/proto/squall/v1"
)

const (
	// costLimit bounds the evaluation of one expression, in CEL's units.
	costLimit = 100_000
	// sizeLimit and depthLimit bound its text.
	sizeLimit  = 4096
	depthLimit = 32
)

// vocabulary is what the expressions of one experiment may speak of. Nothing
// else is declared, so a misspelt name is an error before anything runs.
type vocabulary struct {
	probes, targets, roles []string
	env                    *cel.Env
}

// wrong says what is wrong with an expression, and where: a column from 0.
type wrong struct {
	column       int
	message, fix string
}

var word = pattern.Lazy(`^[A-Za-z_][A-Za-z0-9_]*`)

func newVocabulary(e *pb.Experiment) *vocabulary {
	return &vocabulary{
		probes:  slices.Sorted(maps.Keys(e.GetProbes())),
		targets: slices.Sorted(maps.Keys(e.GetTargets())),
		roles:   slices.Sorted(maps.Keys(e.GetZones())),
	}
}

// open makes the environment. A name that can't stand in an expression is
// left out: it is refused where it is used.
func (v *vocabulary) open() error {
	options := []cel.EnvOption{
		cel.CustomTypeProvider(newProvider()),
		cel.ParserExpressionSizeLimit(sizeLimit),
		cel.ParserRecursionLimit(depthLimit),
		cel.Variable("residue", residueType.cel),
	}
	for _, name := range v.probes {
		options = append(options, cel.Variable(name, probeType.cel))
	}
	for _, name := range v.targets {
		if !slices.Contains(v.probes, name) {
			options = append(options, cel.Variable(name, targetType.cel))
		}
	}
	for _, name := range v.roles {
		options = append(options, cel.Variable("zones."+name, cel.ListType(zoneType.cel)))
	}
	env, err := cel.NewEnv(options...)
	v.env = env
	return err
}

// compile turns a text into an expression.
func (v *vocabulary) compile(text string) (*expression, *wrong) {
	parsed, issues := v.env.Parse(text)
	if issues.Err() != nil {
		return nil, v.explain(text, issues)
	}
	if err := widen(parsed); err != nil {
		return nil, &wrong{message: err.Error(), fix: "write a smaller number"}
	}
	checked, issues := v.env.Check(parsed)
	if issues.Err() != nil {
		return nil, v.explain(text, issues)
	}
	if w := v.says(checked, text); w != nil {
		return nil, w
	}
	program, err := v.env.Program(checked, cel.CostLimit(costLimit), cel.CustomDecorator(finite))
	if err != nil {
		return nil, &wrong{message: "the expression can't be evaluated: " + err.Error(), fix: "write it more simply"}
	}
	x := newExpression(v, text, checked, program)
	if len(x.valued) > maxValued {
		return nil, &wrong{
			message: fmt.Sprintf("%q reads .value of %d probes, and may of %d", text, len(x.valued), maxValued),
			fix:     "make several statements of it",
		}
	}
	return x, nil
}

// maxValued is of how many probes an expression may read what hosts gave: it is
// evaluated for the lowest and the highest of each, in every combination.
const maxValued = 4

// says refuses what holds or does not, whatever was measured.
func (v *vocabulary) says(a *cel.Ast, text string) *wrong {
	switch presence := hasIn(a); {
	case a.OutputType() != types.BoolType:
		return &wrong{message: fmt.Sprintf("%q is not a statement that holds or does not", text), fix: "compare it with something, such as >= 0.99"}
	case presence != "":
		return &wrong{
			column: max(strings.Index(text, "has("), 0), message: presence + " holds with data and without",
			fix: "leave it out: where data is missing, nothing that compares it holds",
		}
	case !v.measures(a):
		return &wrong{
			message: fmt.Sprintf("%q speaks of nothing that is measured", text),
			fix:     "name a probe, a target, a role of `zones`, or residue.count, and a value of it that is read: the plan knows .total before",
		}
	}
	return v.constant(a)
}

// hasIn is the first question in an expression whether a field is there, as it
// is written; every field is.
func hasIn(a *cel.Ast) (first string) {
	ast.PostOrderVisit(a.NativeRep().Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		if first != "" || e.Kind() != ast.SelectKind || !e.AsSelect().IsTestOnly() {
			return
		}
		first = "has(…)"
		if of := e.AsSelect().Operand(); of.Kind() == ast.IdentKind {
			first = fmt.Sprintf("has(%s.%s)", of.AsIdent(), e.AsSelect().FieldName())
		}
	}))
	return first
}

// explain says the first issue in our words.
func (v *vocabulary) explain(text string, issues *cel.Issues) *wrong {
	first := issues.Errors()[0]
	if w := inMeasures(text); w != nil {
		return w
	}
	w := &wrong{column: max(first.Location.Column(), 0)}
	w.message, w.fix = unreadable(first.Message)
	if first.Location.Line() > 1 {
		w.column = 0
	}
	if name, ok := between(first.Message, "undeclared reference to '", "'"); ok {
		v.undeclared(w, text, name)
	} else if field, ok := between(first.Message, "undefined field '", "'"); ok {
		w.undefined(text, field)
	} else if k := unread(first.Message); k != nil {
		name, at := whole(text, k)
		w.message, w.column = name+" is no number: it has values", at
		w.fix = "write one of them behind its name: ." + strings.Join(k.fields, ", .")
	} else if strings.Contains(first.Message, "no matching overload") {
		w.fix = "compare numbers with numbers: every value is a number, but for the name of a zone"
	}
	return w
}

// unread is the kind of what was compared as a whole; nil where numbers were.
func unread(complaint string) *kind {
	if !strings.Contains(complaint, "no matching overload") {
		return nil
	}
	for _, k := range kinds {
		if strings.Contains(complaint, k.name) {
			return k
		}
	}
	return nil
}

// bareName is a name that no value follows.
var bareName = pattern.Lazy(`\b[a-z][a-z0-9_]*\b`)

// whole is the name that was compared as a whole and its place, or what kind of
// thing it is.
func whole(text string, k *kind) (name string, at int) {
	for _, at := range bareName().FindAllStringIndex(text, -1) {
		if !strings.HasPrefix(text[at[1]:], ".") && (at[0] == 0 || text[at[0]-1] != '.') {
			return text[at[0]:at[1]], at[0]
		}
	}
	return "a " + strings.ToLower(strings.TrimPrefix(k.name, "squall.")), 0
}

func (v *vocabulary) undeclared(w *wrong, text, name string) {
	known := slices.Concat(v.probes, v.targets, []string{"residue"})
	if name == "zones" {
		role := word().FindString(after(text, w.column, "zones."))
		w.message = fmt.Sprintf("%q is not a role of `zones`", role)
		w.fix = near.Fix(role, "role", v.roles)
		w.column += len("zones.")
		return
	}
	w.message = fmt.Sprintf("%q is neither a probe nor a target", name)
	w.fix = near.Fix(name, "probe or target", known)
	for _, k := range known {
		if strings.Contains(k, "-") && strings.HasPrefix(k, name) {
			w.fix = fmt.Sprintf("a hyphen is a minus here: rename %q with underscores", k)
		}
	}
}

// undefined explains a field that does not exist. The place is the dot before it.
func (w *wrong) undefined(text, field string) {
	fields := slices.Concat(probeType.fields, targetType.fields, zoneType.fields, residueType.fields)
	w.message = fmt.Sprintf("there is no %q", field)
	w.fix = near.Fix(field, "field", fields)
	if word().FindString(after(text, w.column, ".")) == field {
		w.column++
	}
}

// after is what follows prefix at a column of text, or "".
func after(text string, column int, prefix string) string {
	runes := []rune(text)
	rest, ok := strings.CutPrefix(string(runes[min(column, len(runes)):]), prefix)
	if !ok {
		return ""
	}
	return rest
}

func between(text, left, right string) (inside string, ok bool) {
	_, rest, ok := strings.Cut(text, left)
	if !ok {
		return "", false
	}
	inside, _, ok = strings.Cut(rest, right)
	return inside, ok
}
