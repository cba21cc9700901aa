package main

import (
	"fmt"
	"strings"
)

// section is a chapter of the report.
type section struct {
	title, text string
	limit       string // what the limit is
	columns     []column
	tables      []table
}

// of returns the columns of one of its tables.
func (s section) of(t table) []column {
	if t.columns != nil {
		return t.columns
	}
	return s.columns
}

// column is a further measurement beside the time.
type column struct {
	title, unit string
	always      bool // every row must have it
}

// table compares all who do the same work.
type table struct {
	title  string
	prefix string // of the benchmarks' names
	who    []string
	needs  string // what has to be installed

	columns []column // nil: those of the section
	slowest int      // how many are shown beside who, of any others there are
}

func (t table) name(who string) string { return t.prefix + "/" + who }

// role is what a row is in its table.
type role int

const (
	peer   role = iota
	ours        // this library
	limit       // what cannot be done faster
	byHand      // code for nothing but this work
	other       // not the same work
)

// roleOf reads it off the name.
func roleOf(who string) role {
	for prefix, r := range map[string]role{"secretref": ours, "limit-": limit, "byhand-": byHand, "other-": other} {
		if strings.HasPrefix(who, prefix) {
			return r
		}
	}
	return peer
}

var (
	calls  = column{"calls", "calls/op", true}
	allocs = column{"allocations", "allocs/op", true}
	memory = column{"bytes allocated", "B/op", true}
)

// sections is everything that is expected.
func sections() []section {
	return []section{
		{
			title: "Resolving from a cold start",
			text: "A new client, nothing in memory, no connection open. The servers run in the same process, and wait for their latency before each answer. " +
				"*Loop*: one reference after the other. *Side by side*: from 100 goroutines, or with one call of ResolveAll. " +
				"*By hand* is code for this work and no other: each secret once, in batches of twenty where there are any.",
			limit:   "one bare request over a new connection",
			columns: []column{calls, memory, allocs},
			tables:  resolving(),
		},
		{
			title: "Many references in many places",
			text: "Three regions of AWS and two Vaults, four references to each secret, from a cold start. gocloud has no Vault and is left out.\n\n" +
				"![How the time grows with the number of references](references.svg)",
			limit:   "one bare request over a new connection",
			columns: []column{calls, memory, allocs},
			tables:  mixed(),
		},
		{
			title:   "Reading what was fetched before",
			text:    "One value, again and again; on two cores by two goroutines, the time being that of the machine and not of each of them.",
			limit:   "loading a pointer to the string",
			columns: []column{allocs},
			tables: each([]string{"1core", "2cores"}, func(cores string) table {
				return table{
					title: map[string]string{"1core": "On one core", "2cores": "On two cores"}[cores], prefix: "Warm/" + cores,
					who: []string{"secretref-Resolve", "secretref-Handle", "vals", "setec-JSON", "gocloud", "other-setec-Handle", "other-map-lookup", "limit-atomic-load"},
				}
			}),
		},
		{
			title: "JSON Pointer",
			text: "From a document that nobody has looked at to the string that is its last member. sonic does not validate what it skips, " +
				"and is no measure for those that do.",
			limit:   "reading the document's memory once; what two others take to validate it, and to look for nothing, is shown beside it",
			columns: []column{allocs},
			tables: each([]string{"100B", "4KiB", "64KiB-dense", "64KiB-blob"}, func(size string) table {
				return table{title: size, prefix: "Pointer/" + size, who: []string{
					"secretref", "encoding-json", "go-openapi", "dolmen", "jsontext", "gjson",
					"other-sonic", "other-gjson-Valid", "other-jsontext-IsValid", "limit-memory-scan",
				}}
			}),
		},
		{
			title:   "Sealing and opening",
			text:    "AES-256-GCM; what comes back is new memory, except where a buffer is used again.",
			limit:   "NewGCMWithRandomNonce, called directly",
			columns: []column{allocs},
			tables: each([]string{"Seal/32B", "Seal/1KiB", "Seal/64KiB", "Open/32B", "Open/1KiB", "Open/64KiB"}, func(work string) table {
				return table{title: strings.Replace(work, "/", " ", 1), prefix: work, who: []string{
					"secretref", "tink", "other-new-cipher", "limit-gcm", "other-gcm-reused-buffer",
				}}
			}),
		},
		{
			title: "Rotating the key of a keyring",
			text: "Secrets of 32 bytes, each read, opened, sealed with another key and written, while others could read and write. " +
				"The live heap is what two garbage collections leave, at each page of one further rotation. " +
				"No peer has a store; tink-go seals anew what is in memory, for comparison. PostgreSQL and MariaDB do not wait for the disk here, the file does.\n\n" +
				"![How the time grows with the number of secrets](rotation.svg)",
			limit:   "the same rows given other key ids and random bytes, over one connection, in transactions of the same size",
			columns: []column{{"growth of the live heap", "heap-B/op", false}},
			tables:  rotation(),
		},
		{
			title:   "Reading .properties",
			text:    "A file as Bitbucket has it, with comments and escapes.",
			columns: []column{allocs},
			tables: each([]string{"20lines", "1000lines"}, func(size string) table {
				return table{title: size, prefix: "Properties/" + size, who: []string{"secretref", "magiconair"}}
			}),
		},
		{
			title: "Programs",
			text: "A program that imports the library and has nothing to do: how long it runs, how large it is without symbols, and how many modules are in it. " +
				"*secretref-parse* only calls Parse. *awssdk-vaultapi* has both in one program, as secretref has. *vals-aws-vault* is vals with build tags that leave its other " +
				"backends out; setec's program has the AWS SDK behind it.\n\n" +
				"What importing costs is what all packages do before main begins, as GODEBUG=inittrace=1 says. Of the program secretref it is shown by package, too: " +
				"the slowest of those that allocate 4 KiB or more, and above them the sum of this library's own.",
			limit: "an empty Go program",
			columns: []column{
				{"size", "size-B", true}, {"modules", "modules", true},
			},
			tables: []table{
				{title: "Start-up", prefix: "Startup", who: programs},
				{title: "What importing costs", prefix: "Init", who: programs, columns: []column{{"packages", "packages", true}, memory, allocs}},
				{title: "What importing costs, by package", prefix: "InitPackage/secretref", who: []string{"other-secretref"}, slowest: 8,
					columns: []column{memory, allocs}},
			},
		},
	}
}

