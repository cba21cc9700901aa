package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/user"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"

	"github.com/seed74218947/secretref"
	"github.com/seed74218947/secretref/internal/backend/awssm"
	"github.com/seed74218947/secretref/internal/backend/httpguard"
	"github.com/seed74218947/secretref/internal/backend/vaultkv"
)

// asker finds out who asks: what works for one user need not work for the
// product's.
type asker struct {
	region  string // of the first AWS reference; empty: there is none
	auths   []secretref.VaultAuth
	store   storeFlags
	timeout time.Duration

	lines [][2]string
}

// newAsker returns an asker for what the subjects need, and for the keyring's
// store if there is one.
func newAsker(subjects []*subject, store storeFlags) *asker {
	a := &asker{store: store, timeout: store.timeout.value()}
	for _, x := range subjects {
		switch ref := x.ref.(type) {
		case secretref.AWSReference:
			if a.region == "" {
				a.region = ref.Region
			}
		case secretref.VaultReference:
			if !slices.Contains(a.auths, ref.AuthenticationType) {
				a.auths = append(a.auths, ref.AuthenticationType)
			}
		}
	}
	slices.Sort(a.auths)
	return a
}

// ask asks the system, the environment and AWS.
func (a *asker) ask(ctx context.Context) {
	a.say("user", currentUser())
	if a.region != "" {
		a.say("aws", a.aws(ctx))
	}
	for _, auth := range a.auths {
		a.vault(auth)
	}
	if len(a.auths) > 0 && os.Getenv("VAULT_NAMESPACE") != "" {
		a.say("vault", "VAULT_NAMESPACE is set; the products' documentation does not mention it")
	}
	if l, err := a.store.location(); err == nil {
		a.say("store", describeStore(l, a.store))
	}
}

func (a *asker) say(about, text string) { a.lines = append(a.lines, [2]string{about, text}) }

func (a *asker) write(w io.Writer) {
	fmt.Fprintln(w, "who asks")
	for _, l := range a.lines {
		_ = line(w, "  %-6s %s", l[0], l[1])
	}
}

func currentUser() string {
	u, err := user.Current()
	if err != nil {
		return fmt.Sprintf("uid %d (it has no name)", os.Getuid())
	}
	return fmt.Sprintf("%s (uid %s)", u.Username, u.Uid)
}

// aws tells which credentials the library's chain finds and whose they are.
func (a *asker) aws(ctx context.Context) string {
	log := slog.New(slog.DiscardHandler)
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	found, err := awssm.New(nil, &httpguard.Policy{Log: log}, log).Identity(ctx, a.region)
	if errors.Is(err, secretref.ErrUnauthenticated) {
		return "no credentials that could be used: the references below say why"
	}
	if err != nil {
		return "who asks cannot be told: " + message(err)
	}
	with := fmt.Sprintf("access key id %s from %s", found.AccessKeyID, source(found.Source))
	arn, err := a.callerARN(ctx)
	if err != nil {
		return fmt.Sprintf("%s; AWS STS does not say whose it is: %s", with, message(err))
	}
	return arn + ", " + with
}

// callerARN asks STS, which needs no permission.
func (a *asker) callerARN(ctx context.Context) (string, error) {
	loaded, err := config.LoadDefaultConfig(ctx, config.WithDefaultRegion(a.region))
	if err != nil {
		return "", errors.New("the AWS configuration does not load")
	}
	client := sts.NewFromConfig(loaded, func(o *sts.Options) { o.RetryMaxAttempts = 1 })
	got, err := client.GetCallerIdentity(ctx, nil)
	if err == nil && got.Arn != nil {
		return *got.Arn, nil
	}
	if refused, ok := errors.AsType[smithy.APIError](err); ok {
		return "", fmt.Errorf("it refuses them (%s)", printable(refused.ErrorCode()))
	}
	return "", httpguard.Explain(err, "its endpoint")
}

// source puts the SDK's word for where credentials came from into ours.
func source(sdk string) string {
	for _, known := range [][2]string{
		{config.CredentialsSourceName, "environment variables"},
		{"SharedConfigCredentials", "the shared files"},
		{"WebIdentityCredentials", "a web identity token"},
		{"AssumeRoleProvider", "an assumed role"},
		{"CredentialsEndpointProvider", "the container's endpoint"},
		{"EC2RoleProvider", "the EC2 instance's role"},
		{"SSOProvider", "IAM Identity Center"},
		{"ProcessProvider", "a credential process"},
	} {
		if strings.HasPrefix(sdk, known[0]) {
			return fmt.Sprintf("%s (%s)", known[1], sdk)
		}
	}
	return sdk
}

// vault tells which variables a way of authentication reads, and whether they
// are set; their values stay where they are.
func (a *asker) vault(auth secretref.VaultAuth) {
	if auth == secretref.VaultKubernetes {
		a.say("vault", fmt.Sprintf("KUBERNETES: role from %s; auth method from %s; the pod's token from %s",
			state(vaultkv.RoleVariable, ""), state(vaultkv.AuthPathVariable, "kubernetes"),
			state(vaultkv.JWTPathVariable, "/var/run/secrets/kubernetes.io/serviceaccount/token")))
		return
	}
	a.say("vault", "TOKEN: from "+state(vaultkv.TokenVariable, ""))
}

// describeStore tells who may read the files, or who asks the database.
func describeStore(l location, o storeFlags) string {
	root := ", root key in " + describeFile(cmp.Or(o.rootKeyFile, l.name+".key"))
	if l.dialect == 0 {
		return describeFile(l.name) + root
	}
	c := l.credential()
	place := c.place
	switch {
	case c.file != "":
		place = describeFile(c.file)
	case c.value != "":
	case l.dialect == secretref.PostgreSQL:
		place = passwordVariable + " or PGPASSWORD (not set: .pgpass may have it)"
	default:
		place = state(passwordVariable, "")
	}
	return l.name + ", password from " + place + root
}

func describeFile(path string) string {
	info, err := os.Stat(path)
	if err != nil {
		return path + " (cannot be seen)"
	}
	return fmt.Sprintf("%s (owner %s, mode %04o)", path, owner(info), info.Mode().Perm())
}

// state tells whether a variable is set, and what holds if it is not.
func state(variable, otherwise string) string {
	switch {
	case os.Getenv(variable) != "":
		return variable + " (set)"
	case otherwise != "":
		return fmt.Sprintf("%s (not set: %s)", variable, otherwise)
	}
	return variable + " (not set)"
}
