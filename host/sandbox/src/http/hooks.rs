//! What stands behind `wasi:http` in one attempt: checks each request, sends those that pass, and remembers why the
//! others did not.

use super::body::{RequestBody, ResponseBody};
use super::connect;
use super::origin::{Host, Pattern, Target};
use super::secret::{self, Masker};
use super::{Reach, address};
use crate::call::{GuestEvent, LogLevel, Observer};
use crate::meter::HostBytes;
use crate::sanitise::sanitise;
use crate::settings::Grants;
use http::header::{self, HeaderName, HeaderValue};
use http::{Method, Request, Response, StatusCode, Uri, uri};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wasmtime_wasi_http::p2::bindings::http::types::ErrorCode;
use wasmtime_wasi_http::{DEFAULT_FORBIDDEN_HEADERS, Error, RequestOptions, WasiBody, WasiHttpHooks};

/// Refusals that one attempt may put into its log; the latest is kept all the same.
const TOLD_MAX: usize = 8;
/// What a guest writes to a body in one go. Two of these wait for the network in each body, also in those of requests
/// that are never sent, and there may be as many as there are resources. Bytes.
const CHUNK_BYTES: usize = 16 << 10;
/// What a request counts besides its data. Bytes.
const REQUEST_BYTES: usize = 256;

/// The hooks of one attempt.
pub(crate) struct AttemptHttp {
    reach: Arc<Reach>,
    grants: Arc<Grants>,
    bytes: Arc<HostBytes>,
    deadline: Instant,
    events: Option<Arc<dyn Observer>>,
    /// Made with the first request: most attempts send none.
    live: Option<Arc<Live>>,
}

/// What the requests of one attempt share.
struct Live {
    reach: Arc<Reach>,
    grants: Arc<Grants>,
    bytes: Arc<HostBytes>,
    deadline: Instant,
    events: Option<Arc<dyn Observer>>,
    granted: Vec<(Pattern, Vec<String>)>,
    slots: Arc<Semaphore>,
    refusals: Mutex<Refusals>,
}

#[derive(Default)]
struct Refusals {
    told: usize,
    latest: Option<String>,
}

impl AttemptHttp {
    pub(crate) fn new(
        reach: Arc<Reach>,
        grants: Arc<Grants>,
        bytes: Arc<HostBytes>,
        deadline: Instant,
        events: Option<Arc<dyn Observer>>,
    ) -> Self {
        Self { reach, grants, bytes, deadline, events, live: None }
    }

    /// Why the latest refused request was refused, with the grant that it needs.
    pub(crate) fn refusal(&self) -> Option<String> {
        let refusals = self.live.as_ref()?.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        refusals.latest.clone()
    }

    fn live(&mut self) -> &Arc<Live> {
        self.live.get_or_insert_with(|| {
            let granted = self.grants.http.iter().filter_map(|grant| {
                let methods = grant.methods.iter().map(|method| method.to_ascii_uppercase()).collect();
                Some((Pattern::parse(&grant.origin)?, methods))
            });
            Arc::new(Live {
                reach: self.reach.clone(),
                grants: self.grants.clone(),
                bytes: self.bytes.clone(),
                deadline: self.deadline,
                events: self.events.clone(),
                granted: granted.collect(),
                slots: Arc::new(Semaphore::new(self.reach.outbound.limits.requests_per_attempt_max)),
                refusals: Mutex::default(),
            })
        })
    }
}

type Io = Box<dyn Future<Output = Result<(), Error>> + Send>;
type Sent = Result<(Response<WasiBody>, Io), Error>;

impl WasiHttpHooks for AttemptHttp {
    fn is_forbidden_header(&mut self, name: &HeaderName) -> bool {
        is_forbidden(name)
    }

    fn forbidden_header_filter(&mut self) -> Arc<dyn Fn(&HeaderName) -> bool + Send + Sync> {
        Arc::new(is_forbidden)
    }

