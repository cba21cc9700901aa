package main

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/seed74218947/secretref/cmd/secretref/internal/ui"
)

func warnsOfVerbatim(p *program) {
	const warning = "secretref: warning: variable A: the secret was inserted into other text " +
		"verbatim, and one of its characters may have a meaning there\n"
	for secret, want := range map[string]string{"canary-AZaz09._~": "", "canary\u00e9": warning,
		"canary\x01": warning} {
		p.verbatim(secret, want)
	}
	special := "!\"#$%&'()*+,/:;<=>?@[\\]^`{|} \t\n"
	if testing.Short() {
		special = "'/ \n"
	}
	for _, c := range special {
		p.verbatim("canary"+string(c)+"x", warning)
	}
}

func (p *program) verbatim(secret, warning string) {
	p.vault.Put("secret", "one", map[string]any{"password": secret})
	env := p.environment(`A=jdbc:oracle:thin:scott/{ENC}{"mount":"secret","path":"one","key":"password","endpoint":"http://VAULT"}@//h/s`)
	got := p.exec(env, "", "--", "sh", "-c", `printf %s "$A"`)
	got.err = p.withoutPlainHTTP(got.err)
	assert.Equal(p.t, outcome{out: "jdbc:oracle:thin:scott/" + secret + "@//h/s", err: warning},
		got, "%q", secret)
}

// special stores the secret for specialSecret, which percent-encoding changes.
func (p *program) special() { p.aws.PutSecret("ap-southeast-2", "special", "canary:p@ss/w#rd?") }

const specialSecret = `{ENC}{"region":"ap-southeast-2","secretId":"special"}`

func refusesAfterURL(p *program) {
	p.special()
	for _, before := range []string{
		"endpoint=https://h,password=", "jdbc:db2://h:50000/db:password=", "https://h|",
		"url=http://h:80/,user:a,pw:", "https://a/x,plain=",
		"https://h?x=1,password=", "https://h/a?b=c&x=1|", "postgres://h1,h2/db,password=",
		"https://h/x=://y,z=",
	} {
		got := p.exec(p.environment("A="+before+specialSecret+";"), "", "--", "touch",
			filepath.Join(p.dir, "started"))
		assert.Equal(p.t, outcome{status: ui.StatusFailed,
			err: `secretref: variable A: {ENC}{"region":"ap-southeast-2","secretId":"special"}: unsupported: ` +
				"the URL before the secret may have ended, so it is unclear whether to " +
				"percent-encode the secret: " +
				"put the password into a variable of its own; use -skip A to pass it on unchanged\n"},
			got, before)
		assert.NoFileExists(p.t, filepath.Join(p.dir, "started"))

		got = p.exec(p.environment("A="+before+"{ENC}"+trackerSecret), "", "--", "sh", "-c",
			`printf %s "$A"`)
		assert.Equal(p.t, outcome{out: before + "canary-tracker"}, got,
			"without special characters both forms are equal")
	}
}

func encodesInLists(p *program) {
	p.special()
	for _, before := range []string{
		"jdbc:postgresql://h1:5432,h2:5432/db?password=",
		"jdbc:postgresql://h/db?options=a,b|c&password=", "amqp://app:a@h1,amqp://app:",
		"endpoint=h|https://app:", "x:y=https://app:", "jdbc:mysql://h/db?a:b=", "https://h:80/db=",
		"one\nhttps://app:",
	} {
		got := p.exec(p.environment("A="+before+specialSecret+",x"), "", "--", "sh", "-c",
			`printf %s "$A"`)
		assert.Equal(p.t, outcome{out: before + "canary%3Ap%40ss%2Fw%23rd%3F,x"}, got)
	}
}
