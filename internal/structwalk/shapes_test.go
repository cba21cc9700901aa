package structwalk_test

import (
	"fmt"
	"reflect"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed74218947/secretref/internal/structwalk"
)

func TestWalkPointers(t *testing.T) {
	text := "x"
	pointer := &leaf{}
	c := struct {
		Map    map[string]*inner
		Slice  []*inner
		Lists  map[string][]leaf
		Arrays map[int][2]leaf
		Twice  **leaf
		Texts  map[string]*string `secretref:"resolve"`
	}{
		Map:    map[string]*inner{"a": {}, "nil": nil},
		Slice:  []*inner{nil, {}},
		Lists:  map[string][]leaf{"b": {{}, {}}, "nil": nil},
		Arrays: map[int][2]leaf{3: {}},
		Twice:  &pointer,
		Texts:  map[string]*string{"c": &text, "nil": nil},
	}
	behind, list := c.Map["a"], c.Lists["b"]
	require.Equal(t, []string{`Map["a"].Leaf`, "Slice[1].Leaf", `Lists["b"][0]`, `Lists["b"][1]`,
		"Arrays[3][0]", "Arrays[3][1]", "Twice", `Texts["c"]`}, fill(t, &c))
	require.Same(t, behind, c.Map["a"], "the pointer is unchanged")
	require.Equal(t, "set", behind.Leaf.text)
	require.Equal(t, "set", c.Slice[1].Leaf.text)
	require.Equal(t, []leaf{{"set"}, {"set"}}, list)
	require.Equal(t, [2]leaf{{"set"}, {"set"}}, c.Arrays[3])
	require.Equal(t, "set", pointer.text)
	require.Equal(t, "set", text)
	require.Len(t, c.Map, 2)
}

func TestWalkIgnoresInterfaces(t *testing.T) {
	in := &inner{}
	c := struct {
		Field    any
		Slice    []any
		Map      map[string]any
		Pointer  *any
		Array    [1]any
		Named    fmt.Stringer
		Embedded struct{ fmt.Stringer }
	}{Field: in, Slice: []any{in, leaf{}}, Map: map[string]any{"k": in, "l": leaf{}},
		Array: [1]any{in}, Named: stringer{in}}
	c.Pointer = &c.Field
	c.Embedded.Stringer = stringer{in}
	require.Empty(t, fill(t, &c))
	require.Empty(t, in.Leaf.text)
}

type stringer struct{ In *inner }

func (stringer) String() string { return "" }

func TestWalkIgnoresUnexported(t *testing.T) {
	type hiding struct {
		list  []leaf
		table map[string]leaf
		next  *inner
	}
	h := func() hiding { return hiding{[]leaf{{}}, map[string]leaf{"k": {}}, &inner{}} }
	c := struct {
		Value  hiding
		Behind *hiding
		Slice  []hiding
		Map    map[string]hiding
	}{h(), &hiding{next: &inner{}}, []hiding{h()}, map[string]hiding{"k": h()}}
	require.Empty(t, fill(t, &c))
	require.Empty(t,
		c.Value.list[0].text+c.Value.table["k"].text+c.Behind.next.Leaf.text+c.Slice[0].next.Leaf.text+
			c.Map["k"].list[0].text)
}

func TestWalkCyclesThroughMapsAndSlices(t *testing.T) {
	type node struct {
		Leaf leaf
		Map  map[string]*node
		List []*node
		Self **node
	}
	n := &node{}
	n.Map = map[string]*node{"self": n}
	n.List = []*node{n, {Map: n.Map, List: n.List}}
	n.Self = &n
	require.ElementsMatch(t, []string{"Leaf", "List[1].Leaf"}, fill(t, n))
	require.Same(t, n, n.Map["self"])
}

func TestWalkTwice(t *testing.T) {
	c := struct {
		Leaf leaf
		Map  map[string]inner
		List []leaf
	}{Map: map[string]inner{"k": {}}, List: []leaf{{}}}
	require.Equal(t, fill(t, &c), fill(t, &c))
	require.Len(t, c.Map, 1)
}

func TestWalkSkipsOtherTypes(t *testing.T) {
	c := struct {
		Blob  []byte
		Grid  [][]float64
		Names []string
		Ports map[string]int
		Leaf  leaf
	}{Blob: make([]byte, 1<<20), Grid: [][]float64{make([]float64, 1<<16)},
		Names: make([]string, 1<<16), Ports: map[string]int{"a": 1}}
	allocs := testing.AllocsPerRun(1, func() {
		_, _, err := structwalk.Walk(&c, reflect.TypeFor[leaf]())
		require.NoError(t, err)
	})
	require.Less(t, allocs, 100.0)
	require.Equal(t, []string{"Leaf"}, fill(t, &c))
}
