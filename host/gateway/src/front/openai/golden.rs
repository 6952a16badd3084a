//! Compares answers with those that a real Ollama gave on `/v1`, and on `/api` to the same model in the same state.

use super::{error, translate};
use crate::front::{ErrorFacts, Refused, Stamp, Translated};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use upright_protocol::{Asked, Route};
use upright_recordings::{Body, Recording, named, recordings};

const STAMP: Stamp = Stamp { id: 7, created: 1_795_929_912 };

/// Recordings whose names are not alike.
const PAIRS: [(&str, &str); 3] =
    [("v1-chat-stream-usage", "chat-stream"), ("v1-embeddings", "embed"), ("v1-embeddings-missing", "embed-missing-model")];

/// The exchange of `/api` that belongs to one of `/v1`.
fn native(recording: &Recording) -> Option<Body> {
    let name = recording.name.as_str();
    let native = match PAIRS.iter().find(|(known, _)| *known == name) {
        Some((_, native)) => (*native).to_owned(),
        None => match name.strip_prefix("c-") {
            Some(rest) => format!("g-{rest}"),
            None => name.strip_prefix("v1-").or_else(|| name.strip_suffix("-v1"))?.to_owned(),
        },
    };
    recordings().iter().find(|recording| recording.name == native)?.body()
}

/// Exchanges of the translated routes: name, translated request, answer of `/api`, answer of `/v1`.
fn pairs() -> impl Iterator<Item = (&'static str, Translated, Body, Body)> {
    recordings().iter().filter_map(|recording| {
        let route = Route::of(&recording.request.path)?;
        let translated = translate(route, &recording.request.bytes(), STAMP)?.ok()?;
        Some((recording.name.as_str(), translated, native(recording)?, recording.body()?))
    })
}

fn read(json: &[u8]) -> Value {
    serde_json::from_slice(json).unwrap()
}

/// The JSON with its members in order, without what differs from exchange to exchange.
fn plain(json: &[u8]) -> String {
    let mut json = read(json);
    for name in ["id", "created"] {
        assert!(json.get(name).is_some(), "{json}");
        json[name] = Value::Null;
    }
    for choice in json["choices"].as_array_mut().unwrap() {
        for part in ["delta", "message"] {
            let calls = choice.get_mut(part).and_then(|part| part.get_mut("tool_calls")).and_then(Value::as_array_mut);
            calls.into_iter().flatten().for_each(|call| call["id"] = Value::Null);
        }
    }
    json.to_string()
}

