package judge

import (
	"fmt"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
)

// widen turns every number into a double, but for the index of a list, and
// makes a double of every size: a person writes `alive == 0` and means the number.
func widen(a *cel.Ast) error {
	w := &widener{ast: a.NativeRep(), factory: ast.NewExprFactory(), next: ast.MaxID(a.NativeRep()), index: map[int64]bool{}}
	ast.PreOrderVisit(w.ast.Expr(), ast.NewExprVisitor(w.note))
	ast.PostOrderVisit(w.ast.Expr(), ast.NewExprVisitor(w.widen))
	return w.err
}

type widener struct {
	ast     *ast.AST
	factory ast.ExprFactory
	next    int64
	// index holds the literals that are the index of a list.
	index map[int64]bool
	err   error
}

func (w *widener) note(e ast.Expr) {
	if e.Kind() == ast.CallKind && e.AsCall().FunctionName() == operators.Index {
		w.index[e.AsCall().Args()[1].ID()] = true
	}
}

func (w *widener) widen(e ast.Expr) {
	switch {
	case e.Kind() == ast.LiteralKind && !w.index[e.ID()]:
		w.literal(e)
	case e.Kind() == ast.CallKind && e.AsCall().FunctionName() == "size":
		w.size(e)
	}
}

// size turns size(x) into double(size(x)).
func (w *widener) size(e ast.Expr) {
	call := e.AsCall()
	inner := w.factory.NewCall(w.next, "size", call.Args()...)
	if call.IsMemberFunction() {
		inner = w.factory.NewMemberCall(w.next, "size", call.Target(), call.Args()...)
	}
	if at, ok := w.ast.SourceInfo().GetOffsetRange(e.ID()); ok {
		w.ast.SourceInfo().SetOffsetRange(w.next, at)
	}
	w.next++
	e.SetKindCase(w.factory.NewCall(e.ID(), "double", inner))
}

// exact is the largest whole number up to which doubles are exact.
const exact = 1 << 53

func (w *widener) literal(e ast.Expr) {
	var n float64
	switch v := e.AsLiteral().(type) {
	case types.Int:
		n = float64(v)
	case types.Uint:
		n = float64(v)
	default:
		return
	}
	if n > exact || n < -exact {
		w.err = fmt.Errorf("%v is too large", e.AsLiteral())
	}
	e.SetKindCase(w.factory.NewLiteral(e.ID(), types.Double(n)))
}
