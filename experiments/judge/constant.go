package judge

import (
	"slices"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/types"
)

// known are the fields that stand before anything is read: the plan has them.
var known = []string{"total", "name"}

// measures tells whether an expression reads anything that is measured.
func (v *vocabulary) measures(a *cel.Ast) bool {
	found := false
	ast.PostOrderVisit(a.NativeRep().Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		if e.Kind() == ast.SelectKind && e.AsSelect().Operand().Kind() != ast.SelectKind {
			found = found || !slices.Contains(known, e.AsSelect().FieldName())
		}
	}))
	return found
}

// constant refuses a part of an expression that holds, or does not, whatever is
// read: beside an || or an && the whole may do so, too.
func (v *vocabulary) constant(a *cel.Ast) *wrong {
	e := v.constantIn(a.NativeRep(), a.NativeRep().Expr())
	if e == nil {
		return nil
	}
	w := &wrong{
		message: "a part of the expression holds, or does not, whatever is read: .total and numbers are known before",
		fix:     "leave that part out, or compare it with something that is measured, such as .alive",
	}
	if at := a.NativeRep().SourceInfo().GetStartLocation(e.ID()); at.Line() == 1 {
		w.column = at.Column()
	}
	return w
}

// constantIn is the first statement within e that reads nothing; nil where there
// is none. What a macro adds of its own is no part of what was written.
func (v *vocabulary) constantIn(a *ast.AST, e ast.Expr) ast.Expr {
	if a.GetType(e.ID()) == types.BoolType && v.fixed(e) {
		return e
	}
	for _, part := range written(e) {
		if found := v.constantIn(a, part); found != nil {
			return found
		}
	}
	return nil
}

// written are the parts of an expression that somebody wrote.
func written(e ast.Expr) []ast.Expr {
	switch e.Kind() {
	case ast.CallKind:
		return slices.Concat(target(e), e.AsCall().Args())
	case ast.ComprehensionKind:
		return []ast.Expr{e.AsComprehension().IterRange(), e.AsComprehension().LoopStep()}
	case ast.SelectKind:
		return []ast.Expr{e.AsSelect().Operand()}
	}
	return nil
}

// target is what a method is called of.
func target(e ast.Expr) []ast.Expr {
	if call := e.AsCall(); call.IsMemberFunction() {
		return []ast.Expr{call.Target()}
	}
	return nil
}

// fixed tells whether an expression is made of numbers and totals alone. A zone
// within a macro is one of several, which .total and .name tell apart.
func (v *vocabulary) fixed(e ast.Expr) bool {
	switch e.Kind() {
	case ast.LiteralKind:
		return true
	case ast.SelectKind:
		of := e.AsSelect().Operand()
		return of.Kind() == ast.IdentKind && slices.Contains(v.targets, of.AsIdent()) && slices.Contains(known, e.AsSelect().FieldName())
	case ast.CallKind:
		return !slices.ContainsFunc(written(e), func(part ast.Expr) bool { return !v.fixed(part) })
	}
	return false
}
