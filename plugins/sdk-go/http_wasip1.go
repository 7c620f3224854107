package bandstand

import (
	"bytes"
	"fmt"
	"strings"
	"unsafe"
)

// A request by way of wasi:http. Its interfaces stand in the namespace host until the component is built: plugin build says why.

//go:wasmimport host:http/types@0.2.0 [constructor]fields
func importFields() uint32

//go:wasmimport host:http/types@0.2.0 [method]fields.append
func importFieldsAppend(fields, name, nameSize, value, valueSize uint32, result unsafe.Pointer)

//go:wasmimport host:http/types@0.2.0 [method]fields.entries
func importFieldsEntries(fields uint32, result unsafe.Pointer)

//go:wasmimport host:http/types@0.2.0 [resource-drop]fields
func importFieldsDrop(fields uint32)

//go:wasmimport host:http/types@0.2.0 [constructor]outgoing-request
func importRequest(fields uint32) uint32

//go:wasmimport host:http/types@0.2.0 [method]outgoing-request.set-method
func importSetMethod(request, which, name, nameSize uint32) uint32

//go:wasmimport host:http/types@0.2.0 [method]outgoing-request.set-scheme
func importSetScheme(request, some, which, name, nameSize uint32) uint32

//go:wasmimport host:http/types@0.2.0 [method]outgoing-request.set-authority
func importSetAuthority(request, some, authority, size uint32) uint32

//go:wasmimport host:http/types@0.2.0 [method]outgoing-request.set-path-with-query
func importSetPath(request, some, path, size uint32) uint32

//go:wasmimport host:http/types@0.2.0 [method]outgoing-request.body
func importRequestBody(request uint32, result unsafe.Pointer)

//go:wasmimport host:http/types@0.2.0 [resource-drop]outgoing-request
func importRequestDrop(request uint32)

//go:wasmimport host:http/types@0.2.0 [constructor]request-options
func importOptions() uint32

//go:wasmimport host:http/types@0.2.0 [method]request-options.set-connect-timeout
func importSetConnectTimeout(options, some uint32, span uint64) uint32

//go:wasmimport host:http/types@0.2.0 [method]request-options.set-first-byte-timeout
func importSetFirstByteTimeout(options, some uint32, span uint64) uint32

//go:wasmimport host:http/types@0.2.0 [method]request-options.set-between-bytes-timeout
func importSetBetweenBytesTimeout(options, some uint32, span uint64) uint32

//go:wasmimport host:http/types@0.2.0 [resource-drop]request-options
func importOptionsDrop(options uint32)

//go:wasmimport host:http/outgoing-handler@0.2.0 handle
func importHandle(request, hasOptions, options uint32, result unsafe.Pointer)

//go:wasmimport host:http/types@0.2.0 [method]outgoing-body.write
func importBodyWrite(body uint32, result unsafe.Pointer)

//go:wasmimport host:http/types@0.2.0 [static]outgoing-body.finish
func importBodyFinish(body, hasTrailers, trailers uint32, result unsafe.Pointer)

//go:wasmimport host:http/types@0.2.0 [resource-drop]outgoing-body
func importBodyDrop(body uint32)

//go:wasmimport host:http/types@0.2.0 [method]future-incoming-response.subscribe
func importFutureSubscribe(future uint32) uint32

//go:wasmimport host:http/types@0.2.0 [method]future-incoming-response.get
func importFutureGet(future uint32, result unsafe.Pointer)

//go:wasmimport host:http/types@0.2.0 [resource-drop]future-incoming-response
func importFutureDrop(future uint32)

//go:wasmimport host:http/types@0.2.0 [method]incoming-response.status
func importStatus(response uint32) uint32

//go:wasmimport host:http/types@0.2.0 [method]incoming-response.headers
func importHeaders(response uint32) uint32

//go:wasmimport host:http/types@0.2.0 [method]incoming-response.consume
func importConsume(response uint32, result unsafe.Pointer)

//go:wasmimport host:http/types@0.2.0 [resource-drop]incoming-response
func importResponseDrop(response uint32)

