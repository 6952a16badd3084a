//! The middleware over real HTTP: repeated requests, waits, and results equal to plain `reqwest`.
//!
//! A binary of its own, because it is built only with the feature `reqwest-middleware`.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use futures_util::stream;
use http::Extensions;
use reqwest::{Body, Method, Request, Response, StatusCode};
use reqwest_middleware::{ClientBuilder, ClientWithMiddleware, Error as ClientError, Middleware, Next};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use upright::ollama::BaseUrl;
use upright::reqwest_middleware::{RecoveryMiddleware, Repeatable};
use upright::retry::RetryStrategyBuilder;
use upright::testing::DrivenClock;
use upright::types::{Phase, Reason};
use upright::{CircuitBreaker, Error, Hedge, RetryStrategy};
use upright_simulator::{FaultServer, Match};
use upright_test_kit::scripted::{Scripted, Series, Then, answer, nobody};
use upright_test_kit::wait::within;

fn plain(clock: &DrivenClock) -> RetryStrategyBuilder {
    RetryStrategy::builder().base_delay(Duration::from_secs(3)).jitter(false).use_circuit_breaker(false).clock(clock.shared())
}

fn bare() -> ClientBuilder {
    ClientBuilder::new(reqwest::Client::builder().no_proxy().build().unwrap())
}

fn client(strategy: RetryStrategy) -> ClientWithMiddleware {
    bare().with(RecoveryMiddleware::new(strategy)).build()
}

fn url(address: &BaseUrl, path: &str) -> String {
    format!("{address}{path}")
}

fn delays(clock: &DrivenClock) -> Vec<u64> {
    clock.waits().iter().filter(|wait| **wait > Duration::from_secs(1)).map(Duration::as_secs).collect()
}

fn ours(error: &ClientError) -> &Error {
    match error {
        ClientError::Middleware(error) => error.downcast_ref().expect("another error"),
        ClientError::Reqwest(error) => panic!("not ours: {error}"),
    }
}

async fn tags(server: &FaultServer, strategy: RetryStrategy) -> Response {
    within(client(strategy).get(format!("{}/api/tags", server.url())).send()).await.unwrap()
}

#[tokio::test]
async fn a_server_that_is_busy_is_asked_again_and_its_answer_arrives() {
    let clock = DrivenClock::skipping();
    let server = FaultServer::start().await.unwrap();
    server.plan(Match::any(), &["server-busy", "ok"]).unwrap();
    let response = tags(&server, plain(&clock).build().unwrap()).await;
    assert_eq!(response.status(), 200);
    assert!(response.text().await.unwrap().contains("qwen3:8b"));
    assert_eq!((server.count("/api/tags"), delays(&clock)), (2, vec![3]));
}

#[tokio::test]
async fn statuses_that_pass_are_retried_and_those_of_the_callers_mistakes_are_not() {
    for (status, requests) in
        [(408, 2), (425, 2), (429, 2), (500, 2), (502, 2), (503, 2), (504, 2), (529, 2), (400, 1), (401, 1), (404, 1), (501, 1), (304, 1)]
    {
        let clock = DrivenClock::skipping();
        let server = Series::start(vec![answer(status, "", ""), answer(200, "", "")]).await;
        let strategy = plain(&clock).max_retries(1).build().unwrap();
        let response = within(client(strategy).get(url(&server.address, "/")).send()).await.unwrap();
        assert_eq!(response.status(), if requests == 1 { status } else { 200 });
        assert_eq!(server.requests().len(), requests, "{status}");
    }
}

#[tokio::test]
async fn the_wait_that_the_server_asks_for_is_kept_in_seconds_and_as_a_date() {
    let date = |clock: &DrivenClock| httpdate::fmt_http_date(upright::clock::Clock::wall(clock) + Duration::from_secs(20));
    let seconds = |_: &DrivenClock| "20".to_owned();
    for value in [seconds as fn(&_) -> _, date] {
        let clock = DrivenClock::skipping();
        let busy = answer(503, &format!("Retry-After: {}\r\n", value(&clock)), "");
        let server = Series::start(vec![busy, answer(200, "", "")]).await;
        let response = within(client(plain(&clock).build().unwrap()).get(url(&server.address, "/")).send()).await.unwrap();
        // Up to a quarter longer, so that rejected clients do not return at once.
        let delays = delays(&clock);
        assert!(response.status() == 200 && matches!(delays[..], [20..=25]), "{} after {delays:?} s", response.status());
    }
}

