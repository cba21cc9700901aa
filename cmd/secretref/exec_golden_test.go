package main

import (
	"strings"

	"github.com/seed74218947/secretref/cmd/secretref/internal/exec"
	"github.com/seed74218947/secretref/cmd/secretref/internal/ui"
)

// execGoldens are runs that fail before the command is started. The command is always
// "false": if it were started, it would replace the test process, which must then fail.
var execGoldens = []golden{
	{name: "help-exec", args: []string{"exec", "-h"}},
	{name: "exec-nothing", args: []string{"exec"}, want: ui.StatusUsage},
	{name: "exec-without-separator", args: []string{"exec", "-only", "A", "B", "--", "false"},
		want: ui.StatusUsage},
	{name: "exec-without-command", args: []string{"exec", "-only", "A", "--"},
		want: ui.StatusUsage},
	{name: "exec-strict-alone", args: []string{"exec", "-strict", "--", "false"},
		want: ui.StatusFailed,
		given: setting("PLAIN=canary", "GOOD="+trackerSecret, `REGION={"region":"canary"}`,
			`MOUNT={"path":"/canary","mount":"y"}`)},
	{name: "exec-look-alikes", args: []string{"exec", "--", "false"}, want: ui.StatusFailed,
		given: setting(`REGION={"region":"canary"}`, `MOUNT={"path":"/canary","mount":"y"}`,
			`PREFIX={ENC}{"region":"canary"}`,
			`TEXT=a={enc}{"region":"canary","secretId":"x"}`,
			`ENCODED=%7BENC%7D%7B%22region%22:%22canary%22%7D`, "PLACEHOLDER={ATL_SECURED}")},
	{name: "exec-look-alikes-named", args: []string{"exec", "-only", "REGION", "--", "false"},
		want:  ui.StatusFailed,
		given: setting(`REGION={"region":"canary"}`)},
	{name: "exec-only-nothing", args: []string{"exec", "-only", "A,,B", "--", "false"},
		want: ui.StatusUsage},
	{name: "exec-only-the-separator", args: []string{"exec", "-only", "--", "false"},
		want: ui.StatusUsage},
	{name: "exec-store-is-the-separator", args: []string{"exec", "-store", "--", "false"},
		want: ui.StatusUsage},
	{name: "exec-root-key-file-is-the-separator",
		args: []string{"exec", "-store=DIR/k.db", "-root-key-file", "--",
			"false"}, want: ui.StatusUsage},
	{name: "exec-unknown-flag", args: []string{"exec", "-canary", "--", "false"},
		want: ui.StatusUsage},
	{name: "exec-no-such-command", args: []string{"exec", "--", "no such command"},
		want: exec.StatusNotFound},
	{name: "exec-no-such-path", args: []string{"exec", "--", "DIR/nowhere"},
		want: exec.StatusNotFound},
	{name: "exec-not-executable", args: []string{"exec", "--", "DIR/jira/dbconfig.xml"},
		want: exec.StatusNotExecutable},
	{name: "exec-directory", args: []string{"exec", "--", "DIR/jira"},
		want: exec.StatusNotExecutable},
	{name: "exec-mistakes", want: ui.StatusFailed,
		args: []string{"exec", "-only",
			"GOOD,FIELD,BRACE,QUOTED,DOUBLED,TRAILING,COLON,LIST,IN_TEXT,IN_JSON,SMALL,PLACEHOLDER,MARKED,ARN,JASYPT,ODD\x1b", "--", "false"},
		given: setting(
			"GOOD="+trackerSecret,
			`FIELD={"region":"ap-southeast-2","secretID":"canary"}`,
			`BRACE="region":"ap-southeast-2","secretId":"canary"}`,
			`QUOTED='{ENC}`+trackerSecret+`'`,
			`DOUBLED={ENC}{`+trackerSecret+`}`,
			`TRAILING={ENC}`+trackerSecret+`canary`,
			`COLON=:{ENC}canary`,
			`LIST=[{ENC}`+trackerSecret+`]`,
			`IN_TEXT=postgres://canary:{ENC}canary@db/app`,
			`IN_JSON={"password":"{ENC}{\"region\":\"canary\"}"}`,
			`SMALL=password={enc}`+trackerSecret,
			"PLACEHOLDER= {atl_secured}",
			`MARKED=user={ATL_SECURED}`,
			"ARN=arn:aws:secretsmanager:ap-southeast-2:1:secret:canary",
			"JASYPT=ENC(canary)",
			"ODD\x1b={ENC}canary",
		)},
	{name: "exec-text-beside", want: ui.StatusFailed,
		args: []string{"exec", "-only", "LATER,BEFORE,BARE,BETWEEN,CONFIGURATION,GOOD", "--",
			"false"},
		given: setting(
			`LATER=a={ENC}`+trackerSecret+` b={"region":"canary","secretId":"db"}`,
			`BEFORE=b={"region":"canary","secretId":"db"} a={ENC}`+trackerSecret,
			`BARE=a={ENC}`+trackerSecret+` `+trackerSecret,
			`BETWEEN=a={ENC}`+trackerSecret+` b={"regoin":"canary","secretId":"db"} c={ENC}`+trackerSecret,
			`CONFIGURATION={"user":"canary","region":"x","password":"{ENC}`+trackerSecret+`"}`,
			`GOOD=user=region password={ENC}`+trackerSecret,
		)},
	{name: "exec-failures", want: ui.StatusFailed,
		args: []string{"exec", "-only", "GOOD,ABSENT,URL,TWICE,KEYRING", "--", "false"},
		given: setting(
			"GOOD="+trackerSecret,
			`ABSENT={"region":"ap-southeast-2","secretId":"nowhere"}`,
			`URL=amqps://app:{ENC}{"region":"ap-southeast-2","secretId":"tracker/db","secretPointer":"/passwort"}@mq/`,
			`TWICE=a={ENC}{"region":"ap-southeast-2","secretId":"gone"} b={ENC}{"region":"ap-southeast-2","secretId":"gone"}`,
			`KEYRING={"keyring":"db"}`,
		)},
	{name: "exec-strict", want: ui.StatusFailed,
		args: []string{"exec", "-strict", "-only", "GOOD,PLAIN,BLANK,UNSET,ARN", "-only", "EMPTY",
			"--", "false"},
		given: setting("GOOD="+trackerSecret, "PLAIN=canary", "BLANK= ", "ARN=op://canary",
			`EMPTY={"region":"ap-southeast-2","secretId":"empty","secretPointer":"/password"}`)},
	{name: "exec-strict-empty-secret", want: ui.StatusFailed,
		args:  []string{"exec", "-strict", "-only", "EMPTY", "--", "false"},
		given: setting(`EMPTY={"region":"ap-southeast-2","secretId":"empty","secretPointer":"/password"}`)},
	{name: "exec-nul", want: ui.StatusFailed,
		args: []string{"exec", "-only", "NUL,TEXT", "--", "false"},
		given: func(w *fixture) {
			w.aws.PutBinary("ap-southeast-2", "nul", []byte("canary\x00"))
			w.t.Setenv("NUL", `{"region":"ap-southeast-2","secretId":"nul"}`)
			w.t.Setenv("TEXT", `text {ENC}{"region":"ap-southeast-2","secretId":"nul"}`)
		}},
	{name: "exec-no-keyring",
		args: []string{"exec", "-store", "DIR/nowhere.db", "-only", "A", "--",
			"false"}, want: ui.StatusFailed,
		given: setting(`A={"keyring":"db"}`)},
}

// setting sets environment variables in order.
func setting(entries ...string) func(w *fixture) {
	return func(w *fixture) {
		for _, entry := range entries {
			name, value, _ := strings.Cut(entry, "=")
			w.t.Setenv(name, value)
		}
	}
}
