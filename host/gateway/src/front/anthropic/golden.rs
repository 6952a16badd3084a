//! Compares a front with a real Ollama, which answered the same words of a scripted inner server on several routes.

use crate::front::{ErrorFacts, Refused, Stamp, Translated};
use serde_json::{Value, json};
use upright_protocol::{Asked, Judgement, Reader, Route};
use upright_recordings::named;

pub(in crate::front) type Translate = fn(&[u8], Stamp) -> Result<Translated, Refused>;

pub(in crate::front) const STAMP: Stamp = Stamp { id: 7, created: 1_795_930_000 };

/// Lines of a recorded answer of `/api/chat`, without an error line, as if the model `caller` had answered.
pub(in crate::front) fn lines(chat: &str) -> Vec<Vec<u8>> {
    let body = named(chat).body().unwrap().bytes;
    let lines = body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let lines = lines.map(|line| serde_json::from_slice::<Value>(line).unwrap()).filter(|line| line.get("message").is_some());
    let by_caller = |mut line: Value| {
        line["model"] = "caller".into();
        line.to_string().into_bytes()
    };
    lines.map(by_caller).collect()
}

/// Answer that is written for these lines.
pub(in crate::front) fn answer(translate: Translate, request: &[u8], lines: &[Vec<u8>]) -> Vec<u8> {
    let mut translated = translate(request, STAMP).unwrap();
    if !Asked::read(translated.route, &translated.body).streamed {
        return translated.writer.whole(&lines[0]).unwrap();
    }
    let mut out = Vec::new();
    for line in lines {
        translated.writer.line(line, &mut out).unwrap();
    }
    translated.writer.end(&mut out);
    out
}

/// Compares the answer on `route` for the lines of `chat` with the recorded one: each byte but ids, times and Ollama's
/// guess of tokens, and the judge's verdict.
pub(in crate::front) fn compare(translate: Translate, route: Route, chat: &str, recorded: &str) {
    let request = named(recorded).request.bytes();
    let ours = answer(translate, &request, &lines(chat));
    let theirs = named(recorded).body().unwrap().bytes;
    assert_eq!(comparable(&ours), comparable(&theirs), "{recorded}");
    assert_eq!(judged(route, &request, &ours), judged(route, &request, &theirs), "{recorded}");
}

fn judged(route: Route, request: &[u8], answer: &[u8]) -> Judgement {
    let mut reader = Reader::new(Asked::read(route, request), 200);
    reader.push(answer);
    reader.end(true)
}

/// Events of a stream, or the one document.
pub(in crate::front) fn events(body: &[u8]) -> Vec<(String, Value)> {
    let text = std::str::from_utf8(body).unwrap();
    let events = text.split("\n\n").map(str::trim).filter(|event| !event.is_empty());
    let read = |event: &str| {
        let (name, data) = event.split_once("\ndata: ").unwrap_or(("", event));
        (name.trim_start_matches("event: ").to_owned(), serde_json::from_str(data).unwrap())
    };
    events.map(read).collect()
}

/// Events without what differs by chance.
pub(in crate::front) fn comparable(body: &[u8]) -> Vec<String> {
    let comparable = |(name, mut data): (String, Value)| {
        if name == "message_start" {
            data["message"]["usage"]["input_tokens"] = 0.into();
        }
        forget(&mut data);
        format!("{name} {data}")
    };
    events(body).into_iter().map(comparable).collect()
}

/// Ollama writes `null` for an empty list, at which clients fail.
fn forget(data: &mut Value) {
    match data {
        Value::Object(members) => {
            for (name, value) in members {
                match name.as_str() {
                    "id" | "item_id" | "call_id" | "request_id" => *value = "*".into(),
                    "created_at" | "completed_at" if value.is_number() => *value = 0.into(),
                    "content" | "output" if value.is_null() => *value = json!([]),
                    _ => forget(value),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(forget),
        _ => {}
    }
}

/// The value with each part replaced by values of other types.
fn broken(value: &Value) -> Vec<Value> {
    let wrong = r#"[null, true, -1, 1.5, 1e300, "", "x", [], [null], [7], {}, {"x": 7}]"#;
    let mut variants: Vec<Value> = serde_json::from_str(wrong).unwrap();
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                variants.extend(broken(member).into_iter().map(|variant| {
                    let mut other = value.clone();
                    other[name] = variant;
                    other
                }));
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                variants.extend(broken(item).into_iter().map(|variant| {
                    let mut other = value.clone();
                    other[index] = variant;
                    other
                }));
            }
        }
        _ => {}
    }
    variants
}

/// Message of a request that is refused as the client's mistake.
pub(in crate::front) fn mistake(translate: Translate, body: &[u8]) -> Option<String> {
    match translate(body, STAMP) {
        Err(Refused::Invalid { status: 400, body }) => {
            let error: Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(error["error"]["type"], "invalid_request_error");
            Some(error["error"]["message"].as_str().unwrap().to_owned())
        }
        Err(Refused::Invalid { status, .. }) => panic!("status {status}"),
        Err(Refused::Untranslatable { .. }) => None,
        Ok(translated) => {
            let chat: Value = serde_json::from_slice(&translated.body).unwrap();
            assert!(chat["model"].is_string() && chat["messages"].is_array() && chat["options"].is_object(), "{chat}");
            None
        }
    }
}

/// Ollama's request for a client's.
pub(in crate::front) fn chat(translate: Translate, client: &Value) -> Value {
    let translated = translate(client.to_string().as_bytes(), STAMP).unwrap();
    assert_eq!((translated.route, translated.path), (Route::Chat, "/api/chat"));
    serde_json::from_slice(&translated.body).unwrap()
}

/// Events that are written for each beginning of a recorded answer of `/api/chat` that lacks its end.
pub(in crate::front) fn unfinished(translate: Translate, chat: &str, recorded: &str) -> Vec<Vec<(String, Value)>> {
    let (request, lines) = (named(recorded).request.bytes(), lines(chat));
    let unfinished = lines.iter().filter(|line| !String::from_utf8_lossy(line).contains("\"done\":true")).count();
    (0..=unfinished).map(|read| events(&answer(translate, &request, &lines[..read]))).collect()
}

/// Checks that a valid request is translated, and is refused or translated with any part of it damaged or cut off.
pub(in crate::front) fn survives_damage(translate: Translate, full: &Value) {
    let text = full.to_string();
    assert_eq!(mistake(translate, text.as_bytes()), None);
    let variants = broken(full);
    let refused = variants.iter().filter(|variant| mistake(translate, variant.to_string().as_bytes()).is_some()).count();
    assert!(refused > 100 && refused < variants.len(), "{refused} of {}", variants.len());
    for end in 0..text.len() {
        assert!(mistake(translate, &text.as_bytes()[..end]).is_some(), "{end}");
    }
}

/// Compares errors in place of an answer with recorded ones.
pub(in crate::front) fn compare_errors(translate: Translate, client: &Value, recorded: [&str; 4]) {
    for name in recorded {
        let recorded = named(name).body().unwrap();
        let message = events(&recorded.bytes)[0].1["error"]["message"].as_str().unwrap().to_owned();
        let translated = translate(client.to_string().as_bytes(), STAMP).unwrap();
        let answer = translated.writer.error(&ErrorFacts { status: recorded.status, message, code: None, retry_after: None });
        assert_eq!(answer.status, recorded.status);
        assert_eq!(comparable(&answer.body), comparable(&recorded.bytes), "{name}");
    }
}
