//! The faults of a real Ollama that clients take for success, byte for byte, through the gateway, in each protocol.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod common;

use common::{FAULTS, WHOLE, faulty, gateway, healthy};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use upright_gateway::serve::Gateway;
use upright_protocol::{Asked, Reader, Route, Verdict};

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
    (seen, format!("status {status}, whole {whole}, {verdict:?}: {text}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_fault_passes_in_silence_and_a_second_host_answers_whole() {
    let mut counts: BTreeMap<(&str, Seen), usize> = BTreeMap::new();
    let mut wrong = Vec::new();
    let mut table = String::new();
    for fault in &FAULTS {
        // Tools are offered with a question about the weather.
        let question = if fault.has_tools() { "What is the weather in Paris?" } else { "Hello?" };
        for route in ROUTES {
            for streamed in [true, false] {
                let (first, second) = (faulty(fault), healthy());
                for (with, hosts) in [("a second host", &[&first, &second][..]), ("one host", &[&first])] {
                    let gateway = gateway(hosts);
                    let (seen, shown) = ask(&gateway, route, streamed, question).await;
                    *counts.entry((with, seen)).or_default() += 1;
                    let way = if streamed { "stream" } else { "whole" };
                    table += &format!("{:42} {:22} {way:6} {with:14} {seen:?}\n", fault.name, route.path());
                    let recovers = with == "a second host" && !(streamed && fault.is_final) || fault.is_of_the_window();
                    let expected = if recovers { Seen::Recovered } else { Seen::Told };
                    if seen != expected || seen == Seen::Told && !shown.contains(fault.says) {
                        wrong.push(format!("{}, {}, streamed {streamed}, with {with}: {shown}", fault.name, route.path()));
                    }
                }
            }
        }
    }
    println!("{table}{counts:?}");
    assert!(wrong.is_empty(), "{} cells are wrong:\n{}", wrong.len(), wrong.join("\n\n"));
}
