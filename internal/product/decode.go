package product

// Decode reads what [Read] reads from the text of a file with that base name,
// which decides where the text does not. It does not look for a JNDI data
// source.
func Decode(name string, text []byte) (*File, error) { return decode(name, text) }
