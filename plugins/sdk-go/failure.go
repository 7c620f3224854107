package bandstand

import "time"

// Failure is an attempt that failed, with its reason. Permanent and Recoverable make one; an agent returns it as its error.
type Failure struct {
	// Recoverable: another attempt may succeed.
	Recoverable bool
	// Code is a name for the cause in kebab-case, the agent's own: text-too-short.
	Code string
	// Message is for people: what is wrong, and with what.
	Message string
	// RetryAfter is the earliest sensible time for another attempt, from now; 0: the policy's. The longer of the two wins.
	RetryAfter time.Duration
	// Data is any JSON that the node which handles the failure may want to see.
	Data any
}

// Error gives code and message.
func (failure *Failure) Error() string { return failure.Code + ": " + failure.Message }

// Permanent says that the same input fails in the same way: no retry.
func Permanent(code, message string) *Failure { return &Failure{Code: code, Message: message} }

// Recoverable says that another attempt may help, not before retryAfter where that is not 0.
func Recoverable(code, message string, retryAfter time.Duration) *Failure {
	return &Failure{Recoverable: true, Code: code, Message: message, RetryAfter: retryAfter}
}

// WithData adds what the node that handles the failure may want to see.
func (failure *Failure) WithData(data any) *Failure {
	failure.Data = data
	return failure
}

// ErrorKind is the broad reason of a HostError.
type ErrorKind uint8

// In the order of the host's.
const (
	// Denied: the operator has not granted this; the message names the grant.
	Denied ErrorKind = iota
	// Invalid: the arguments are wrong.
	Invalid
	// NotFound: there is no such thing.
	NotFound
	// Limit: a limit of the host; the message names the limit, its value and its setting.
	Limit
	// Unavailable: not now; worth another try, after RetryAfter where given.
	Unavailable
	// Cancelled: the attempt is being ended; return soon.
	Cancelled
	// Other: anything else.
	Other
)

// HostError is the host not doing as asked.
type HostError struct {
	// Kind is the broad reason.
	Kind ErrorKind
	// Code is the exact reason in kebab-case; new ones may appear at any time.
	Code string
	// Message is for people.
	Message string
	// RetryAfter is the earliest sensible time for another try, from now; 0: none is given.
	RetryAfter time.Duration
}

// Error gives code and message.
func (refused *HostError) Error() string { return refused.Code + ": " + refused.Message }

// Failure is what an attempt ends with that does not handle this: recoverable where another try may help.
func (refused *HostError) Failure() *Failure {
	if refused.Kind == Unavailable || refused.Kind == Cancelled {
		return Recoverable(refused.Code, refused.Message, refused.RetryAfter)
	}
	return Permanent(refused.Code, refused.Message)
}