fn events(stream: &[u8]) -> Vec<String> {
    let text = std::str::from_utf8(stream).unwrap();
    let data = text.split_terminator("\n\n").map(|event| event.strip_prefix("data: ").unwrap());
    // Ollama hides an error of `/api` behind a piece without a model.
    let data = data.filter(|data| !data.contains(r#""model":"""#));
    data.map(|data| if data == "[DONE]" { data.to_owned() } else { plain(data.as_bytes()) }).collect()
}

#[test]
fn answers_equal_those_of_ollama() {
    let (mut whole, mut streamed) = (0, 0);
    for (name, mut translated, native, recorded) in
        pairs().filter(|(_, _, native, recorded)| native.status == 200 && recorded.status == 200)
    {
        if !Asked::read(translated.route, &translated.body).streamed {
            let written = translated.writer.whole(&native.bytes).unwrap();
            assert_eq!(plain(&written), plain(&recorded.bytes), "{name}");
            whole += 1;
            continue;
        }
        let (mut out, mut ended) = (Vec::new(), false);
        for line in native.bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let json = read(line);
            assert_eq!(translated.writer.line(line, &mut out).is_err(), json.get("error").is_some(), "{name}: {json}");
            ended = json["done"] == true;
        }
        if ended {
            translated.writer.end(&mut out);
        }
        assert_eq!(events(&out), events(&recorded.bytes), "{name}");
        streamed += 1;
    }
    assert!(whole >= 18 && streamed >= 20, "{whole} whole, {streamed} streamed");
}

#[test]
fn errors_equal_those_of_ollama() {
    let mut compared = 0;
    for (name, translated, native, recorded) in pairs().filter(|(_, _, native, recorded)| native.status >= 400 && recorded.status >= 400) {
        // A year ago a missing model was an `api_error`.
        if name.starts_with("old-") {
            continue;
        }
        let message = read(&native.bytes)["error"].as_str().unwrap().to_owned();
        let answer = translated.writer.error(&ErrorFacts { status: native.status, message, code: None, retry_after: None });
        assert_eq!((answer.status, read(&answer.body).to_string()), (recorded.status, read(&recorded.bytes).to_string()), "{name}");
        compared += 1;
    }
    assert!(compared >= 12, "{compared}");
}

#[test]
fn requests_that_ollama_refuses_itself_are_refused_in_its_words() {
    for name in ["v1-chat-bad-json", "v1-chat-no-messages", "v1-chat-content-wrong", "v1-chat-image-url"] {
        let recording = named(name);
        let recorded = recording.body().unwrap();
        match translate(Route::ChatCompletions, &recording.request.bytes(), STAMP).unwrap().err() {
            Some(Refused::Invalid { status, body }) => {
                assert_eq!((status, read(&body).to_string()), (recorded.status, read(&recorded.bytes).to_string()), "{name}");
            }
            other => panic!("{name}: {other:?}"),
        }
    }
}

#[test]
fn a_translated_request_asks_for_the_same() {
    let mut compared = 0;
    for recording in recordings() {
        let Some(route) = Route::of(&recording.request.path) else { continue };
        let body = recording.request.bytes();
        let Some(Ok(translated)) = translate(route, &body, STAMP) else { continue };
        let (asked, native) = (Asked::read(route, &body), Asked::read(translated.route, &translated.body));
        let facts = |asked: &Asked| (asked.tools, asked.format, asked.thinking, asked.images, asked.words, asked.seed_fixed);
        assert_eq!(facts(&native), facts(&asked), "{}", recording.name);
        assert_eq!(native.streamed, asked.streamed, "{}", recording.name);
        assert_eq!(translated.model, read(&body)["model"], "{}", recording.name);
        compared += 1;
    }
    assert!(compared >= 70, "{compared}");
}

fn chat(request: Value) -> Translated {
    let mut body = json!({ "model": "m", "messages": [{ "role": "user", "content": "hi" }] });
    body.as_object_mut().unwrap().extend(request.as_object().unwrap().clone());
    translate(Route::ChatCompletions, body.to_string().as_bytes(), STAMP).unwrap().unwrap()
}

fn written(translated: &mut Translated, lines: &[Value]) -> Vec<Value> {
    let mut out = Vec::new();
    lines.iter().for_each(|line| translated.writer.line(line.to_string().as_bytes(), &mut out).unwrap());
    let text = String::from_utf8(out).unwrap();
    text.split_terminator("\n\n").map(|event| read(event.strip_prefix("data: ").unwrap().as_bytes())).collect()
}

#[test]
fn a_line_with_thinking_and_content_becomes_two_chunks() {
    let call = json!({ "function": { "name": "f", "arguments": { "b": 1, "a": "<" } } });
    let logprobs = json!([{ "token": "x", "logprob": -0.5 }]);
    let line = json!({ "model": "m", "message": { "role": "assistant", "content": "said", "thinking": "thought", "tool_calls": [call] },
        "logprobs": logprobs, "done": true });
    let mut translated = chat(json!({ "stream": true, "stream_options": { "include_usage": true } }));
    let chunks = written(&mut translated, &[line]);
    let choices: Vec<String> = chunks.iter().map(|chunk| chunk["choices"].to_string()).collect();
    assert_eq!(
        choices,
        [
            r#"[{"index":0,"delta":{"role":"assistant","reasoning":"thought"},"finish_reason":null,"logprobs":{"content":[{"token":"x","logprob":-0.5}]}}]"#,
            r#"[{"index":0,"delta":{"content":"said","tool_calls":[{"id":"","index":0,"type":"function","function":{"name":"f","arguments":"{\"b\":1,\"a\":\"<\"}"}}]},"finish_reason":null}]"#,
            r#"[{"index":0,"delta":{},"finish_reason":"tool_calls"}]"#,
            "[]",
        ]
    );
    assert_eq!(chunks[3]["usage"], json!({ "prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0 }));
    for chunk in &chunks {
        assert_eq!((&chunk["id"], &chunk["created"]), (&json!("chatcmpl-7"), &json!(STAMP.created)));
    }
}

#[test]
fn every_chunk_of_a_completion_has_a_usage_where_it_is_asked_for() {
    let body = json!({ "model": "m", "prompt": "x", "stream": true, "stream_options": { "include_usage": true } });
    let mut translated = translate(Route::Completions, body.to_string().as_bytes(), STAMP).unwrap().unwrap();
    let chunks = written(
        &mut translated,
        &[
            json!({ "model": "m", "response": "a", "done": false }),
            json!({ "model": "m", "response": "", "done": true, "done_reason": "stop", "prompt_eval_count": 2, "eval_count": 1 }),
        ],
    );
    let usages: Vec<String> = chunks.iter().map(|chunk| chunk["usage"]["total_tokens"].to_string()).collect();
    assert_eq!(usages, ["0", "0", "3"]);
    assert_eq!(chunks[2]["choices"], json!([]));
    assert_eq!(chunks[0]["id"], "cmpl-7");
}

#[test]
fn logprobs_pass_unchanged() {
    let native = named("chat-logprobs").body().unwrap().bytes;
    let answer = chat(json!({ "logprobs": true, "top_logprobs": 2 })).writer.whole(&native).unwrap();
    assert_eq!(read(&answer)["choices"][0]["logprobs"]["content"].to_string(), read(&native)["logprobs"].to_string());
}

#[test]
fn embeddings_are_lists_of_numbers_or_base64() {
    let native = named("old-embed").body().unwrap().bytes;
    let numbers = read(&native)["embeddings"][0].clone();
    for encoding in ["float", "BASE64"] {
        let body = json!({ "model": "tiny", "input": "hello", "encoding_format": encoding });
        let mut translated = translate(Route::Embeddings, body.to_string().as_bytes(), STAMP).unwrap().unwrap();
        let mut answer = read(&translated.writer.whole(&native).unwrap());
        let embedding = answer["data"][0]["embedding"].take();
        let frame = r#"{"object":"list","data":[{"object":"embedding","embedding":null,"index":0}],"model":"tiny","usage":{"prompt_tokens":1,"total_tokens":1}}"#;
        assert_eq!(answer.to_string(), frame);
        let expected: Vec<f32> = serde_json::from_value(numbers.clone()).unwrap();
        let found: Vec<f32> = match embedding {
            Value::String(text) => {
                let bytes = STANDARD.decode(text).unwrap();
                bytes.chunks_exact(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect()
            }
            numbers => serde_json::from_value(numbers).unwrap(),
        };
        assert_eq!(found, expected, "{encoding}");
    }
}

#[test]
fn an_answer_of_another_kind_is_unreadable() {
    for (route, body) in [
        (Route::ChatCompletions, json!({ "messages": [{ "role": "user", "content": "hi" }] })),
        (Route::Completions, json!({})),
        (Route::Embeddings, json!({ "input": "x" })),
    ] {
        let mut writer = translate(route, body.to_string().as_bytes(), STAMP).unwrap().unwrap().writer;
        for answer in ["", "{", "[]", "null", "{}", r#"{"error":"it stopped"}"#, r#"{"message":5,"response":5,"embeddings":5}"#] {
            let mut out = Vec::new();
            assert!(writer.whole(answer.as_bytes()).is_err() && writer.line(answer.as_bytes(), &mut out).is_err(), "{route:?}: {answer}");
            assert_eq!(out, b"", "{route:?}: {answer}");
        }
    }
}

#[test]
fn an_error_has_its_type_and_its_code_and_ends_a_stream_without_an_end_marker() {
    let facts = |status, code| ErrorFacts { status, message: "too \"long\"".to_owned(), code, retry_after: None };
    for (status, code, expected) in [
        (400, Some("context_length_exceeded"), r#""type":"invalid_request_error","param":null,"code":"context_length_exceeded""#),
        (404, Some("model_not_found"), r#""type":"not_found_error","param":null,"code":"model_not_found""#),
        (503, None, r#""type":"api_error","param":null,"code":null"#),
    ] {
        let body = format!(r#"{{"error":{{"message":"too \"long\"",{expected}}}}}"#);
        assert_eq!(String::from_utf8(error(&facts(status, code)).body).unwrap(), body);
        let mut out = Vec::new();
        chat(json!({ "stream": true })).writer.error_in_stream(&facts(status, code), &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), format!("data: {body}\n\n"));
    }
}

#[test]
fn the_content_type_is_that_of_events_or_of_json() {
    let writer = chat(json!({ "stream": true })).writer;
    assert_eq!((writer.wire(true), writer.wire(false)), ("text/event-stream", "application/json; charset=utf-8"));
}
