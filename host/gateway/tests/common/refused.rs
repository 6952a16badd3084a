//! Refusals in the client's own protocol, packed bodies, and small promises of the gateway's own answers.

use super::{Answered, Gate, Opening, Route, answered, ask, asked, gated, gateway, host, plain, question, until, url};
use ruzstd::encoding::{CompressionLevel, compress_to_vec};
use serde_json::{Value, json};
use std::time::Duration;

/// Checks that an error has the form of its route's protocol, and returns its message.
pub(crate) fn message(path: &str, answer: &Answered) -> String {
    let body = answer.json();
    let error = &body["error"];
    assert!(answer.header("x-upright-id").is_some(), "{path}: {:?}", answer.headers);
    assert_eq!(body["type"] == "error", path.starts_with("/v1/messages"), "{path}: {body}");
    assert_eq!(error["type"].is_string(), path.starts_with("/v1/"), "{path}: {body}");
    error["message"].as_str().or(error.as_str()).unwrap_or_else(|| panic!("{path}: {body}")).to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_has_the_form_of_the_clients_own_protocol() {
    let host = host(plain);
    // SHA-256 of "right".
    let tables = "[access.keys.laptop]\nsha256 = \"27042f4e6eca7d0b2a7ee4026df2ecfa51d3339e6d122aa099118ecd8563bad9\"";
    let (small, keyed) = (gateway(&[&host], "max_body = \"1 KiB\"", "", ""), gateway(&[&host], "", "", tables));
    let paths = ["/api/chat", "/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/messages", "/v1/responses"];
    for path in paths {
        let long = answered(url(&small, path), json!({ "model": "m", "input": "x".repeat(2000) })).await;
        assert_eq!((long.status, message(path, &long).contains("max_body")), (413, true), "{path}");
        let denied = answered(url(&keyed, path), json!({ "model": "m" })).await;
        assert_eq!((denied.status, message(path, &denied).contains("API key")), (401, true), "{path}");
    }
    // On the others Ollama misses another member first.
    for path in ["/api/chat", "/v1/messages", "/v1/responses"] {
        let empty = answered(url(&small, path), json!({})).await;
        assert_eq!((empty.status, &*message(path, &empty)), (400, "model is required"), "{path}");
    }
    for route in [Route::Chat, Route::ChatCompletions, Route::Messages, Route::Responses] {
        let mut blank = question(route, false, "Hello?");
        blank["model"] = " ".into();
        let blank = ask(&small, route, &blank).await;
        assert_eq!((blank.status, &*message(route.path(), &blank)), (400, "model is required"), "{}", route.path());
    }
    assert_eq!(asked(&host).len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_has_one_number() {
    let host = host(plain);
    let gateway = gateway(&[&host], "", "", "");
    for _ in 0..3 {
        let answer = ask(&gateway, Route::ChatCompletions, &question(Route::ChatCompletions, false, "Hello?")).await;
        assert_eq!(answer.json()["id"], format!("chatcmpl-{}", answer.header("x-upright-id").unwrap()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_head_of_the_root_has_the_length_of_its_text() {
    let host = host(plain);
    let gateway = gateway(&[&host], "", "", "");
    let head = reqwest::Client::new().head(url(&gateway, "/")).send().await.unwrap();
    assert_eq!((head.status().as_u16(), head.headers()["content-length"].to_str().unwrap()), (200, "17"));
    assert_eq!(head.text().await.unwrap(), "");
}

async fn packed(url: String, body: Vec<u8>) -> Answered {
    let request = reqwest::Client::new().post(url).header("content-type", "application/json").header("content-encoding", "zstd");
    let response = request.body(body).send().await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    Answered { status, headers, text: response.text().await.unwrap() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_packed_by_zstd_is_read_on_v1_as_ollama_reads_it() {
    let host = host(plain);
    let gateway = gateway(&[&host], "max_body = \"1 MiB\"", "", "");
    let pack = |body: &Value| compress_to_vec(body.to_string().as_bytes(), CompressionLevel::Fastest);
    for route in [Route::ChatCompletions, Route::Messages, Route::Responses] {
        let text = "Hello?".repeat(10_000);
        let whole = packed(url(&gateway, route.path()), pack(&question(route, false, &text))).await;
        assert_eq!(whole.status, 200, "{}: {}", route.path(), whole.text);
        assert_eq!(asked(&host).pop().unwrap()["messages"][0]["content"], text);
        let plain = packed(url(&gateway, route.path()), question(route, false, "Hello?").to_string().into_bytes()).await;
        assert_eq!((plain.status, &*message(route.path(), &plain)), (400, "invalid input: magic number mismatch"));
        let bomb = packed(url(&gateway, route.path()), pack(&question(route, false, &"x".repeat(2 << 20)))).await;
        assert_eq!((bomb.status, message(route.path(), &bomb).contains("1048576 bytes")), (413, true), "{}", bomb.text);
    }
    assert_eq!(packed(url(&gateway, "/api/chat"), pack(&question(Route::Chat, false, "Hello?"))).await.status, 400);
    assert_eq!(asked(&host).len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_packed_body_takes_memory_for_its_largest_size_and_gives_back_what_it_does_not_need() {
    let gate = Gate::default();
    let host = gated(&gate);
    let gateway = gateway(&[&host], "max_body = \"64 KiB\"\nmax_body_memory = \"100 KiB\"", "", "");
    let _opening = Opening(gate.clone());
    let route = Route::ChatCompletions;
    let small = compress_to_vec(question(route, false, "Hello?").to_string().as_bytes(), CompressionLevel::Fastest);
    let waiting: Vec<_> = (1..=4).map(|_| tokio::spawn(packed(url(&gateway, route.path()), small.clone()))).collect();
    until(&gateway, "upright_gateway_open_requests 4\n").await;
    let large = tokio::spawn(answered(url(&gateway, "/api/chat"), question(Route::Chat, false, &"x".repeat(60 << 10))));
    until(&gateway, "upright_gateway_open_requests 5\n").await;
    let refused = tokio::time::timeout(Duration::from_secs(30), packed(url(&gateway, route.path()), small)).await.unwrap();
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")), "{}", refused.text);
    gate.open();
    for answer in waiting.into_iter().chain([large]) {
        assert_eq!(answer.await.unwrap().status, 200);
    }
}
