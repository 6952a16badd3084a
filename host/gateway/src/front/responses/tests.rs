use super::translate;
use crate::front::anthropic::golden::{STAMP, answer, chat, compare, compare_errors, events, lines, mistake, survives_damage, unfinished};
use crate::front::{ErrorFacts, Refused};
use serde_json::{Value, json};
use upright_protocol::Route;
use upright_recordings::named;

/// Streams of `/api/chat` and `/v1/responses`.
const STREAMS: [(&str, &str); 9] = [
    ("plain", "r-plain"),
    ("plain-longer", "r-plain-longer"),
    ("length", "r-length"),
    ("long", "r-long"),
    ("empty-stream", "r-empty"),
    ("cut", "r-inner-cut"),
    ("ends-early", "r-ends-early"),
    ("error-event", "r-inner-error-event"),
    ("repeat", "r-repeat"),
];

/// Whole answers of `/api/chat` and `/v1/responses`.
const WHOLE: [(&str, &str); 5] = [
    ("plain-whole", "r-plain-whole"),
    ("plain-longer-whole", "r-plain-longer-whole"),
    ("length-whole", "r-length-whole"),
    ("long-whole", "r-long-whole"),
    ("empty", "r-empty-whole"),
];

fn with(name: &str, value: Value) -> Value {
    let mut client = json!({"model": "m", "input": "Hi"});
    client[name] = value;
    client
}

fn streamed() -> String {
    with("stream", json!(true)).to_string()
}

fn facts(status: u16, message: &str) -> ErrorFacts {
    ErrorFacts { status, message: message.to_owned(), code: None, retry_after: None }
}

#[test]
fn answers_are_written_as_ollama_writes_them() {
    for (chat, responses) in STREAMS.into_iter().chain(WHOLE) {
        compare(translate, Route::Responses, chat, responses);
    }
}

#[test]
fn an_answer_without_its_end_has_no_response_completed() {
    for (chat, responses) in STREAMS {
        for written in unfinished(translate, chat, responses) {
            assert!(written.iter().all(|(name, _)| name != "response.completed" && !name.ends_with(".done")), "{chat}");
        }
    }
    for chat in ["ends-early-whole", "error-event-whole", "repeat-whole"] {
        let mut translated = translate(with("stream", json!(false)).to_string().as_bytes(), STAMP).unwrap();
        assert!(translated.writer.whole(&lines(chat)[0]).is_err(), "{chat}");
    }
}

#[test]
fn errors_are_written_as_ollama_writes_them() {
    compare_errors(
        translate,
        &with("stream", json!(true)),
        ["v1-responses-missing", "r-inner-cut-whole", "r-inner-500", "r-inner-500-whole"],
    );
}

#[test]
fn a_failed_stream_ends_with_the_next_number_and_nothing_follows() {
    let mut writer = translate(streamed().as_bytes(), STAMP).unwrap().writer;
    let mut out = Vec::new();
    for line in lines("plain") {
        writer.line(&line, &mut out).unwrap();
    }
    let before = events(&out).len();
    writer.error_in_stream(&facts(503, "gone"), &mut out);
    writer.end(&mut out);
    let events = events(&out);
    assert_eq!(events.len(), before + 1);
    let (name, failed) = &events[before];
    assert_eq!(name, "response.failed");
    assert_eq!(failed["sequence_number"], before);
    assert_eq!(failed["response"]["status"], "failed");
    assert_eq!(failed["response"]["usage"], Value::Null);
    for error in [&failed["error"], &failed["response"]["error"]] {
        assert_eq!(error, &json!({"code": "server_error", "message": "gone"}));
    }
}

