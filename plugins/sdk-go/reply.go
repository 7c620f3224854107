package bandstand

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"time"
)

// Reply says more than an output alone: how sure the agent is, and where the run goes.
type Reply struct {
	// Output is what became of the node; its JSON must be an object, else the attempt fails with output-invalid.
	Output any
	// Confidence is how sure the agent is of its output, 0 to 1; nil: it cannot tell.
	Confidence *float64
	// Of the following, one at most is set; without, the run goes as the workflow file says.

	// Goto names a node of the node's goto list.
	Goto string
	// Choose offers options for the node's route.
	Choose []Choice
	// Review asks a person first.
	Review *Review
}

// Choice is one of the ways an agent sees to go on: a key of the node's route.
type Choice struct {
	Name string
	// Confidence is 0 to 1.
	Confidence float64
	// Reason is for the routing record; empty: none.
	Reason string
}

// Review is what a person is asked before the run goes on.
type Review struct {
	// Title is one line: what is to be decided.
	Title string
	// Reason is why the agent does not decide it alone.
	Reason string
	// Form is a JSON Schema of a form for the reviewer; nil: none.
	Form any
	// Propose is what is to be approved; nil: the whole output.
	Propose any
	// Timeout is how long the review stays open; 0: as the workflow file says.
	Timeout time.Duration
	// Reviewers may answer; none: anyone whom the workflow allows.
	Reviewers []string
	// Quorum is how many approvals it takes; 0 counts as 1.
	Quorum uint32
}

// Sure sets the confidence, 0 to 1.
func (reply *Reply) Sure(confidence float64) *Reply {
	reply.Confidence = &confidence
	return reply
}

// check makes JSON of the reply's values and refuses what cannot cross.
func (reply *Reply) check() (*answered, error) {
	ways := 0
	for _, way := range []bool{reply.Goto != "", reply.Choose != nil, reply.Review != nil} {
		if way {
			ways++
		}
	}
	if ways > 1 {
		return nil, fmt.Errorf("a reply goes one way: set one of Goto, Choose and Review")
	}
	text, err := toJSON(reply.Output)
	if err != nil {
		return nil, Permanent("output-invalid", "the output is no JSON: "+err.Error())
	}
	if text[0] != '{' {
		return nil, Permanent("output-invalid", "an output must be a JSON object, not "+text[:min(len(text), 100)])
	}
	checked := &answered{Reply: reply, outputJSON: text}
	if reply.Review != nil {
		if checked.formJSON, err = maybeJSON(reply.Review.Form); err != nil {
			return nil, fmt.Errorf("the review's Form is no JSON: %w", err)
		}
		if checked.proposeJSON, err = maybeJSON(reply.Review.Propose); err != nil {
			return nil, fmt.Errorf("the review's Propose is no JSON: %w", err)
		}
	}
	return checked, nil
}

// toJSON writes JSON as the other SDKs do: without the escapes that are for HTML.
func toJSON(value any) (string, error) {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return "", err
	}
	return string(bytes.TrimSuffix(text.Bytes(), []byte("\n"))), nil
}

func maybeJSON(value any) (*string, error) {
	if value == nil {
		return nil, nil
	}
	text, err := toJSON(value)
	return &text, err
}

// inUnit brings a number into 0 to 1; NaN is 0.
func inUnit(number float64) float64 {
	if math.IsNaN(number) {
		return 0
	}
	return min(max(number, 0), 1)
}

// milliseconds are a span as it crosses.
func milliseconds(span time.Duration) uint32 {
	return uint32(min(max(span.Milliseconds(), 0), math.MaxUint32))
}
