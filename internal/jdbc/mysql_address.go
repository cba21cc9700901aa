package jdbc

import (
	"net"
	"strings"
)

// hostParameters reads address=(host=db)(port=3306), as Jira's own set-up
// writes it, and (host=db,port=3306), and returns host:port; a host in another
// form as it is. A user name and a password in there join the options.
func hostParameters(authority string, o *options, decode func(string) (string, error)) string {
	list, one := strings.CutPrefix(strings.TrimSpace(authority), "(")
	separator := ","
	if one {
		var closed bool
		if list, closed = strings.CutSuffix(list, ")"); !closed || strings.ContainsAny(list, "()") {
			o.t.refuse("the host: this form is not translated; write host:port")
			return ""
		}
	} else {
		const prefix = "address="
		if len(authority) < len(prefix) || !strings.EqualFold(authority[:len(prefix)], prefix) {
			return authority
		}
		separator = ")("
		open := strings.HasPrefix(authority[len(prefix):], "(")
		var closed bool
		if list, closed = strings.CutSuffix(strings.TrimPrefix(authority[len(prefix):], "("), ")"); !open || !closed {
			o.t.mistake("the address is not written as (name=value)(name=value)")
			return ""
		}
	}
	host, port := "", "3306"
	for p := range strings.SplitSeq(list, separator) {
		name, value, _ := strings.Cut(p, "=")
		value, err := decode(value)
		if err != nil {
			o.t.mistake("a value in the address is not percent-encoded well: write %25 for %")
		}
		if strings.ContainsAny(value, "()@") {
			// Another address, or a value that ends elsewhere in Java.
			o.t.refuse("the host: this form is not translated; write one host:port")
			o.t.quoted = true
			return ""
		}
		switch name = strings.ToLower(strings.TrimSpace(name)); name {
		case "host":
			if host = value; strings.Count(host, ":") > 1 {
				host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
			}
		case "port":
			port = value
		case "user", "password":
			o.add(name, value)
		case "protocol":
			if !strings.EqualFold(value, "tcp") {
				o.t.refuse("the host: of the protocols only tcp is translated")
			}
		case "type":
			if v := strings.ToLower(value); v != "master" && v != "primary" && v != "source" {
				o.t.refuse("the host: of the types only primary is translated")
			}
		default:
			o.t.refuse("the host: the address holds more than host, port, user and password")
		}
	}
	if host == "" {
		o.t.mistake("there is no host")
	}
	return net.JoinHostPort(host, port)
}
