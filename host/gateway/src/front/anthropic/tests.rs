use super::golden::{STAMP, answer, chat, compare, compare_errors, events, lines, mistake, survives_damage, unfinished};
use super::translate;
use crate::front::{ErrorFacts, Refused};
use serde_json::{Value, json};
use upright_protocol::Route;
use upright_recordings::named;

/// Streams of `/api/chat` and `/v1/messages`.
const STREAMS: [(&str, &str); 10] = [
    ("plain", "m-plain"),
    ("plain-longer", "m-plain-longer"),
    ("length", "m-length"),
    ("long", "m-long"),
    ("empty-stream", "m-empty"),
    ("tool-call", "m-tool-call"),
    ("cut", "m-inner-cut"),
    ("ends-early", "m-inner-ends-early"),
    ("error-event", "m-error-event"),
    ("repeat", "m-repeat"),
];

/// Whole answers of `/api/chat` and `/v1/messages`.
const WHOLE: [(&str, &str); 5] = [
    ("plain-whole", "m-plain-whole"),
    ("plain-longer-whole", "m-plain-longer-whole"),
    ("length-whole", "m-length-whole"),
    ("long-whole", "m-long-whole"),
    ("empty", "m-empty-whole"),
];

fn client() -> Value {
    json!({"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]})
}

fn with(name: &str, value: Value) -> Value {
    let mut client = client();
    client[name] = value;
    client
}

#[test]
fn answers_are_written_as_ollama_writes_them() {
    for (chat, messages) in STREAMS.into_iter().chain(WHOLE) {
        compare(translate, Route::Messages, chat, messages);
    }
}

#[test]
fn an_answer_without_its_end_has_no_message_stop() {
    for (chat, messages) in STREAMS {
        for written in unfinished(translate, chat, messages) {
            assert!(written.iter().all(|(name, _)| name != "message_stop" && name != "message_delta"), "{chat}");
        }
    }
    for chat in ["ends-early-whole", "error-event-whole", "repeat-whole"] {
        let mut translated = translate(client().to_string().as_bytes(), STAMP).unwrap();
        assert!(translated.writer.whole(&lines(chat)[0]).is_err(), "{chat}");
    }
}

#[test]
fn errors_are_written_as_ollama_writes_them() {
    compare_errors(translate, &client(), ["v1-messages-missing", "m-inner-cut-whole", "m-inner-500", "m-inner-500-whole"]);
}

#[test]
fn the_type_of_an_error_follows_its_status() {
    let translated = translate(client().to_string().as_bytes(), STAMP).unwrap();
    for (status, kind) in [
        (400, "invalid_request_error"),
        (401, "authentication_error"),
        (403, "permission_error"),
        (404, "not_found_error"),
        (413, "request_too_large"),
        (429, "rate_limit_error"),
        (500, "api_error"),
        (502, "api_error"),
        (503, "overloaded_error"),
        (529, "overloaded_error"),
    ] {
        let facts = ErrorFacts { status, message: "no".to_owned(), code: None, retry_after: None };
        let body: Value = serde_json::from_slice(&translated.writer.error(&facts).body).unwrap();
        assert_eq!(body["error"], json!({"type": kind, "message": "no"}));
    }
    let facts = ErrorFacts { status: 400, message: "9 > 4".to_owned(), code: Some("context_length_exceeded"), retry_after: None };
    let body: Value = serde_json::from_slice(&translated.writer.error(&facts).body).unwrap();
    assert_eq!(body["error"]["message"], "prompt is too long: 9 > 4");
}

#[test]
fn after_an_error_in_a_stream_nothing_follows() {
    let mut writer = translate(with("stream", json!(true)).to_string().as_bytes(), STAMP).unwrap().writer;
    let mut out = Vec::new();
    for line in lines("plain") {
        writer.line(&line, &mut out).unwrap();
    }
    writer.error_in_stream(&ErrorFacts { status: 503, message: "gone".to_owned(), code: None, retry_after: None }, &mut out);
    writer.end(&mut out);
    let (name, data) = events(&out).pop().unwrap();
    assert_eq!((name.as_str(), &data), ("error", &json!({"type": "error", "error": {"type": "overloaded_error", "message": "gone"}})));
}

/// Types of events with their block.
fn story(lines: &[Vec<u8>]) -> Vec<String> {
    let request = with("stream", json!(true)).to_string();
    let written = |(name, data): &(String, Value)| match name.as_str() {
        "content_block_start" => format!("start {} {}", data["index"], data["content_block"]["type"].as_str().unwrap()),
        "content_block_delta" => {
            let delta = data["delta"].as_object().unwrap();
            format!("delta {} {}", data["index"], delta.values().nth(1).unwrap())
        }
        "content_block_stop" => format!("stop {}", data["index"]),
        "message_delta" => format!("end {}", data["delta"]["stop_reason"].as_str().unwrap()),
        other => other.to_owned(),
    };
    events(&answer(translate, request.as_bytes(), lines)).iter().map(written).collect()
}

fn line(message: Value, done: Option<&str>) -> Vec<u8> {
    json!({"model": "m", "message": message, "done": done.is_some(), "done_reason": done}).to_string().into_bytes()
}

#[test]
fn thinking_is_a_block_before_the_text() {
    let expected = [
        "message_start",
        "start 0 thinking",
        "delta 0 \"<think>\"",
        "delta 0 \"Let me\"",
        "delta 0 \" think.\"",
        "stop 0",
        "start 1 text",
        "delta 1 \"It rains.\"",
        "stop 1",
        "end end_turn",
        "message_stop",
    ];
    assert_eq!(story(&lines("thinking")), expected);
    let thought = json!({"role": "assistant", "content": "b", "thinking": "a", "tool_calls": [{"function": {"name": "f"}}]});
    let whole = answer(translate, client().to_string().as_bytes(), &[line(thought, Some("stop"))]);
    let content = json!([
        {"type": "thinking", "thinking": "a"},
        {"type": "text", "text": "b"},
        {"type": "tool_use", "id": "call_7_0", "name": "f", "input": {}},
    ]);
    assert_eq!(events(&whole)[0].1["content"], content);
    assert_eq!(events(&whole)[0].1["stop_reason"], "tool_use");
}

#[test]
fn each_change_of_kind_begins_a_block_and_nothing_is_lost() {
    let call = |city: &str| json!({"function": {"name": "weather", "arguments": {"city": city}}});
    let story = story(&[
        line(json!({"content": "a"}), None),
        line(json!({"thinking": "b", "content": "c"}), None),
        line(json!({"content": "", "tool_calls": [call("Oslo"), call("Rome")]}), None),
        line(json!({"content": "d"}), Some("length")),
    ]);
    let expected = [
        "message_start",
        "start 0 text",
        "delta 0 \"a\"",
        "stop 0",
        "start 1 thinking",
        "delta 1 \"b\"",
        "stop 1",
        "start 2 text",
        "delta 2 \"c\"",
        "stop 2",
        "start 3 tool_use",
        r#"delta 3 "{\"city\":\"Oslo\"}""#,
        "stop 3",
        "start 4 tool_use",
        r#"delta 4 "{\"city\":\"Rome\"}""#,
        "stop 4",
        "start 5 text",
        "delta 5 \"d\"",
        "stop 5",
        "end tool_use",
        "message_stop",
    ];
    assert_eq!(story, expected);
}

#[test]
fn a_reason_for_the_end_has_anthropics_name() {
    for (done, expected) in [("stop", "end_turn"), ("length", "max_tokens"), ("load", "stop_sequence"), ("unload", "stop_sequence")] {
        let whole = answer(translate, client().to_string().as_bytes(), &[line(json!({"content": "a"}), Some(done))]);
        assert_eq!(events(&whole)[0].1["stop_reason"], expected);
    }
}

#[test]
fn a_stream_begins_with_ollamas_guess_of_tokens() {
    for name in ["v1-messages-stream", "inner-killed-v1-messages-stream", "m-plain", "m-error-event"] {
        let ours = answer(translate, &named(name).request.bytes(), &lines("plain")[..1]);
        let theirs = named(name).body().unwrap().bytes;
        let guess = |body: &[u8]| events(body)[0].1["message"]["usage"].clone();
        assert_eq!(guess(&ours), guess(&theirs), "{name}");
    }
}

#[test]
fn a_line_that_is_no_answer_writes_nothing() {
    let mut writer = translate(with("stream", json!(true)).to_string().as_bytes(), STAMP).unwrap().writer;
    let mut out = Vec::new();
    for line in [
        "",
        "{",
        "[]",
        "{}",
        "null",
        "\u{feff}{}",
        r#"{"error":"it stopped"}"#,
        r#"{"message":{"content":"a"},"error":"it stopped"}"#,
        r#"{"message":{"content":5}}"#,
        r#"{"message":{"tool_calls":[{}]}}"#,
        r#"{"message":{"content":"a"},"eval_count":-1}"#,
    ] {
        assert!(writer.line(line.as_bytes(), &mut out).is_err(), "{line}");
        assert!(writer.whole(line.as_bytes()).is_err(), "{line}");
    }
    assert!(writer.line(b"{\"message\":{\"content\":\"\xff\"}}", &mut out).is_err());
    writer.end(&mut out);
    assert!(out.is_empty());
}

#[test]
fn messages_become_ollamas() {
    let image = json!({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}});
    let call = json!({"type": "tool_use", "id": "t1", "name": "weather", "input": {"city": "Oslo"}});
    for (messages, expected) in [
        (json!([{"role": "USER", "content": "Hi"}]), json!([{"role": "user", "content": "Hi"}])),
        (
            json!([{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b", "cache_control": {}}, image]}]),
            json!([{"role": "user", "content": "ab", "images": ["aGk="]}]),
        ),
        (
            json!([{"role": "assistant", "content": [{"type": "thinking", "thinking": "hm", "signature": "s"}, {"type": "text", "text": "a"}, call]}]),
            json!([{
                "role": "assistant", "content": "a", "thinking": "hm",
                "tool_calls": [{"id": "t1", "function": {"name": "weather", "arguments": {"city": "Oslo"}}}],
            }]),
        ),
        (
            json!([{"role": "user", "content": [{"type": "text", "text": "now?"}, {"type": "tool_result", "tool_use_id": "t1", "content": "rain"}]}]),
            json!([{"role": "tool", "content": "rain", "tool_call_id": "t1"}, {"role": "user", "content": "now?"}]),
        ),
        (
            json!([{"role": "assistant", "content": [{"type": "tool_result", "tool_use_id": "t1"}, {"type": "text", "text": "a"}]}]),
            json!([{"role": "assistant", "content": "a"}, {"role": "tool", "content": "", "tool_call_id": "t1"}]),
        ),
        (
            json!([{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "is_error": true, "content": [{"type": "text", "text": "a"}, image]}]}]),
            json!([{"role": "tool", "content": "a", "images": ["aGk="], "tool_call_id": "t1"}]),
        ),
        (
            json!([{"role": "user", "content": [{"type": "document", "title": "x"}]}, {"role": "user", "content": ""}, {"role": "user", "content": "a"}]),
            json!([{"role": "user", "content": "a"}]),
        ),
    ] {
        assert_eq!(chat(translate, &with("messages", messages.clone()))["messages"], expected, "{messages}");
    }
    for (system, expected) in [
        (json!("Be brief."), json!("Be brief.")),
        (json!([{"type": "text", "text": "Be "}, {"type": "x", "text": "y"}, {"type": "text", "text": "brief."}]), json!("Be brief.")),
        (json!(""), json!(null)),
        (json!(7), json!(null)),
    ] {
        let messages = &chat(translate, &with("system", system))["messages"];
        assert_eq!(
            messages.as_array().unwrap().iter().find(|said| said["role"] == "system").map_or(&Value::Null, |said| &said["content"]),
            &expected
        );
    }
}

#[test]
fn settings_become_ollamas() {
    let plain = chat(translate, &client());
    assert_eq!(
        plain,
        json!({"model": "m", "messages": [{"role": "user", "content": "Hi"}], "stream": false, "options": {"num_predict": 9}})
    );
    let schema = json!({"type": "object", "properties": {"city": {"type": "string"}}});
    for (name, value, place, expected) in [
        ("stream", json!(true), "/stream", json!(true)),
        ("temperature", json!(0.5), "/options/temperature", json!(0.5)),
        ("top_p", json!(0.5), "/options/top_p", json!(0.5)),
        ("top_k", json!(5), "/options/top_k", json!(5)),
        ("stop_sequences", json!(["a", "b"]), "/options/stop", json!(["a", "b"])),
        ("stop_sequences", json!([]), "/options/stop", json!(null)),
        ("thinking", json!({"type": "enabled", "budget_tokens": 2048}), "/think", json!(null)),
        ("thinking", json!({"type": "disabled"}), "/think", json!(false)),
        ("output_config", json!({"effort": "none"}), "/think", json!(null)),
        ("keep_alive", json!("5m"), "/keep_alive", json!("5m")),
        ("keep_alive", json!({}), "/keep_alive", json!(null)),
        ("num_ctx", json!(8192), "/options/num_ctx", json!(8192)),
        ("options", json!({"num_ctx": 8192, "seed": 1}), "/options", json!({"num_predict": 9, "num_ctx": 8192})),
        (
            "tools",
            json!([{"name": "weather", "description": "w", "input_schema": schema, "cache_control": {}}, {"type": "bash_20250124", "name": "bash"}]),
            "/tools",
            json!([
                {"type": "function", "function": {"name": "weather", "description": "w", "parameters": schema}},
                {"type": "function", "function": {"name": "bash"}},
            ]),
        ),
        ("tool_choice", json!({"type": "any"}), "/tool_choice", json!(null)),
        ("metadata", json!({"user_id": "u"}), "/metadata", json!(null)),
    ] {
        let chat = chat(translate, &with(name, value.clone()));
        assert_eq!(chat.pointer(place).unwrap_or(&Value::Null), &expected, "{name} {value}");
    }
}

#[test]
fn a_field_that_ollama_alone_can_honour_is_not_translated() {
    for (name, value, field) in [
        ("model", json!("gpt-oss:120b-cloud"), "model"),
        ("tools", json!([{"type": "web_search_20250305", "name": "web_search"}]), "tools.web_search"),
        ("messages", json!([{"role": "user", "content": [{"type": "web_search_tool_result"}]}]), "messages.web_search"),
        ("output_config", json!({"effort": " XHIGH "}), "output_config.effort"),
    ] {
        let refused = translate(with(name, value).to_string().as_bytes(), STAMP).err();
        assert_eq!(refused, Some(Refused::Untranslatable { field: field.to_owned() }));
    }
}

#[test]
fn a_mistake_is_refused_with_the_name_of_its_field() {
    for (name, value, said) in [
        ("model", json!(""), "model"),
        ("model", json!(5), "model"),
        ("max_tokens", json!(null), "max_tokens"),
        ("max_tokens", json!(0), "max_tokens"),
        ("max_tokens", json!("9"), "max_tokens"),
        ("max_tokens", json!(1.5), "max_tokens"),
        ("messages", json!([]), "messages"),
        ("messages", json!("Hi"), "messages"),
        ("messages", json!([{"role": "user", "content": [{"type": "document", "title": "x"}]}]), "messages"),
        ("messages", json!([7]), "messages"),
        ("messages", json!([{"role": "user"}]), "content"),
        ("messages", json!([{"role": "user", "content": 5}]), "messages.content"),
        ("messages", json!([{"role": "user", "content": [{"type": "text", "text": 5}]}]), "messages.content.text"),
        ("messages", json!([{"role": "user", "content": [{"type": "image"}]}]), "source"),
        ("messages", json!([{"role": "user", "content": [{"type": "image", "source": {"type": "url", "url": "x"}}]}]), "\"url\""),
        ("messages", json!([{"role": "assistant", "content": [{"type": "tool_use", "name": "f", "input": {}}]}]), "id"),
        ("messages", json!([{"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "f", "input": "{}"}]}]), "input"),
        ("stream", json!("yes"), "stream"),
        ("temperature", json!("hot"), "temperature"),
        ("stop_sequences", json!("a"), "stop_sequences"),
        ("stop_sequences", json!([5]), "stop_sequences"),
        ("thinking", json!("enabled"), "thinking"),
        ("tools", json!({}), "tools"),
        ("tools", json!([{"name": 5}]), "tools.name"),
    ] {
        let mistake = mistake(translate, with(name, value.clone()).to_string().as_bytes());
        assert!(mistake.as_ref().is_some_and(|mistake| mistake.contains(said)), "{name} {value}: {mistake:?}");
    }
}

#[test]
fn hostile_requests_are_refused_or_translated() {
    let full = json!({
        "model": "m", "max_tokens": 9, "stream": true, "temperature": 0.5, "top_p": 0.5, "top_k": 5, "stop_sequences": ["a"],
        "system": [{"type": "text", "text": "s"}], "thinking": {"type": "enabled", "budget_tokens": 5}, "output_config": {"effort": "x"},
        "tools": [{"type": "custom", "name": "f", "description": "d", "input_schema": {"type": "object", "properties": {}}}],
        "messages": [
            {"role": "user", "content": "a"},
            {"role": "assistant", "content": [
                {"type": "thinking", "thinking": "t"}, {"type": "text", "text": "b"},
                {"type": "tool_use", "id": "i", "name": "f", "input": {"x": [1]}},
            ]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "i", "content": [{"type": "image", "source": {"type": "base64", "data": "aGk="}}]},
            ]},
        ],
        "keep_alive": 5, "num_ctx": 5, "options": {"num_ctx": 5},
    });
    survives_damage(translate, &full);
    let deep = with("messages", json!(null)).to_string().replace("null", &("[".repeat(50_000) + &"]".repeat(50_000)));
    assert!(mistake(translate, deep.as_bytes()).is_some());
}

#[test]
fn half_a_character_does_not_break_a_conversation() {
    let body = br#"{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"cut \ud83d"}]}"#;
    let chat: Value = serde_json::from_slice(&translate(body, STAMP).unwrap().body).unwrap();
    assert_eq!(chat["messages"][0]["content"], "cut \u{fffd}");
}