#[tokio::test]
async fn a_wait_that_is_too_long_is_not_waited_for() {
    let clock = DrivenClock::skipping();
    let server = Series::start(vec![answer(429, "Retry-After: 3600\r\n", "come back later")]).await;
    let response = within(client(plain(&clock).build().unwrap()).get(url(&server.address, "/")).send()).await.unwrap();
    assert_eq!((response.status(), delays(&clock)), (StatusCode::TOO_MANY_REQUESTS, vec![]));
    assert_eq!(response.text().await.unwrap(), "come back later");
}

#[tokio::test]
async fn the_last_answer_that_failed_arrives_with_status_headers_and_body() {
    let clock = DrivenClock::skipping();
    let long: String = (0..2000).map(|line| format!("line {line} of the server's excuse\n")).collect();
    let last = answer(503, "x-request-id: 7\r\n", &long);
    let server = Series::start(vec![answer(500, "", "first"), last]).await;
    let strategy = plain(&clock).max_retries(1).build().unwrap();
    let address = url(&server.address, "/path?query=1");
    let response = within(client(strategy).get(&address).send()).await.unwrap();
    assert_eq!((response.status().as_u16(), response.url().as_str()), (503, address.as_str()));
    assert_eq!(response.headers()["x-request-id"], "7");
    assert_eq!(response.content_length(), Some(long.len() as u64));
    assert!(response.remote_addr().is_some());
    assert_eq!(within(response.text()).await.unwrap(), long);
}

#[tokio::test]
async fn the_middleware_decides_by_the_text_of_an_error_body() {
    // A stopped clock: nothing may wait.
    let clock = DrivenClock::new();
    let server = FaultServer::start().await.unwrap();
    server.plan(Match::any(), &["weekly-usage-limit"]).unwrap();
    let response = tags(&server, plain(&clock).build().unwrap()).await;
    assert_eq!((response.status().as_u16(), server.count("/api/tags")), (429, 1));
    let body = within(response.text()).await.unwrap();
    assert!(body.contains("weekly usage limit"), "{body}");
}

#[tokio::test]
async fn an_answer_whose_words_do_not_come_is_handed_on_after_a_second() {
    let clock = DrivenClock::new();
    let head = b"HTTP/1.1 400 -\r\ncontent-length: 100\r\n\r\nhalf a".to_vec();
    let server = Scripted::start(vec![head], Then::Hang).await;
    let client = client(plain(&clock).build().unwrap());
    let request = client.get(url(&server.address, "/")).send();
    let time = async {
        while clock.waits() != [Duration::from_secs(1)] {
            tokio::task::yield_now().await;
        }
        clock.advance(Duration::from_secs(1));
    };
    let (response, ()) = within(futures_util::future::join(request, time)).await;
    let mut response = response.unwrap();
    assert_eq!((response.status().as_u16(), response.content_length()), (400, Some(100)));
    assert_eq!(within(response.chunk()).await.unwrap().unwrap(), "half a");
}

