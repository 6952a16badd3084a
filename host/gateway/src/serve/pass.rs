//! Requests that no attempt of the relay answers: passed to the host that has their model, or to one that is always the
//! same. A change of a host is answered once the host's lists show it.

use super::Live;
use super::dispatch::OF_CONNECTION;
use super::refusal::Asked;
use crate::hosts::host::{Host, Kind};
use crate::hosts::names::ModelName;
use crate::relay::{self, Passed, Reply, Story};
use crate::scan::request::{Edit, Fields, Key, canonical, edited, scan, text};
use crate::upstream::{Answer, Outgoing, Pool, SendError, path_at, set_host};
use bytes::Bytes;
use futures_util::future::join_all;
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use std::rc::Rc;
use std::sync::Arc;
use upright_core::types::{Endpoint, FaultKind};
use upright_protocol::Route;

/// Routes that the log and the counts name, beside those of models. Clients choose the others.
const NAMED: [&str; 9] = [
    "/api/copy",
    "/api/create",
    "/api/delete",
    "/api/me",
    "/api/pull",
    "/api/push",
    "/api/show",
    "/api/status",
    "/v1/audio/transcriptions",
];

/// Types of bodies that are passed on as they come.
const AS_THEY_COME: [&[u8]; 2] = [b"multipart/", b"application/octet-stream"];

/// Maximum length of a client's own text in a message, characters.
const SHOWN: usize = 100;

/// Routes after which a host has other models.
const CHANGES: [&str; 4] = ["/api/copy", "/api/create", "/api/delete", "/api/pull"];

/// Where a request goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Aim {
    /// To the host that has the model.
    Holder,
    /// To each host that has the model.
    Holders,
    /// To the first host that can be reached, in the order of the configuration.
    First,
}

/// A model in a request.
struct Named {
    key: Key,
    model: ModelName,
    /// Its name for hosts.
    sent: Arc<str>,
}

/// A request on its way to hosts.
pub(super) struct Pass<'a> {
    pub(super) live: &'a Live,
    pub(super) pool: &'a Rc<Pool>,
    pub(super) head: &'a Parts,
    pub(super) id: u64,
}

/// Whether the body is read before a host gets it: it may name a model.
pub(super) fn is_read(head: &Parts) -> bool {
    let is = |kind: &&[u8]| head.headers.get(header::CONTENT_TYPE).is_some_and(|given| given.as_bytes().starts_with(kind));
    matches!(head.method, Method::POST | Method::DELETE) && !head.uri.path().starts_with("/api/blobs/") && !AS_THEY_COME.iter().any(is)
}

/// A body as Ollama understands it, with the places of its members.
///
/// # Errors
/// The message for the client.
pub(super) fn read(bytes: &Bytes) -> Result<(Bytes, Fields), String> {
    if let Ok(fields) = scan(bytes) {
        return Ok((bytes.clone(), fields));
    }
    let body: Bytes = canonical(bytes).map_err(|malformed| malformed.to_string())?.into();
    let fields = scan(&body).map_err(|odd| odd.to_string())?;
    Ok((body, fields))
}