/// Names of events with the item that they are about. Also checks what holds for each stream.
fn story(lines: &[Vec<u8>]) -> Vec<String> {
    let events = events(&answer(translate, streamed().as_bytes(), lines));
    let mut done = Vec::new();
    for (number, (name, data)) in events.iter().enumerate() {
        assert_eq!(data["sequence_number"], number, "{data}");
        assert_eq!(data["type"], name.as_str());
        if name == "response.output_item.done" {
            assert_eq!(data["output_index"], done.len());
            done.push(data["item"].clone());
        }
        if name == "response.completed" {
            assert_eq!(data["response"]["output"], json!(done));
        }
    }
    let written = |(name, data): &(String, Value)| {
        let id = data["item"]["id"].as_str().or(data["item_id"].as_str()).unwrap_or_default();
        format!("{} {id} {}", name.trim_start_matches("response."), data["delta"].as_str().unwrap_or_default()).trim().to_owned()
    };
    events.iter().map(written).collect()
}

fn line(message: Value, done: Option<&str>) -> Vec<u8> {
    json!({"model": "m", "message": message, "done": done.is_some(), "done_reason": done}).to_string().into_bytes()
}

#[test]
fn reasoning_is_an_item_before_the_message() {
    let expected = [
        "created",
        "in_progress",
        "output_item.added rs_7_0",
        "reasoning_summary_text.delta rs_7_0 <think>",
        "reasoning_summary_text.delta rs_7_0 Let me",
        "reasoning_summary_text.delta rs_7_0  think.",
        "reasoning_summary_text.done rs_7_0",
        "output_item.done rs_7_0",
        "output_item.added msg_7_1",
        "content_part.added msg_7_1",
        "output_text.delta msg_7_1 It rains.",
        "output_text.done msg_7_1",
        "content_part.done msg_7_1",
        "output_item.done msg_7_1",
        "completed",
    ];
    assert_eq!(story(&lines("thinking")), expected);
}

#[test]
fn a_tool_call_is_an_item_and_text_around_it_is_kept() {
    let call = |city: &str| json!({"function": {"name": "weather", "arguments": {"city": city}}});
    let story = story(&[
        line(json!({"content": "a"}), None),
        line(json!({"content": "", "tool_calls": [call("Oslo"), call("Rome")]}), None),
        line(json!({"content": "b"}), Some("stop")),
    ]);
    let expected = [
        "created",
        "in_progress",
        "output_item.added msg_7_0",
        "content_part.added msg_7_0",
        "output_text.delta msg_7_0 a",
        "output_text.done msg_7_0",
        "content_part.done msg_7_0",
        "output_item.done msg_7_0",
        "output_item.added fc_7_1",
        r#"function_call_arguments.delta fc_7_1 {"city":"Oslo"}"#,
        "function_call_arguments.done fc_7_1",
        "output_item.done fc_7_1",
        "output_item.added fc_7_2",
        r#"function_call_arguments.delta fc_7_2 {"city":"Rome"}"#,
        "function_call_arguments.done fc_7_2",
        "output_item.done fc_7_2",
        "output_item.added msg_7_3",
        "content_part.added msg_7_3",
        "output_text.delta msg_7_3 b",
        "output_text.done msg_7_3",
        "content_part.done msg_7_3",
        "output_item.done msg_7_3",
        "completed",
    ];
    assert_eq!(story, expected);
}

#[test]
fn the_tool_call_of_a_real_ollama_is_one_item() {
    let written = events(&answer(translate, streamed().as_bytes(), &lines("tool-call")));
    let item = json!({
        "arguments": "{\"city\":\"Oslo\"}", "call_id": "call_nsxw9nyq", "id": "fc_7_0", "name": "weather", "status": "completed",
        "type": "function_call",
    });
    assert_eq!(written.last().unwrap().1["response"]["output"], json!([item]));
}

