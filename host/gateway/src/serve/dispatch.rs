//! Which request is answered how: by the gateway itself, by a model with recovery, or by a host untouched.

use super::pass::{self, Pass};
use super::refusal::{Asked as Refusable, JSON, answer};
use super::unpack::{self, Packed};
use super::{Live, units};
use crate::access::guard::{Headers, Verdict};
use crate::config::{OnDifference, hold};
use crate::front::openai::{self, models};
use crate::front::{ErrorFacts, Refused, Stamp, Translated};
use crate::hosts::host::Kind;
use crate::hosts::names::ModelName;
use crate::relay::{self, Question, Reply, Wishes};
use crate::scan::request::{Fields, scan, text};
use crate::upstream::Pool;
use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, Uri, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::{Body as _, Incoming};
use std::error::Error;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::SemaphorePermit;
use upright_core::driving::within;
use upright_core::types::ClientProtocol;
use upright_protocol::{Asked, Route};

/// Maximum time for a request's body to come.
const BODY_TIME: Duration = Duration::from_secs(60);
/// Maximum time for which a body waits for memory.
const MEMORY_TIME: Duration = Duration::from_secs(1);
/// Headers of a client that reach the host.
static FORWARDED: [HeaderName; 4] =
    [header::ACCEPT, header::USER_AGENT, HeaderName::from_static("traceparent"), HeaderName::from_static("tracestate")];
/// A client's wish for a repeat that differs.
const ON_DIFFERENCE: HeaderName = HeaderName::from_static("x-upright-on-difference");
/// Number of tokens that a client wants held back.
const HOLD: HeaderName = HeaderName::from_static("x-upright-hold");
/// Headers that belong to one connection.
pub(super) const OF_CONNECTION: [HeaderName; 8] = [
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
    let (id, path) = (live.relays.next_id(), request.uri().path());
    let is_open = matches!(path, "/healthz" | "/readyz");
    if !is_open && let Err(denied) = live.keys.admit(request.headers(), live.relays.hosts().clock().now()) {
        return with(Refusable { path, id }.refused(denied.status().as_u16(), &denied.to_string()), cors);
    }
    // A key of the gateway's own is no host's business.
    if request.headers().get(header::AUTHORIZATION).is_some_and(|sent| live.keys.is_own(sent)) {
        request.headers_mut().remove(header::AUTHORIZATION);
    }
    with(admitted(live, pool, request, id).await, cors)
}

fn with(mut response: Response<Reply>, cors: Headers) -> Response<Reply> {
    response.headers_mut().extend(cors);
    response
}

async fn admitted(live: &Live, pool: &Rc<Pool>, request: Request<Incoming>, id: u64) -> Response<Reply> {
    let (head, body) = request.into_parts();
    let path = head.uri.path();
    let asked = Refusable { path, id };
    if head
        .headers
        .get_all(header::VIA)
        .iter()
        .any(|via| via.as_bytes().windows(live.via.as_bytes().len()).any(|part| part == live.via.as_bytes()))
    {
        return asked.refused(508, "the request came back to this gateway: an upstream leads to it; remove that upstream");
    }
    // A tunnel would lead to an address that the client chooses.
    if head.method == Method::CONNECT {
        return asked.refused(405, "the method CONNECT is not served; send requests for the gateway itself");
    }
    let reads = matches!(head.method, Method::GET | Method::HEAD);
    if reads && let Some(answer) = Box::pin(own(live, asked)).await {
        return if head.method == Method::HEAD { headed(answer) } else { answer };
    }
    let route = Route::of(path).filter(|_| head.method == Method::POST);
    let pass = Pass { live, pool, head: &head, id };
    // Boxed, as the other rarer ways: each request would have room for all of them.
    if !live.recovers || route.is_none() && !pass::is_read(&head) {
        return Box::pin(pass.through(body)).await;
    }
    let collected = match collected(live, asked, body).await {
        Ok(collected) => collected,
        Err(refused) => return refused,
    };
    let Some(route) = route else { return Box::pin(pass.whole(collected.0)).await };
    let held = if !route.is_ollamas() && unpack::is_packed(&head.headers) { unpacked(live, asked, collected).await } else { Ok(collected) };
    match held {
        Ok((bytes, _memory)) => model(&pass, route, bytes).await,
        Err(refused) => refused,
    }
}

