package structwalk_test

import (
	"reflect"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/fault"
	"github.com/seed74218947/secretref/internal/structwalk"
)

// leaf is the type to find. It is a struct, as Secret is.
type leaf struct{ text string }

type inner struct {
	Leaf   leaf
	hidden leaf
}

type (
	hiddenMap   map[string]leaf
	hiddenSlice []leaf
	hiddenLeaf  = leaf
)

// fill sets all fields below root and returns their paths.
func fill(t *testing.T, root any) (paths []string) {
	t.Helper()
	slots, done, err := structwalk.Walk(root, reflect.TypeFor[leaf]())
	require.NoError(t, err)
	for _, s := range slots {
		paths = append(paths, s.Path)
		if s.Value.Kind() == reflect.String {
			s.Value.SetString("set")
		} else {
			s.Value.Set(reflect.ValueOf(leaf{"set"}))
		}
	}
	done()
	return paths
}

func TestEverySlotIsListedOnceUnderItsPath(t *testing.T) {
	shared := &inner{}
	list := []leaf{{}, {}, {}}
	table := map[string]leaf{"k": {}}
	text := "x"
	c := struct {
		hidden   *inner
		A, B     *inner
		Some     []leaf
		All      []leaf
		First    *leaf
		M, N     map[string]leaf
		Untagged *string
		Tagged   *string `secretref:"resolve"`
		Again    *string `secretref:"resolve"`
		Nil      *inner
		NilMap   map[string]leaf
	}{hidden: shared, A: shared, B: shared, All: list, Some: list[:2], First: &list[0], M: table, N: table, Untagged: &text, Tagged: &text, Again: &text}
	require.Equal(t, []string{"A.Leaf", "Some[0]", "Some[1]", "All[2]", `M["k"]`, "Tagged"}, fill(t, &c))
	require.Equal(t, "set", shared.Leaf.text)
	require.Equal(t, []leaf{{"set"}, {"set"}, {"set"}}, list)
	require.Equal(t, "set", table["k"].text)
	require.Equal(t, "set", text)
}

func TestEmbeddedFieldsFollowTheRulesOfExport(t *testing.T) {
	var c struct {
		inner
		hiddenMap
		hiddenSlice
		hiddenLeaf
		*reflect.Method // a nil pointer to a type of another package
	}
	c.hiddenMap = hiddenMap{"k": {}}
	c.hiddenSlice = hiddenSlice{{}}
	require.Equal(t, []string{"inner.Leaf"}, fill(t, &c))
	require.Equal(t, "set", c.Leaf.text)
	require.Empty(t, c.hidden.text)
	require.Empty(t, c.hiddenMap["k"].text)

	same := struct {
		hiddenMap
		hiddenSlice
		Map   hiddenMap
		Slice hiddenSlice
	}{c.hiddenMap, c.hiddenSlice, c.hiddenMap, c.hiddenSlice}
	require.Equal(t, []string{`Map["k"]`, "Slice[0]"}, fill(t, &same), "the same map and slice are found in exported fields")

	pointer := struct{ *inner }{&inner{}}
	require.Equal(t, []string{"inner.Leaf"}, fill(t, &pointer))
}

func TestMapsOfMapsAreStored(t *testing.T) {
	type box struct{ In map[int]inner }
	c := struct {
		M map[string]map[uint8]box
		K map[[1]string]leaf
	}{M: map[string]map[uint8]box{"a": {7: {In: map[int]inner{-1: {}}}}}, K: map[[1]string]leaf{{"x"}: {}}}
	require.Equal(t, []string{`M["a"][7].In[-1].Leaf`, "K[[1]string]"}, fill(t, &c))
	require.Equal(t, "set", c.M["a"][7].In[-1].Leaf.text)
	require.Equal(t, "set", c.K[[1]string{"x"}].text)
}

func TestNothingIsStoredInAMapBeforeDone(t *testing.T) {
	m := map[string]leaf{"k": {"old"}}
	slots, done, err := structwalk.Walk(&struct{ M map[string]leaf }{m}, reflect.TypeFor[leaf]())
	require.NoError(t, err)
	slots[0].Value.Set(reflect.ValueOf(leaf{"new"}))
	require.Equal(t, "old", m["k"].text)
	done()
	require.Equal(t, "new", m["k"].text)
}

type (
	chain struct {
		Next *chain
		Leaf leaf
	}
	forest []forest
	knot   *knot
)

func TestCyclesEnd(t *testing.T) {
	c := &chain{}
	c.Next = &chain{Next: c}
	require.Equal(t, []string{"Next.Leaf", "Leaf"}, fill(t, c))

	trees := forest{nil}
	trees[0] = trees
	require.Empty(t, fill(t, &struct{ F forest }{trees}))

	loop := map[string]any{}
	loop["self"] = loop
	require.Empty(t, fill(t, &struct{ M map[string]any }{loop}))
}

func TestATagThatDoesNotFitIsRefused(t *testing.T) {
	for name, root := range map[string]any{
		"another value": &struct {
			A string `secretref:"resolv"`
		}{},
		"an empty value": &struct {
			A string `secretref:""`
		}{},
		"a number": &struct {
			A int `secretref:"resolve"`
		}{},
		"a struct": &struct {
			A inner `secretref:"resolve"`
		}{},
		"an interface": &struct {
			A any `secretref:"resolve"`
		}{},
		"a list of bytes": &struct {
			A []byte `secretref:"resolve"`
		}{},
		"not exported": &struct {
			a string `secretref:"resolve"`
		}{a: "x"},
		"an endless type": &struct {
			A forest `secretref:"resolve"`
		}{},
		"another endless": &struct {
			A knot `secretref:"resolve"`
		}{},
		"below a pointer": &struct {
			A *struct {
				B int `secretref:"resolve"`
			}
		}{A: new(struct {
			B int `secretref:"resolve"`
		})},
		"in every element": &struct {
			A []struct {
				B int `secretref:"resolve"`
			}
		}{A: make([]struct {
			B int `secretref:"resolve"`
		}, 3)},
	} {
		_, _, err := structwalk.Walk(root, reflect.TypeFor[leaf]())
		require.ErrorIs(t, err, fault.Unsupported, name)
		require.NotContains(t, err.Error(), "\n", "one mistake in a type is one error")
	}
	for name, root := range map[string]any{
		"a string": &struct {
			A string `secretref:"resolve"`
		}{},
		"a named string": &struct {
			A named `secretref:"resolve"`
		}{},
		"a leaf": &struct {
			A leaf `secretref:"resolve"`
		}{},
		"strings anywhere below": &struct {
			A map[string][]*[2]string `secretref:"resolve"`
		}{},
	} {
		_, _, err := structwalk.Walk(root, reflect.TypeFor[leaf]())
		require.NoError(t, err, name)
	}
}

type named string

func TestEveryTagThatDoesNotFitIsTold(t *testing.T) {
	_, _, err := structwalk.Walk(&struct {
		A int `secretref:"resolve"`
		B struct {
			C string `secretref:"x"`
		}
	}{}, reflect.TypeFor[leaf]())
	require.ErrorContains(t, err, "field A:")
	require.ErrorContains(t, err, "field B.C:")
}

func TestTheRootIsAPointerToAStruct(t *testing.T) {
	n := 1
	p := &struct{}{}
	for _, root := range []any{nil, 1, &n, struct{}{}, (*struct{})(nil), &p, map[string]leaf{}, &map[string]leaf{}, []leaf{}} {
		_, _, err := structwalk.Walk(root, reflect.TypeFor[leaf]())
		require.ErrorIs(t, err, fault.Unsupported, "%T", root)
	}
}