#[test]
fn a_whole_answer_has_all_items() {
    let said = json!({"content": "b", "thinking": "a", "tool_calls": [{"id": "c1", "function": {"name": "f", "arguments": {}}}]});
    let whole = answer(translate, with("stream", json!(false)).to_string().as_bytes(), &[line(said, Some("stop"))]);
    let text = |kind: &str, text: &str| json!({"type": kind, "text": text});
    let mut part = text("output_text", "b");
    part["annotations"] = json!([]);
    part["logprobs"] = json!([]);
    let output = json!([
        {"id": "rs_7_0", "type": "reasoning", "summary": [text("summary_text", "a")], "encrypted_content": "a"},
        {"id": "msg_7_1", "type": "message", "status": "completed", "role": "assistant", "content": [part]},
        {"id": "fc_7_2", "type": "function_call", "status": "completed", "call_id": "c1", "name": "f", "arguments": "{}"},
    ]);
    assert_eq!(events(&whole)[0].1["output"], output);
}

#[test]
fn a_response_is_completed_after_the_time_that_the_answer_took() {
    let line = br#"{"message":{"content":"a"},"done":true,"total_duration":3999999999}"#.to_vec();
    let whole = &events(&answer(translate, with("stream", json!(false)).to_string().as_bytes(), &[line]))[0].1;
    assert_eq!((&whole["created_at"], &whole["completed_at"]), (&json!(STAMP.created), &json!(STAMP.created + 3)));
}

#[test]
fn a_response_repeats_its_request() {
    let tool = json!({"type": "function", "name": "f", "description": null, "strict": true, "parameters": {"type": "object"}});
    let format = json!({"type": "json_schema", "name": "n", "schema": {"type": "object"}, "strict": true});
    for (name, value, place, expected) in [
        ("instructions", json!("Be brief."), "/instructions", json!("Be brief.")),
        ("instructions", json!(""), "/instructions", json!(null)),
        ("temperature", json!(0.5), "/temperature", json!(0.5)),
        ("top_p", json!(0.5), "/top_p", json!(0.5)),
        ("max_output_tokens", json!(5), "/max_output_tokens", json!(5)),
        ("truncation", json!("auto"), "/truncation", json!("auto")),
        ("background", json!(true), "/background", json!(true)),
        ("reasoning", json!({"effort": "low"}), "/reasoning", json!({"effort": "low", "summary": null})),
        ("text", json!({"format": format}), "/text/format", format.clone()),
        ("tools", json!([tool]), "/tools", json!([tool])),
    ] {
        let whole = answer(translate, with(name, value).to_string().as_bytes(), &[line(json!({"content": "a"}), Some("stop"))]);
        assert_eq!(events(&whole)[0].1.pointer(place).unwrap(), &expected, "{name}");
    }
}

#[test]
fn input_becomes_ollamas_messages() {
    let call = |id: &str| json!({"type": "function_call", "call_id": id, "name": "f", "arguments": "{\"x\":1}"});
    let called = |id: &str| json!({"id": id, "function": {"name": "f", "arguments": {"x": 1}}});
    let output = |id: &str| json!({"type": "function_call_output", "call_id": id, "output": "r"});
    let result = |id: &str| json!({"role": "tool", "content": "r", "tool_call_id": id});
    let says = |text: &str| json!({"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text}]});
    let reasoning = json!({"type": "reasoning", "summary": [], "encrypted_content": "hm"});
    for (input, expected) in [
        (json!("Hi"), json!([{"role": "user", "content": "Hi"}])),
        (json!([{"role": "user", "content": "Hi"}]), json!([{"role": "user", "content": "Hi"}])),
        (
            json!([{"type": "message", "role": "developer", "content": [
                {"type": "input_text", "text": "a"}, {"type": "input_text", "text": "b"},
                {"type": "input_image", "detail": "auto", "image_url": "data:image/png;base64,aGk="}, {"type": "input_image", "file_id": "f"},
            ]}]),
            json!([{"role": "developer", "content": "ab", "images": ["aGk="]}]),
        ),
        (
            json!([reasoning, call("1"), call("2"), output("1"), output("2")]),
            json!([{"role": "assistant", "content": "", "thinking": "hm", "tool_calls": [called("1"), called("2")]}, result("1"), result("2")]),
        ),
        (
            json!([says("a"), call("1"), says("b"), output("1"), says("c")]),
            json!([
                {"role": "assistant", "content": "a\nb", "tool_calls": [called("1")]}, result("1"),
                {"role": "assistant", "content": "c"},
            ]),
        ),
        (
            json!([call("1"), says("b"), output("2")]),
            json!([
                {"role": "assistant", "content": "", "tool_calls": [called("1")]}, {"role": "assistant", "content": "b"}, result("2"),
            ]),
        ),
        (json!([{"type": "function_call_output", "call_id": "1", "output": [{"type": "input_text", "text": "r"}]}]), json!([result("1")])),
        (
            json!([{"type": "function_call", "call_id": "1", "name": "f", "arguments": ""}]),
            json!([{"role": "assistant", "content": "", "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": {}}}]}]),
        ),
        (
            json!([{"role": "user", "content": "Hi"}, {"type": "web_search_call", "id": "w", "status": "completed"}, reasoning]),
            json!([{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "", "thinking": "hm"}]),
        ),
    ] {
        assert_eq!(chat(translate, &with("input", input.clone()))["messages"], expected, "{input}");
    }
    let messages = &chat(translate, &with("instructions", json!("Be brief.")))["messages"];
    assert_eq!(messages, &json!([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]));
}

