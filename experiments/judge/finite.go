package judge

import (
	"math"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/interpreter"
)

// finite makes the result of a calculation that is no number, or no finite
// one, missing: neither x > 50 nor its opposite says anything of it.
func finite(i interpreter.Interpretable) (interpreter.Interpretable, error) {
	call, ok := i.(interpreter.InterpretableCall)
	if !ok {
		return i, nil
	}
	switch call.Function() {
	case operators.Add, operators.Subtract, operators.Multiply, operators.Divide:
		return finiteCall{call}, nil
	}
	return i, nil
}

type finiteCall struct{ interpreter.InterpretableCall }

// Eval calculates.
func (c finiteCall) Eval(vars cel.Activation) ref.Val {
	return finiteNumber(c.InterpretableCall.Eval(vars))
}

// Exec calculates within a frame.
func (c finiteCall) Exec(frame *interpreter.ExecutionFrame) ref.Val {
	return finiteNumber(c.InterpretableCall.Exec(frame))
}

// finiteNumber is a value, or that it is missing where it is no finite number.
func finiteNumber(v ref.Val) ref.Val {
	if d, ok := v.(types.Double); ok && (math.IsNaN(float64(d)) || math.IsInf(float64(d), 0)) {
		return types.WrapErr(errMissing)
	}
	return v
}