/// The head of an answer, with the length that the answer has.
fn headed(answer: Response<Reply>) -> Response<Reply> {
    let length = answer.body().size_hint().exact();
    let mut answer = answer.map(|_| Bytes::new().into());
    if let Some(length) = length {
        answer.headers_mut().insert(header::CONTENT_LENGTH, length.into());
    }
    answer
}

/// The gateway's own answer, for paths that no host serves.
async fn own(live: &Live, asked: Refusable<'_>) -> Option<Response<Reply>> {
    let (hosts, path) = (live.relays.hosts(), asked.path);
    if matches!(path, "/api/tags" | "/api/ps") || path.starts_with("/v1/models") {
        hosts.shown().await;
    }
    let json = |body: Option<Bytes>| Some(body.map_or_else(|| asked.no_host("list of models"), |body| answer(200, JSON, body)));
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
                Some(body) => answer(200, JSON, body),
                None => {
                    let missing = openai::error(&models::missing(&name));
                    answer(missing.status, missing.content_type, missing.body.into())
                }
            })
        }
    }
}

/// A request to a model, on a route that is known.
async fn model(pass: &Pass<'_>, route: Route, bytes: Bytes) -> Response<Reply> {
    let Pass { live, pool, id, .. } = *pass;
    let relays = &live.relays;
    if !route.is_ollamas() && relays.hosts().speaks_ollama() {
        match translated(route, &bytes, Stamp { id, created: now() }) {
            Some(Ok(translated)) => {
                let mut question = match question(pass, route, translated) {
                    Ok(question) => question,
                    Err(refused) => return refused,
                };
                if relays.hosts().speaks_openai()
                    && let Ok(Plain::Question(other)) = plain(pass, route, bytes)
                {
                    (question.kind, question.other) = (None, Some(other));
                }
                return relays.answer(pool, question).await;
            }
            Some(Err(Refused::Invalid { status, body })) => {
                // A host with OpenAI's API alone may take what Ollama would refuse.
                if let Ok(Plain::Question(mut question)) = plain(pass, route, bytes)
                    && relays.hosts().openai_serves(&question.model)
                {
                    question.kind = Some(Kind::Openai);
                    return relays.answer(pool, question).await;
                }
                let mut refused = answer(status, JSON, body.into());
                refused.headers_mut().insert(relay::ID, id.into());
                return refused;
            }
            Some(Err(Refused::Untranslatable { field })) => relays.counts().untranslated(&field),
            None => {}
        }
    }
    match plain(pass, route, bytes) {
        Ok(Plain::Question(question)) => relays.answer(pool, question).await,
        Ok(Plain::Unload { model, sent, body, fields }) => Box::pin(pass.unload(&model, sent, &body, &fields)).await,
        Err(refused) => refused,
    }
}

/// A request to a model as the client wrote it.
enum Plain {
    Question(Box<Question>),
    /// It only unloads the model.
    Unload {
        model: ModelName,
        sent: Arc<str>,
        body: Bytes,
        fields: Box<Fields>,
    },
}

#[expect(clippy::result_large_err, reason = "a response is the answer, once a request")]
fn plain(pass: &Pass<'_>, route: Route, bytes: Bytes) -> Result<Plain, Response<Reply>> {
    let Pass { live, head, id, .. } = *pass;
    let asked = Refusable { path: head.uri.path(), id };
    let (body, fields) = pass::read(&bytes).map_err(|message| asked.refused(400, &message))?;
    let named = fields.model.as_ref().and_then(|span| text(&body, span));
    // Ollama's own words.
    let Some((name, sent)) = named.as_deref().and_then(|name| live.relays.hosts().resolve(name)) else {
        return Err(asked.refused(400, "model is required"));
    };
    if matches!(route, Route::Chat | Route::Generate) && is_unload(&body, &fields) {
        return Ok(Plain::Unload { model: name, sent, body, fields: Box::new(fields) });
    }
    Ok(Plain::Question(Box::new(Question {
        id,
        name: route.path(),
        protocol: protocol(route),
        endpoint: route.endpoint(),
        path: path_of(&head.uri),
        asked: Asked::read(route, &body),
        body,
        fields: Some(fields),
        model: name,
        sent,
        writer: None,
        headers: forwarded(live, &head.headers),
        authorization: head.headers.get(header::AUTHORIZATION).cloned(),
        is_plain: !route.is_ollamas(),
        kind: route.is_ollamas().then_some(Kind::Ollama),
        original: None,
        wishes: wishes(live, &head.headers).map_err(|message| asked.refused(400, &message))?,
        other: None,
    })))
}