#[test]
fn settings_become_ollamas() {
    let plain = chat(translate, &with("stream", json!(false)));
    assert_eq!(
        plain,
        json!({"model": "m", "messages": [{"role": "user", "content": "Hi"}], "stream": false, "options": {"temperature": 1}})
    );
    let schema = json!({"type": "object", "properties": {}});
    for (name, value, place, expected) in [
        ("stream", json!(true), "/stream", json!(true)),
        ("temperature", json!(0.5), "/options/temperature", json!(0.5)),
        ("top_p", json!(0.5), "/options/top_p", json!(0.5)),
        ("max_output_tokens", json!(5), "/options/num_predict", json!(5)),
        ("reasoning", json!({"effort": "none"}), "/think", json!(false)),
        ("reasoning", json!({"effort": "minimal"}), "/think", json!("low")),
        ("reasoning", json!({"effort": "xhigh"}), "/think", json!("max")),
        ("reasoning", json!({"summary": "auto"}), "/think", json!(null)),
        ("text", json!({"format": {"type": "json_schema", "name": "n", "schema": schema}}), "/format", schema.clone()),
        ("text", json!({"format": {"type": "text"}, "verbosity": "low"}), "/format", json!(null)),
        ("keep_alive", json!(-1), "/keep_alive", json!(-1)),
        ("num_ctx", json!(8192), "/options/num_ctx", json!(8192)),
        (
            "tools",
            json!([{"type": "function", "name": "f", "description": "d", "parameters": schema, "strict": null}]),
            "/tools",
            json!([{"type": "function", "function": {"name": "f", "description": "d", "parameters": schema}}]),
        ),
        (
            "tools",
            json!([{"type": "namespace", "name": "n", "tools": [{"type": "function", "name": "f"}, {"type": "function", "name": "n.g"}]}]),
            "/tools",
            json!([{"type": "function", "function": {"name": "n.f"}}, {"type": "function", "function": {"name": "n.g"}}]),
        ),
        ("previous_response_id", json!(null), "/previous_response_id", json!(null)),
        ("include", json!(["reasoning.encrypted_content"]), "/include", json!(null)),
        ("tool_choice", json!("required"), "/tool_choice", json!(null)),
        ("store", json!(true), "/store", json!(null)),
    ] {
        let chat = chat(translate, &with(name, value.clone()));
        assert_eq!(chat.pointer(place).unwrap_or(&Value::Null), &expected, "{name} {value}");
    }
}

#[test]
fn a_field_that_ollama_alone_can_honour_is_not_translated() {
    for (name, value, field) in
        [("model", json!("gpt-oss:120b-cloud"), "model"), ("tools", json!([{"type": "web_search"}]), "tools.web_search")]
    {
        let refused = translate(with(name, value).to_string().as_bytes(), STAMP).err();
        assert_eq!(refused, Some(Refused::Untranslatable { field: field.to_owned() }));
    }
}

