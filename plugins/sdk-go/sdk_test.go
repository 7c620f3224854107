package bandstand

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

type shape struct {
	Text  string            `json:"text"`
	Way   string            `json:"way,omitempty" oneof:"up down"`
	Deep  []inner           `json:"deep,omitempty"`
	Maybe *inner            `json:"maybe"`
	Any   any               `json:"any,omitempty"`
	Names map[string]string `json:"names,omitempty"`
	When  time.Time         `json:"when,omitzero"`
}

type inner struct {
	Count uint8 `json:"count"`
}

// R8.5
func TestInputThatFits(t *testing.T) {
	input, err := Read[shape](`{ "text": "a", "way": null, "other": [1], "deep": [{"count": 3}], "maybe": {"count": 1}, "any": null,
		"names": {"a": "b"}, "when": "2026-01-01T00:00:00Z" }`)
	if err != nil {
		t.Fatal(err)
	}
	if input.Text != "a" || input.Deep[0].Count != 3 || input.Maybe.Count != 1 || input.Names["a"] != "b" || input.When.Year() != 2026 {
		t.Fatal(input)
	}
	if loose, err := Read[map[string]any](`{"a":1}`); err != nil || loose["a"] != 1.0 {
		t.Fatal(loose, err)
	}
}

// R8.5
func TestInputThatDoesNotFit(t *testing.T) {
	for text, why := range map[string]string{
		`{}`:                                    "`/text` is missing",
		`{"Text": "a"}`:                         "`/text` is missing",
		`{"text": null}`:                        "`/text` is null",
		`{"text": 1}`:                           "`/text`: expected a string, found number",
		`[]`:                                    "it: expected an object, found array",
		`null`:                                  "it is null",
		`{"text": "a", "way": "out"}`:           "`/way` is \"out\" and none of up, down",
		`{"text": "a", "deep": [{}]}`:           "`/deep/0/count` is missing",
		`{"text": "a", "deep": {}}`:             "`/deep`: expected a list, found object",
		`{"text": "a", "maybe": {"count":3.5}}`: "`/maybe/count`: expected a whole number that fits uint8, found number 3.5",
		`{"text": "a", "maybe": {"count":256}}`: "`/maybe/count`: expected a whole number that fits uint8, found number 256",
		`{"text"`:                               "it: unexpected end of JSON input",
	} {
		_, err := Read[shape](text)
		var failure *Failure
		if !errors.As(err, &failure) || failure.Recoverable || failure.Code != "input-invalid" || failure.Message != "the input does not fit: "+why {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func use[Out any](run func(*Call, map[string]any) (Out, error)) {
	registered = nil
	Agent(run)
}

// R8.5
func TestReplies(t *testing.T) {
	use(func(*Call, map[string]any) (*Reply, error) {
		return (&Reply{Output: map[string]string{"a": "<b>"}, Goto: "there"}).Sure(2), nil
	})
	checked, err := answer(TestCall("{}"))
	if err != nil || checked.outputJSON != `{"a":"<b>"}` || checked.Goto != "there" || inUnit(*checked.Confidence) != 1 {
		t.Fatal(checked, err)
	}
	for _, output := range []any{1, nil, []int{}, math.NaN()} {
		use(func(*Call, map[string]any) (any, error) { return output, nil })
		if _, err := Answer(TestCall("{}")); !strings.HasPrefix(err.Error(), "output-invalid: ") {
			t.Errorf("%v: %v", output, err)
		}
	}
	use(func(*Call, map[string]any) (*Reply, error) {
		return &Reply{Output: struct{}{}, Goto: "there", Choose: []Choice{{"a", 1, ""}}}, nil
	})
	if _, err := Answer(TestCall("{}")); err == nil || strings.Contains(err.Error(), "output-invalid") {
		t.Error(err)
	}
}

// R8.5
func TestFailures(t *testing.T) {
	var given error
	use(func(*Call, map[string]any) (struct{}, error) { return struct{}{}, given })
	failure := func() *Failure {
		t.Helper()
		_, err := Answer(TestCall("{}"))
		found, _ := err.(*Failure)
		return found
	}
	given = fmt.Errorf("while counting: %w", Recoverable("try-later", "busy", time.Second))
	if found := failure(); found == nil || !found.Recoverable || found.RetryAfter != time.Second {
		t.Error(found)
	}
	given = &HostError{Kind: Unavailable, Code: "model-busy", RetryAfter: time.Minute}
	if found := failure(); found == nil || !found.Recoverable || found.Code != "model-busy" || found.RetryAfter != time.Minute {
		t.Error(found)
	}
	given = &HostError{Kind: Denied, Code: "no"}
	if found := failure(); found == nil || found.Recoverable {
		t.Error(found)
	}
	given = errors.New("a bug")
	if found := failure(); found != nil {
		t.Error("an error that is no failure is a crash", found)
	}
}

// R8.5
func TestWhatEndsAnInstance(t *testing.T) {
	before := registered
	registered = nil
	_, err := answer(TestCall("{}"))
	registered = before
	message, backtrace, ends := lastWords(err)
	if message != "there is no agent: call bandstand.Agent from init" || backtrace != "" || !ends {
		t.Error(message, backtrace, ends)
	}
	message, backtrace, ends = lastWords(errors.New("odd"))
	if message != "odd" || !strings.Contains(backtrace, "none of *bandstand.Failure") || !ends {
		t.Error(message, backtrace, ends)
	}
	for _, err := range []error{nil, Permanent("a", "b"), fmt.Errorf("of %w", Recoverable("a", "b", 0))} {
		if _, _, ends := lastWords(err); ends {
			t.Error(err)
		}
	}
}

// R8.5
func TestTheHostIsFaked(t *testing.T) {
	FakeReset()
	Info("counted", "words", 2, "why", errors.New("x"), "odd")
	Progress(math.NaN(), "on")
	Progress(2, "done")
	Chunk("a")
	if logged := FakeLogged(); len(logged) != 1 || logged[0] != `info counted {"words":2,"why":"x","odd":null}` {
		t.Error(logged)
	}
	if shown := fmt.Sprint(FakeShown()); shown != "[on 1.00 done a]" {
		t.Error(shown)
	}
	must(t, SetSlot("persona", "dry"))
	if value, err := Slot("persona"); err != nil || string(value) != `"dry"` {
		t.Error(value, err)
	}
	must(t, SetSlot("persona", nil))
	if names, err := SlotNames(); err != nil || len(names) != 0 {
		t.Error(names, err)
	}
	_, err := PutFacts(NewFact("bees make honey", "bee"), Fact{Text: "Bees make honey."})
	must(t, err)
	if hits, err := SearchFacts(Query{Text: "honey", Tags: []string{"bee"}}); err != nil || len(hits) != 1 || hits[0].Fact.Kind != "note" {
		t.Error(hits, err)
	}
	if gone, err := ConsolidateFacts(); err != nil || gone != 1 {
		t.Error(gone, err)
	}
	id, err := AuditAppend("clause-flagged", map[string]int{"clause": 3})
	must(t, err)
	if entries, err := AuditSnapshot(5); err != nil || entries[0].ID != id || string(entries[0].Payload) != `{"clause":3}` {
		t.Error(entries, err)
	}
	FakeAnswer("yes", &HostError{Kind: Unavailable})
	if response, err := Chat(Request{Messages: []Message{User("is it?")}}); err != nil || response.Text != "yes" {
		t.Error(response, err)
	}
	if _, err := Chat(Request{}); err == nil {
		t.Error("the second answer is an error")
	}
	FakeAnswer("one two")
	var pieces []string
	for piece, err := range ChatStream(Request{}) {
		must(t, err)
		if text, is := piece.(Text); is {
			pieces = append(pieces, string(text))
		} else if piece.(*Response).Text != "one two" {
			t.Error(piece)
		}
	}
	if fmt.Sprintf("%q", pieces) != `["one " "two"]` {
		t.Error(pieces)
	}
	for piece, err := range ChatStream(Request{}) {
		if piece != nil || err == nil {
			t.Error("there is no answer left", piece)
		}
	}
	if _, err := CallTool("price", struct{}{}); err == nil {
		t.Error("the tool is not granted")
	}
	FakeTool("price", func(json.RawMessage) (any, error) { return map[string]int{"price": 42}, nil })
	if output, err := CallTool("price", struct{}{}); err != nil || string(output) != `{"price":42}` {
		t.Error(string(output), err)
	}
	FakeDenyMemory()
	var refused *HostError
	if _, err := Slot("persona"); !errors.As(err, &refused) || refused.Kind != Denied {
		t.Error(err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// R7.2
func TestHTTP(t *testing.T) {
	FakeReset()
	var sent HTTPRequest
	FakeHTTP(func(request HTTPRequest) (*HTTPResponse, error) {
		sent = request
		return &HTTPResponse{Status: 503, Fields: []HTTPField{{"retry-after", "1"}}, Body: []byte("busy")}, nil
	})
	response, err := HTTP(HTTPRequest{Method: "post", URL: "https://a.example/x", Body: []byte("b")})
	if err != nil || response.Status != 503 || response.Header("Retry-After") != "1" || response.Header("x") != "" {
		t.Error(response, err)
	}
	var page struct{ Name string }
	var unread *HTTPError
	if err := response.JSON(&page); !errors.As(err, &unread) || unread.Code != "response-not-json" {
		t.Error(err)
	}
	response.Body = []byte(`{"name":"a"}`)
	if err := response.JSON(&page); err != nil || page.Name != "a" {
		t.Error(err, page)
	}
	if sent.Method != "POST" || sent.ResponseBytesMax != 1<<20 {
		t.Error(sent)
	}
	FakeReset()
	_, err = HTTP(HTTPRequest{URL: "https://a.example"})
	var failure *Failure
	if !errors.As(asFailure(err), &failure) || failure.Recoverable || failure.Code != "http-request-denied" {
		t.Error(err)
	}
	transient := &HTTPError{Code: "connection-refused", IsTransient: true}
	if !transient.Failure().Recoverable {
		t.Error(transient)
	}
}

// R7.2: a text that cannot cross is an error, not the end of the instance.
func TestRequestsThatCannotCross(t *testing.T) {
	FakeReset()
	FakeHTTP(func(HTTPRequest) (*HTTPResponse, error) { return &HTTPResponse{Status: 200}, nil })
	for code, request := range map[string]HTTPRequest{
		"url-invalid":              {URL: "https://a.example/\xff"},
		"header-refused":           {Fields: []HTTPField{{"x-\xff", "1"}}},
		"http-request-uri-invalid": {Method: "G\xffT"},
	} {
		if request.URL == "" {
			request.URL = "https://a.example"
		}
		_, err := HTTP(request)
		var missing *HTTPError
		if !errors.As(err, &missing) || missing.Code != code || !utf8.ValidString(missing.Message) {
			t.Error(code, err)
		}
	}
	// What is a value is bytes, and goes as it is.
	if _, err := HTTP(HTTPRequest{URL: "https://a.example", Fields: []HTTPField{{"x", "\xff"}}}); err != nil {
		t.Error(err)
	}
}

// R7.2: letters whose other case is one of ASCII stay what they are.
func TestCaseIsThatOfASCII(t *testing.T) {
	FakeReset()
	FakeHTTP(func(request HTTPRequest) (*HTTPResponse, error) {
		if request.Method != "PO\u017fT" {
			t.Error(request.Method)
		}
		return &HTTPResponse{Status: 200, Fields: []HTTPField{{"x-\u017f", "long"}, {"x-s", "short"}}}, nil
	})
	response, err := HTTP(HTTPRequest{Method: "po\u017ft", URL: "https://a.example"})
	if err != nil || response.Header("X-S") != "short" {
		t.Error(response, err)
	}
}

func TestURLs(t *testing.T) {
	for url, expected := range map[string]address{
		"https://a.example":             {true, "a.example", "/"},
		"HTTP://a.example:8080/b?c=d#e": {false, "a.example:8080", "/b?c=d"},
		"https://a.example?q=//x":       {true, "a.example", "/?q=//x"},
		"https://a.example/@b":          {true, "a.example", "/@b"},
		"http://[::1]:81/x":             {false, "[::1]:81", "/x"},
		"https://a.example/\u00e9":      {true, "a.example", "/\u00e9"},
	} {
		if found, err := takeApart(url); err != nil || *found != expected {
			t.Error(url, found, err)
		}
	}
	for url, part := range map[string]string{
		"a.example":                     "begins with",
		"ftp://a.example":               "only `https`",
		"https:///x":                    "no host",
		"https://me:word@a.example":     "into a header",
		"https://a.example/a b":         "encode",
		"https://a.example\\@b.example": "backslashes",
		"https://a.example/\xff":        "UTF-8",
		"http\u017f://a.example":        "only `https`",
	} {
		_, err := HTTP(HTTPRequest{URL: url})
		if err == nil || !strings.Contains(err.Error(), part) || !utf8.ValidString(err.Error()) {
			t.Error(url, err)
		}
	}
}