/// Whether a request only unloads a model: it asks nothing, and `keep_alive` is 0, such as `0`, `"0"` or `"0m0s"`.
fn is_unload(body: &Bytes, fields: &Fields) -> bool {
    let keep_alive = fields.keep_alive.as_ref().and_then(|span| body.get(span.clone())).unwrap_or_default();
    let digits = || keep_alive.iter().filter(|byte| byte.is_ascii_digit());
    !fields.question && digits().count() > 0 && digits().all(|digit| *digit == b'0')
}

/// The path without its query.
fn path_of(target: &Uri) -> PathAndQuery {
    match target.path_and_query() {
        Some(path) if path.query().is_none() => path.clone(),
        // It was the path of a target, so it is one.
        _ => PathAndQuery::try_from(target.path()).unwrap_or_else(|_| PathAndQuery::from_static("/")),
    }
}

fn translated(route: Route, body: &[u8], stamp: Stamp) -> Option<Result<Translated, Refused>> {
    match route {
        Route::Messages => Some(crate::front::anthropic::translate(body, stamp)),
        Route::Responses => Some(crate::front::responses::translate(body, stamp)),
        _ => openai::translate(route, body, stamp),
    }
}

#[expect(clippy::result_large_err, reason = "a response is the answer, once a request")]
fn question(pass: &Pass<'_>, asked: Route, translated: Translated) -> Result<Box<Question>, Response<Reply>> {
    let Pass { live, head, id, .. } = *pass;
    let Translated { route, path, body, model, writer, .. } = translated;
    let Some((model, sent)) = live.relays.hosts().resolve(&model) else {
        return Err(Refusable { path: asked.path(), id }.refused(400, "model is required"));
    };
    let body = Bytes::from(body);
    Ok(Box::new(Question {
        id,
        name: asked.path(),
        protocol: protocol(asked),
        endpoint: route.endpoint(),
        path: PathAndQuery::from_static(path),
        asked: Asked::read(route, &body),
        fields: scan(&body).ok(),
        body,
        model,
        sent,
        writer: Some(writer),
        headers: forwarded(live, &head.headers),
        authorization: head.headers.get(header::AUTHORIZATION).cloned(),
        is_plain: false,
        kind: Some(Kind::Ollama),
        original: None,
        wishes: wishes(live, &head.headers).map_err(|message| Refusable { path: asked.path(), id }.refused(400, &message))?,
        other: None,
    }))
}

/// The wishes for an answer that is cut: those of the client's headers, else of the configuration.
fn wishes(live: &Live, headers: &HeaderMap) -> Result<Wishes, String> {
    let replay = &live.config.replay;
    let said = |name: &HeaderName| headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).trim().to_owned());
    let wrong = |name: &HeaderName, found: &str, expected: &str| format!("the header {name}: found {found:?}; expected {expected}");
    let on_difference = match said(&ON_DIFFERENCE) {
        None => replay.on_difference,
        Some(found) => OnDifference::named(&found).ok_or_else(|| wrong(&ON_DIFFERENCE, &found, OnDifference::EXPECTED))?,
    };
    let hold = match said(&HOLD) {
        None => replay.hold,
        Some(found) => hold::read(&found).ok_or_else(|| wrong(&HOLD, &found, hold::EXPECTED))?,
    };
    Ok(Wishes { on_difference, hold })
}

