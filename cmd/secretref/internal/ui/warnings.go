package ui

import (
	"context"
	"io"
	"log/slog"
	"strings"
	"sync"
)

// NewWarningLogger returns a logger that writes warnings to w, one readable line
// each.
func NewWarningLogger(w io.Writer) *slog.Logger {
	return slog.New(&warningHandler{w: w, mu: &sync.Mutex{}})
}

type warningHandler struct {
	w     io.Writer
	mu    *sync.Mutex // shared by derived handlers
	attrs []slog.Attr
}

// Enabled implements slog.Handler.
func (h *warningHandler) Enabled(_ context.Context,
	l slog.Level) bool {
	return l >= slog.LevelWarn
}

// Handle implements slog.Handler.
func (h *warningHandler) Handle(_ context.Context, r slog.Record) error {
	var details []string
	detail := func(a slog.Attr) bool {
		if text := a.Value.Resolve().String(); text != "" {
			details = append(details, a.Key+" "+text)
		}
		return true
	}
	for _, a := range h.attrs {
		detail(a)
	}
	r.Attrs(detail)
	text := "secretref: warning: " + r.Message
	if details != nil {
		text += " (" + strings.Join(details, ", ") + ")"
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return Line(h.w, "%s", text)
}

// WithAttrs implements slog.Handler.
func (h *warningHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	derived := *h
	derived.attrs = append(h.attrs[:len(h.attrs):len(h.attrs)], attrs...)
	return &derived
}

// WithGroup implements slog.Handler. The library logs no groups.
func (h *warningHandler) WithGroup(string) slog.Handler { return h }
