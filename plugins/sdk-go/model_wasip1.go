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

// rawEvent is a variant: 0 text, 1 tool call, 2 done. The body is that of the last, which is the largest.
type rawEvent struct {
	which uint8
	body  rawResponse
}

//go:wasmimport bandstand:agent/model@0.1.0 chat-stream
func importChatStream(hasModel, model, modelSize, messages, messagesCount, tools, toolsCount, hasSchema, schema, schemaSize uint32,
	hasTemperature uint32, temperature float64, hasMax, max uint32, result unsafe.Pointer)

//go:wasmimport bandstand:agent/model@0.1.0 [method]answer.next
func importAnswerNext(answer uint32, result unsafe.Pointer)

//go:wasmimport bandstand:agent/model@0.1.0 [resource-drop]answer
func importAnswerDrop(answer uint32)

//go:wasmimport bandstand:agent/model@0.1.0 chat
func importChat(hasModel, model, modelSize, messages, messagesCount, tools, toolsCount, hasSchema, schema, schemaSize uint32,
	hasTemperature uint32, temperature float64, hasMax, max uint32, result unsafe.Pointer)

//go:wasmimport bandstand:agent/model@0.1.0 embed
func importEmbed(hasModel, model, modelSize, texts, count uint32, result unsafe.Pointer)

// rawRequest are the parameters of chat and chat-stream as they cross.
type rawRequest struct {
	model           rawMaybe[rawList]
	messages, tools rawList
	schema          rawMaybe[rawList]
	temperature     rawMaybe[float64]
	max             uint32
}

func lendRequest(request *readyRequest) rawRequest {
	tools := make([]rawToolSpec, len(request.Tools))
	for index, tool := range request.Tools {
		tools[index] = rawToolSpec{lend(tool.Name), lend(tool.Description), lend(request.parameters[index])}
	}
	raw := rawRequest{
		model: lendWord(request.Model),
		messages: lendList(request.Messages, func(message Message) rawMessage {
			return rawMessage{message.Role, lendList(message.Parts, lendPart)}
		}),
		tools:  lendPlain(tools),
		schema: lendMaybe(request.schemaJSON),
		max:    request.MaxOutputTokens,
	}
	if request.Temperature != nil {
		raw.temperature = some(*request.Temperature)
	}
	return raw
}

func hostChat(request *readyRequest) (*Response, error) {
	hold()
	defer release()
	result, raw := newArea(), lendRequest(request)
	importChat(bit(raw.model.some), raw.model.value.at, raw.model.value.count, raw.messages.at, raw.messages.count, raw.tools.at,
		raw.tools.count, bit(raw.schema.some), raw.schema.value.at, raw.schema.value.count, bit(raw.temperature.some),
		raw.temperature.value, bit(raw.max > 0), raw.max, result.at())
	return got(result, takeResponse)
}

func hostChatStream(request *readyRequest) (answer uint32, err error) {
	hold()
	defer release()
	result, raw := newArea(), lendRequest(request)
	importChatStream(bit(raw.model.some), raw.model.value.at, raw.model.value.count, raw.messages.at, raw.messages.count, raw.tools.at,
		raw.tools.count, bit(raw.schema.some), raw.schema.value.at, raw.schema.value.count, bit(raw.temperature.some),
		raw.temperature.value, bit(raw.max > 0), raw.max, result.at())
	return got(result, func(answer uint32) uint32 { return answer })
}

// hostAnswerNext gives nil after the last piece.
func hostAnswerNext(answer uint32) (Piece, error) {
	hold()
	defer release()
	result := newArea()
	importAnswerNext(answer, result.at())
	return got(result, func(raw rawMaybe[rawEvent]) Piece {
		at := unsafe.Pointer(&raw.value.body)
		switch {
		case !raw.some:
			return nil
		case raw.value.which == 0:
			return Text(take(*(*rawList)(at)))
		case raw.value.which == 1:
			return takeToolCall(*(*rawToolCall)(at))
		}
		return takeResponse(raw.value.body)
	})
}

func hostAnswerDrop(answer uint32) { importAnswerDrop(answer) }

func takeToolCall(raw rawToolCall) ToolCall {
	return ToolCall{take(raw.id), take(raw.name), takeJSON(raw.arguments)}
}

func takeResponse(raw rawResponse) *Response {
	return &Response{
		take(raw.text), takeList(raw.toolCalls, takeToolCall), raw.finish, Usage{raw.usage.input, raw.usage.output, raw.usage.cached},
		take(raw.model),
	}
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
