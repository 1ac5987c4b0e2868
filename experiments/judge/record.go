package judge

import (
	"errors"
	"fmt"
	"reflect"
	"slices"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
)

var (
	// errMissing says that a value is older than a probe's readings may be.
	errMissing = errors.New("no data")
	// errEarly says that the first reading of a phase is still to come.
	errEarly = errors.New("no reading yet")
)

// kind is a type of value with fields.
type kind struct {
	name   string
	fields []string
	cel    *cel.Type
}

var (
	probeType   = newKind("squall.Probe", "success", "p50", "p95", "p99", "value", "age", "ok")
	targetType  = newKind("squall.Target", "alive", "total", "alive_share")
	zoneType    = newKind("squall.Zone", "name", "alive", "total", "alive_share")
	residueType = newKind("squall.Residue", "count")
	kinds       = []*kind{probeType, targetType, zoneType, residueType}
)

func newKind(name string, fields ...string) *kind {
	return &kind{name: name, fields: fields, cel: cel.ObjectType(name)}
}

// record is a value with fields, read when an expression asks for them.
type record struct {
	kind *kind
	get  func(field string) (any, error)
}

// provider tells CEL of our kinds.
type provider struct{ types.Provider }

func newProvider() types.Provider { return provider{types.NewEmptyRegistry()} }

func (p provider) FindStructType(name string) (*types.Type, bool) {
	if k := kindNamed(name); k != nil {
		return types.NewTypeTypeWithParam(k.cel), true
	}
	return p.Provider.FindStructType(name)
}

func (p provider) FindStructFieldNames(name string) ([]string, bool) {
	if k := kindNamed(name); k != nil {
		return k.fields, true
	}
	return p.Provider.FindStructFieldNames(name)
}

func (p provider) FindStructFieldType(name, field string) (*types.FieldType, bool) {
	k := kindNamed(name)
	if k == nil {
		return p.Provider.FindStructFieldType(name, field)
	}
	if !slices.Contains(k.fields, field) {
		return nil, false
	}
	t := types.DoubleType
	if field == "name" {
		t = types.StringType
	}
	return &types.FieldType{
		Type:    t,
		IsSet:   func(any) bool { return true },
		GetFrom: func(of any) (any, error) { return of.(*record).get(field) },
	}, true
}

func kindNamed(name string) *kind {
	for _, k := range kinds {
		if k.name == name {
			return k
		}
	}
	return nil
}

// The rest makes a record a value of CEL. Records are asked for fields, never
// compared or converted.

// ConvertToNative refuses.
func (r *record) ConvertToNative(t reflect.Type) (any, error) {
	return nil, fmt.Errorf("convert %s to %v: it is not a plain value", r.kind.name, t)
}

// ConvertToType refuses.
func (r *record) ConvertToType(t ref.Type) ref.Val {
	return types.NewErr("convert %s to %s: it is not a plain value", r.kind.name, t.TypeName())
}

// Equal refuses.
func (r *record) Equal(ref.Val) ref.Val {
	return types.NewErr("compare %s: compare one of its fields", r.kind.name)
}

// Type is the record's kind.
func (r *record) Type() ref.Type { return r.kind.cel }

// Value is the record itself.
func (r *record) Value() any { return r }