fn forwarded(live: &Live, from: &HeaderMap) -> Vec<(HeaderName, HeaderValue)> {
    let mut headers = Vec::with_capacity(FORWARDED.len() + 1);
    headers.extend(FORWARDED.iter().filter_map(|name| Some((name.clone(), from.get(name)?.clone()))));
    headers.push((header::VIA, live.via.clone()));
    headers
}

/// A request's body, and its share of the memory for bodies.
type Held<'a> = (Bytes, Option<SemaphorePermit<'a>>);

async fn collected<'a>(live: &'a Live, asked: Refusable<'_>, body: Incoming) -> Result<Held<'a>, Response<Reply>> {
    match within(Some(BODY_TIME), live.relays.hosts().clock(), pin!(read_within(live, asked, body))).await {
        Ok(read) => Ok(read),
        Err(Some(refused)) => Err(refused),
        Err(None) => Err(asked.refused(408, "the request's body did not come within 60 s")),
    }
}

/// Memory is taken as the bytes come, so a client that only announces them takes none.
async fn read_within<'a>(live: &'a Live, asked: Refusable<'_>, body: Incoming) -> Result<Held<'a>, Response<Reply>> {
    let most = usize::try_from(live.config.listen.max_body).unwrap_or(usize::MAX);
    if body.size_hint().lower() > most as u64 {
        return Err(too_large(asked, most));
    }
    let mut body = Limited::new(body, most);
    let (mut pieces, mut length, mut memory): (Vec<Bytes>, u64, Option<SemaphorePermit<'_>>) = (Vec::new(), 0, None);
    while let Some(frame) = body.frame().await {
        let Ok(bytes) = frame.map_err(|error| broken(asked, &*error, most))?.into_data() else { continue };
        length += bytes.len() as u64;
        pieces.push(bytes);
        let missing = units(length) - memory.as_ref().map_or(0, SemaphorePermit::num_permits);
        let more = taken(live, asked, missing).await?;
        match &mut memory {
            Some(memory) => memory.merge(more),
            None => memory = Some(more),
        }
    }
    let bytes = if pieces.len() == 1 { pieces.remove(0) } else { pieces.concat().into() };
    Ok((bytes, memory))
}

/// Takes this number of units of the memory for bodies.
async fn taken<'a>(live: &'a Live, asked: Refusable<'_>, units: usize) -> Result<SemaphorePermit<'a>, Response<Reply>> {
    let taken = live.memory.acquire_many(u32::try_from(units).unwrap_or(u32::MAX));
    within(Some(MEMORY_TIME), live.relays.hosts().clock(), pin!(taken)).await.map_err(|_| no_memory(asked))
}

/// Unpacks a body. The memory for the largest one is taken before, and the rest is given back.
async fn unpacked<'a>(live: &'a Live, asked: Refusable<'_>, packed: Held<'a>) -> Result<Held<'a>, Response<Reply>> {
    let (bytes, _memory) = packed;
    let left = live.config.listen.max_body_memory.saturating_sub(bytes.len() as u64 + super::MEMORY_UNIT);
    let most = unpack::LARGEST.min(live.config.listen.max_body).min(left);
    let mut memory = taken(live, asked, units(most)).await?;
    let body = unpack::unpacked(&bytes, most)
        .await
        .map_err(|packed| asked.refused(if matches!(packed, Packed::TooLarge(_)) { 413 } else { 400 }, &packed.to_string()))?;
    drop(memory.split(memory.num_permits().saturating_sub(units(body.len() as u64))));
    Ok((body, Some(memory)))
}

fn broken(asked: Refusable<'_>, error: &(dyn Error + Send + Sync + 'static), most: usize) -> Response<Reply> {
    if error.is::<LengthLimitError>() {
        return too_large(asked, most);
    }
    asked.refused(400, &format!("the request's body broke off: {error}"))
}

fn too_large(asked: Refusable<'_>, most: usize) -> Response<Reply> {
    asked.refused(413, &format!("the request's body has more than {most} bytes; listen.max_body allows more"))
}

fn no_memory(asked: Refusable<'_>) -> Response<Reply> {
    let message = "the bodies of other requests fill the memory for bodies; listen.max_body_memory allows more".to_owned();
    asked.refused_for(ErrorFacts { status: 503, message, code: None, retry_after: Some(1) })
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

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