#[tokio::test]
async fn a_post_is_not_repeated_unless_it_has_a_key_or_its_caller_says_that_it_may_be() {
    type Prepare = fn(reqwest_middleware::RequestBuilder) -> reqwest_middleware::RequestBuilder;
    let cases: [(&str, Prepare, usize); 6] = [
        ("a post", |request| request, 1),
        ("with a key", |request| request.header("Idempotency-Key", "8e03978e"), 2),
        ("repeatable", |request| request.with_extension(Repeatable(true)), 2),
        ("with a key, not repeatable", |request| request.header("Idempotency-Key", "1").with_extension(Repeatable(false)), 1),
        ("with a body", |request| request.header("Idempotency-Key", "1").body("again"), 2),
        ("streamed", |request| request.with_extension(Repeatable(true)).body(streamed("once")), 1),
    ];
    for (case, prepare, requests) in cases {
        let clock = DrivenClock::skipping();
        let server = Series::start(vec![answer(503, "", "busy"), answer(200, "", "done")]).await;
        let client = client(plain(&clock).build().unwrap());
        let response = within(prepare(client.post(url(&server.address, "/"))).send()).await.unwrap();
        assert_eq!(response.status(), if requests == 1 { 503 } else { 200 }, "{case}");
        assert_eq!(within(response.text()).await.unwrap(), if requests == 1 { "busy" } else { "done" }, "{case}");
        let seen = server.requests();
        assert_eq!(seen.len(), requests, "{case}");
        assert!(case != "with a body" || seen.iter().all(|request| request.ends_with("\r\n\r\nagain")), "{seen:?}");
    }
}

fn streamed(text: &'static str) -> Body {
    Body::wrap_stream(stream::iter([Ok::<_, std::io::Error>(text)]))
}

#[tokio::test]
async fn a_post_that_was_refused_or_never_arrived_is_repeated() {
    let clock = DrivenClock::skipping();
    let server = Series::start(vec![answer(429, "", ""), answer(200, "", "")]).await;
    let client = client(plain(&clock).build().unwrap());
    assert_eq!(within(client.post(url(&server.address, "/")).send()).await.unwrap().status(), 200);
    let error = within(client.post(url(&nobody().await, "/")).send()).await.unwrap_err();
    assert_eq!(ours(&error).failure().unwrap().attempts, 4);
}

#[tokio::test]
async fn with_a_strategy_that_is_not_idempotent_a_get_is_repeated_only_if_it_is_said_to_be_repeatable() {
    for (repeatable, requests) in [(false, 1), (true, 2)] {
        let clock = DrivenClock::skipping();
        let server = Series::start(vec![answer(503, "", ""), answer(200, "", "")]).await;
        let request = client(plain(&clock).idempotent(false).build().unwrap()).get(url(&server.address, "/"));
        let request = if repeatable { request.with_extension(Repeatable(true)) } else { request };
        within(request.send()).await.unwrap();
        assert_eq!(server.requests().len(), requests);
    }
}

#[tokio::test]
async fn a_slow_get_gets_a_hedge_attempt_and_a_slow_post_does_not() {
    for (method, after, requests) in [(Method::GET, 2, 2), (Method::POST, 5, 1)] {
        let clock = DrivenClock::new();
        let server = FaultServer::start().await.unwrap();
        server.plan(Match::any(), &["hang-before-headers", "ok"]).unwrap();
        let hedge = Hedge::builder("slow").delay(Duration::from_secs(2)).build().unwrap();
        let strategy = plain(&clock).max_retries(0).attempt_timeout(Duration::from_secs(5)).hedge(hedge).build().unwrap();
        let request = client(strategy).request(method.clone(), format!("{}/api/tags", server.url())).send();
        let time = async {
            server.wait_for("/api/tags", 1).await;
            clock.advance(Duration::from_secs(after));
        };
        let (outcome, ()) = within(futures_util::future::join(request, time)).await;
        assert_eq!((server.count("/api/tags"), outcome.is_ok()), (requests, method == Method::GET), "{method}");
    }
}

#[tokio::test]
async fn a_refused_connection_is_tried_again_and_fails_with_our_error_inside_the_clients() {
    let clock = DrivenClock::skipping();
    let error = within(client(plain(&clock).build().unwrap()).get(url(&nobody().await, "/")).send()).await.unwrap_err();
    let failure = ours(&error).failure().unwrap();
    assert_eq!((failure.attempts, failure.reason, delays(&clock)), (4, Reason::AttemptsExhausted, vec![3, 6, 12]));
    assert_eq!(failure.classification.rule, "connection-refused");
    assert!(ours(&error).downcast_ref::<reqwest::Error>().unwrap().is_connect());
}

