//! Which request is answered how: by the gateway itself, by a model with recovery, or by a host untouched.

use super::{Live, units};
use crate::access::guard::{Headers, Verdict};
use crate::front::native::Native;
use crate::front::openai::{self, models};
use crate::front::{ErrorFacts, Refused, Stamp, Translated, Writer as _};
use crate::hosts::host::Host;
use crate::hosts::names::ModelName;
use crate::relay::{Question, Reply};
use crate::scan::request::{Fields, Odd, canonical, scan, text};
use crate::upstream::{Outgoing, Pool, path_at, set_host};
use bytes::Bytes;
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::{Body as _, Incoming};
use std::error::Error;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::SemaphorePermit;
use upright_core::types::{ClientProtocol, Endpoint};
use upright_protocol::{Asked, Route};

/// Maximum time for a request's body to come.
const BODY_TIME: Duration = Duration::from_secs(60);
/// Maximum time for which a body waits for memory.
const MEMORY_TIME: Duration = Duration::from_secs(1);
/// Headers of a client that reach the host.
static FORWARDED: [HeaderName; 4] =
    [header::ACCEPT, header::USER_AGENT, HeaderName::from_static("traceparent"), HeaderName::from_static("tracestate")];
/// Headers that belong to one connection.
const OF_CONNECTION: [HeaderName; 8] = [
    header::CONNECTION,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
];

/// Answers a request.
pub(super) async fn dispatch(live: &Live, pool: &Rc<Pool>, mut request: Request<Incoming>) -> Response<Reply> {
    let cors = match live.guard.judge(request.method(), request.uri(), request.headers()) {
        Verdict::Allow { cors } => cors,
        Verdict::Preflight { cors } => return with(answer(204, "text/plain; charset=utf-8", Bytes::new()), cors),
        Verdict::Refuse { status, body } => {
            return answer(status.as_u16(), "text/plain; charset=utf-8", Bytes::from_static(body.as_bytes()));
        }
    };
    let is_open = matches!(request.uri().path(), "/healthz" | "/readyz");
    if !is_open && let Err(denied) = live.keys.admit(request.headers(), live.relays.hosts().clock().now()) {
        return with(failed(denied.status().as_u16(), &denied.to_string()), cors);
    }
    // A key of the gateway's own is no host's business.
    if request.headers().get(header::AUTHORIZATION).is_some_and(|sent| live.keys.is_own(sent)) {
        request.headers_mut().remove(header::AUTHORIZATION);
    }
    with(admitted(live, pool, request).await, cors)
}

fn with(mut response: Response<Reply>, cors: Headers) -> Response<Reply> {
    response.headers_mut().extend(cors);
    response
}

async fn admitted(live: &Live, pool: &Rc<Pool>, request: Request<Incoming>) -> Response<Reply> {
    let (head, body) = request.into_parts();
    let path = head.uri.path();
    if head
        .headers
        .get_all(header::VIA)
        .iter()
        .any(|via| via.as_bytes().windows(live.via.as_bytes().len()).any(|part| part == live.via.as_bytes()))
    {
        return failed(508, "the request came back to this gateway: an upstream leads to it; remove that upstream");
    }
    let reads = matches!(head.method, Method::GET | Method::HEAD);
    if reads && let Some(answer) = own(live, path) {
        return if head.method == Method::HEAD { answer.map(|_| Bytes::new().into()) } else { answer };
    }
    match (&head.method, Route::of(path)) {
        (&Method::POST, Some(route)) => match collected(live, body).await {
            Ok((bytes, _memory)) => model(live, pool, &head, route, bytes).await,
            Err(refused) => refused,
        },
        (&Method::POST, None) if is_json(&head.headers) && !path.starts_with("/api/blobs/") => match collected(live, body).await {
            Ok((bytes, _memory)) => other(live, pool, head, bytes.into(), None).await,
            Err(refused) => refused,
        },
        _ => other(live, pool, head, Outgoing::Through(body), None).await,
    }
}

