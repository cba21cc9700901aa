package fakevault

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"time"
)

// parameters are the names that a request to a path may use, with the types of
// their values. If nil, the path takes any name.
type parameters map[string]parameter

// A parameter is the type to which Vault converts a value.
type parameter int

const (
	plain    parameter = iota // any value; the backend converts it
	integer                   // int
	boolean                   // bool
	object                    // map[string]any
	duration                  // time.Duration, not negative
	signed                    // time.Duration

	// inPath is the name of a part of the path, which overrides a parameter of the same
	// name.
	inPath
	// unsupported is a parameter that the fake does not implement. It is refused unless it
	// is empty, so that no test relies on it.
	unsupported
)

// with returns p and more names of one type.
func (p parameters) with(kind parameter, names ...string) parameters {
	all := maps.Clone(p)
	if all == nil {
		all = parameters{}
	}
	for _, name := range names {
		all[name] = kind
	}
	return all
}

// none is for paths that take no parameter.
var none = parameters{}

// convert replaces the values by those of the right type.
func (p parameters) convert(data map[string]any) error {
	for _, name := range slices.Sorted(maps.Keys(data)) {
		value, err := p[name].convert(data[name])
		if err != nil {
			return fmt.Errorf("error converting input for field %q: %w", name, err)
		}
		data[name] = value
	}
	return nil
}

// convert returns the value as the type, or as it is if the type is none.
func (kind parameter) convert(value any) (any, error) {
	switch kind {
	case integer:
		return intOf(value)
	case boolean:
		return truthOf(value)
	case object:
		return objectOf("", value)
	case duration, signed:
		if value == nil {
			return nil, nil // as if it were absent
		}
		d, err := durationOf(value)
		if kind == duration && d < 0 {
			err = fmt.Errorf("cannot provide negative value '%d'", int(d.Seconds()))
		}
		return d, err
	}
	return value, nil
}

// refuse returns the error for the first parameter that the fake does not implement, or
// nil.
func (p parameters) refuse(data map[string]any) *failure {
	for _, name := range slices.Sorted(maps.Keys(data)) {
		if p[name] == unsupported && !isEmpty(data[name]) {
			return notImplemented("the parameter %q", name)
		}
	}
	return nil
}

// warnings returns the warnings about ignored parameters.
func (p parameters) warnings(data map[string]any) []string {
	var ignored, replaced, all []string
	for _, name := range slices.Sorted(maps.Keys(data)) {
		kind, known := p[name]
		switch {
		case !known && p != nil:
			ignored = append(ignored, name)
		case kind == inPath && data[name] != nil:
			replaced = append(replaced, name)
		}
	}
	if len(ignored) > 0 {
		all = append(all, fmt.Sprintf("Endpoint ignored these unrecognized parameters: %v", ignored))
	}
	if len(replaced) > 0 {
		all = append(all,
			fmt.Sprintf("Endpoint replaced the value of these parameters with the values captured from "+
				"the endpoint's path: %v", replaced))
	}
	return all
}

// notImplemented is the response to a feature that the fake does not implement.
func notImplemented(format string, args ...any) *failure {
	return fail(http.StatusNotImplemented, "fakevault does not implement "+format, args...)
}

// isEmpty reports whether a JSON value is null, false, 0, "", or a list or object of only
// such values.
func isEmpty(v any) bool {
	switch v := v.(type) {
	case []any:
		return !slices.ContainsFunc(v, func(v any) bool { return !isEmpty(v) })
	case map[string]any:
		return isEmpty(slices.Collect(maps.Values(v)))
	case json.Number:
		return v == "0"
	}
	return v == nil || reflect.ValueOf(v).IsZero()
}

// intOf converts a value to an integer, as Vault does.
func intOf(v any) (int, error) {
	switch v := v.(type) {
	case nil:
		return 0, nil
	case int:
		return v, nil
	case bool:
		if v {
			return 1, nil
		}
		return 0, nil
	case string:
		if v == "" {
			v = "0"
		}
		n, err := strconv.ParseInt(v, 0, strconv.IntSize)
		if err != nil {
			return 0, fmt.Errorf("cannot parse '' as int: %w", err)
		}
		return int(n), nil
	case json.Number:
		n, err := v.Int64()
		if err != nil {
			return 0, fmt.Errorf("error decoding json.Number into : %w", err)
		}
		return int(n), nil
	}
	return 0, fmt.Errorf("'' expected type 'int', got unconvertible type '%T', value: '%v'", v, v)
}

// truthOf converts a value to a boolean, as Vault does.
func truthOf(v any) (bool, error) {
	switch v := v.(type) {
	case nil:
		return false, nil
	case bool:
		return v, nil
	case string:
		if v == "" {
			return false, nil
		}
		b, err := strconv.ParseBool(v)
		if err != nil {
			return false, fmt.Errorf("cannot parse '' as bool: %w", err)
		}
		return b, nil
	case json.Number:
		return truthOf(v.String())
	}
	return false, fmt.Errorf("'' expected type 'bool', got unconvertible type '%T', value: '%v'", v, v)
}

// objectOf converts a value to an object, as Vault does: the objects of a list
// become one. at is where the value is, for the error.
func objectOf(at string, v any) (map[string]any, error) {
	switch v := v.(type) {
	case nil:
		return nil, nil
	case map[string]any:
		return v, nil
	case []any:
		merged := map[string]any{}
		for i, element := range v {
			part, err := objectOf(fmt.Sprintf("%s[%d]", at, i), element)
			if err != nil {
				return nil, err
			}
			maps.Copy(merged, part)
		}
		return merged, nil
	case bool:
		return nil, fmt.Errorf("'%s' expected a map, got 'bool'", at)
	}
	return nil, fmt.Errorf("'%s' expected a map, got 'string'", at)
}

// durationOf converts v to a duration. v is a text such as "90m" or "2d", or a number of
// seconds. An empty v is zero.
func durationOf(v any) (time.Duration, error) {
	switch v := v.(type) {
	case nil:
		return 0, nil
	case time.Duration:
		return v, nil
	case json.Number:
		return durationOf(v.String())
	case string:
		if v == "" {
			return 0, nil
		}
		if seconds, err := strconv.ParseInt(v, 10, 64); err == nil {
			return time.Duration(seconds) * time.Second, nil
		}
		if len(v) > 1 && v[len(v)-1] == 'd' {
			days, err := strconv.ParseInt(v[:len(v)-1], 10, 64)
			return time.Duration(days) * 24 * time.Hour, err
		}
		return time.ParseDuration(v)
	}
	return 0, errors.New("could not parse duration from input")
}