//go:wasmimport host:http/types@0.2.0 [method]incoming-body.stream
func importBodyStream(body uint32, result unsafe.Pointer)

//go:wasmimport host:http/types@0.2.0 [resource-drop]incoming-body
func importIncomingBodyDrop(body uint32)

//go:wasmimport host:http/types@0.2.0 http-error-code
func importErrorCode(cause uint32, result unsafe.Pointer)

//go:wasmimport host:io/poll@0.2.0 [method]pollable.block
func importBlock(pollable uint32)

//go:wasmimport host:io/poll@0.2.0 [resource-drop]pollable
func importPollableDrop(pollable uint32)

//go:wasmimport host:io/streams@0.2.0 [method]output-stream.blocking-write-and-flush
func importWrite(stream, bytes, size uint32, result unsafe.Pointer)

//go:wasmimport host:io/streams@0.2.0 [resource-drop]output-stream
func importOutputStreamDrop(stream uint32)

//go:wasmimport host:io/streams@0.2.0 [method]input-stream.blocking-read
func importRead(stream uint32, size uint64, result unsafe.Pointer)

//go:wasmimport host:io/streams@0.2.0 [resource-drop]input-stream
func importInputStreamDrop(stream uint32)

//go:wasmimport host:io/error@0.2.0 [method]error.to-debug-string
func importDebugString(cause uint32, result unsafe.Pointer)

//go:wasmimport host:io/error@0.2.0 [resource-drop]error
func importErrorDrop(cause uint32)

// What is read or written in one call of the host. Streams of WASI take no more than 4096 bytes at once to write.
const (
	httpReadBytes  = 64 << 10
	httpWriteBytes = 4 << 10
)

// httpMethods and httpErrors are cases of variants, in the order of the interface.
var (
	httpMethods = [...]string{"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"}
	httpErrors  = [...]struct {
		name        string
		isTransient bool
	}{
		{"dns-timeout", true}, {"dns-error", true}, {"destination-not-found", true}, {"destination-unavailable", true},
		{"destination-ip-prohibited", false}, {"destination-ip-unroutable", true}, {"connection-refused", true},
		{"connection-terminated", true}, {"connection-timeout", true}, {"connection-read-timeout", true},
		{"connection-write-timeout", true}, {"connection-limit-reached", true}, {"tls-protocol-error", true},
		{"tls-certificate-error", false}, {"tls-alert-received", true}, {"http-request-denied", false},
		{"http-request-length-required", false}, {"http-request-body-size", false}, {"http-request-method-invalid", false},
		{"http-request-uri-invalid", false}, {"http-request-uri-too-long", false}, {"http-request-header-section-size", false},
		{"http-request-header-size", false}, {"http-request-trailer-section-size", false}, {"http-request-trailer-size", false},
		{"http-response-incomplete", true}, {"http-response-header-section-size", false}, {"http-response-header-size", false},
		{"http-response-body-size", false}, {"http-response-trailer-section-size", false}, {"http-response-trailer-size", false},
		{"http-response-transfer-coding", false}, {"http-response-content-coding", false}, {"http-response-timeout", true},
		{"http-upgrade-failed", false}, {"http-protocol-error", true}, {"loop-detected", false}, {"configuration-error", false},
		{"internal-error", true},
	}
)

// hostHTTP lets the collector go between one call of the host and the next: a response may be large, and long in coming.
func hostHTTP(request *HTTPRequest, to *address) (*HTTPResponse, error) {
	future, err := sendHTTP(request, to)
	if err != nil {
		return nil, err
	}
	defer importFutureDrop(future)
	ready := importFutureSubscribe(future)
	importBlock(ready)
	importPollableDrop(ready)
	response, err := arrived(future)
	if err != nil {
		return nil, err
	}
	defer importResponseDrop(response)
	return readHTTP(response, request.ResponseBytesMax)
}