/// The gateway's own answer, for paths that no host serves.
fn own(live: &Live, path: &str) -> Option<Response<Reply>> {
    let hosts = live.relays.hosts();
    let json = |body: Option<Bytes>| {
        Some(body.map_or_else(|| no_host("list of models"), |body| answer(200, "application/json; charset=utf-8", body)))
    };
    match path {
        "/" => Some(answer(200, "text/plain; charset=utf-8", Bytes::from_static(b"Ollama is running"))),
        "/healthz" => Some(answer(200, "text/plain; charset=utf-8", Bytes::from_static(b"ok"))),
        "/readyz" if hosts.is_ready() => Some(answer(200, "text/plain; charset=utf-8", Bytes::from_static(b"ready"))),
        "/readyz" => Some(answer(503, "text/plain; charset=utf-8", Bytes::from_static(b"no host is reachable"))),
        "/metrics" => Some(answer(200, "text/plain; version=0.0.4", live.relays.counts().text().into())),
        "/api/version" => json(hosts.version()),
        "/api/tags" => json(hosts.tags()),
        "/api/ps" => json(hosts.ps()),
        "/v1/models" => json(hosts.openai_models()),
        _ => {
            let name = models::name_in(path)?;
            Some(match hosts.openai_model(&name) {
                Some(body) => answer(200, "application/json; charset=utf-8", body),
                None => {
                    let missing = openai::error(&models::missing(&name));
                    answer(missing.status, missing.content_type, missing.body.into())
                }
            })
        }
    }
}

/// A request to a model, on a route that is known.
async fn model(live: &Live, pool: &Rc<Pool>, head: &Parts, route: Route, bytes: Bytes) -> Response<Reply> {
    let relays = &live.relays;
    let id = relays.next_id();
    if !route.is_ollamas() && relays.hosts().speaks_ollama() {
        match translated(route, &bytes, Stamp { id, created: now() }) {
            Some(Ok(translated)) => {
                let protocol = protocol(route);
                return match question(live, head, id, (route.path(), protocol), translated) {
                    Ok(question) => relays.answer(pool, question).await,
                    Err(refused) => refused,
                };
            }
            Some(Err(Refused::Invalid { status, body })) => return answer(status, "application/json; charset=utf-8", body.into()),
            Some(Err(Refused::Untranslatable { field })) => relays.counts().untranslated(&field),
            None => {}
        }
    }
    let (body, fields) = match read(bytes) {
        Ok(read) => read,
        Err(refused) => return refused,
    };
    let named = fields.model.as_ref().and_then(|span| text(&body, span));
    // Ollama's own words.
    let Some((name, sent)) = named.as_deref().and_then(|name| live.relays.hosts().resolve(name)) else {
        return failed(400, "model is required");
    };
    let question = Question {
        id,
        name: route.path(),
        protocol: protocol(route),
        endpoint: endpoint(route),
        path: path_of(&head.uri),
        asked: Asked::read(route, &body),
        body,
        fields: Some(fields),
        model: name,
        sent,
        writer: None,
        headers: forwarded(live, &head.headers),
        authorization: head.headers.get(header::AUTHORIZATION).cloned(),
    };
    relays.answer(pool, question).await
}

/// The path without its query.
fn path_of(target: &Uri) -> PathAndQuery {
    match target.path_and_query() {
        Some(path) if path.query().is_none() => path.clone(),
        // It was the path of a target, so it is one.
        _ => PathAndQuery::try_from(target.path()).unwrap_or_else(|_| PathAndQuery::from_static("/")),
    }
}

/// A body as Ollama understands it, with the places of its members.
fn read(bytes: Bytes) -> Result<(Bytes, Fields), Response<Reply>> {
    let read: Result<Fields, Odd> = scan(&bytes);
    if let Ok(fields) = read {
        return Ok((bytes, fields));
    }
    let body: Bytes = canonical(&bytes).map_err(|malformed| failed(400, &malformed.to_string()))?.into();
    let fields = scan(&body).map_err(|odd| failed(400, &odd.to_string()))?;
    Ok((body, fields))
}