#[tokio::test]
async fn a_transport_failure_after_an_answer_is_how_the_attempts_end() {
    let clock = DrivenClock::skipping();
    let server = Series::start(vec![answer(503, "", "busy"), String::new()]).await;
    let strategy = plain(&clock).max_retries(1).build().unwrap();
    let error = within(client(strategy).get(url(&server.address, "/")).send()).await.unwrap_err();
    assert_eq!(ours(&error).failure().unwrap().classification.rule, "connection-reset");
}

#[tokio::test]
async fn an_open_breaker_sends_nothing_and_says_so() {
    let clock = DrivenClock::skipping();
    let breaker = CircuitBreaker::builder("server").failure_threshold(2).clock(clock.shared()).build().unwrap();
    let server = FaultServer::start().await.unwrap();
    server.always(Match::any(), "server-busy").unwrap();
    let client = client(plain(&clock).breaker(breaker.clone()).build().unwrap());
    let request = || client.get(format!("{}/api/tags", server.url())).send();
    assert_eq!(within(request()).await.unwrap().status(), 503);
    assert_eq!((breaker.state(), server.count("/api/tags")), (Phase::Open, 2));
    for request in [request(), client.post(server.url()).send(), client.post(server.url()).body(streamed("once")).send()] {
        let error = within(request).await.unwrap_err();
        assert!(matches!(ours(&error), Error::CircuitOpen(open) if &*open.breaker == "server"), "{error}");
    }
    assert_eq!(server.requests().len(), 2);
}

#[tokio::test]
async fn an_answer_that_speaks_against_the_caller_opens_no_breaker() {
    let clock = DrivenClock::skipping();
    let breaker = CircuitBreaker::builder("server").failure_threshold(1).clock(clock.shared()).build().unwrap();
    let server = Series::start(vec![answer(404, "", "no such page")]).await;
    let client = client(plain(&clock).breaker(breaker.clone()).build().unwrap());
    assert_eq!(within(client.get(url(&server.address, "/")).send()).await.unwrap().text().await.unwrap(), "no such page");
    assert_eq!(breaker.state(), Phase::Closed);
}

#[derive(Default)]
struct Numbers(Arc<AtomicU32>);

#[derive(Clone, Debug, PartialEq)]
struct Number(u32);

#[async_trait::async_trait]
impl Middleware for Numbers {
    async fn handle(&self, request: Request, extensions: &mut Extensions, next: Next<'_>) -> reqwest_middleware::Result<Response> {
        assert!(extensions.get::<Number>().is_none(), "an attempt sees what another one left");
        extensions.insert(Number(self.0.fetch_add(1, Ordering::SeqCst) + 1));
        next.run(request, extensions).await
    }
}

#[tokio::test]
async fn middlewares_below_see_each_attempt_and_what_the_last_one_left_is_kept() {
    let clock = DrivenClock::skipping();
    let server = Series::start(vec![answer(503, "", ""), answer(200, "", "")]).await;
    let recovery = RecoveryMiddleware::new(plain(&clock).build().unwrap());
    let client = bare().with(recovery).with(Numbers::default()).build();
    let request = Request::new(Method::GET, url(&server.address, "/").parse().unwrap());
    let mut extensions = Extensions::new();
    assert_eq!(within(client.execute_with_extensions(request, &mut extensions)).await.unwrap().status(), 200);
    assert_eq!(extensions.get(), Some(&Number(2)));
}

struct Refuses;

#[async_trait::async_trait]
impl Middleware for Refuses {
    async fn handle(&self, _: Request, _: &mut Extensions, _: Next<'_>) -> reqwest_middleware::Result<Response> {
        Err(ClientError::middleware(std::io::Error::from(std::io::ErrorKind::PermissionDenied)))
    }
}

#[tokio::test]
async fn the_error_of_a_middleware_below_is_classified_by_what_it_is() {
    let clock = DrivenClock::skipping();
    let client = bare().with(RecoveryMiddleware::new(plain(&clock).build().unwrap())).with(Refuses).build();
    let error = within(client.get("http://127.0.0.1/").send()).await.unwrap_err();
    assert_eq!(ours(&error).failure().unwrap().classification.rule, "permission-denied");
    assert!(ours(&error).downcast_ref::<std::io::Error>().is_some());
}
