//! The request by way of `wasi:http`, on wasm only.

use wasip2::http::outgoing_handler;
use wasip2::http::types::{
    ErrorCode, Fields, IncomingBody, IncomingResponse, Method, OutgoingBody, OutgoingRequest, RequestOptions,
    Scheme,
};
use wasip2::io::streams::StreamError;

use crate::{Error, Request, Response};

/// What is read or written in one call of the host. Bytes; streams of WASI take no more than 4096 at once to write.
const READ_BYTES: u64 = 64 << 10;
const WRITE_BYTES: usize = 4 << 10;

pub(crate) fn send(request: &Request) -> Result<Response, Error> {
    let outgoing = outgoing(request)?;
    let body = match &request.body {
        Some(bytes) => Some((outgoing.body().map_err(|()| internal("no body"))?, bytes)),
        None => None,
    };
    let future = outgoing_handler::handle(outgoing, options(request)?).map_err(|code| error(&code))?;
    // The host reads the body while it is written. A server that answers before it has read everything is no error.
    if let Some((body, bytes)) = body {
        let _ = write(body, bytes);
    }
    future.subscribe().block();
    let response = match future.get() {
        Some(Ok(Ok(response))) => response,
        Some(Ok(Err(code))) => return Err(error(&code)),
        Some(Err(())) | None => return Err(internal("the response was taken already")),
    };
    read(&response, request.response_bytes_max)
}

fn outgoing(request: &Request) -> Result<OutgoingRequest, Error> {
    let fields = Fields::new();
    // Said here, once: without it the host would send the body in chunks, which some servers refuse.
    for (name, value) in
        request.headers.iter().filter(|(name, _)| !name.eq_ignore_ascii_case("content-length"))
    {
        fields.append(name, value.as_bytes()).map_err(|problem| Error {
            code: "header-refused".to_owned(),
            message: format!("the header `{name}` cannot be sent: {problem:?}"),
            is_transient: false,
        })?;
    }
    if let Some(body) = &request.body {
        let _ = fields.set("content-length", &[body.len().to_string().into_bytes()]);
    }
    let wrong = |what: &str| Error {
        code: "http-request-uri-invalid".to_owned(),
        message: format!("the request's {what} is not valid"),
        is_transient: false,
    };
    let outgoing = OutgoingRequest::new(fields);
    let scheme = if request.url.is_https { Scheme::Https } else { Scheme::Http };
    outgoing.set_method(&method(&request.method)).map_err(|()| wrong("method"))?;
    outgoing.set_scheme(Some(&scheme)).map_err(|()| wrong("scheme"))?;
    outgoing.set_authority(Some(&request.url.authority)).map_err(|()| wrong("host"))?;
    outgoing.set_path_with_query(Some(&request.url.path_and_query)).map_err(|()| wrong("path"))?;
    Ok(outgoing)
}

fn method(name: &str) -> Method {
    match name {
        "CONNECT" => Method::Connect,
        "DELETE" => Method::Delete,
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        "OPTIONS" => Method::Options,
        "PATCH" => Method::Patch,
        "POST" => Method::Post,
        "PUT" => Method::Put,
        "TRACE" => Method::Trace,
        other => Method::Other(other.to_owned()),
    }
}

fn options(request: &Request) -> Result<Option<RequestOptions>, Error> {
    let Some(timeout_ms) = request.timeout_ms else { return Ok(None) };
    let options = RequestOptions::new();
    let span = Some(timeout_ms.saturating_mul(1_000_000));
    let set = options
        .set_connect_timeout(span)
        .and_then(|()| options.set_first_byte_timeout(span))
        .and_then(|()| options.set_between_bytes_timeout(span));
    set.map_err(|()| internal("the host takes no timeout"))?;
    Ok(Some(options))
}

fn write(body: OutgoingBody, bytes: &[u8]) -> Result<(), Error> {
    let stream = body.write().map_err(|()| internal("no stream to write to"))?;
    for piece in bytes.chunks(WRITE_BYTES) {
        stream.blocking_write_and_flush(piece).map_err(|problem| stream_error(&problem))?;
    }
    drop(stream);
    OutgoingBody::finish(body, None).map_err(|code| error(&code))
}

fn read(response: &IncomingResponse, bytes_max: usize) -> Result<Response, Error> {
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    let headers = response.headers().entries().into_iter().map(|(name, value)| (name, text(value))).collect();
    let status = response.status();
    let body = response.consume().map_err(|()| internal("the body was taken already"))?;
    Ok(Response { status, headers, body: read_body(&body, bytes_max)? })
}