    fn set_host_header(&mut self) -> bool {
        // It is set from what was checked, not from what the guest wrote.
        false
    }

    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _processed: Io,
    ) -> Box<dyn Future<Output = Sent> + Send> {
        let live = self.live().clone();
        let started = Instant::now();
        // Before anything is awaited: what is refused by its words never gets as far as a name server.
        let checked = live.check(&request);
        Box::new(async move {
            let target = checked?;
            live.send(target, request, options.unwrap_or_default(), started).await
        })
    }

    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        CHUNK_BYTES
    }

    fn p2_error_from_hyper(&mut self, error: &hyper::Error) -> ErrorCode {
        if error.is_parse_too_large() {
            ErrorCode::HttpResponseHeaderSectionSize(None)
        } else if error.is_parse() || error.is_parse_status() {
            ErrorCode::HttpProtocolError
        } else if error.is_timeout() {
            ErrorCode::ConnectionReadTimeout
        } else {
            ErrorCode::ConnectionTerminated
        }
    }

    fn p2_error_from_connect(&mut self, _: &std::io::Error) -> ErrorCode {
        ErrorCode::ConnectionRefused
    }

    fn p2_error_from_tls(&mut self, _: &std::io::Error) -> ErrorCode {
        ErrorCode::TlsProtocolError
    }
}

/// Headers that are the connector's business, in requests and responses alike.
fn is_forbidden(name: &HeaderName) -> bool {
    DEFAULT_FORBIDDEN_HEADERS.contains(name) || [header::TE, header::TRAILER, header::EXPECT].contains(name)
}

impl Live {
    /// Holds the request against the grant. Nothing is sent and nobody asked.
    fn check(&self, request: &Request<WasiBody>) -> Result<Target, Error> {
        let limits = &self.reach.outbound.limits;
        let headers: usize =
            request.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
        let path = request.uri().path_and_query().map_or("", |path| path.as_str());
        if !self.bytes.take(REQUEST_BYTES + headers + path.len()) {
            return Err(Error::HttpRequestHeaderSectionSize(None));
        }
        let method = request.method();
        if [Method::CONNECT, Method::TRACE].contains(method) {
            return Err(Error::HttpRequestMethodInvalid);
        }
        if headers > limits.head_bytes_max {
            let most = u32::try_from(limits.head_bytes_max).unwrap_or(u32::MAX);
            return Err(Error::HttpRequestHeaderSectionSize(Some(most)));
        }
        if path.len() > limits.path_bytes_max {
            return Err(Error::HttpRequestUriTooLong);
        }
        // An absolute URL here would name another host to the server than the one that is checked.
        if !(path.is_empty() || path.starts_with('/') || path.starts_with('?')) {
            return Err(Error::HttpRequestUriInvalid);
        }
        let https = request.uri().scheme() == Some(&uri::Scheme::HTTPS);
        let authority = request.uri().authority().map_or("", |authority| authority.as_str());
        let target = Target::parse(https, authority).ok_or(Error::HttpRequestUriInvalid)?;
        let methods = self.granted.iter().filter(|(origin, _)| origin.covers(&target));
        let methods: Vec<&[String]> = methods.map(|(_, methods)| methods.as_slice()).collect();
        let may = |methods: &&[String]| {
            methods.is_empty() || methods.iter().any(|granted| granted == method.as_str())
        };
        if methods.is_empty() {
            return Err(self.refuse(
                Error::HttpRequestDenied,
                format!("{target} is not granted; the plugin needs `grants: {{http: [\"{target}\"]}}`"),
            ));
        }
        if !methods.iter().any(may) {
            let method = sanitise(method.as_str(), 40);
            return Err(self.refuse(
                Error::HttpRequestDenied,
                format!(
                    "{method} to {target} is not granted (only {}); the plugin needs \
                     `grants: {{http: [{{origin: \"{target}\", methods: [{method}]}}]}}`",
                    methods.concat().join(", ")
                ),
            ));
        }
        if secret::mentions(path) {
            return Err(self.refuse(
                Error::HttpRequestDenied,
                format!("the URL of a request to {target} holds `{{secret:`; secrets go into headers only (grants: {{secrets: [..]}})"),
            ));
        }
        Ok(target)
    }

