package jdbc

import (
	"net"
	"strings"
)

// connectorHost reads address=(host=db)(port=3306), which Jira's setup writes, and
// (host=db,port=3306), and returns host:port. It returns other forms unchanged. A user
// name and a password in the address are added to the options.
func connectorHost(authority string, o *options) string {
	if list, ok := strings.CutPrefix(trim(authority), "("); ok {
		list, closed := strings.CutSuffix(list, ")")
		if !closed || strings.ContainsAny(list, "()") {
			o.t.refuse("the host: this form is not translated; write host:port")
			return ""
		}
		return hostParameters(list, ",", o, connectorValue, o.add)
	}
	const prefix = "address="
	if len(authority) < len(prefix) || !strings.EqualFold(authority[:len(prefix)], prefix) {
		return authority
	}
	return hostParameters(inParentheses(authority[len(prefix):], o), ")(", o, connectorValue, o.add)
}

// mariadbHost reads address=(host=db)(port=3306), in which MariaDB's driver ignores
// unknown names.
func mariadbHost(authority string, o *options) string {
	list, ok := strings.CutPrefix(authority, "address=")
	if !ok {
		return authority
	}
	unknown := func(name, _ string) {
		o.t.refuse("the host: MariaDB's driver does not accept " + name +
			" in an address; write it as an option")
	}
	return hostParameters(inParentheses(list, o), ")(", o,
		func(s string) (string, error) { return s, checkDecoded(s) }, unknown)
}

func inParentheses(s string, o *options) string {
	list, open := strings.CutPrefix(s, "(")
	list, closed := strings.CutSuffix(list, ")")
	if !open || !closed {
		o.t.mistake("the address is not written as (name=value)(name=value)")
	}
	return list
}

// hostParameters reads a list of name=value and passes user and password to login.
func hostParameters(list, separator string, o *options, decode func(string) (string, error),
	login func(name, value string)) string {
	host, port := "", "3306"
	for p := range strings.SplitSeq(list, separator) {
		name, value, _ := strings.Cut(p, "=")
		value, err := decode(value)
		if err != nil {
			o.t.mistake("a value in the address is not percent-encoded correctly: write %25 for %")
		}
		if strings.ContainsAny(value, "()@") {
			// Another address, or a value that has another end in Java.
			o.t.refuse("the host: this form is not translated; write one host:port")
			o.t.hasPassword = true
			return ""
		}
		if trim(name) != name && o.class == &mariadbJ {
			o.t.refuse("the host: version 3 of MariaDB's driver removes blanks in an address, version 2 does not")
		}
		switch name = strings.ToLower(trim(name)); name {
		case "host":
			if host = value; strings.Count(host, ":") > 1 {
				host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
			}
		case "port":
			port = value
		case "user", "password":
			login(name, value)
		case "protocol":
			if !strings.EqualFold(value, "tcp") {
				o.t.refuse("the host: of the protocols only tcp is translated")
			}
		case "type":
			if v := strings.ToLower(value); v != "master" && v != "primary" && v != "source" {
				o.t.refuse("the host: of the types only primary is translated")
			}
		default:
			o.t.refuse("the host: the address contains more than host, port, user and password")
		}
	}
	if host == "" {
		o.t.mistake("there is no host")
	}
	return net.JoinHostPort(host, port)
}
