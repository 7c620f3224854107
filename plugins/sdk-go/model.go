package bandstand

import (
	"encoding/json"
	"iter"
)

// Role is who speaks.
type Role uint8

// In the order of the host's.
const (
	// SystemRole gives instructions.
	SystemRole Role = iota
	// UserRole asks.
	UserRole
	// AssistantRole is the model.
	AssistantRole
	// ToolRole carries what tools gave.
	ToolRole
)

// Part is a piece of a message: Text, Image, ToolCall or ToolResult.
type Part interface{ part() }

// Text is words.
type Text string

// Image is a picture, from the user only.
type Image struct {
	// MediaType is image/png, image/jpeg, image/webp or image/gif.
	MediaType string
	// Data is the file.
	Data []byte
}

// ToolCall is the model asking for a tool.
type ToolCall struct {
	// ID names this call in ToolResult.
	ID string
	// Name is the tool.
	Name string
	// Arguments is what the model wrote: meant as an object, but not checked.
	Arguments json.RawMessage
}

// ToolResult is what a tool gave.
type ToolResult struct {
	// ID is that of the call it answers.
	ID string
	// Output is any JSON.
	Output json.RawMessage
	// IsError: the tool failed; then Output says how.
	IsError bool
}

func (Text) part()       {}
func (Image) part()      {}
func (ToolCall) part()   {}
func (ToolResult) part() {}

// Message is one turn of the conversation.
type Message struct {
	Role  Role
	Parts []Part
}

// System gives instructions.
func System(text string) Message { return Message{SystemRole, []Part{Text(text)}} }

// User is words of whoever asks.
func User(text string) Message { return Message{UserRole, []Part{Text(text)}} }

// Request is what a model is asked.
type Request struct {
	// Model is a name that the grant lists. Empty: the first it lists.
	Model string
	// Messages is the conversation so far, the oldest first.
	Messages []Message
	// Tools are those it may ask for. Calling them is the agent's work.
	Tools []ToolSpec
	// Schema is a JSON Schema that the answer's text must match, once read as JSON; nil: none.
	Schema any
	// Temperature is 0 for the likeliest words; nil: the model's own.
	Temperature *float64
	// MaxOutputTokens is the most it may write; 0: the host's limit.
	MaxOutputTokens uint32
}

// Finish is why the model stopped.
type Finish uint8

// In the order of the host's.
const (
	// FinishStop: it had said everything.
	FinishStop Finish = iota
	// FinishToolCalls: it waits for tools.
	FinishToolCalls
	// FinishLength: it had written as much as it may.
	FinishLength
	// FinishFiltered: the provider held the answer back.
	FinishFiltered
	// FinishOther: anything else.
	FinishOther
)

// Usage is what a call used, in tokens.
type Usage struct {
	InputTokens, OutputTokens uint32
	// CachedTokens are those of the input that the provider had kept.
	CachedTokens uint32
}

// Response is what the model answered.
type Response struct {
	// Text is its words; JSON where a schema was given.
	Text string
	// ToolCalls are the tools it asks for.
	ToolCalls []ToolCall
	// Finish is why it stopped.
	Finish Finish
	// Usage is what it took.
	Usage Usage
	// Model is the provider's name of the model that answered.
	Model string
}

// Message is the answer as a turn of the conversation, to be asked on with.
func (response *Response) Message() Message {
	message := Message{Role: AssistantRole}
	if response.Text != "" || len(response.ToolCalls) == 0 {
		message.Parts = append(message.Parts, Text(response.Text))
	}
	for _, call := range response.ToolCalls {
		message.Parts = append(message.Parts, call)
	}
	return message
}

// Chat asks, and waits for the whole answer. Grant model.
func Chat(request Request) (*Response, error) {
	ready, err := request.ready()
	if err != nil {
		return nil, err
	}
	return hostChat(ready)
}

// Piece is a piece of an answer in the making: Text, ToolCall, or at the end the whole *Response.
type Piece interface{ piece() }

func (Text) piece()      {}
func (ToolCall) piece()  {}
func (*Response) piece() {}

// ChatStream asks, and gives the answer piece by piece; an error ends it. Leaving the loop early gives up the rest, which may
// be paid for all the same. Grant model.
func ChatStream(request Request) iter.Seq2[Piece, error] {
	return func(yield func(Piece, error) bool) {
		ready, err := request.ready()
		if err == nil {
			var answer uint32
			if answer, err = hostChatStream(ready); err == nil {
				defer hostAnswerDrop(answer)
				for {
					piece, err := hostAnswerNext(answer)
					if err == nil && piece == nil || !yield(piece, err) || err != nil {
						return
					}
				}
			}
		}
		yield(nil, err)
	}
}

// Embed gives the meanings of texts as vectors, in the same order. model as in Request. Grant model.
func Embed(model string, texts ...string) ([][]float32, error) { return hostEmbed(model, texts) }

// readyRequest has its JSON written.
type readyRequest struct {
	Request
	schemaJSON *string
	parameters []string
}

func (request Request) ready() (*readyRequest, error) {
	ready := &readyRequest{Request: request}
	if request.Schema != nil {
		text, err := argument(request.Schema)
		if err != nil {
			return nil, err
		}
		ready.schemaJSON = &text
	}
	for _, tool := range request.Tools {
		if tool.Parameters == nil {
			ready.parameters = append(ready.parameters, `{"type":"object"}`)
			continue
		}
		text, err := argument(tool.Parameters)
		if err != nil {
			return nil, err
		}
		ready.parameters = append(ready.parameters, text)
	}
	return ready, nil
}