impl Pass<'_> {
    /// Passes a body that was read.
    pub(super) async fn whole(&self, bytes: Bytes) -> Response<Reply> {
        // Ollama refuses in its own words a body that it cannot read.
        let Ok((body, fields)) = read(&bytes) else { return self.first(bytes.into(), None).await };
        let named = self.named(&body, &fields);
        let body = match &named {
            Some(named) => edited_for(&body, &fields, named.key, &named.sent),
            None => body,
        };
        match (self.path(), named) {
            ("/api/delete", Some(named)) => self.everywhere(&named.model, named.sent, body).await,
            ("/api/pull", named) | (_, named @ None) => self.first(body.into(), named).await,
            (_, Some(named)) => self.holder(named, body).await,
        }
    }

    /// Unloads a model from each host that has it.
    pub(super) async fn unload(&self, model: &ModelName, sent: Arc<str>, body: &Bytes, fields: &Fields) -> Response<Reply> {
        let body = edited_for(body, fields, Key::Model, &sent);
        self.everywhere(model, sent, body).await
    }

    /// Passes a body as it comes.
    pub(super) async fn through(&self, body: Incoming) -> Response<Reply> {
        self.first(Outgoing::Through(body), None).await
    }

    fn path(&self) -> &str {
        self.head.uri.path()
    }

    fn asked(&self) -> Asked<'_> {
        Asked { path: self.path(), id: self.id }
    }

    /// The story of this request, about this model if it names one.
    fn story(&self, model: Option<Arc<str>>) -> Story {
        self.live.relays.story(self.id, route(self.path()), model.unwrap_or_default())
    }

    fn named(&self, body: &Bytes, fields: &Fields) -> Option<Named> {
        let is_given = |key: &Key| fields.value(*key).is_some_and(|span| body.get(span).is_some_and(|value| value != b"null"));
        let keys: &[Key] = match self.path() {
            "/api/copy" => &[Key::Source],
            // Its blobs are at the first host.
            "/api/create" if [Key::Files, Key::Adapters].iter().any(is_given) => &[],
            "/api/create" => &[Key::From],
            _ => &[Key::Model, Key::Name],
        };
        keys.iter().find_map(|key| {
            let name = text(body, &fields.value(*key)?)?;
            let (model, sent) = self.live.relays.hosts().resolve(&name)?;
            Some(Named { key: *key, model, sent })
        })
    }

    /// The hosts that can be reached, best first. The client may name one, and only that is an error.
    fn hosts(&self, model: Option<&ModelName>, aim: Aim) -> Result<Vec<Arc<Host>>, Response<Reply>> {
        let hosts = self.live.relays.hosts();
        if let Some(name) = self.head.headers.get(relay::HOST) {
            let unknown = || {
                let found: String = String::from_utf8_lossy(name.as_bytes()).chars().take(SHOWN).collect();
                let named = hosts.all().iter().filter(|host| host.label().is_some());
                let names: Vec<_> = named.map(|host| format!("{:?}", host.name())).collect();
                let message = format!(
                    "the header x-upright-host: found {found:?}; expected the name of an upstream: {}. \
                     Send one of these names, or leave the header out",
                    names.join(", ")
                );
                self.asked().refused(400, &message)
            };
            return Ok(vec![Arc::clone(hosts.named(name).ok_or_else(unknown)?)]);
        }
        let kind = self.path().starts_with("/api/").then_some(Kind::Ollama);
        let ranking = hosts.rank(model, None, kind);
        let mut candidates: Vec<_> = ranking.candidates().iter().filter(|candidate| candidate.rate > 0).collect();
        let holds = |has_model: Option<bool>| has_model != Some(false);
        if aim == Aim::First {
            candidates.sort_by_key(|candidate| candidate.host);
        } else if CHANGES.contains(&self.path()) {
            candidates.sort_by_key(|candidate| (candidate.has_model.map_or(1, |has| if has { 0 } else { 2 }), candidate.host));
        }
        if aim == Aim::Holders && candidates.iter().any(|candidate| holds(candidate.has_model)) {
            candidates.retain(|candidate| holds(candidate.has_model));
        }
        Ok(candidates.iter().filter_map(|candidate| hosts.all().get(candidate.host).map(Arc::clone)).collect())
    }

    /// Sends to one host, which is always the same: blobs must be where a model is created of them.
    async fn first(&self, body: Outgoing, named: Option<Named>) -> Response<Reply> {
        let hosts = match self.hosts(named.as_ref().map(|named| &named.model), Aim::First) {
            Ok(hosts) => hosts,
            Err(refused) => return refused,
        };
        let mut story = self.story(named.map(|named| named.sent));
        let Some(host) = hosts.first() else { return self.unserved(story) };
        match self.ask(&mut story, host, body).await {
            Ok(answer) => self.answered(story, host, answer).await,
            Err(error) => self.failed(story, &error),
        }
    }

    /// Sends to a host that has the model, and to the next one if it cannot be reached or does not have it.
    async fn holder(&self, named: Named, body: Bytes) -> Response<Reply> {
        let hosts = match self.hosts(Some(&named.model), Aim::Holder) {
            Ok(hosts) => hosts,
            Err(refused) => return refused,
        };
        let mut story = self.story(Some(named.sent));
        let (mut missing, mut failed) = (None, None);
        for host in &hosts {
            match self.ask(&mut story, host, body.clone().into()).await {
                Ok(answer) if answer.head.status == StatusCode::NOT_FOUND => {
                    host.renew();
                    story.missed(FaultKind::NotFound.name());
                    missing.get_or_insert((host, answer));
                }
                Ok(answer) => return self.answered(story, host, answer).await,
                // Only this question changes nothing at a host that took it.
                Err(error @ SendError::Exchange { .. }) if self.path() != "/api/show" => return self.failed(story, &error),
                Err(error) => failed = Some(error),
            }
        }
        match (missing, failed) {
            (Some((host, answer)), _) => self.answered(story, host, answer).await,
            (None, Some(error)) => self.failed(story, &error),
            (None, None) => self.unserved(story),
        }
    }

    /// Sends to each host that has the model. The client gets the answer that is worst for it: a refusal, then a
    /// failure, then a success. That a host does not have the model is no failure while another has it.
    async fn everywhere(&self, model: &ModelName, name: Arc<str>, body: Bytes) -> Response<Reply> {
        let hosts = match self.hosts(Some(model), Aim::Holders) {
            Ok(hosts) => hosts,
            Err(refused) => return refused,
        };
        let mut story = self.story(Some(name));
        let send = async |host| (host, self.send(host, body.clone().into()).await);
        let mut sent = join_all(hosts.iter().map(send)).await;
        let is_done = |sent: &Result<Answer, SendError>| sent.as_ref().is_ok_and(|answer| answer.head.status.is_success());
        let done: Vec<&Arc<Host>> = sent.iter().filter(|(_, sent)| is_done(sent)).map(|(host, _)| *host).collect();
        done.iter().for_each(|host| host.changed());
        join_all(done.iter().map(|host| host.shown())).await;
        let names: Vec<&str> = done.iter().map(|host| &**host.name()).collect();
        let names = HeaderValue::from_str(&names.join(", "));
        // The worst comes last.
        sent.sort_by_key(|(_, sent)| match sent {
            Ok(answer) if answer.head.status == StatusCode::NOT_FOUND => 0,
            Ok(answer) if answer.head.status.is_success() => 1,
            Err(_) => 2,
            Ok(_) => 3,
        });
        for (host, sent) in &sent {
            story.at(host, None, None);
            if let Err(error) = sent {
                story.missed(kind(error));
            }
        }
        let mut response = match sent.pop() {
            Some((host, Ok(answer))) => self.described(story, host, answer),
            Some((_, Err(error))) => self.failed(story, &error),
            None => return self.unserved(story),
        };
        if let (Ok(names), false) = (names, done.is_empty()) {
            response.headers_mut().insert(relay::HOST, names);
        }
        response
    }

    /// Sends to a host, as a part of the story.
    async fn ask(&self, story: &mut Story, host: &Arc<Host>, body: Outgoing) -> Result<Answer, SendError> {
        story.at(host, None, None);
        let sent = self.send(host, body).await;
        if let Err(error) = &sent {
            story.missed(kind(error));
        }
        sent
    }

    async fn send(&self, host: &Arc<Host>, body: Outgoing) -> Result<Answer, SendError> {
        let mut body = Some(body);
        let sent = self.pool.send(host.peer(), self.live.config.limits.connect, || Some(self.request(host, body.take()?)));
        let answer = sent.await;
        if answer.is_err() {
            host.suspect();
        }
        answer
    }

    fn request(&self, host: &Arc<Host>, body: Outgoing) -> Request<Outgoing> {
        let path = self.head.uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
        let mut request = Request::new(body);
        *request.method_mut() = self.head.method.clone();
        *request.uri_mut() = path_at(host, &path);
        let headers = request.headers_mut();
        *headers = self.head.headers.clone();
        OF_CONNECTION.iter().for_each(|name| drop(headers.remove(name)));
        // A body that was edited has another length.
        let lost = [header::ORIGIN, header::AUTHORIZATION, header::COOKIE, header::CONTENT_LENGTH, HeaderName::from_static("x-api-key")];
        for name in lost.iter().chain([&relay::HOST]) {
            headers.remove(name);
        }
        set_host(headers, host, self.head.headers.get(header::AUTHORIZATION));
        headers.append(header::VIA, self.live.via.clone());
        request
    }

    /// Hands an answer on. If it changes the host, its end waits until the host's lists show that.
    async fn answered(&self, story: Story, host: &Arc<Host>, mut answer: Answer) -> Response<Reply> {
        if CHANGES.contains(&self.path()) {
            if answer.head.headers.contains_key(header::CONTENT_LENGTH) {
                // The client knows the end by the length.
                host.changed();
                host.shown().await;
            } else {
                answer.body.changes(Arc::clone(host));
            }
        }
        self.described(story, host, answer)
    }

    fn described(&self, story: Story, host: &Arc<Host>, answer: Answer) -> Response<Reply> {
        let Answer { head, body } = answer;
        let mut headers = head.headers;
        OF_CONNECTION.iter().for_each(|name| drop(headers.remove(name)));
        let passed = Passed::new(host, head.status, &mut headers, body, story);
        let mut response = Response::new(Reply::Through(Box::new(passed)));
        *response.status_mut() = head.status;
        *response.headers_mut() = headers;
        response
    }

    fn failed(&self, story: Story, error: &SendError) -> Response<Reply> {
        story.end_through("failed", Some(error.to_string()));
        self.asked().refused(502, &error.to_string())
    }

    fn unserved(&self, story: Story) -> Response<Reply> {
        story.end_through("no_host", Some("no host is reachable".to_owned()));
        self.asked().no_host("answer")
    }
}

/// The route of a path, in the log and the counts.
fn route(path: &str) -> &'static str {
    if path.starts_with("/api/blobs/") {
        return "/api/blobs";
    }
    let named = NAMED.into_iter().find(|named| *named == path);
    named.or_else(|| Route::of(path).map(Route::path)).unwrap_or("other")
}

/// The kind of a failure, in the log.
fn kind(error: &SendError) -> &'static str {
    error.fault(Endpoint::Other).kind.name()
}

/// The body with the model's name for hosts, and unchanged if that is the client's name.
fn edited_for(body: &Bytes, fields: &Fields, key: Key, sent: &str) -> Bytes {
    let is_sent = fields.value(key).and_then(|span| text(body, &span)).is_some_and(|name| name == sent);
    if is_sent { body.clone() } else { edited(body, fields, &[Edit::Text(key, sent)]).into() }
}