    async fn send(
        self: Arc<Self>,
        target: Target,
        request: Request<WasiBody>,
        options: RequestOptions,
        started: Instant,
    ) -> Sent {
        let limits = self.reach.outbound.limits;
        let after = |wished: Option<Duration>, most_ms: u64| {
            let most = Duration::from_millis(most_ms);
            (started + wished.map_or(most, |wished| wished.min(most))).min(self.deadline)
        };
        // The guest's own times may only be shorter.
        let connected_by = after(options.connect_timeout, limits.connect_ms);

        let connecting = async {
            let permits = self.slots(limits.slot_wait_ms).await?;
            let addresses = self.addresses(&target).await?;
            let request = self.fill_in(&target, &addresses, request)?;
            let stream = connect::open(&self.reach, &target, &addresses).await?;
            Ok::<_, Error>((permits, request, stream))
        };
        let (permits, request, stream) = tokio::time::timeout_at(connected_by.into(), connecting)
            .await
            .map_err(|_| Error::ConnectionTimeout)??;

        // The guest's time for the first byte counts from here on, the host's from the start.
        let wished = options.first_byte_timeout.and_then(|wished| Instant::now().checked_add(wished));
        let most = after(None, limits.first_byte_ms);
        let answered_by = wished.map_or(most, |wished| wished.min(most));
        let head = request.method() == Method::HEAD;
        let too_large = Arc::new(AtomicBool::new(false));
        let request = request.map(|inner| RequestBody {
            inner,
            left: limits.request_body_bytes_max,
            bytes: self.bytes.clone(),
            too_large: too_large.clone(),
        });
        let exchange = connect::exchange(stream, request, limits.head_bytes_max);
        let exchanged = tokio::time::timeout_at(answered_by.into(), exchange)
            .await
            .map_err(|_| Error::ConnectionReadTimeout)?;
        let (response, driver) = exchanged.map_err(|error| {
            if too_large.load(Ordering::Relaxed) {
                Error::HttpRequestBodySize(Some(limits.request_body_bytes_max))
            } else {
                error
            }
        })?;
        let response = self.receive(response, head, options.between_bytes_timeout)?;
        let io = async move {
            // The request counts as long as its connection is there. Errors reach the guest with the body.
            let _permits = permits;
            let _ = driver.await;
            Ok(())
        };
        Ok((response, Box::new(io)))
    }

    /// Waits for a turn, of this attempt's and of the host's.
    async fn slots(&self, wait_ms: u64) -> Result<[OwnedSemaphorePermit; 2], Error> {
        let both = async {
            let own = self.slots.clone().acquire_owned().await;
            let all = self.reach.slots.clone().acquire_owned().await;
            // Nobody closes them.
            Ok([own.map_err(|_| Error::InternalError(None))?, all.map_err(|_| Error::InternalError(None))?])
        };
        tokio::time::timeout(Duration::from_millis(wait_ms), both)
            .await
            .map_err(|_| Error::ConnectionLimitReached)?
    }

    /// The addresses to dial: looked up once, and none that is refused.
    async fn addresses(&self, target: &Target) -> Result<Vec<IpAddr>, Error> {
        let found = match &target.host {
            Host::Address(address) => vec![*address],
            Host::Name(name) => {
                let looked_up = self.reach.outbound.resolver.resolve(name).await;
                looked_up.map_err(|_| dns_error("the name cannot be looked up"))?
            }
        };
        if found.is_empty() {
            return Err(dns_error("the name has no address"));
        }
        // One bad address is enough: a name that leads inside as well as outside is not to be trusted with either.
        for address in &found {
            if let Some(kind) = address::refusal(*address, &self.reach.outbound.networks) {
                let address = address.to_canonical();
                return Err(self.refuse(
                    Error::DestinationIpProhibited,
                    format!(
                        "{target} leads to {address}, which is {kind}; beside grants: {{http: [..]}} the host's \
                         operator has to permit it: `[http] networks = [\"{address}\"]` in bandstand.toml"
                    ),
                ));
            }
        }
        Ok(found)
    }

