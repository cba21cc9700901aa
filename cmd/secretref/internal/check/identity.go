package check

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
	"github.com/seed74218947/secretref/cmd/secretref/internal/storeflags"
	"github.com/seed74218947/secretref/cmd/secretref/internal/ui"
	"github.com/seed74218947/secretref/internal/backend/awssm"
	"github.com/seed74218947/secretref/internal/backend/httpguard"
	"github.com/seed74218947/secretref/internal/backend/vaultkv"
)

// identityReport shows the credentials in use: references that resolve for one user
// may not resolve for the user of the product's service.
type identityReport struct {
	region     string // of the first AWS reference, or ""
	vaultAuths []secretref.VaultAuth
	store      storeflags.Flags
	timeout    time.Duration

	lines [][2]string
}

// newIdentityReport returns a report for the backends of the values, and for the
// keyring's store if there is one.
func newIdentityReport(values []*checkedValue, store storeflags.Flags) *identityReport {
	a := &identityReport{store: store, timeout: store.Timeout.Value()}
	for _, x := range values {
		switch ref := x.ref.(type) {
		case secretref.AWSReference:
			if a.region == "" {
				a.region = ref.Region
			}
		case secretref.VaultReference:
			if !slices.Contains(a.vaultAuths, ref.AuthenticationType) {
				a.vaultAuths = append(a.vaultAuths, ref.AuthenticationType)
			}
		}
	}
	slices.Sort(a.vaultAuths)
	return a
}

// WriteIdentity reports the credentials that resolving a reference uses, and those
// of the keyring's store.
func WriteIdentity(ctx context.Context, w io.Writer, reference secretref.Reference,
	store storeflags.Flags) {
	r := newIdentityReport([]*checkedValue{{ref: reference}}, store)
	r.gather(ctx)
	r.write(w)
}

// gather reads the environment and queries AWS STS.
func (i *identityReport) gather(ctx context.Context) {
	i.add("user", currentUser())
	if i.region != "" {
		i.add("aws", i.awsIdentity(ctx))
	}
	for _, auth := range i.vaultAuths {
		i.addVault(auth)
	}
	if len(i.vaultAuths) > 0 && os.Getenv("VAULT_NAMESPACE") != "" {
		i.add("vault", "VAULT_NAMESPACE is set; the products' documentation does not mention it")
	}
	if l, err := i.store.Location(); err == nil {
		i.add("store", describeStore(l, i.store))
	}
}

func (i *identityReport) add(about,
	text string) {
	i.lines = append(i.lines, [2]string{about, text})
}

func (i *identityReport) write(w io.Writer) {
	fmt.Fprintln(w, "identity")
	for _, l := range i.lines {
		_ = ui.Line(w, "  %-6s %s", l[0], l[1])
	}
}

func currentUser() string {
	u, err := user.Current()
	if err != nil {
		return fmt.Sprintf("uid %d (without a name)", os.Getuid())
	}
	return fmt.Sprintf("%s (uid %s)", u.Username, u.Uid)
}

// awsIdentity describes the credentials that the library finds and their owner.
func (i *identityReport) awsIdentity(ctx context.Context) string {
	log := slog.New(slog.DiscardHandler)
	ctx, cancel := context.WithTimeout(ctx, i.timeout)
	defer cancel()
	found, err := awssm.New(nil, &httpguard.Policy{Log: log}, log).Identity(ctx, i.region)
	if errors.Is(err, secretref.ErrUnauthenticated) {
		return "no usable credentials; the references below show why"
	}
	if err != nil {
		return "could not determine the credentials: " + ui.Message(err)
	}
	with := fmt.Sprintf("access key id %s from %s", found.AccessKeyID,
		describeCredentialSource(found.Source))
	arn, err := i.callerARN(ctx)
	if err != nil {
		return fmt.Sprintf("%s; could not determine the caller's identity from AWS STS: %s", with,
			ui.Message(err))
	}
	return arn + ", " + with
}

// callerARN calls STS GetCallerIdentity, which needs no permission.
func (i *identityReport) callerARN(ctx context.Context) (string, error) {
	loaded, err := config.LoadDefaultConfig(ctx, config.WithDefaultRegion(i.region))
	if err != nil {
		return "", errors.New("cannot load the AWS configuration")
	}
	client := sts.NewFromConfig(loaded, func(o *sts.Options) { o.RetryMaxAttempts = 1 })
	got, err := client.GetCallerIdentity(ctx, nil)
	if err == nil && got.Arn != nil {
		return *got.Arn, nil
	}
	if refused, ok := errors.AsType[smithy.APIError](err); ok {
		return "", fmt.Errorf("it refused them (%s)", ui.Printable(refused.ErrorCode()))
	}
	return "", httpguard.Explain(err, "its endpoint")
}

// describeCredentialSource explains the SDK's name of a credential source.
func describeCredentialSource(sdk string) string {
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

// addVault lists the variables that a Vault auth method reads and whether they are
// set. Their values are not printed.
func (i *identityReport) addVault(auth secretref.VaultAuth) {
	if auth == secretref.VaultKubernetes {
		i.add("vault", fmt.Sprintf("KUBERNETES: role from %s; auth method from %s; the pod's "+
			"token from %s",
			variableState(vaultkv.RoleVariable, ""), variableState(vaultkv.AuthPathVariable,
				"kubernetes"),
			variableState(vaultkv.JWTPathVariable,
				"/var/run/secrets/kubernetes.io/serviceaccount/token")))
		return
	}
	i.add("vault", "TOKEN: from "+variableState(vaultkv.TokenVariable, ""))
}

// describeStore describes the store, its root key and its password's source.
func describeStore(l storeflags.Location, o storeflags.Flags) string {
	root := ", root key in " + describeFile(cmp.Or(o.RootKeyFile, l.Name+".key"))
	if l.Dialect == 0 {
		return describeFile(l.Name) + root
	}
	c := l.Credential()
	place := c.Source
	switch {
	case c.File != "":
		place = describeFile(c.File)
	case c.Value != "":
	case l.Dialect == secretref.PostgreSQL:
		place = storeflags.PasswordVariable + " or PGPASSWORD (not set: .pgpass may have it)"
	default:
		place = variableState(storeflags.PasswordVariable, "")
	}
	return l.Name + ", password from " + place + root
}

func describeFile(path string) string {
	info, err := os.Stat(path)
	if err != nil {
		return path + " (not accessible)"
	}
	return fmt.Sprintf("%s (owner %s, mode %04o)", path, ui.OwnerName(info), info.Mode().Perm())
}

// variableState describes whether a variable is set, and its default if not.
func variableState(variable, otherwise string) string {
	switch {
	case os.Getenv(variable) != "":
		return variable + " (set)"
	case otherwise != "":
		return fmt.Sprintf("%s (not set: %s)", variable, otherwise)
	}
	return variable + " (not set)"
}
