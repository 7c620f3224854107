// powers asks the host for what its input names. What there is stands in ../README.md.
package main

import (
	"encoding/json"
	"fmt"
	"time"

	"bandstand"
)

type input struct {
	Do     string          `json:"do"`
	Name   string          `json:"name,omitempty"`
	Args   json.RawMessage `json:"args,omitempty"`
	URL    string          `json:"url,omitempty"`
	Method string          `json:"method,omitempty"`
	Body   *string         `json:"body,omitempty"`
	Limit  int             `json:"limit,omitempty"`
}

type output map[string]any

func init() { bandstand.Agent(run) }

func main() {}

func run(call *bandstand.Call, input input) (output, error) {
	switch input.Do {
	case "nothing":
		return output{}, nil
	case "slot":
		return slot()
	case "slot-names":
		err := first(bandstand.SetSlot("b", 1), bandstand.SetSlot("a", "one"))
		return with(err, "names", bandstand.SlotNames)
	case "facts":
		_, err := bandstand.PutFacts(bandstand.NewFact("Bees make honey"), bandstand.NewFact("Ants do not"))
		return with(err, "found", found)
	case "audit":
		_, err := bandstand.AuditAppend("noted", map[string]int{"n": 1})
		return output{"appended": true}, err
	case "audit-read":
		_, err := bandstand.AuditAppend("flagged", map[string]int{"clause": 7}, "risk")
		return with(err, "last", last)
	case "model":
		messages := []bandstand.Message{bandstand.System("Be brief."), bandstand.User("Greet me.")}
		return text(bandstand.Request{Model: "small", Messages: messages})
	case "model-stream":
		return stream()
	case "model-tools":
		return modelTools()
	case "embed":
		vectors, err := bandstand.Embed("small", "a", "b")
		return output{"vectors": vectors}, err
	case "tool":
		gave, err := bandstand.CallTool(input.Name, input.Args)
		return output{"gave": gave}, err
	case "tool-names":
		return with(nil, "names", toolNames)
	case "http":
		return http(input)
	}
	return nil, bandstand.Permanent("not-covered", fmt.Sprintf("there is no `%s`", input.Do))
}

func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func with[T any](err error, name string, value func() (T, error)) (output, error) {
	if err != nil {
		return nil, err
	}
	got, err := value()
	return output{name: got}, err
}

func slot() (output, error) {
	err := bandstand.SetSlot("persona", map[string]string{"tone": "dry"})
	if err != nil {
		return nil, err
	}
	kept, err := bandstand.Slot("persona")
	err = first(err, bandstand.SetSlot("persona", nil))
	left, again := bandstand.Slot("persona")
	return output{"kept": kept, "emptied": left == nil}, first(err, again)
}

func found() ([]string, error) {
	hits, err := bandstand.SearchFacts(bandstand.Query{Text: "honey", Limit: 5})
	texts := []string{}
	for _, hit := range hits {
		texts = append(texts, hit.Fact.Text)
	}
	return texts, err
}

func last() (output, error) {
	entries, err := bandstand.AuditSnapshot(1)
	if err != nil {
		return nil, err
	}
	return output{"action": entries[0].Action, "payload": entries[0].Payload, "tags": entries[0].Tags}, nil
}

func text(request bandstand.Request) (output, error) {
	response, err := bandstand.Chat(request)
	if err != nil {
		return nil, err
	}
	return output{"text": response.Text}, nil
}

func stream() (output, error) {
	said, text := "", ""
	request := bandstand.Request{Model: "small", Messages: []bandstand.Message{bandstand.User("Go on.")}}
	for piece, err := range bandstand.ChatStream(request) {
		if err != nil {
			return nil, err
		}
		switch piece := piece.(type) {
		case bandstand.Text:
			said += string(piece)
		case *bandstand.Response:
			text = piece.Text
		}
	}
	return output{"said": said, "text": text}, nil
}

func modelTools() (output, error) {
	granted, err := bandstand.Tools()
	if err != nil {
		return nil, err
	}
	request := bandstand.Request{Model: "small", Messages: []bandstand.Message{bandstand.User("Ask the tool.")}, Tools: granted}
	response, err := bandstand.Chat(request)
	if err != nil {
		return nil, err
	}
	request.Messages = append(request.Messages, response.Message())
	for _, asked := range response.ToolCalls {
		gave, err := bandstand.CallTool(asked.Name, asked.Arguments)
		if err != nil {
			return nil, err
		}
		result := bandstand.ToolResult{ID: asked.ID, Output: gave}
		request.Messages = append(request.Messages, bandstand.Message{Role: bandstand.ToolRole, Parts: []bandstand.Part{result}})
	}
	return text(request)
}

func toolNames() ([]string, error) {
	tools, err := bandstand.Tools()
	names := []string{}
	for _, tool := range tools {
		names = append(names, tool.Name)
	}
	return names, err
}

func http(input input) (output, error) {
	request := bandstand.HTTPRequest{Method: input.Method, URL: input.URL, Timeout: 5 * time.Second, ResponseBytesMax: input.Limit}
	request.Fields = []bandstand.HTTPField{{Name: "x-asked-by", Value: "Bearer {secret:KEY}"}}
	if input.Body != nil {
		request.Body = []byte(*input.Body)
	}
	response, err := bandstand.HTTP(request)
	if err != nil {
		return nil, err
	}
	return output{"status": response.Status, "type": response.Header("content-type"), "text": string(response.Body)}, nil
}
