package bench

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"golang.org/x/sync/errgroup"
)

// byHand is code written for this work only: it fetches each secret once, all concurrently, from
// AWS in batches of twenty with the SDK, from Vault with net/http. It has no retries, no limits
// and hardly any error handling.
type byHand struct {
	*bare
	plain    *http.Client
	endpoint string // of Secrets Manager
	token    string // of the Vaults
}

var byHandClient = contender{"byhand-dedup",
	func(w *world) (client, error) { return newByHand(w), nil }}

func newByHand(w *world) byHand {
	return byHand{newBare(), &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 50}},
		w.aws.URL(), w.vault[0].RootToken()}
}

func (c byHand) close() { c.plain.CloseIdleConnections() }

func (c byHand) all(ctx context.Context, refs []reference) ([]string, error) {
	var batches [][]reference // of secrets in a region, or of one in a Vault
	open := map[string]int{}  // index in batches, by region
	known := map[string]int{} // index in secrets, by name
	for _, r := range refs {
		if _, ok := known[r.name()]; ok {
			continue
		}
		known[r.name()] = len(known)
		if i, ok := open[r.region]; ok && r.region != "" && len(batches[i]) < 20 {
			batches[i] = append(batches[i], r)
			continue
		}
		open[r.region] = len(batches)
		batches = append(batches, []reference{r})
	}

	secrets := make([]map[string]any, len(known))
	var group errgroup.Group
	group.SetLimit(50)
	for _, batch := range batches {
		group.Go(func() error {
			found, err := c.fetch(ctx, batch)
			for i, r := range batch {
				if err == nil {
					secrets[known[r.name()]] = found[i]
				}
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	got := make([]string, len(refs))
	for i, r := range refs {
		var err error
		if got[i], err = member(secrets[known[r.name()]], r.key); err != nil {
			return nil, err
		}
	}
	return got, nil
}

// fetch fetches a batch and returns the secrets in its order.
func (c byHand) fetch(ctx context.Context, batch []reference) ([]map[string]any, error) {
	found := make([]map[string]any, len(batch))
	if batch[0].region == "" {
		var answer struct {
			Data struct{ Data map[string]any }
		}
		err := c.read(ctx, batch[0], &answer)
		found[0] = answer.Data.Data
		return found, err
	}
	a, err := c.awsClient(ctx, batch[0].region)
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, r := range batch {
		ids = append(ids, r.secret)
	}
	out, err := a.BatchGetSecretValue(ctx, &secretsmanager.BatchGetSecretValueInput{SecretIdList: ids})
	if err != nil {
		return nil, err
	}
	for _, v := range out.SecretValues {
		i := slices.Index(ids, aws.ToString(v.Name))
		if i < 0 {
			return nil, fmt.Errorf("%q was not requested", aws.ToString(v.Name))
		}
		if err := json.Unmarshal([]byte(aws.ToString(v.SecretString)), &found[i]); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// get implements client.
func (c byHand) get(ctx context.Context, r reference) (string, error) {
	got, err := c.all(ctx, []reference{r})
	if err != nil {
		return "", err
	}
	return got[0], nil
}

// read sends a bare request to a Vault.
func (c byHand) read(ctx context.Context, r reference, answer any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet,
		r.url+"/v1/"+mount+"/data/"+r.secret, nil)
	if err != nil {
		return err
	}
	req.Header.Set("X-Vault-Token", c.token)
	return c.do(req, answer)
}

func (c byHand) do(req *http.Request, answer any) error {
	resp, err := c.plain.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s", resp.Status)
	}
	return json.Unmarshal(body, answer)
}

// roundTrip is the lower bound of all cold work: one request for the first secret over a new
// connection.
type roundTrip struct{ byHand }

var roundTripLimit = contender{"limit-round-trip",
	func(w *world) (client, error) { return roundTrip{newByHand(w)}, nil }}

// all resolves the first reference and returns the expected values of the others.
func (c roundTrip) all(ctx context.Context, refs []reference) ([]string, error) {
	first, err := c.get(ctx, refs[0])
	got := []string{first}
	for _, r := range refs[1:] {
		got = append(got, r.want())
	}
	return got, err
}

func (c roundTrip) get(ctx context.Context, r reference) (string, error) {
	if r.region == "" {
		var answer struct {
			Data struct{ Data map[string]any }
		}
		if err := c.read(ctx, r, &answer); err != nil {
			return "", err
		}
		return member(answer.Data.Data, r.key)
	}
	var answer struct{ SecretString string }
	if err := c.call(ctx, r, &answer); err != nil {
		return "", err
	}
	var members map[string]any
	if err := json.Unmarshal([]byte(answer.SecretString), &members); err != nil {
		return "", err
	}
	return member(members, r.key)
}

// call sends a request to Secrets Manager, signed without the SDK.
func (c roundTrip) call(ctx context.Context, r reference, answer any) error {
	body, err := json.Marshal(map[string]string{"SecretId": r.secret})
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.endpoint, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-amz-json-1.1")
	req.Header.Set("X-Amz-Target", "secretsmanager.GetSecretValue")
	sum := sha256.Sum256(body)
	credentials := aws.Credentials{AccessKeyID: accessKeyID, SecretAccessKey: secretAccessKey}
	if err := v4.NewSigner().SignHTTP(ctx, credentials, req, hex.EncodeToString(sum[:]),
		"secretsmanager", r.region, time.Now()); err != nil {
		return err
	}
	return c.do(req, answer)
}