// sendHTTP gives the future of the response. What it makes for that is the host's again afterwards, whatever comes of it: an
// agent can hold only so many handles.
func sendHTTP(request *HTTPRequest, to *address) (uint32, error) {
	hold()
	defer release()
	outgoing, err := lendRequestHTTP(request, to)
	if err != nil {
		return 0, err
	}
	if request.Body == nil {
		return handle(outgoing, request)
	}
	body, err := handleAt(func(result *area) { importRequestBody(outgoing, result.at()) }, "no body")
	if err != nil {
		importRequestDrop(outgoing)
		return 0, err
	}
	future, err := handle(outgoing, request)
	if err != nil {
		importBodyDrop(body)
		return 0, err
	}
	writeHTTP(body, request.Body)
	return future, nil
}

func lendRequestHTTP(request *HTTPRequest, to *address) (uint32, error) {
	fields, result := importFields(), newArea()
	add := func(name, value string) error {
		named, held := lend(name), lendPlain([]byte(value))
		importFieldsAppend(fields, named.at, named.count, held.at, held.count, result.at())
		if !result.flag(0) {
			return nil
		}
		importFieldsDrop(fields)
		return headerRefused(name, [...]string{"invalid syntax", "forbidden", "immutable"}[result.byte(1)])
	}
	for _, field := range request.Fields {
		if lowerASCII(field.Name) == "content-length" {
			continue
		}
		if err := add(field.Name, field.Value); err != nil {
			return 0, err
		}
	}
	// Said here, once: without it the host would send the body in chunks, which some servers refuse.
	if request.Body != nil {
		if err := add("content-length", fmt.Sprint(len(request.Body))); err != nil {
			return 0, err
		}
	}
	outgoing := importRequest(fields)
	which, other := uint32(len(httpMethods)), lend(request.Method)
	for index, name := range httpMethods {
		if name == request.Method {
			which = uint32(index)
		}
	}
	authority, path := lend(to.authority), lend(to.path)
	for _, part := range []struct {
		name    string
		refused uint32
	}{
		{"method", importSetMethod(outgoing, which, other.at, other.count)},
		{"scheme", importSetScheme(outgoing, 1, bit(to.isHTTPS), 0, 0)},
		{"host", importSetAuthority(outgoing, 1, authority.at, authority.count)},
		{"path", importSetPath(outgoing, 1, path.at, path.count)},
	} {
		if part.refused != 0 {
			importRequestDrop(outgoing)
			return 0, partInvalid(part.name)
		}
	}
	return outgoing, nil
}

// handle hands the request over; it is the host's, or dropped.
func handle(outgoing uint32, request *HTTPRequest) (uint32, error) {
	var options uint32
	if request.Timeout > 0 {
		options = importOptions()
		span := uint64(request.Timeout)
		refused := importSetConnectTimeout(options, 1, span) | importSetFirstByteTimeout(options, 1, span) |
			importSetBetweenBytesTimeout(options, 1, span)
		if refused != 0 {
			importOptionsDrop(options)
			importRequestDrop(outgoing)
			return 0, internal("the host takes no timeout")
		}
	}
	result := newArea()
	importHandle(outgoing, bit(request.Timeout > 0), options, result.at())
	// An error code holds 64-bit numbers, so what a result holds begins at the eighth byte.
	if result.flag(0) {
		return 0, noResponse(result.byte(8))
	}
	return result.word(8), nil
}

// writeHTTP writes a body. The host reads it while it is written; a server that answers before it has read everything is no error.
func writeHTTP(body uint32, all []byte) {
	stream, err := handleAt(func(result *area) { importBodyWrite(body, result.at()) }, "no stream to write to")
	if err != nil {
		importBodyDrop(body)
		return
	}
	result, isTaken := newArea(), true
	for at := 0; at < len(all) && isTaken; at += httpWriteBytes {
		piece := lendPlain(all[at:min(at+httpWriteBytes, len(all))])
		importWrite(stream, piece.at, piece.count, result.at())
		if isTaken = !result.flag(0); !isTaken && result.byte(4) == 0 {
			importErrorDrop(result.word(8))
		}
	}
	importOutputStreamDrop(stream)
	if isTaken {
		importBodyFinish(body, 0, 0, newArea().at())
	} else {
		importBodyDrop(body)
	}
}

