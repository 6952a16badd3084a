//! The faults of a real Ollama that clients take for success, byte for byte, through the gateway, in each protocol.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use serde_json::{Value, json};
use std::collections::BTreeMap;
use upright_core::PolicySlot;
use upright_gateway::config::Config;
use upright_gateway::serve::{Gateway, StartOptions};
use upright_protocol::{Asked, Reader, Route, Verdict};
use upright_recordings::server::Server;
use upright_recordings::{Recording, named};

/// A fault, and its recordings on `/api/chat`: streamed and whole.
const FAULTS: [(&str, &str, &str); 8] = [
    ("the inner server dies in the middle", "cut", "cut-whole"),
    ("the inner server ends without an end", "ends-early", "ends-early-whole"),
    ("the inner server sends an error event", "error-event", "error-event-whole"),
    ("endless repetition", "repeat", "repeat-whole"),
    ("the model writes nothing", "empty-stream", "empty"),
    ("a tool call is cut", "tool-call-cut", "tool-call-cut-whole"),
    ("the question is longer than the window", "long", "long-whole"),
    ("a 500 at once", "inner-500-caller", "inner-500-caller-whole"),
];

/// The healthy host's answer.
const WHOLE: &str = "Hello there, and goodbye.";

/// The routes of clients.
const ROUTES: [Route; 4] = [Route::Chat, Route::ChatCompletions, Route::Messages, Route::Responses];

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Seen {
    /// The client took a wrong answer for whole.
    Silent,
    /// The client saw an error.
    Told,
    /// The client got the healthy host's answer, whole.
    Recovered,
}

fn is_streamed(request: &Value) -> bool {
    request["stream"] != false
}

fn healthy() -> Server {
    let choose = |path: &str, request: &Value| {
        (path == "/api/chat").then(|| named(if is_streamed(request) { "plain-longer" } else { "plain-longer-whole" }))
    };
    Server::start(choose).unwrap()
}

/// A host that has one fault. One that refuses a long question answers it with a window that is large enough.
fn faulty(streamed: &'static str, whole: &'static str) -> Server {
    let choose = move |path: &str, request: &Value| -> Option<&'static Recording> {
        let of_chat = || match streamed {
            "long" if request["options"]["num_ctx"].as_u64() > Some(6000) => {
                if is_streamed(request) {
                    "plain-longer"
                } else {
                    "plain-longer-whole"
                }
            }
            "long" if request["truncate"] == false => "long-refused",
            _ if is_streamed(request) => streamed,
            _ => whole,
        };
        (path == "/api/chat").then(|| named(of_chat()))
    };
    Server::start(choose).unwrap()
}

fn gateway(hosts: &[&Server], config: &str) -> Gateway {
    let upstreams: String = hosts.iter().map(|host| format!("[[upstream]]\nurl = \"{}\"\n", host.url())).collect();
    let retry = "[retry]\nmax_retries = 2\nbase_delay = \"1ms\"\nmax_delay = \"2ms\"\n";
    let text = format!("{retry}{config}[listen]\naddress = \"127.0.0.1:0\"\n{upstreams}");
    let config = Config::parse(&text, "test.toml").unwrap_or_else(|error| panic!("{error}"));
    Gateway::start(config, PolicySlot::native(), StartOptions { workers: 1, recovers: true }).unwrap()
}

fn request(route: Route, streamed: bool, question: &str) -> Value {
    let message = json!([{ "role": "user", "content": question }]);
    let mut request = match route {
        Route::Responses => json!({ "model": "m", "input": question }),
        Route::Messages => json!({ "model": "m", "max_tokens": 200, "messages": message }),
        _ => json!({ "model": "m", "messages": message }),
    };
    request["stream"] = streamed.into();
    if question.contains("weather") {
        let parameters = json!({ "type": "object", "properties": { "city": { "type": "string" } } });
        request["tools"] = match route {
            Route::Messages => json!([{ "name": "get_weather", "input_schema": parameters }]),
            Route::Responses => json!([{ "type": "function", "name": "get_weather", "parameters": parameters }]),
            _ => json!([{ "type": "function", "function": { "name": "get_weather", "parameters": parameters } }]),
        };
    }
    request
}

/// Asks as a client does, and judges what came as the client should.
async fn ask(gateway: &Gateway, route: Route, streamed: bool, question: &str) -> (Seen, String) {
    let body = request(route, streamed, question);
    let url = format!("http://{}{}", gateway.address(), route.path());
    let sent = reqwest::Client::new().post(url).json(&body).send().await;
    let mut response = match sent {
        Ok(response) => response,
        Err(error) => return (Seen::Told, error.to_string()),
    };
    let status = response.status().as_u16();
    let mut reader = Reader::new(Asked::read(route, body.to_string().as_bytes()), status);
    let (mut bytes, mut whole) = (Vec::new(), true);
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) => {
                reader.push(&chunk);
                bytes.extend_from_slice(&chunk);
            }
            Ok(None) => break,
            Err(_) => {
                whole = false;
                break;
            }
        }
    }
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let verdict = reader.end(whole).verdict;
    let said: String = text.split(['"', '\\']).collect();
    let is_healthy = WHOLE.split(' ').all(|word| said.contains(word.trim_matches(['.', ','])));
    let seen = match verdict {
        Verdict::Whole | Verdict::UsedUpLength if is_healthy && whole => Seen::Recovered,
        Verdict::Failed(_) | Verdict::Cut(_) => Seen::Told,
        _ if !whole || status >= 400 => Seen::Told,
        _ => Seen::Silent,
    };
    (seen, format!("status {status}, whole {whole}, {verdict:?}: {}", &text[..text.floor_char_boundary(600)]))
}

fn question(fault: &str) -> &'static str {
    // Tools are offered with a question about the weather.
    if fault == "a tool call is cut" { "What is the weather in Paris?" } else { "Hello?" }
}

/// Whether content reaches the client before the fault, so that no other host can take over unseen.
fn breaks_after_content(fault: &str, streamed: bool) -> bool {
    let faults = [
        "the inner server dies in the middle",
        "the inner server ends without an end",
        "the inner server sends an error event",
        "endless repetition",
    ];
    streamed && faults.contains(&fault)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_fault_passes_in_silence_and_a_second_host_answers_whole() {
    let mut counts: BTreeMap<(&str, Seen), usize> = BTreeMap::new();
    let mut wrong = Vec::new();
    let mut table = String::new();
    for (fault, streamed_name, whole_name) in FAULTS {
        for route in ROUTES {
            for streamed in [true, false] {
                let (first, second) = (faulty(streamed_name, whole_name), healthy());
                for (with, hosts) in [("a second host", &[&first, &second][..]), ("one host", &[&first])] {
                    let gateway = gateway(hosts, "");
                    let (seen, shown) = ask(&gateway, route, streamed, question(fault)).await;
                    *counts.entry((with, seen)).or_default() += 1;
                    table += &format!("{fault:42} {:22} {} {with:14} {seen:?}\n", route.path(), if streamed { "stream" } else { "whole " });
                    let recovers = with == "a second host" && !breaks_after_content(fault, streamed) || streamed_name == "long";
                    if seen != if recovers { Seen::Recovered } else { Seen::Told } {
                        wrong.push(format!("{fault}, {}, streamed {streamed}, with {with}: {shown}", route.path()));
                    }
                }
            }
        }
    }
    println!("{table}{counts:?}");
    assert!(wrong.is_empty(), "{} cells are wrong:\n{}", wrong.len(), wrong.join("\n\n"));
}
