package faults

import (
	"context"
	"net"
	"strings"
	"sync"

	"golang.org/x/net/dns/dnsmessage"
)

// names is a name server for this process. It resolves the registered names to 127.0.0.1.
type names struct {
	conn net.PacketConn

	mu    sync.Mutex
	known map[string]bool
	asked map[string]int
}

// serveNames starts a name server and makes it the resolver of this process.
func serveNames() (*names, error) {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	n := &names{conn: conn, known: map[string]bool{}, asked: map[string]int{}}
	go n.serve()
	net.DefaultResolver = &net.Resolver{PreferGo: true,
		Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "udp", conn.LocalAddr().String())
		}}
	return n, nil
}

func (n *names) serve() {
	buf := make([]byte, 1500)
	for {
		size, from, err := n.conn.ReadFrom(buf)
		if err != nil {
			return
		}
		if answer, err := n.answer(buf[:size]); err == nil {
			_, _ = n.conn.WriteTo(answer, from)
		}
	}
}

func (n *names) answer(query []byte) ([]byte, error) {
	var p dnsmessage.Parser
	header, err := p.Start(query)
	if err != nil {
		return nil, err
	}
	q, err := p.Question()
	if err != nil {
		return nil, err
	}
	ipv4 := q.Type == dnsmessage.TypeA
	name := strings.TrimSuffix(q.Name.String(), ".")
	n.mu.Lock()
	known := n.known[name]
	if ipv4 {
		n.asked[name]++
	}
	n.mu.Unlock()

	m := dnsmessage.Message{Header: dnsmessage.Header{ID: header.ID, Response: true,
		RecursionAvailable: true}, Questions: []dnsmessage.Question{q}}
	switch {
	case !known:
		m.RCode = dnsmessage.RCodeNameError
	case ipv4:
		m.Answers = []dnsmessage.Resource{{
			Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class},
			Body:   &dnsmessage.AResource{A: [4]byte{127, 0, 0, 1}},
		}}
	}
	return m.Pack()
}

// know registers or removes a name.
func (n *names) know(name string, is bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.known[name] = is
}

// lookups returns the number of queries for a name.
func (n *names) lookups(name string) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.asked[name]
}