// arrived gives the response that a future has: an option of a result of a result, each beginning eight bytes further.
func arrived(future uint32) (uint32, error) {
	hold()
	defer release()
	result := newArea()
	importFutureGet(future, result.at())
	switch {
	case !result.flag(0) || result.flag(8):
		return 0, internal("the response was taken already")
	case result.flag(16):
		return 0, noResponse(result.byte(24))
	}
	return result.word(24), nil
}

func readHTTP(response uint32, bytesMax int) (*HTTPResponse, error) {
	fields := readFields(response)
	body, err := handleAt(func(result *area) { importConsume(response, result.at()) }, "the body was taken already")
	if err != nil {
		return nil, err
	}
	defer importIncomingBodyDrop(body)
	stream, err := handleAt(func(result *area) { importBodyStream(body, result.at()) }, "no stream to read from")
	if err != nil {
		return nil, err
	}
	defer importInputStreamDrop(stream)
	all, err := readStream(stream, bytesMax)
	if err != nil {
		return nil, err
	}
	return &HTTPResponse{Status: int(importStatus(response)), Fields: fields, Body: all}, nil
}

func readFields(response uint32) []HTTPField {
	hold()
	defer release()
	result, headers := newArea(), importHeaders(response)
	importFieldsEntries(headers, result.at())
	importFieldsDrop(headers)
	return takeList(*(*rawList)(result.at()), func(raw struct{ name, value rawList }) HTTPField {
		return HTTPField{take(raw.name), strings.ToValidUTF8(take(raw.value), "\ufffd")}
	})
}

func readStream(stream uint32, bytesMax int) ([]byte, error) {
	var pieces [][]byte
	for count := 0; ; {
		piece, err := readPiece(stream)
		if err != nil {
			return nil, err
		}
		if piece == nil {
			return bytes.Join(pieces, nil), nil
		}
		if count += len(piece); count > bytesMax {
			return nil, &HTTPError{Code: "http-response-body-size", Message: fmt.Sprintf("the response is larger than %d bytes", bytesMax)}
		}
		pieces = append(pieces, piece)
	}
}

// readPiece gives nil at the end.
func readPiece(stream uint32) ([]byte, error) {
	hold()
	defer release()
	result := newArea()
	importRead(stream, httpReadBytes, result.at())
	switch {
	case !result.flag(0):
		return append([]byte{}, look[byte](value[rawList](result))...), nil
	case result.byte(4) == 1:
		return nil, nil
	}
	return nil, brokenOff(result.word(8))
}

// brokenOff says why a stream ended before its end. The collector is held.
func brokenOff(cause uint32) error {
	defer importErrorDrop(cause)
	result := newArea()
	importErrorCode(cause, result.at())
	if result.flag(0) {
		return noResponse(result.byte(8))
	}
	importDebugString(cause, result.at())
	// The host knows more than it says here; its first line is what went wrong, the rest is where.
	message, _, _ := strings.Cut(take(*(*rawList)(result.at())), "\n")
	if strings.Contains(message, "size exceeds limit") {
		return &HTTPError{Code: "http-response-body-size", Message: message}
	}
	return &HTTPError{Code: "connection-terminated", Message: message, IsTransient: true}
}

// handleAt gives the handle that a result holds which has nothing to say of its error.
func handleAt(ask func(result *area), refused string) (uint32, error) {
	hold()
	defer release()
	result := newArea()
	ask(result)
	if result.flag(0) {
		return 0, internal(refused)
	}
	return result.word(4), nil
}

func noResponse(code uint8) error {
	known := httpErrors[code]
	return &HTTPError{known.name, "no response: " + strings.ReplaceAll(known.name, "-", " "), known.isTransient}
}

func internal(what string) error { return &HTTPError{Code: "internal-error", Message: what} }

func (result *area) byte(at uintptr) uint8 { return *(*uint8)(unsafe.Add(result.at(), at)) }

func (result *area) flag(at uintptr) bool { return result.byte(at) != 0 }

func (result *area) word(at uintptr) uint32 { return *(*uint32)(unsafe.Add(result.at(), at)) }
