// Package bandstand is what an agent of Bandstand is written with in Go: typed input and output, failures, log, progress,
// memory, models, tools and HTTP.
//
// An agent is a function, named in init:
//
//	package main
//
//	import "bandstand"
//
//	type Input struct {
//		Text string `json:"text"`
//	}
//
//	type Output struct {
//		Words int `json:"words"`
//	}
//
//	func init() { bandstand.Agent(run) }
//
//	func main() {}
//
//	func run(call *bandstand.Call, input Input) (Output, error) {
//		words := len(strings.Fields(input.Text))
//		if words == 0 {
//			return Output{}, bandstand.Permanent("text-empty", "`text` holds no word")
//		}
//		return Output{words}, nil
//	}
//
// main is never called: a component is entered by its exports. A failure is returned: Recoverable where another attempt may
// help, Permanent where it cannot. What the host refuses comes as a *HostError, a request without a response as an
// *HTTPError; returned as they are, they become failures of the right kind. Any other error, and a panic, is a crash: its text, and for a panic its stack, reach the host as the
// attempt's last words. A panic in a goroutine of the agent's own cannot be caught here: its text is on stderr, which the
// host keeps as well.
//
// What the code does not call is not imported, so it needs no grant. Under go test the host's functions are played by a
// fake one: see FakeReset.
package bandstand

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand"
	"reflect"
	"time"
)

// Call is one attempt at one node: everything the agent is told.
type Call struct {
	// RunID is the run this attempt belongs to.
	RunID string
	// ThreadID is the conversation or case that several runs share; nil where the run has none.
	ThreadID *string
	// UserID is the person on whose behalf the run goes on; nil where it is not known.
	UserID *string
	// Workflow is the name of the workflow.
	Workflow string
	// Node is the path of the node, with visits: fan@1/law@1.
	Node string
	// Visit is how often the run has come to this node, this time included.
	Visit uint32
	// Attempt is which attempt of this visit this is, from 1.
	Attempt uint32
	// AttemptsMax is the attempt after which the host gives up.
	AttemptsMax uint32
	// IdempotencyKey is the same for every attempt that might repeat one effect.
	IdempotencyKey string
	// StartedAt is when this attempt started, RFC 3339.
	StartedAt string
	// Timeout is how long the attempt may take, from StartedAt.
	Timeout time.Duration
	// Seed is for Random.
	Seed uint32
	// InputJSON is the input as JSON text; the agent's second parameter has it as a type of its own.
	InputJSON string
	// ContextJSON is what later hosts add: JSON text of an object.
	ContextJSON string
}

// TestCall is a first attempt with this input, for tests.
func TestCall(inputJSON string) *Call {
	return &Call{
		RunID: "run-1", Workflow: "test", Node: "node@1", Visit: 1, Attempt: 1, AttemptsMax: 4,
		IdempotencyKey: "run-1/node@1", StartedAt: "2026-01-01T00:00:00Z", Timeout: time.Minute, Seed: 1,
		InputJSON: inputJSON, ContextJSON: "{}",
	}
}

// Random gives random numbers for this attempt: others in every attempt, the same when it is replayed.
func (call *Call) Random() *rand.Rand { return rand.New(rand.NewSource(int64(call.Seed))) }

// errNoAgent is the whole of what there is to say where nothing was registered.
var errNoAgent = errors.New("there is no agent: call bandstand.Agent from init")

// registered is the agent of this component.
var registered func(call *Call) (*Reply, error)

// Agent makes the agent of a function. It is called once, from init. The input is read into In as Read says; Out is the
// output, whose JSON must be an object, or a *Reply.
func Agent[In, Out any](run func(call *Call, input In) (Out, error)) {
	if registered != nil {
		panic("bandstand.Agent is called once: a component is one agent")
	}
	registered = func(call *Call) (*Reply, error) {
		input, err := Read[In](call.InputJSON)
		if err != nil {
			return nil, err
		}
		output, err := run(call, input)
		if err != nil {
			return nil, err
		}
		if reply, ok := any(output).(*Reply); ok && reply != nil {
			return reply, nil
		}
		return &Reply{Output: output}, nil
	}
}

// Answer goes the whole way that a call of the host goes, from the call to the JSON of the output; for tests. A panic of the
// agent passes through.
func Answer(call *Call) (outputJSON string, err error) {
	reply, err := answer(call)
	if err != nil {
		return "", err
	}
	return reply.outputJSON, nil
}

// answered is a reply that is sure to cross.
type answered struct {
	*Reply
	outputJSON  string
	formJSON    *string
	proposeJSON *string
}

// answer runs the agent. The error is a *Failure where it was meant as one, else a crash.
func answer(call *Call) (*answered, error) {
	if registered == nil {
		return nil, errNoAgent
	}
	reply, err := registered(call)
	if err == nil {
		var checked *answered
		if checked, err = reply.check(); err == nil {
			return checked, nil
		}
	}
	return nil, asFailure(err)
}

// asFailure finds the failure in an error, which may wrap it. An error without one is given back.
func asFailure(err error) error {
	var failure *Failure
	var refused *HostError
	var missing *HTTPError
	switch {
	case errors.As(err, &failure):
		return failure
	case errors.As(err, &refused):
		return refused.Failure()
	case errors.As(err, &missing):
		return missing.Failure()
	}
	return err
}

// lastWords says why an error ends the instance; nil and a failure do not.
func lastWords(err error) (message, backtrace string, ends bool) {
	var failure *Failure
	switch {
	case err == nil, errors.As(err, &failure):
		return "", "", false
	case errors.Is(err, errNoAgent):
		return err.Error(), "", true
	}
	return err.Error(), "an error was returned that is none of *bandstand.Failure, *bandstand.HostError and *bandstand.HTTPError", true
}

// Read reads JSON text into a type of the agent's. Names are taken exactly, unknown members are left alone, and a member must
// be there and not be null unless its field is a pointer or has the option omitempty or omitzero. The tag oneof lists the
// texts that a field may hold, apart by spaces. What does not fit is the permanent failure input-invalid.
func Read[T any](text string) (T, error) {
	var value T
	if err := fit(json.RawMessage(text), reflect.ValueOf(&value).Elem(), ""); err != nil {
		return value, Permanent("input-invalid", fmt.Sprintf("the input does not fit: %v", err))
	}
	return value, nil
}