#[test]
fn a_mistake_is_refused_with_the_name_of_its_field() {
    for (name, value, said) in [
        ("model", json!(null), "model"),
        ("input", json!(null), "input"),
        ("input", json!(""), "input"),
        ("input", json!([]), "input"),
        ("input", json!(5), "input"),
        ("input", json!([5]), "input"),
        ("input", json!([{}]), "type"),
        ("input", json!([{"type": "item_reference", "id": "x"}]), "item_reference"),
        ("input", json!([{"role": "user", "content": [{"type": "input_text", "text": 5}]}]), "input.content.text"),
        ("input", json!([{"role": "user", "content": [{"type": "refusal"}]}]), "refusal"),
        ("input", json!([{"role": "user", "content": [{"type": "input_file", "file_id": "x"}]}]), "input_file"),
        ("input", json!([{"role": "user", "content": [{"type": "input_image", "image_url": "https://x/y.png"}]}]), "image_url"),
        ("input", json!([{"type": "function_call", "call_id": "1", "name": "f", "arguments": "[]"}]), "arguments"),
        ("previous_response_id", json!("resp_1"), "previous_response_id"),
        ("conversation", json!({"id": "c"}), "conversation"),
        ("instructions", json!([]), "instructions"),
        ("max_output_tokens", json!("5"), "max_output_tokens"),
        ("temperature", json!("hot"), "temperature"),
        ("reasoning", json!({"effort": "utmost"}), "reasoning.effort"),
        ("reasoning", json!("high"), "reasoning"),
        ("text", json!({"format": "json"}), "text.format"),
        ("tools", json!([{"type": "function", "name": 5}]), "tools.name"),
        ("truncation", json!(true), "truncation"),
        ("background", json!("no"), "background"),
        ("stream", json!(1), "stream"),
    ] {
        let mistake = mistake(translate, with(name, value.clone()).to_string().as_bytes());
        assert!(mistake.as_ref().is_some_and(|mistake| mistake.contains(said)), "{name} {value}: {mistake:?}");
    }
    // Ollama would load the model and call that completed.
    let recorded = named("inner-ends-early-responses").request.bytes();
    assert!(mistake(translate, &recorded).is_some_and(|mistake| mistake.contains("input")));
}

#[test]
fn hostile_requests_are_refused_or_translated() {
    let full = json!({
        "model": "m", "stream": true, "instructions": "i", "temperature": 0.5, "top_p": 0.5, "max_output_tokens": 5, "truncation": "auto",
        "background": false, "reasoning": {"effort": "low", "summary": "auto"},
        "text": {"format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}, "strict": true}},
        "tools": [
            {"type": "function", "name": "f", "description": "d", "parameters": {"type": "object"}},
            {"type": "namespace", "name": "n", "tools": [{"type": "function", "name": "g"}]},
        ],
        "input": [
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "a"}, {"type": "input_image", "image_url": "data:;base64,aGk="}]},
            {"type": "reasoning", "encrypted_content": "t"},
            {"type": "function_call", "call_id": "1", "name": "f", "arguments": "{}"},
            {"type": "message", "role": "assistant", "content": "b"},
            {"type": "function_call_output", "call_id": "1", "output": [{"type": "input_text", "text": "r"}]},
        ],
        "keep_alive": 5, "options": {"num_ctx": 5},
    });
    survives_damage(translate, &full);
    for (name, opened, closed) in [("input", "[", "]"), ("tools", r#"[{"type":"namespace","tools":"#, "}]")] {
        let deep = with(name, json!("deep")).to_string().replace(r#""deep""#, &(opened.repeat(20_000) + "[]" + &closed.repeat(20_000)));
        assert!(mistake(translate, deep.as_bytes()).is_some(), "{name}");
    }
}