fn translated(route: Route, body: &[u8], stamp: Stamp) -> Option<Result<Translated, Refused>> {
    match route {
        Route::Messages => Some(crate::front::anthropic::translate(body, stamp)),
        Route::Responses => Some(crate::front::responses::translate(body, stamp)),
        _ => openai::translate(route, body, stamp),
    }
}

#[expect(clippy::result_large_err, reason = "a response is the answer, once a request")]
fn question(
    live: &Live,
    head: &Parts,
    id: u64,
    (name, protocol): (&'static str, ClientProtocol),
    translated: Translated,
) -> Result<Question, Response<Reply>> {
    let Translated { route, path, body, model, writer, .. } = translated;
    let Some((model, sent)) = live.relays.hosts().resolve(&model) else {
        let facts = ErrorFacts { status: 400, message: "model is required".to_owned(), code: None, retry_after: None };
        let refused = writer.error(&facts);
        return Err(answer(refused.status, refused.content_type, refused.body.into()));
    };
    let body = Bytes::from(body);
    Ok(Question {
        id,
        name,
        protocol,
        endpoint: endpoint(route),
        path: PathAndQuery::from_static(path),
        asked: Asked::read(route, &body),
        fields: scan(&body).ok(),
        body,
        model,
        sent,
        writer: Some(writer),
        headers: forwarded(live, &head.headers),
        authorization: head.headers.get(header::AUTHORIZATION).cloned(),
    })
}

/// A request that the gateway does not know: to the host that has its model, else to the first.
async fn other(live: &Live, pool: &Rc<Pool>, head: Parts, body: Outgoing, model: Option<ModelName>) -> Response<Reply> {
    let hosts = live.relays.hosts();
    let ranking = hosts.rank(model.as_ref(), None, None);
    let host = ranking.best().and_then(|best| hosts.all().get(best)).map(Arc::clone);
    let Some(host) = host else { return no_host("answer") };
    let path = head.uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
    let mut body = Some(body);
    let sent = pool.send(host.peer(), live.config.limits.connect, || Some(through(live, &host, &head, &path, body.take()?)));
    let changes = head.method != Method::GET && head.method != Method::HEAD;
    match sent.await {
        Ok(found) => {
            let mut response = Response::new(Reply::Through(found.body));
            *response.status_mut() = found.head.status;
            *response.headers_mut() = found.head.headers;
            OF_CONNECTION.iter().for_each(|name| drop(response.headers_mut().remove(name)));
            if changes {
                host.renew();
            }
            response
        }
        Err(error) => failed(502, &error.to_string()),
    }
}

fn through(live: &Live, host: &Arc<Host>, head: &Parts, path: &PathAndQuery, body: Outgoing) -> Request<Outgoing> {
    let mut request = Request::new(body);
    *request.method_mut() = head.method.clone();
    *request.uri_mut() = path_at(host, path);
    let headers = request.headers_mut();
    *headers = head.headers.clone();
    OF_CONNECTION.iter().for_each(|name| drop(headers.remove(name)));
    for name in [header::ORIGIN, header::AUTHORIZATION, header::COOKIE, HeaderName::from_static("x-api-key")] {
        headers.remove(name);
    }
    set_host(headers, host, head.headers.get(header::AUTHORIZATION));
    headers.append(header::VIA, live.via.clone());
    request
}

fn forwarded(live: &Live, from: &HeaderMap) -> Vec<(HeaderName, HeaderValue)> {
    let mut headers = Vec::with_capacity(FORWARDED.len() + 1);
    headers.extend(FORWARDED.iter().filter_map(|name| Some((name.clone(), from.get(name)?.clone()))));
    headers.push((header::VIA, live.via.clone()));
    headers
}

/// A request's body, and its share of the memory for bodies.
type Held<'a> = (Bytes, Option<SemaphorePermit<'a>>);