var programs = []string{
	"secretref", "other-secretref-parse", "awssdk", "vaultapi", "other-awssdk-vaultapi", "vals", "vals-aws-vault", "setec", "gocloud", "limit-empty",
}

func each(names []string, make func(string) table) (tables []table) {
	for _, name := range names {
		tables = append(tables, make(name))
	}
	return tables
}

func resolving() (tables []table) {
	works := []struct{ name, title string }{
		{"1reference", "1 reference"},
		{"100references-1secret", "100 references to 1 secret"},
		{"100secrets", "100 secrets"},
	}
	for _, backend := range []string{"aws", "vault"} {
		peers, mine, title := []string{"bare", "vals", "setec"}, []string{"secretref", "secretref-ResolveAll"}, "Vault"
		if backend == "aws" {
			peers, mine, title = append(peers, "gocloud"), append(mine, "secretref-Batch", "secretref-ResolveAll-Batch"), "AWS"
		}
		for _, w := range works {
			prefix := "Resolve/" + backend + "/" + w.name
			loop := table{title: title + ": " + w.title + ", loop", prefix: prefix + "/sequential", who: join([]string{"secretref"}, peers, []string{"limit-round-trip"})}
			side := table{title: title + ": " + w.title + ", side by side", prefix: prefix + "/goroutines", who: join(mine, peers, []string{"byhand-dedup", "limit-round-trip"})}
			if w.name == "1reference" {
				loop.title = title + ": " + w.title
				tables = append(tables, loop)
				continue
			}
			tables = append(tables, loop, side)
		}
	}
	return tables
}

// mixedSizes is of how many references.
var mixedSizes = []int{1, 10, 100, 1000}

func mixed() (tables []table) {
	peers := []string{"bare", "vals", "setec"}
	for _, n := range mixedSizes {
		prefix, title := fmt.Sprintf("Mixed/%dreferences", n), fmt.Sprintf("%d references", n)
		if n == 1 {
			title = "1 reference"
		}
		tables = append(tables,
			table{title: title + ", loop", prefix: prefix + "/sequential", who: join([]string{"secretref"}, peers, []string{"limit-round-trip"})},
			table{title: title + ", side by side", prefix: prefix + "/goroutines",
				who: join([]string{"secretref", "secretref-ResolveAll", "secretref-ResolveAll-Batch"}, peers, []string{"byhand-dedup", "limit-round-trip"})})
	}
	return tables
}

// rotationSizes is of how many secrets.
var rotationSizes = []int{1_000, 10_000, 100_000}

var stores = []struct{ name, title, needs string }{
	{"file", "FileStore", ""},
	{"postgresql", "PostgreSQL", "postgresql"},
	{"mariadb", "MariaDB", "mariadb"},
}

func rotation() (tables []table) {
	for _, s := range stores {
		for _, n := range rotationSizes {
			tables = append(tables, table{title: fmt.Sprintf("%s, %d secrets", s.title, n), prefix: fmt.Sprintf("Rotate/%s/%d", s.name, n),
				who: []string{"secretref", "limit-rewrite"}, needs: s.needs})
		}
	}
	for _, n := range rotationSizes {
		tables = append(tables, table{title: fmt.Sprintf("In memory, without a store, %d secrets", n), prefix: fmt.Sprintf("Rotate/memory/%d", n), who: []string{"other-tink"}})
	}
	return tables
}

func join(lists ...[]string) (all []string) {
	for _, list := range lists {
		all = append(all, list...)
	}
	return all
}
