//go:build !wasip1

package bandstand

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"sort"
	"strings"
	"unicode"
)

// The host's functions as tests see them: one small memory for the process. It keeps the rules that agents rely on (filters,
// order, ids), not the host's limits, ranking or durability.

const fakeStart = "2026-01-01T00:00:00Z"

var fake fakeHost

type fakeHost struct {
	denied           bool
	threadID, userID *string
	logged, shown    []string
	entries          []Recorded
	facts            []Hit
	slots            map[string]json.RawMessage
	ids              int
	asked            []Request
	answers          []any
	pieces           []Piece
	tools            map[string]func(json.RawMessage) (any, error)
	toolNames        []string
	answerHTTP       func(HTTPRequest) (*HTTPResponse, error)
}

// FakeReset forgets everything. Call it where a test begins. Under go test only, as all functions whose names begin with Fake.
func FakeReset() { fake = fakeHost{} }

// FakeSpeakFor speaks from now on for calls of this thread and user; nil: none.
func FakeSpeakFor(threadID, userID *string) { fake.threadID, fake.userID = threadID, userID }

// FakeDenyMemory refuses all memory from now on, as a host without the grant.
func FakeDenyMemory() { fake.denied = true }

// FakeAnswer answers the next calls of a model with these, in order: a *Response, a *HostError, or a string for a whole answer.
func FakeAnswer(answers ...any) { fake.answers = append(fake.answers, answers...) }

// FakeTool grants a tool that answers so.
func FakeTool(name string, answer func(arguments json.RawMessage) (any, error)) {
	if fake.tools == nil {
		fake.tools = map[string]func(json.RawMessage) (any, error){}
	}
	fake.tools[name] = answer
	fake.toolNames = append(fake.toolNames, name)
}

// FakeHTTP answers every HTTP request so; the error is an *HTTPError.
func FakeHTTP(answer func(request HTTPRequest) (*HTTPResponse, error)) { fake.answerHTTP = answer }

// FakeAsked gives what models were asked.
func FakeAsked() []Request { return slices.Clone(fake.asked) }

// FakeLogged gives what was logged: level, message and fields in a line each.
func FakeLogged() []string { return slices.Clone(fake.logged) }

// FakeShown gives what was shown as progress.
func FakeShown() []string { return slices.Clone(fake.shown) }

func (host *fakeHost) id(kind string) string {
	host.ids++
	return fmt.Sprintf("%s-%d", kind, host.ids)
}

func (host *fakeHost) memory() error {
	if host.denied {
		return &HostError{Kind: Denied, Code: "memory-not-granted", Message: "needs the grant `memory`"}
	}
	return nil
}

func hostLog(level Level, message, fields string) {
	word := [...]string{"trace", "debug", "info", "warn", "error"}[level]
	fake.logged = append(fake.logged, strings.TrimSpace(word+" "+message+" "+fields))
}

func hostChunk(text string) { fake.shown = append(fake.shown, text) }

func hostProgress(fraction float64, message string) {
	if !math.IsNaN(fraction) {
		message = fmt.Sprintf("%.2f %s", fraction, message)
	}
	fake.shown = append(fake.shown, message)
}

func hostAuditAppend(action, payload string, tags []string) (string, error) {
	if err := fake.memory(); err != nil {
		return "", err
	}
	id := fake.id("entry")
	fake.entries = append(fake.entries, Recorded{
		id, fakeStart, fake.userID, fake.threadID, "node@1", action, json.RawMessage(payload), slices.Clone(tags),
	})
	return id, nil
}

func hostAuditSnapshot(limit uint32) ([]Recorded, error) {
	if err := fake.memory(); err != nil {
		return nil, err
	}
	var mine []Recorded
	for _, entry := range fake.entries {
		if same(entry.ThreadID, fake.threadID) {
			mine = append(mine, entry)
		}
	}
	return mine[len(mine)-min(len(mine), int(limit)):], nil
}

func hostFactsPut(facts []Fact) ([]string, error) {
	if err := fake.memory(); err != nil {
		return nil, err
	}
	var ids []string
	for _, fact := range facts {
		if fact.UserID == nil {
			fact.UserID = fake.userID
		}
		ids = append(ids, fake.id("fact"))
		fake.facts = append(fake.facts, Hit{ids[len(ids)-1], 0, fakeStart, fake.threadID, fact})
	}
	return ids, nil
}

// hostFactsSearch searches by words, whatever the mode.
func hostFactsSearch(query Query) ([]Hit, error) {
	if err := fake.memory(); err != nil {
		return nil, err
	}
	wanted := words(query.Text)
	var hits []Hit
	for _, hit := range slices.Backward(fake.facts) {
		fits := (len(query.Kinds) == 0 || slices.Contains(query.Kinds, hit.Fact.Kind)) &&
			(query.UserID == nil || same(query.UserID, hit.Fact.UserID)) &&
			(query.ThreadID == nil || same(query.ThreadID, hit.ThreadID))
		for _, tag := range query.Tags {
			fits = fits && slices.Contains(hit.Fact.Tags, tag)
		}
		present := words(hit.Fact.Text)
		for _, word := range wanted {
			if slices.Contains(present, word) {
				hit.Score++
			}
		}
		if fits && (len(wanted) == 0 || hit.Score > 0) {
			hits = append(hits, hit)
		}
	}
	sort.SliceStable(hits, func(a, b int) bool { return hits[a].Score > hits[b].Score })
	return hits[:min(len(hits), int(query.Limit))], nil
}

