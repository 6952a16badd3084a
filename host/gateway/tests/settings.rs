//! Settings of the file, each seen at work through a gateway that serves.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

#[path = "common/passed.rs"]
mod passed;
#[path = "common/refused.rs"]
mod refused;
#[path = "common/shelf.rs"]
mod shelf;

use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::task::JoinHandle;
use upright_core::PolicySlot;
use upright_gateway::config::Config;
use upright_gateway::serve::{Gateway, StartOptions};
use upright_protocol::Route;
use upright_recordings::server::Server;
use upright_recordings::{Recording, named};
use upright_runtime::{Policy, PolicyLifecycle, SwapOptions};
use upright_test_kit::gate::Gate;

/// The routes of clients.
const ROUTES: [Route; 4] = [Route::Chat, Route::ChatCompletions, Route::Messages, Route::Responses];

fn plain(request: &Value) -> &'static Recording {
    named(if request["stream"] == false { "plain-longer-whole" } else { "plain-longer" })
}

/// A host that answers each question by this function.
fn host(answer: impl Fn(&Value) -> &'static Recording + Send + Sync + 'static) -> Server {
    Server::start(move |path, request| (path == "/api/chat").then(|| answer(request))).unwrap()
}

/// A host whose answers wait at this gate.
fn gated(gate: &Gate) -> Server {
    let gate = gate.clone();
    host(move |request| {
        gate.pass();
        plain(request)
    })
}

/// Opens a gate at the end of a test, also of one that fails: the gateway waits for requests in progress.
struct Opening(Gate);

impl Drop for Opening {
    fn drop(&mut self) {
        self.0.open();
    }
}

/// A gateway with these keys of `[listen]`, of each upstream, and these further tables.
fn gateway(hosts: &[&Server], listen: &str, upstream: &str, tables: &str) -> Gateway {
    let upstreams: String = hosts.iter().map(|host| format!("[[upstream]]\nurl = \"{}\"\n{upstream}\n", host.url())).collect();
    // A test that fails must not wait for long.
    let limits = if tables.contains("[limits]") { "" } else { "[limits]\nloading = \"20s\"\n" };
    let retry = "[retry]\nmax_retries = 1\nbase_delay = \"1ms\"\nmax_delay = \"2ms\"\n";
    let text = format!("{retry}{limits}{tables}\n[listen]\naddress = \"127.0.0.1:0\"\n{listen}\n{upstreams}");
    let config = Config::parse(&text, "test.toml").unwrap_or_else(|error| panic!("{error}"));
    Gateway::start(config, PolicySlot::native(), StartOptions { workers: 1, ..StartOptions::default() }).unwrap()
}

fn question(route: Route, streamed: bool, text: &str) -> Value {
    let messages = json!([{ "role": "user", "content": text }]);
    match route {
        Route::Responses => json!({ "model": "m", "stream": streamed, "input": text }),
        Route::Messages => json!({ "model": "m", "stream": streamed, "max_tokens": 200, "messages": messages }),
        _ => json!({ "model": "m", "stream": streamed, "messages": messages }),
    }
}

/// A chat in one piece.
fn hello() -> Value {
    question(Route::Chat, false, "Hello?")
}

struct Answered {
    status: u16,
    headers: reqwest::header::HeaderMap,
    text: String,
}

impl Answered {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap()
    }
}

async fn ask(gateway: &Gateway, route: Route, body: &Value) -> Answered {
    answered(url(gateway, route.path()), body.clone()).await
}

async fn answered(url: String, body: Value) -> Answered {
    let response = reqwest::Client::new().post(url).json(&body).send().await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    Answered { status, headers, text: response.text().await.unwrap() }
}

fn url(gateway: &Gateway, path: &str) -> String {
    format!("http://{}{path}", gateway.address())
}

/// A client that waits for its answer beside the test.
fn client(gateway: &Gateway) -> JoinHandle<Answered> {
    tokio::spawn(answered(url(gateway, "/api/chat"), hello()))
}