    /// The request as it goes out: a path alone, the host that was checked, secrets in their places.
    fn fill_in(
        &self,
        target: &Target,
        addresses: &[IpAddr],
        request: Request<WasiBody>,
    ) -> Result<Request<WasiBody>, Error> {
        let (mut parts, body) = request.into_parts();
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        parts.uri = Uri::try_from(path).map_err(|_| Error::HttpRequestUriInvalid)?;
        parts.version = http::Version::HTTP_11;
        let here = addresses.iter().all(|address| address.to_canonical().is_loopback());
        let plain = !target.https && !here;
        let secrets = &self.reach.outbound.secrets;
        for value in parts.headers.values_mut() {
            match secret::fill(value, &self.grants.secrets, secrets, target, plain) {
                Ok(None) => {}
                Ok(Some(filled)) => *value = filled,
                Err(why) => return Err(self.refuse(Error::HttpRequestDenied, why)),
            }
        }
        if !self.grants.secrets.is_empty() {
            // What is compressed cannot be masked.
            parts.headers.remove(header::ACCEPT_ENCODING);
        }
        let host = HeaderValue::try_from(target.authority()).map_err(|_| Error::HttpRequestUriInvalid)?;
        parts.headers.insert(header::HOST, host);
        Ok(Request::from_parts(parts, body))
    }

    /// The response as the guest gets it.
    fn receive(
        &self,
        response: Response<hyper::body::Incoming>,
        head: bool,
        between: Option<Duration>,
    ) -> Result<Response<WasiBody>, Error> {
        let (mut parts, body) = response.into_parts();
        if parts.status == StatusCode::SWITCHING_PROTOCOLS {
            return Err(Error::HttpProtocolError);
        }
        let size: usize =
            parts.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
        if !self.bytes.take(size) {
            return Err(Error::HttpResponseHeaderSectionSize(None));
        }
        let max = self.reach.outbound.limits.response_body_bytes_max;
        let announced = parts.headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok());
        let announced = announced.and_then(|length| length.parse::<u64>().ok());
        if !head && announced.is_some_and(|length| length > max) {
            return Err(Error::HttpResponseBodySize(announced));
        }
        let masker = Masker::new(&self.grants.secrets, &self.reach.outbound.secrets);
        if let Some(masker) = &masker {
            for value in parts.headers.values_mut() {
                if let Some(clean) = masker.header(value) {
                    *value = clean;
                }
            }
            if !head {
                // A masked body has another length.
                parts.headers.remove(header::CONTENT_LENGTH);
            }
        }
        let body = ResponseBody::boxed(body, max, self.bytes.clone(), masker, between);
        Ok(Response::from_parts(parts, body))
    }

    /// Remembers and tells why a request is refused.
    fn refuse(&self, error: Error, why: String) -> Error {
        let why = sanitise(&why, 1_000);
        let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        refusals.latest = Some(why.clone());
        refusals.told += 1;
        if refusals.told <= TOLD_MAX {
            tracing::warn!(%why, "an agent's HTTP request was refused");
            if let Some(events) = &self.events {
                let message = format!("HTTP request refused: {why}");
                events.event(GuestEvent::Log { level: LogLevel::Warn, message, fields: None });
            }
        }
        error
    }
}

fn dns_error(what: &str) -> Error {
    Error::DnsError { rcode: Some(what.to_owned()), info_code: None }
}
