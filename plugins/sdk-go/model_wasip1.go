package bandstand

import "unsafe"

type rawToolSpec struct {
	name        rawList
	description rawList
	parameters  rawList
}

type rawMessage struct {
	role  Role
	parts rawList
}

// rawPart is a variant: 0 text, 1 image, 2 tool call, 3 tool result. What they hold are texts, and a bool at the end of the
// last.
type rawPart struct {
	which  uint8
	first  rawList
	second rawList
	third  rawList
}

type rawToolCall struct {
	id        rawList
	name      rawList
	arguments rawList
}

type rawResponse struct {
	text      rawList
	toolCalls rawList
	finish    Finish
	usage     struct{ input, output, cached uint32 }
	model     rawList
}

//go:wasmimport bandstand:agent/model@0.1.0 chat
func importChat(hasModel, model, modelSize, messages, messagesCount, tools, toolsCount, hasSchema, schema, schemaSize uint32,
	hasTemperature uint32, temperature float64, hasMax, max uint32, result unsafe.Pointer)

//go:wasmimport bandstand:agent/model@0.1.0 embed
func importEmbed(hasModel, model, modelSize, texts, count uint32, result unsafe.Pointer)

func hostChat(request *readyRequest) (*Response, error) {
	hold()
	defer release()
	result, model, schema := newArea(), lendWord(request.Model), lendMaybe(request.schemaJSON)
	messages := lendList(request.Messages, func(message Message) rawMessage {
		return rawMessage{message.Role, lendList(message.Parts, lendPart)}
	})
	tools := make([]rawToolSpec, len(request.Tools))
	for index, tool := range request.Tools {
		tools[index] = rawToolSpec{lend(tool.Name), lend(tool.Description), lend(request.parameters[index])}
	}
	offered := lendPlain(tools)
	var temperature float64
	if request.Temperature != nil {
		temperature = *request.Temperature
	}
	importChat(bit(model.some), model.value.at, model.value.count, messages.at, messages.count, offered.at, offered.count,
		bit(schema.some), schema.value.at, schema.value.count, bit(request.Temperature != nil), temperature,
		bit(request.MaxOutputTokens > 0), request.MaxOutputTokens, result.at())
	return got(result, func(raw rawResponse) *Response {
		return &Response{take(raw.text), takeList(raw.toolCalls, func(call rawToolCall) ToolCall {
			return ToolCall{take(call.id), take(call.name), takeJSON(call.arguments)}
		}), raw.finish, Usage{raw.usage.input, raw.usage.output, raw.usage.cached}, take(raw.model)}
	})
}

func hostEmbed(model string, texts []string) ([][]float32, error) {
	hold()
	defer release()
	result, name, list := newArea(), lendWord(model), lendTexts(texts)
	importEmbed(bit(name.some), name.value.at, name.value.count, list.at, list.count, result.at())
	return got(result, func(raw rawList) [][]float32 { return takeList(raw, takePlain[float32]) })
}

func lendPart(part Part) rawPart {
	switch part := part.(type) {
	case Text:
		return rawPart{which: 0, first: lend(string(part))}
	case Image:
		return rawPart{which: 1, first: lend(part.MediaType), second: lendPlain(part.Data)}
	case ToolCall:
		return rawPart{which: 2, first: lend(part.ID), second: lend(part.Name), third: lend(string(part.Arguments))}
	case ToolResult:
		return rawPart{which: 3, first: lend(part.ID), second: lend(string(part.Output)), third: rawList{at: bit(part.IsError)}}
	}
	panic("a message has a part that is none of Text, Image, ToolCall and ToolResult: give values, not pointers")
}

func bit(set bool) uint32 {
	if set {
		return 1
	}
	return 0
}
