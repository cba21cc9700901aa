package awssm

import (
	"errors"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/smithy-go"
)

// clockRetryer makes the SDK repeat a call once, immediately, after AWS refused
// its time: the SDK derives the offset of this machine's clock from the answer,
// and signs the second attempt and all later calls of the client with that offset.
// Everything else is retried by the caller.
type clockRetryer struct{ aws.NopRetryer }

func (clockRetryer) MaxAttempts() int { return 2 }

func (clockRetryer) RetryDelay(int, error) (time.Duration, error) { return 0, nil }

func (clockRetryer) IsErrorRetryable(err error) bool {
	api, ok := errors.AsType[smithy.APIError](err)
	if !ok {
		return false
	}
	switch api.ErrorCode() {
	case "RequestTimeTooSkewed", "RequestExpired", "RequestInTheFuture":
		return true
	}
	// The SDK marks errors that the clock offset explains, in the outermost error.
	skewed, ok := err.(interface{ RetryableError() bool })
	return ok && skewed.RetryableError()
}