async fn collected(live: &Live, body: Incoming) -> Result<Held<'_>, Response<Reply>> {
    match tokio::time::timeout(BODY_TIME, read_within(live, body)).await {
        Ok(read) => read,
        Err(_) => Err(failed(408, "the request's body did not come within 60 s")),
    }
}

/// Memory is taken as the bytes come, so a client that only announces them takes none.
async fn read_within(live: &Live, body: Incoming) -> Result<Held<'_>, Response<Reply>> {
    let most = usize::try_from(live.config.listen.max_body).unwrap_or(usize::MAX);
    if body.size_hint().lower() > most as u64 {
        return Err(too_large(most));
    }
    let mut body = Limited::new(body, most);
    let (mut pieces, mut length, mut memory): (Vec<Bytes>, u64, Option<SemaphorePermit<'_>>) = (Vec::new(), 0, None);
    while let Some(frame) = body.frame().await {
        let Ok(bytes) = frame.map_err(|error| broken(&*error, most))?.into_data() else { continue };
        length += bytes.len() as u64;
        pieces.push(bytes);
        let missing = units(length) - memory.as_ref().map_or(0, SemaphorePermit::num_permits);
        let more = live.memory.acquire_many(u32::try_from(missing).unwrap_or(u32::MAX));
        match tokio::time::timeout(MEMORY_TIME, more).await {
            Ok(Ok(more)) => match &mut memory {
                Some(memory) => memory.merge(more),
                None => memory = Some(more),
            },
            Ok(Err(_)) | Err(_) => return Err(no_memory()),
        }
    }
    let bytes = if pieces.len() == 1 { pieces.remove(0) } else { pieces.concat().into() };
    Ok((bytes, memory))
}

fn broken(error: &(dyn Error + Send + Sync + 'static), most: usize) -> Response<Reply> {
    if error.is::<LengthLimitError>() {
        return too_large(most);
    }
    failed(400, &format!("the request's body broke off: {error}"))
}

fn too_large(most: usize) -> Response<Reply> {
    failed(413, &format!("the request's body has more than {most} bytes; listen.max_body allows more"))
}

fn no_memory() -> Response<Reply> {
    let mut response = failed(503, "the bodies of other requests fill the memory for bodies; listen.max_body_memory allows more");
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

fn is_json(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(b"application/json"))
}

const fn protocol(route: Route) -> ClientProtocol {
    match route {
        Route::Chat => ClientProtocol::OllamaChat,
        Route::Generate => ClientProtocol::OllamaGenerate,
        Route::Embed => ClientProtocol::OllamaEmbed,
        Route::ChatCompletions => ClientProtocol::OpenaiChat,
        Route::Completions => ClientProtocol::OpenaiCompletions,
        Route::Responses => ClientProtocol::OpenaiResponses,
        Route::Embeddings => ClientProtocol::OpenaiEmbeddings,
        Route::Messages => ClientProtocol::AnthropicMessages,
    }
}

const fn endpoint(route: Route) -> Endpoint {
    match route {
        Route::Generate | Route::Completions => Endpoint::Generate,
        Route::Embed | Route::Embeddings => Endpoint::Embed,
        _ => Endpoint::Chat,
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn no_host(what: &str) -> Response<Reply> {
    failed(503, &format!("no host is reachable, so there is no {what}; expected one of the configured upstreams"))
}

/// An error in Ollama's form.
fn failed(status: u16, message: &str) -> Response<Reply> {
    let error = Native.error(&ErrorFacts { status, message: message.to_owned(), code: None, retry_after: None });
    answer(error.status, error.content_type, error.body.into())
}

fn answer(status: u16, content_type: &'static str, body: Bytes) -> Response<Reply> {
    let mut response = Response::new(body.into());
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
