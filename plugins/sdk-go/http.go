package bandstand

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// HTTPField is a header: a name and a value.
type HTTPField struct{ Name, Value string }

// HTTPRequest is what is sent.
type HTTPRequest struct {
	// Method is in capitals; empty: GET.
	Method string
	// URL is where to; its scheme is https or http.
	URL string
	// Fields are headers, in order. {secret:NAME} in a value stands for a secret that is granted; the host puts it there.
	Fields []HTTPField
	// Body is nil for methods that have none.
	Body []byte
	// Timeout is the longest time to the first byte, and between any two; 0: the host's own.
	Timeout time.Duration
	// ResponseBytesMax is the largest response body that is read; 0: 1 MiB.
	ResponseBytesMax int
}

// HTTPResponse is what came back, whatever its status.
type HTTPResponse struct {
	// Status is 100 to 599.
	Status int
	// Fields are the headers, names in small letters, in the server's order.
	Fields []HTTPField
	// Body is the whole body.
	Body []byte
}

// Header gives the value of the first header of that name; empty: there is none.
func (response *HTTPResponse) Header(name string) string {
	for _, field := range response.Fields {
		if lowerASCII(field.Name) == lowerASCII(name) {
			return field.Value
		}
	}
	return ""
}

// JSON reads the body into value as json.Unmarshal does. What cannot be read so is an *HTTPError with the code response-not-json.
func (response *HTTPResponse) JSON(value any) error {
	if err := json.Unmarshal(response.Body, value); err != nil {
		message := fmt.Sprintf("the response of status %d is not the JSON that was expected: %s", response.Status, err)
		return &HTTPError{Code: "response-not-json", Message: message}
	}
	return nil
}

// HTTPError is that there is no response: not granted, no such host, no connection, no answer in time, too large.
type HTTPError struct {
	// Code is the name of the error in wasi:http, as http-request-denied or connection-refused; or url-invalid, header-refused.
	Code string
	// Message is for people.
	Message string
	// IsTransient: the same request can end otherwise.
	IsTransient bool
}

// Error gives code and message.
func (missing *HTTPError) Error() string { return missing.Code + ": " + missing.Message }

// Failure is what an attempt ends with that does not handle this.
func (missing *HTTPError) Failure() *Failure {
	return &Failure{Recoverable: missing.IsTransient, Code: missing.Code, Message: missing.Message}
}

// HTTP sends a request and waits for the whole response. A status is no error; without a response the error is an *HTTPError. No
// redirect is followed. Grant http.
func HTTP(request HTTPRequest) (*HTTPResponse, error) {
	address, err := takeApart(request.URL)
	if err != nil {
		return nil, err
	}
	if !utf8.ValidString(request.Method) {
		return nil, partInvalid("method")
	}
	for _, field := range request.Fields {
		if !utf8.ValidString(field.Name) {
			return nil, headerRefused(strings.ToValidUTF8(field.Name, "\ufffd"), "invalid syntax")
		}
	}
	request.Method = upperASCII(request.Method)
	if request.Method == "" {
		request.Method = "GET"
	}
	if request.ResponseBytesMax == 0 {
		request.ResponseBytesMax = 1 << 20
	}
	return hostHTTP(&request, address)
}

func headerRefused(name, problem string) error {
	return &HTTPError{Code: "header-refused", Message: fmt.Sprintf("the header `%s` cannot be sent: %s", name, problem)}
}

func partInvalid(name string) error {
	return &HTTPError{Code: "http-request-uri-invalid", Message: "the request's " + name + " is not valid"}
}

// lowerASCII leaves other letters alone: some of them have a letter of ASCII as their other case.
func lowerASCII(text string) string { return shifted(text, 'A', 'a') }

func upperASCII(text string) string { return shifted(text, 'a', 'A') }

// shifted has the 26 letters from one on in place of those from the other on.
func shifted(text string, from, to rune) string {
	return strings.Map(func(char rune) rune {
		if from <= char && char < from+26 {
			return char - from + to
		}
		return char
	}, text)
}

// address is a URL, taken apart as far as a request needs it. Which hosts are good ones is the host's to say.
type address struct {
	isHTTPS   bool
	authority string
	// path begins with a slash; with the query, without the fragment.
	path string
}

func takeApart(url string) (*address, error) {
	wrong := func(what string) (*address, error) {
		said := strings.ToValidUTF8(url, "\ufffd")
		return nil, &HTTPError{Code: "url-invalid", Message: fmt.Sprintf("`%s` is no URL to call: %s", said, what)}
	}
	if !utf8.ValidString(url) {
		return wrong("it is not UTF-8; encode it")
	}
	scheme, rest, apart := strings.Cut(url, "://")
	if !apart {
		return wrong("it begins with `https://` or `http://`")
	}
	scheme = lowerASCII(scheme)
	if scheme != "https" && scheme != "http" {
		return wrong("only `https` and `http` can be called")
	}
	if strings.ContainsFunc(url, func(char rune) bool { return unicode.IsSpace(char) || unicode.IsControl(char) || char == '\\' }) {
		return wrong("it holds spaces, control characters or backslashes; encode them")
	}
	rest, _, _ = strings.Cut(rest, "#")
	authority, path := rest, ""
	if end := strings.IndexAny(rest, "/?"); end >= 0 {
		authority, path = rest[:end], rest[end:]
	}
	if authority == "" {
		return wrong("it names no host")
	}
	if strings.Contains(authority, "@") {
		return wrong("a name and a password belong into a header")
	}
	if !strings.HasPrefix(path, "/") {
		path = "/" + path
	}
	return &address{scheme == "https", authority, path}, nil
}
