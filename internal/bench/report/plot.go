package main

import (
	"bytes"
	"fmt"
	"math"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/plotutil"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// figure shows how the time grows with the work.
type figure struct {
	title, x string
	curves   []curve
}

// curve is one way to do the work.
type curve struct {
	label  string
	name   string // of the benchmark, with %d for the size
	sizes  []int
	color  int
	dashed bool
	needs  string // what has to be installed
}

// plots are the figures of the report by the name of their files.
func plots() map[string]figure {
	return map[string]figure{
		"references.svg": {"References in three regions of AWS and two Vaults, four to a secret", "references", references()},
		"rotation.svg":   {"Rotation of a keyring, and the same rows overwritten", "secrets of 32 bytes", rotations()},
	}
}

func references() (curves []curve) {
	for i, who := range []string{"secretref", "bare", "vals", "setec"} {
		curves = append(curves,
			curve{who + ", loop", "Mixed/%dreferences/sequential/" + who, mixedSizes, i, true, ""},
			curve{who + ", 100 goroutines", "Mixed/%dreferences/goroutines/" + who, mixedSizes, i, false, ""})
	}
	return append(curves,
		curve{"secretref, ResolveAll and Batch", "Mixed/%dreferences/goroutines/secretref-ResolveAll-Batch", mixedSizes, 4, false, ""},
		curve{"one round trip", "Mixed/%dreferences/goroutines/limit-round-trip", mixedSizes, 5, false, ""})
}

func rotations() (curves []curve) {
	for i, s := range stores {
		curves = append(curves,
			curve{s.title + ", rotation", "Rotate/" + s.name + "/%d/secretref", rotationSizes, i, false, s.needs},
			curve{s.title + ", overwriting", "Rotate/" + s.name + "/%d/limit-rewrite", rotationSizes, i, true, s.needs})
	}
	return append(curves, curve{"tink-go, in memory", "Rotate/memory/%d/other-tink", rotationSizes, 3, false, ""})
}

// svg draws the figure.
func (r *results) svg(f figure) ([]byte, error) {
	p, err := r.plot(f)
	if err != nil {
		return nil, err
	}
	canvas := vgsvg.New(22*vg.Centimeter, 16*vg.Centimeter)
	p.Draw(draw.New(canvas))
	var svg bytes.Buffer
	_, err = canvas.WriteTo(&svg)
	return svg.Bytes(), err
}

func (r *results) plot(f figure) (*plot.Plot, error) {
	p := plot.New()
	p.Title.Text = f.title
	p.Title.Padding = vg.Points(8)
	for _, style := range []*text.Style{&p.Title.TextStyle, &p.X.Label.TextStyle, &p.Y.Label.TextStyle, &p.X.Tick.Label, &p.Y.Tick.Label, &p.Legend.TextStyle} {
		style.Font.Variant = "Sans"
	}
	p.X.Label.Text = f.x
	p.Y.Label.Text = "time"
	p.X.Scale, p.Y.Scale = plot.LogScale{}, plot.LogScale{}
	p.X.Tick.Marker = plot.ConstantTicks(decades(f.curves[0].sizes))
	p.Y.Tick.Marker = timeTicks{}
	p.Legend.Top, p.Legend.Left, p.Legend.Padding = true, true, vg.Points(2)
	p.Add(plotter.NewGrid())
	for _, c := range f.curves {
		if c.needs != "" && r.config["absent-"+c.needs] != "" {
			continue
		}
		if err := r.draw(p, c); err != nil {
			return nil, err
		}
	}
	p.Y.Max *= 30  // room for the legend
	p.X.Max *= 1.1 // and for the last number
	return p, nil
}

func (r *results) draw(p *plot.Plot, c curve) error {
	var points plotter.XYs
	for _, size := range c.sizes {
		name := fmt.Sprintf(c.name, size)
		if len(r.rows[name][seconds]) == 0 {
			return fmt.Errorf("there is no result of %s", name)
		}
		points = append(points, plotter.XY{X: float64(size), Y: r.median(name, seconds)})
	}
	line, dots, err := plotter.NewLinePoints(points)
	if err != nil {
		return err
	}
	line.Color, dots.Color = plotutil.Color(c.color), plotutil.Color(c.color)
	line.Width, dots.Shape = vg.Points(1.5), draw.CircleGlyph{}
	if c.dashed {
		line.Dashes = []vg.Length{vg.Points(5), vg.Points(3)}
	}
	p.Add(line, dots)
	p.Legend.Add(c.label, line, dots)
	return nil
}

func decades(sizes []int) (ticks []plot.Tick) {
	for _, size := range sizes {
		ticks = append(ticks, plot.Tick{Value: float64(size), Label: fmt.Sprint(size)})
	}
	return ticks
}

// timeTicks marks powers of ten with their units.
type timeTicks struct{}

func (timeTicks) Ticks(from, to float64) (ticks []plot.Tick) {
	for e := math.Floor(math.Log10(from)); math.Pow(10, e) <= to; e++ {
		number, unit, _ := strings.Cut(format(math.Pow(10, e), seconds), " ")
		whole, _, _ := strings.Cut(number, ".")
		ticks = append(ticks, plot.Tick{Value: math.Pow(10, e), Label: whole + " " + unit})
	}
	return ticks
}