func hostFactsForget(id string) error {
	if err := fake.memory(); err != nil {
		return err
	}
	kept := slices.DeleteFunc(slices.Clone(fake.facts), func(hit Hit) bool { return hit.ID == id })
	if len(kept) == len(fake.facts) {
		return &HostError{Kind: NotFound, Code: "fact-not-found", Message: "no such fact"}
	}
	fake.facts = kept
	return nil
}

func hostFactsReflect(entryID string) ([]string, error) {
	if err := fake.memory(); err != nil {
		return nil, err
	}
	for _, entry := range fake.entries {
		if entry.ID == entryID {
			derived := Fact{Text: string(entry.Payload), Kind: "note", Tags: entry.Tags, Source: entry.ID}
			return hostFactsPut([]Fact{derived})
		}
	}
	return nil, &HostError{Kind: NotFound, Code: "entry-not-found", Message: "no such entry"}
}

func hostFactsConsolidate() (uint32, error) {
	if err := fake.memory(); err != nil {
		return 0, err
	}
	var kept []Hit
	for _, hit := range fake.facts {
		if !slices.ContainsFunc(kept, func(other Hit) bool {
			return same(other.Fact.UserID, hit.Fact.UserID) && slices.Equal(words(other.Fact.Text), words(hit.Fact.Text))
		}) {
			kept = append(kept, hit)
		}
	}
	gone := len(fake.facts) - len(kept)
	fake.facts = kept
	return uint32(gone), nil
}

func hostSlotGet(name string) (json.RawMessage, error) { return fake.slots[name], fake.memory() }

func hostSlotSet(name, value string) error {
	if err := fake.memory(); err != nil {
		return err
	}
	if fake.slots == nil {
		fake.slots = map[string]json.RawMessage{}
	}
	if value == "null" {
		delete(fake.slots, name)
	} else {
		fake.slots[name] = json.RawMessage(value)
	}
	return nil
}

func hostSlotList() ([]string, error) {
	if err := fake.memory(); err != nil {
		return nil, err
	}
	var names []string
	for name := range fake.slots {
		names = append(names, name)
	}
	slices.Sort(names)
	return names, nil
}

func hostChat(request *readyRequest) (*Response, error) {
	fake.asked = append(fake.asked, request.Request)
	if len(fake.answers) == 0 {
		return nil, &HostError{Kind: NotFound, Code: "no-answer", Message: "call FakeAnswer first"}
	}
	answer := fake.answers[0]
	fake.answers = fake.answers[1:]
	switch answer := answer.(type) {
	case string:
		return &Response{Text: answer}, nil
	case *Response:
		return answer, nil
	case *HostError:
		return nil, answer
	}
	panic(fmt.Sprintf("FakeAnswer takes a string, a *Response or a *HostError, not %T", answer))
}

// hostChatStream keeps the pieces of the latest answer, which next gives.
func hostChatStream(request *readyRequest) (uint32, error) {
	response, err := hostChat(request)
	if err != nil {
		return 0, err
	}
	fake.pieces = nil
	for _, word := range strings.SplitAfter(response.Text, " ") {
		fake.pieces = append(fake.pieces, Text(word))
	}
	for _, call := range response.ToolCalls {
		fake.pieces = append(fake.pieces, call)
	}
	fake.pieces = append(fake.pieces, response)
	return 1, nil
}

func hostAnswerNext(uint32) (Piece, error) {
	if len(fake.pieces) == 0 {
		return nil, nil
	}
	piece := fake.pieces[0]
	fake.pieces = fake.pieces[1:]
	return piece, nil
}

func hostAnswerDrop(uint32) {}

// hostEmbed gives vectors of the counts of letters: enough to tell texts apart.
func hostEmbed(_ string, texts []string) ([][]float32, error) {
	vectors := make([][]float32, len(texts))
	for index, text := range texts {
		vectors[index] = make([]float32, 26)
		for _, char := range strings.ToLower(text) {
			if char >= 'a' && char <= 'z' {
				vectors[index][char-'a']++
			}
		}
	}
	return vectors, nil
}

func hostToolsList() ([]ToolSpec, error) {
	var tools []ToolSpec
	for _, name := range fake.toolNames {
		tools = append(tools, ToolSpec{Name: name})
	}
	return tools, nil
}

func hostToolsCall(name, arguments string) (json.RawMessage, error) {
	answer, granted := fake.tools[name]
	if !granted {
		return nil, &HostError{Kind: Denied, Code: "tools-not-granted", Message: "call FakeTool first"}
	}
	if !strings.HasPrefix(arguments, "{") {
		return nil, &HostError{Kind: Invalid, Code: "arguments-not-object", Message: "arguments are a JSON object"}
	}
	output, err := answer(json.RawMessage(arguments))
	if err != nil {
		return nil, err
	}
	text, err := argument(output)
	return json.RawMessage(text), err
}

func hostHTTP(request *HTTPRequest, _ *address) (*HTTPResponse, error) {
	if fake.answerHTTP == nil {
		return nil, &HTTPError{Code: "http-request-denied", Message: "nobody answers in this test: call FakeHTTP first"}
	}
	return fake.answerHTTP(*request)
}

func same(a, b *string) bool { return a == b || a != nil && b != nil && *a == *b }

func words(text string) []string {
	return strings.FieldsFunc(strings.ToLower(text), func(char rune) bool { return !unicode.IsLetter(char) && !unicode.IsDigit(char) })
}