fn read_body(body: &IncomingBody, bytes_max: usize) -> Result<Vec<u8>, Error> {
    let stream = body.stream().map_err(|()| internal("no stream to read from"))?;
    let mut all = Vec::new();
    loop {
        match stream.blocking_read(READ_BYTES) {
            Ok(piece) => all.extend_from_slice(&piece),
            Err(StreamError::Closed) => return Ok(all),
            Err(problem) => return Err(stream_error(&problem)),
        }
        if all.len() > bytes_max {
            return Err(Error {
                code: "http-response-body-size".to_owned(),
                message: format!("the response is larger than {bytes_max} bytes"),
                is_transient: false,
            });
        }
    }
}

fn stream_error(problem: &StreamError) -> Error {
    match problem {
        StreamError::LastOperationFailed(cause) => match wasip2::http::types::http_error_code(cause) {
            Some(code) => error(&code),
            // The host knows more than it says here; its first line is what went wrong, the rest is where.
            None => {
                let message = cause.to_debug_string().lines().next().unwrap_or_default().to_owned();
                let too_large = message.contains("size exceeds limit");
                let code = if too_large { "http-response-body-size" } else { "connection-terminated" };
                Error { code: code.to_owned(), message, is_transient: !too_large }
            }
        },
        StreamError::Closed => Error {
            code: "connection-terminated".to_owned(),
            message: "the connection was closed".to_owned(),
            is_transient: true,
        },
    }
}

fn internal(what: &str) -> Error {
    Error { code: "internal-error".to_owned(), message: what.to_owned(), is_transient: false }
}

/// The code's own name, and whether the same request can end otherwise.
fn error(code: &ErrorCode) -> Error {
    let (name, is_transient) = match code {
        ErrorCode::DnsTimeout => ("dns-timeout", true),
        ErrorCode::DnsError(_) => ("dns-error", true),
        ErrorCode::DestinationNotFound => ("destination-not-found", true),
        ErrorCode::DestinationUnavailable => ("destination-unavailable", true),
        ErrorCode::DestinationIpProhibited => ("destination-ip-prohibited", false),
        ErrorCode::DestinationIpUnroutable => ("destination-ip-unroutable", true),
        ErrorCode::ConnectionRefused => ("connection-refused", true),
        ErrorCode::ConnectionTerminated => ("connection-terminated", true),
        ErrorCode::ConnectionTimeout => ("connection-timeout", true),
        ErrorCode::ConnectionReadTimeout => ("connection-read-timeout", true),
        ErrorCode::ConnectionWriteTimeout => ("connection-write-timeout", true),
        ErrorCode::ConnectionLimitReached => ("connection-limit-reached", true),
        ErrorCode::TlsProtocolError => ("tls-protocol-error", true),
        ErrorCode::TlsCertificateError => ("tls-certificate-error", false),
        ErrorCode::TlsAlertReceived(_) => ("tls-alert-received", true),
        ErrorCode::HttpRequestDenied => ("http-request-denied", false),
        ErrorCode::HttpRequestLengthRequired => ("http-request-length-required", false),
        ErrorCode::HttpRequestBodySize(_) => ("http-request-body-size", false),
        ErrorCode::HttpRequestMethodInvalid => ("http-request-method-invalid", false),
        ErrorCode::HttpRequestUriInvalid => ("http-request-uri-invalid", false),
        ErrorCode::HttpRequestUriTooLong => ("http-request-uri-too-long", false),
        ErrorCode::HttpRequestHeaderSectionSize(_) => ("http-request-header-section-size", false),
        ErrorCode::HttpRequestHeaderSize(_) => ("http-request-header-size", false),
        ErrorCode::HttpRequestTrailerSectionSize(_) => ("http-request-trailer-section-size", false),
        ErrorCode::HttpRequestTrailerSize(_) => ("http-request-trailer-size", false),
        ErrorCode::HttpResponseIncomplete => ("http-response-incomplete", true),
        ErrorCode::HttpResponseHeaderSectionSize(_) => ("http-response-header-section-size", false),
        ErrorCode::HttpResponseHeaderSize(_) => ("http-response-header-size", false),
        ErrorCode::HttpResponseBodySize(_) => ("http-response-body-size", false),
        ErrorCode::HttpResponseTrailerSectionSize(_) => ("http-response-trailer-section-size", false),
        ErrorCode::HttpResponseTrailerSize(_) => ("http-response-trailer-size", false),
        ErrorCode::HttpResponseTransferCoding(_) => ("http-response-transfer-coding", false),
        ErrorCode::HttpResponseContentCoding(_) => ("http-response-content-coding", false),
        ErrorCode::HttpResponseTimeout => ("http-response-timeout", true),
        ErrorCode::HttpUpgradeFailed => ("http-upgrade-failed", false),
        ErrorCode::HttpProtocolError => ("http-protocol-error", true),
        ErrorCode::LoopDetected => ("loop-detected", false),
        ErrorCode::ConfigurationError => ("configuration-error", false),
        ErrorCode::InternalError(_) => ("internal-error", true),
    };
    Error { code: name.to_owned(), message: format!("no response: {}", name.replace('-', " ")), is_transient }
}
