//! Answers that break off, stall, say that they failed, or end without their end.

use super::*;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::mpsc::{Receiver, Sender, channel};

/// Routes with the sign of an error in their streams and with that of an end.
const SIGNS: [(Route, &str, &str); 4] = [
    (Route::Chat, "{\"error\":", "\"done\":true"),
    (Route::ChatCompletions, "data: {\"error\":", "[DONE]"),
    (Route::Messages, "event: error", "message_stop"),
    (Route::Responses, "event: response.failed", "response.completed"),
];

/// Resets a connection, so that bytes on their way are lost.
fn reset(line: &mut Line) {
    let _ = socket2::SockRef::from(&line.stream).set_linger(Some(Duration::ZERO));
    line.close();
}

fn words(asked: &Asked, line: &mut Line, text: &str) {
    assert_eq!(asked.json()["stream"], true);
    line.head(NDJSON);
    text.split_inclusive(' ').for_each(|word| line.line(&piece(word)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_breaks_after_its_content_ends_as_an_error_that_names_the_break_and_never_as_text_of_two_hosts() {
    for (route, error, end) in SIGNS {
        for resets in [true, false] {
            let cut = ModelHost::ollama(&["m:latest"], move |asked, line| {
                words(asked, line, "The sky is blue ");
                if resets { reset(line) } else { line.close() }
            });
            let whole = ModelHost::ollama(&["m:latest"], |asked, line| says(asked, line, "Grass looks green"));
            // The second host has the model, too, but less of the traffic.
            let gateway = gateway_of(&format!("[[upstream]]\nurl = \"{}\"\n[[upstream]]\nurl = \"{}\"\n", cut.url(), whole.url()));
            until(&gateway, "/readyz", "ready").await;
            let answer = loop {
                let answer = ask(&gateway, route.path(), &question(route, "m", true)).await;
                if !cut.questions().is_empty() {
                    break answer;
                }
            };
            let shown = format!("{}, reset {resets}: {}", route.path(), answer.text);
            assert!(!(answer.text.contains("sky") && answer.text.contains("Grass")), "{shown}");
            if answer.text.contains("sky") {
                assert!(!answer.whole && answer.text.contains(error) && !answer.text.contains(end), "{shown}");
                assert!(answer.text.contains("broke"), "{shown}");
            } else {
                // A reset may overtake the content: then the second host answers.
                assert!(resets && answer.whole && answer.text.contains("Grass"), "{shown}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_ends_properly_by_http_and_without_done_is_an_error_and_one_without_a_last_line_end_is_whole() {
    type Script = fn(&mut Line, Value, Value);
    let scripts: [(&str, bool, bool, Script); 4] = [
        ("its chunks end", true, false, |line, piece, _| {
            line.head(NDJSON);
            line.line(&piece);
            line.end();
        }),
        ("its connection closes", true, false, |line, piece, _| {
            line.send(format!("HTTP/1.1 200 OK\r\ncontent-type: {NDJSON}\r\nconnection: close\r\n\r\n{piece}\n"));
            line.close();
        }),
        ("in one piece with done: false", false, false, |line, piece, _| line.json(200, &piece)),
        ("its last line has no line end", true, true, |line, piece, end| {
            line.head(NDJSON);
            line.line(&piece);
            line.piece(end.to_string());
            line.end();
        }),
    ];
    for (name, streamed, is_whole, script) in scripts {
        for (route, error, last) in SIGNS {
            let host = ModelHost::ollama(&["m:latest"], move |_, line| script(line, piece("Blue"), end()));
            let gateway = gateway(&[&host], "");
            let answer = ask(&gateway, route.path(), &question(route, "m", streamed)).await;
            let shown = format!("{name}, {}: {} {}", route.path(), answer.status, answer.text);
            if is_whole {
                assert!(answer.whole && answer.text.contains("Blue") && answer.text.contains(last), "{shown}");
            } else if streamed {
                assert!(!answer.whole && answer.text.contains(error) && !answer.text.contains(last), "{shown}");
            } else {
                assert!(answer.status >= 500 && answer.text.contains("error"), "{shown}");
            }
            // A healthy host beside it answers a question without a stream.
            let second = ModelHost::ollama(&["m:latest"], |asked, line| says(asked, line, "Green"));
            let gateway = super::gateway(&[&host, &second], "");
            if !streamed {
                let answer = ask(&gateway, route.path(), &question(route, "m", false)).await;
                assert!(answer.status == 200 && answer.text.contains("Green"), "{name}, {}: {}", route.path(), answer.text);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_line_in_a_stream_reaches_each_client_as_an_error_of_its_protocol_or_another_host_answers() {
    let failed = json!({ "error": "an error was encountered while running the model: unexpected EOF" });
    for (route, error, last) in SIGNS {
        for begins in [true, false] {
            let line_of_error = failed.clone();
            let host = ModelHost::ollama(&["m:latest"], move |asked, line| {
                words(asked, line, if begins { "one two three four five " } else { "" });
                line.line(&line_of_error);
                line.end();
            });
            let alone = gateway(&[&host], "");
            let answer = ask(&alone, route.path(), &question(route, "m", true)).await;
            let shown = format!("{}, content {begins}: {} {}", route.path(), answer.status, answer.text);
            assert!(answer.text.contains("unexpected EOF") && !answer.text.contains(last), "{shown}");
            assert_eq!((answer.text.contains("five"), answer.status == 200, answer.whole), (begins, begins, !begins), "{shown}");
            assert!(!begins || answer.text.contains(error), "{shown}");
            if !begins {
                let second = ModelHost::ollama(&["m:latest"], |asked, line| says(asked, line, "Green"));
                let both = gateway(&[&host, &second], "");
                let answer = ask(&both, route.path(), &question(route, "m", true)).await;
                assert!(answer.whole && answer.text.contains("Green") && answer.text.contains(last), "{}: {}", route.path(), answer.text);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_falls_silent_for_good_ends_as_an_error_and_its_host_is_let_go() {
    let limits = "[limits]\nbetween_content = \"100ms\"\nfirst_content = \"100ms\"\n";
    for (route, error, last) in SIGNS {
        let host = ModelHost::ollama(&["m:latest"], |asked, line| {
            words(asked, line, "one two ");
            line.gone();
        });
        let alone = gateway(&[&host], limits);
        let answer = ask(&alone, route.path(), &question(route, "m", true)).await;
        let shown = format!("{}: {}", route.path(), answer.text);
        assert!(!answer.whole && answer.text.contains("two") && answer.text.contains(error) && !answer.text.contains(last), "{shown}");
        until(&alone, "/metrics", "upright_gateway_open_requests 0\n").await;
        upright_test_kit::wait::until("the host's connection is closed", async || host.open() == 0).await;

        // Silent before its content: another host answers.
        let silent = ModelHost::ollama(&["m:latest"], |_, line| {
            line.head(NDJSON);
            line.gone();
        });
        let second = ModelHost::ollama(&["m:latest"], |asked, line| says(asked, line, "Green"));
        let both = gateway(&[&silent, &second], limits);
        let answer = ask(&both, route.path(), &question(route, "m", true)).await;
        assert!(answer.whole && answer.text.contains("Green"), "{}: {}", route.path(), answer.text);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silence_before_a_tool_call_is_healthy_and_the_same_silence_without_tools_is_a_stall() {
    let limits = "[limits]\nbetween_content = \"100ms\"\nfirst_content = \"1m\"\n";
    let call = json!([{ "function": { "name": "get_weather", "arguments": { "city": "Oslo" } } }]);
    let host = ModelHost::ollama(&["m:latest"], move |asked, line| {
        words(asked, line, "Let me see ");
        line.silent(WHILE);
        let mut calls = piece("");
        calls["message"]["tool_calls"] = call.clone();
        line.line(&calls);
        line.line(&end());
        line.end();
    });
    let gateway = gateway(&[&host], limits);
    let tool = json!({ "type": "function", "function": { "name": "get_weather", "parameters": { "type": "object" } } });
    for (route, error, last) in &SIGNS[..2] {
        for tools in [true, false] {
            let mut body = question(*route, "m", true);
            if tools {
                body["tools"] = json!([tool]);
            }
            let answer = ask(&gateway, route.path(), &body).await;
            let shown = format!("{}, tools {tools}: {}", route.path(), answer.text);
            assert_eq!((answer.whole, answer.text.contains("Oslo"), answer.text.contains(last)), (tools, tools, tools), "{shown}");
            assert_eq!(answer.text.contains(error), !tools, "{shown}");
        }
    }
}

/// A host that sends what a test tells it, piece by piece, and says when a piece is out.
struct InStep {
    host: ModelHost,
    pieces: Sender<Option<Value>>,
}

impl InStep {
    fn start() -> Self {
        let (pieces, come): (_, Receiver<Option<Value>>) = channel();
        let come = Mutex::new(come);
        let host = ModelHost::ollama(&["m:latest"], move |_, line| {
            line.head(NDJSON);
            while let Ok(Some(piece)) = come.lock().unwrap().recv() {
                line.line(&piece);
            }
            line.end();
        });
        Self { host, pieces }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_piece_reaches_the_client_before_the_host_has_sent_the_next_and_thinking_is_content() {
    for route in ROUTES {
        let InStep { host, pieces } = InStep::start();
        // A stall would be an error.
        let gateway = gateway(&[&host], "");
        let mut response: Option<reqwest::Response> = None;
        let mut seen = String::new();
        for number in 0..100 {
            let mut next = piece(&format!("w{number} "));
            if number < 10 {
                next["message"] = json!({ "role": "assistant", "content": "", "thinking": format!("w{number} ") });
            }
            pieces.send(Some(next)).unwrap();
            if response.is_none() {
                let mut body = question(route, "m", true);
                body["thinking"] = json!({ "type": "enabled", "budget_tokens": 100 });
                let sent = reqwest::Client::new().post(url(&gateway, route.path())).json(&body).send();
                response = Some(upright_test_kit::wait::within(sent).await.unwrap());
            }
            let response = response.as_mut().unwrap();
            let piece = format!("w{number} ");
            while !seen.contains(&piece) {
                let chunk = tokio::time::timeout(Duration::from_secs(30), response.chunk()).await;
                let chunk = chunk.unwrap_or_else(|_| panic!("{}: {piece:?} did not come: {seen}", route.path()));
                seen += std::str::from_utf8(&chunk.unwrap().unwrap()).unwrap();
            }
        }
        pieces.send(Some(end())).unwrap();
        pieces.send(None).unwrap();
        let rest = response.unwrap().bytes().await.unwrap();
        seen += std::str::from_utf8(&rest).unwrap();
        let last = SIGNS.iter().find(|(of, ..)| *of == route).unwrap().2;
        assert!(seen.contains(last), "{}: {seen}", route.path());
        if route == Route::ChatCompletions {
            assert!(seen.contains("\"reasoning\":\"w0 \""), "{seen}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_answer_ends_with_an_error_and_without_the_last_chunk_and_a_client_of_http_1_0_sees_a_reset() {
    for (route, error, _) in SIGNS {
        for version in ["1.1", "1.0"] {
            let host = ModelHost::ollama(&["m:latest"], |asked, line| {
                words(asked, line, "one two three four five ");
                line.close();
            });
            let gateway = gateway(&[&host], "");
            let address = gateway.address();
            let body = question(route, "m", true).to_string();
            let (received, ended) = tokio::task::spawn_blocking(move || {
                let mut client = TcpStream::connect(address).unwrap();
                let head = format!("POST {} HTTP/{version}\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n", route.path(), body.len());
                client.write_all((head + &body).as_bytes()).unwrap();
                let mut received = Vec::new();
                let ended = client.read_to_end(&mut received).map(|_| ());
                (String::from_utf8(received).unwrap(), ended)
            })
            .await
            .unwrap();
            let shown = format!("{} HTTP/{version}, {ended:?}: {received}", route.path());
            assert!(received.contains("five") && received.contains(error) && !received.contains("\r\n0\r\n"), "{shown}");
            assert_eq!(ended.is_err(), version == "1.0", "{shown}");
        }
    }
}
