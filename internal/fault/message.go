package fault

import "errors"

// WithMessage returns an error with the given text that matches everything that
// err matches. It does not unwrap to err, so that the text of err stays hidden. It
// returns nil if err is nil.
func WithMessage(err error, text string) error {
	if err == nil {
		return nil
	}
	return &messageError{text: Printable(text), cause: func() error { return err }}
}

// MessageOf returns the text of the first error in err's chain that WithMessage
// returned, or "" if there is none.
func MessageOf(err error) string {
	if m, ok := errors.AsType[*messageError](err); ok {
		return m.text
	}
	return ""
}

// MessageSuffix returns ": " and the text of [MessageOf], or "" if that is empty.
func MessageSuffix(err error) string {
	if text := MessageOf(err); text != "" {
		return ": " + text
	}
	return ""
}

type messageError struct {
	text  string
	cause func() error // a closure, so that dumps do not print it
}

func (m *messageError) Error() string { return m.text }

func (m *messageError) GoString() string { return m.text }

func (m *messageError) MarshalText() ([]byte, error) { return []byte(m.text), nil }

func (m *messageError) Is(target error) bool { return errors.Is(m.cause(), target) }

func (m *messageError) As(target any) bool { return errors.As(m.cause(), target) }
