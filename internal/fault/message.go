package fault

import "errors"

// WithMessage returns an error that prints as text and matches what err matches.
// Unwrapping leads no further, so that the text of err stays unseen. It is nil
// if err is nil.
func WithMessage(err error, text string) error {
	if err == nil {
		return nil
	}
	return &messageError{text: Printable(text), cause: func() error { return err }}
}

// MessageOf returns the text that WithMessage gave to err or to an error that it
// wraps; "" if there is none.
func MessageOf(err error) string {
	if m, ok := errors.AsType[*messageError](err); ok {
		return m.text
	}
	return ""
}

// MessageSuffix returns the text of [MessageOf] as the end of a sentence: ": " and the
// text, or "".
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

func (e *messageError) Error() string { return e.text }

func (e *messageError) GoString() string { return e.text }

func (e *messageError) MarshalText() ([]byte, error) { return []byte(e.text), nil }

func (e *messageError) Is(target error) bool { return errors.Is(e.cause(), target) }

func (e *messageError) As(target any) bool { return errors.As(e.cause(), target) }