/// Waits until the metrics have this line.
async fn until(gateway: &Gateway, line: &str) {
    let seen = async {
        loop {
            let text = reqwest::get(url(gateway, "/metrics")).await.unwrap().text().await.unwrap();
            if text.contains(line) {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(30), seen).await.unwrap_or_else(|_| panic!("the metrics never had {line:?}"));
}

/// The questions that a host got.
fn asked(host: &Server) -> Vec<Value> {
    host.requests().into_iter().filter(|(path, _)| path == "/api/chat").map(|(_, request)| request).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_queue_refuses_at_once_and_a_client_that_hangs_up_leaves_it() {
    let gate = Gate::default();
    let host = gated(&gate);
    let gateway = gateway(&[&host], "max_queue = 1", "concurrency = 1", "");
    let first = client(&gateway);
    until(&gateway, "upright_gateway_open_requests 1\n").await;
    let gone = client(&gateway);
    until(&gateway, "upright_gateway_open_requests 2\n").await;
    for route in ROUTES {
        let refused = ask(&gateway, route, &question(route, true, "Hello?")).await;
        assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")), "{}", route.path());
        assert_eq!(refused.header("x-upright-outcome"), Some("queue_full"));
        let error = &refused.json()["error"];
        assert_eq!(error.is_string(), route == Route::Chat, "{error}");
    }
    gone.abort();
    until(&gateway, "outcome=\"client_gone\"").await;
    let second = client(&gateway);
    until(&gateway, "upright_gateway_open_requests 2\n").await;
    assert_eq!(asked(&host).len(), 0);
    gate.open();
    assert_eq!((first.await.unwrap().status, second.await.unwrap().status), (200, 200));
    assert_eq!(asked(&host).len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_waits_in_the_queue_no_longer_than_its_limit() {
    let gate = Gate::default();
    let host = gated(&gate);
    let gateway = gateway(&[&host], "", "concurrency = 1", "[limits]\nloading = \"20s\"\nqueue = \"20ms\"");
    let first = client(&gateway);
    until(&gateway, "upright_gateway_open_requests 1\n").await;
    let refused = ask(&gateway, Route::Chat, &hello()).await;
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")));
    gate.open();
    assert_eq!(first.await.unwrap().status, 200);
    assert_eq!(ask(&gateway, Route::Chat, &hello()).await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_waiting_request_goes_to_the_host_that_has_a_place_first() {
    let gates = [Gate::default(), Gate::default()];
    let hosts = [gated(&gates[0]), gated(&gates[1])];
    let gateway = gateway(&[&hosts[0], &hosts[1]], "", "concurrency = 1", "");
    let busy = [client(&gateway), client(&gateway)];
    until(&gateway, "upright_gateway_open_requests 2\n").await;
    let waiting = client(&gateway);
    until(&gateway, "upright_gateway_open_requests 3\n").await;
    gates[1].open();
    let answer = waiting.await.unwrap();
    let name = hosts[1].url().replace("http://", "");
    assert_eq!((answer.status, answer.header("x-upright-host")), (200, Some(&*name)));
    gates[0].open();
    for client in busy {
        assert_eq!(client.await.unwrap().status, 200);
    }
    assert_eq!(hosts.each_ref().map(|host| asked(host).len()), [1, 2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_model_is_asked_for_no_larger_window_than_its_setting_and_stays_loaded_for_its_time() {
    let refuses = |request: &Value| match request["options"]["num_ctx"].as_u64() {
        Some(6266..) => plain(request),
        _ => named("long-refused"),
    };
    // The question has 6,010 tokens, and an answer needs 256.
    for (window, expected) in [(6300, Some(6300)), (6265, None)] {
        let host = host(refuses);
        let settings = format!("[model.\"M:latest\"]\nwindow = {window}\nkeep_alive = \"30m\"");
        let gateway = gateway(&[&host], "", "", &settings);
        let answer = ask(&gateway, Route::Chat, &hello()).await;
        let last = asked(&host).pop().unwrap();
        assert_eq!(answer.status, if expected.is_some() { 200 } else { 400 }, "{window}: {}", answer.text);
        assert_eq!(last["options"]["num_ctx"].as_u64(), expected, "{window}");
        assert_eq!(last["keep_alive"], 1800);
        let mut own = hello();
        own["keep_alive"] = "5m".into();
        ask(&gateway, Route::Chat, &own).await;
        assert_eq!(asked(&host).pop().unwrap()["keep_alive"], "5m");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_answer_to_a_cut_question_passes_only_where_the_settings_say_so_and_is_marked() {
    // It ignores `truncate`.
    let cuts = |request: &Value| named(if request["stream"] == false { "long-whole" } else { "long" });
    for (tables, passes, truncate, window) in [
        ("", false, json!(false), None),
        ("[integrity]\nrefuse_cut_questions = false", true, json!(false), None),
        ("[window]\noverflow = \"truncate\"", true, Value::Null, Some("truncate")),
    ] {
        let host = host(cuts);
        let gateway = gateway(&[&host], "", "", tables);
        let long = "word ".repeat(6000);
        for route in ROUTES {
            let answer = ask(&gateway, route, &question(route, false, &long)).await;
            let shown = format!("{tables} {}: {}", route.path(), &answer.text);
            assert_eq!(answer.status == 200, passes, "{shown}");
            assert_eq!(answer.header("x-upright-question"), passes.then_some("cut"), "{shown}");
            assert_eq!(answer.header("x-upright-window"), window, "{shown}");
            assert_eq!(asked(&host).pop().unwrap()["truncate"], truncate, "{shown}");
        }
        if passes {
            let streamed = ask(&gateway, Route::Chat, &question(Route::Chat, true, &long)).await;
            assert_eq!(streamed.status, 200);
            assert!(streamed.text.contains("\"done\":true"), "{}", streamed.text);
            until(&gateway, "upright_gateway_cut_questions_total 5\n").await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_question_that_does_not_fit_is_an_error_at_once_where_the_window_must_not_grow() {
    let host = host(|_| named("long-refused"));
    let gateway = gateway(&[&host], "", "", "[window]\noverflow = \"error\"");
    for (index, route) in ROUTES.into_iter().enumerate() {
        let answer = ask(&gateway, route, &question(route, true, "Hello?")).await;
        assert_eq!((answer.status, asked(&host).len()), (400, index + 1), "{}: {}", route.path(), answer.text);
        if route == Route::ChatCompletions {
            assert_eq!(answer.json()["error"]["code"], "context_length_exceeded");
        }
    }
    assert!(asked(&host).iter().all(|request| request["options"]["num_ctx"].is_null() && request["truncate"] == false));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_is_not_streamed_may_take_longer_than_a_load_and_no_longer_than_its_own_limit() {
    let gate = Gate::default();
    let host = gated(&gate);
    let breaker = "[breaker]\nfailure_threshold = 100\nfailure_rate_threshold = 2.0\n";
    let patient = gateway(&[&host], "", "", &format!("{breaker}[limits]\nloading = \"20ms\""));
    let hasty = gateway(&[&host], "", "", &format!("{breaker}[limits]\nwhole_answer = \"20ms\""));
    let whole = client(&patient);
    until(&patient, "upright_gateway_open_requests 1\n").await;
    // It ends after the limit, and began later.
    let streamed = ask(&patient, Route::Chat, &question(Route::Chat, true, "Hello?")).await;
    assert_eq!(streamed.status, 504, "{}", streamed.text);
    assert!(streamed.text.contains("loading the model took longer"), "{}", streamed.text);
    let late = ask(&hasty, Route::Chat, &hello()).await;
    assert_eq!(late.status, 504, "{}", late.text);
    assert!(late.text.contains("the answer took longer than 0.020 s"), "{}", late.text);
    gate.open();
    let whole = whole.await.unwrap();
    assert_eq!((whole.status, whole.header("x-upright-attempts")), (200, Some("1")), "{}", whole.text);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_window_that_a_model_loaded_with_is_kept_though_its_answer_was_empty() {
    let host = host(|request| match request["options"]["num_ctx"].as_u64() {
        Some(6266..) => named("empty"),
        _ => named("long-refused"),
    });
    let gateway = gateway(&[&host], "", "", "");
    let first = ask(&gateway, Route::Chat, &hello()).await;
    assert!(first.status == 502 && first.text.contains("is empty"), "{} {}", first.status, first.text);
    let before = asked(&host).len();
    ask(&gateway, Route::Chat, &hello()).await;
    let windows: Vec<_> = asked(&host)[before..].iter().map(|request| request["options"]["num_ctx"].as_u64()).collect();
    assert!(!windows.is_empty() && windows.iter().all(|window| *window >= Some(6266)), "{windows:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_is_asked_to_come_again_only_where_the_answer_names_a_time() {
    let host = host(|_| named("inner-500-caller-whole"));
    let gateway = gateway(&[&host], "", "", "[breaker]\nfailure_threshold = 2\n");
    let first = ask(&gateway, Route::Chat, &hello()).await;
    assert_eq!((first.header("x-should-retry"), first.header("retry-after")), (Some("false"), None), "{}", first.text);
    let second = ask(&gateway, Route::Chat, &hello()).await;
    assert_eq!(second.header("x-upright-reason"), Some("circuit_open"), "{}", second.text);
    assert!(second.header("x-should-retry") == Some("true") && second.header("retry-after").is_some(), "{:?}", second.headers);
}

/// Sends the head of a request with a header of this length, and returns the first line of the answer.
fn head_of(gateway: &Gateway, length: usize) -> String {
    let mut stream = TcpStream::connect(gateway.address()).unwrap();
    let head = format!("GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nx-long: {}\r\n\r\n", "x".repeat(length));
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = Vec::new();
    // The connection may be reset after the answer.
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).lines().next().unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_longer_than_its_limit_is_refused() {
    let host = host(plain);
    for (max_head, length, line) in [
        ("8 KiB", 7 << 10, "HTTP/1.1 200 OK"),
        ("8 KiB", 9 << 10, "HTTP/1.1 431 Request Header Fields Too Large"),
        ("64 KiB", 9 << 10, "HTTP/1.1 200 OK"),
    ] {
        let gateway = gateway(&[&host], &format!("max_head = \"{max_head}\""), "", "");
        assert_eq!(head_of(&gateway, length), line, "{length} bytes, {max_head}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_finds_no_memory_is_refused_until_another_request_has_ended() {
    let gate = Gate::default();
    let host = gated(&gate);
    let gateway = gateway(&[&host], "max_body = \"4 KiB\"\nmax_body_memory = \"4 KiB\"", "", "");
    let _opening = Opening(gate.clone());
    let large = question(Route::Chat, false, &"x".repeat(3000));
    let first = tokio::spawn(answered(url(&gateway, "/api/chat"), large.clone()));
    until(&gateway, "upright_gateway_open_requests 1\n").await;
    let refused = ask(&gateway, Route::Chat, &large).await;
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")), "{}", refused.text);
    let too_large = ask(&gateway, Route::Chat, &question(Route::Chat, false, &"x".repeat(5000))).await;
    assert!([413, 503].contains(&too_large.status), "{}", too_large.status);
    gate.open();
    assert_eq!(first.await.unwrap().status, 200);
    assert_eq!(ask(&gateway, Route::Chat, &large).await.status, 200);
    let too_large = ask(&gateway, Route::Chat, &question(Route::Chat, false, &"x".repeat(5000))).await;
    assert_eq!(too_large.status, 413);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_equal_request_gets_the_kept_answer_without_a_call_only_where_the_cache_is_on() {
    for (enabled, calls) in [(true, 1), (false, 2)] {
        for route in ROUTES {
            for streamed in [true, false] {
                let host = host(plain);
                let gateway = gateway(&[&host], "", "", &format!("[cache]\nenabled = {enabled}"));
                let body = question(route, streamed, "Hello?");
                let answers = [ask(&gateway, route, &body).await, ask(&gateway, route, &body).await];
                let shown = format!("{} streamed {streamed}, cache {enabled}", route.path());
                assert_eq!(asked(&host).len(), calls, "{shown}");
                let outcomes = answers.each_ref().map(|answer| answer.header("x-upright-outcome"));
                assert_eq!(outcomes, [Some("live"), Some(if enabled { "cached" } else { "live" })], "{shown}");
                assert_eq!(answers[1].header("age").is_some(), enabled, "{shown}");
                let types = answers.each_ref().map(|answer| answer.header("content-type"));
                assert_eq!((answers[1].status, types[0]), (200, types[1]), "{shown}");
                // Others have an identity of their own in each answer.
                if route == Route::Chat {
                    assert_eq!(answers[0].text, answers[1].text, "{shown}");
                }
                ask(&gateway, route, &question(route, streamed, "Goodbye?")).await;
                assert_eq!(asked(&host).len(), calls + 1, "{shown}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stale_answer_serves_when_the_host_fails_and_a_cut_one_is_never_kept() {
    let fails = Arc::new(AtomicBool::new(false));
    let is_failing = Arc::clone(&fails);
    let answer = move |request: &Value| if is_failing.load(Ordering::SeqCst) { named("inner-500-caller-whole") } else { plain(request) };
    let host_that_fails = host(answer);
    let on = "[cache]\nenabled = true\nfresh_for = \"1ms\"\nstale_for = \"1h\"";
    let first = gateway(&[&host_that_fails], "", "", on);
    let live = ask(&first, Route::Chat, &hello()).await;
    fails.store(true, Ordering::SeqCst);
    let stale = loop {
        let again = ask(&first, Route::Chat, &hello()).await;
        // It is fresh for a millisecond.
        if again.header("x-upright-outcome") != Some("cached") {
            break again;
        }
    };
    assert_eq!((stale.status, stale.header("x-upright-outcome")), (200, Some("stale")), "{}", stale.text);
    assert_eq!(stale.text, live.text);
    let other = ask(&first, Route::Chat, &question(Route::Chat, false, "Goodbye?")).await;
    assert_ne!(other.status, 200);

    let cut = host(|_| named("cut-whole"));
    let second = gateway(&[&cut], "", "", on);
    for _ in 0..2 {
        assert_ne!(ask(&second, Route::Chat, &hello()).await.status, 200);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_of_64_clients_fails_while_settings_policy_and_hosts_change() {
    let hosts = [host(plain), host(plain)];
    let config = |names: &[usize], window: u32| {
        let upstreams: String = names.iter().map(|index| format!("[[upstream]]\nurl = \"{}\"\n", hosts[*index].url())).collect();
        let text = format!("[listen]\naddress = \"127.0.0.1:0\"\n{upstreams}[model.m]\nwindow = {window}\n");
        Config::parse(&text, "test.toml").unwrap()
    };
    let policies = PolicyLifecycle::built_in();
    let options = StartOptions { workers: 2, ..StartOptions::default() };
    let gateway = Gateway::start(config(&[0, 1], 4096), policies.slot().clone(), options).unwrap();
    let ended = Arc::new(AtomicBool::new(false));
    let clients: Vec<JoinHandle<usize>> = (0..64)
        .map(|_| {
            let (ended, url) = (Arc::clone(&ended), url(&gateway, "/api/chat"));
            tokio::spawn(async move {
                let client = reqwest::Client::new();
                let mut answers = 0;
                while !ended.load(Ordering::Acquire) || answers == 0 {
                    let answer = client.post(&url).json(&hello()).send().await.unwrap();
                    let (status, text) = (answer.status().as_u16(), answer.text().await.unwrap());
                    assert!(status == 200 && text.contains("goodbye"), "{status}: {text}");
                    answers += 1;
                }
                answers
            })
        })
        .collect();
    until(&gateway, "outcome=\"whole\"").await;
    // The second host is drained, comes back, and the first one is drained.
    for (round, names) in [&[0][..], &[0, 1], &[1], &[1, 0]].into_iter().cycle().take(40).enumerate() {
        assert!(gateway.reload(&config(names, 4096 + u32::try_from(round).unwrap())).unwrap().is_empty());
        policies.swap(Policy::built_in().unwrap(), &SwapOptions::default()).unwrap();
        let answer = ask(&gateway, Route::Chat, &hello()).await;
        assert_eq!(answer.status, 200, "{round}: {}", answer.text);
    }
    ended.store(true, Ordering::Release);
    let mut answers = 0;
    for client in clients {
        answers += client.await.unwrap();
    }
    println!("{answers} answers, 40 reloads and 40 swaps");
}
