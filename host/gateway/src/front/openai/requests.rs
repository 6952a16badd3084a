//! Tables of requests: their translations, and the words in which wrong ones are refused.

use super::translate;
use crate::front::{Refused, Stamp, Translated};
use serde_json::{Map, Value, json};
use upright_protocol::Route;

const ROUTES: [Route; 3] = [Route::ChatCompletions, Route::Completions, Route::Embeddings];

fn translated(route: Route, body: &str) -> Result<Translated, Refused> {
    translate(route, body.as_bytes(), Stamp { id: 1, created: 2 }).unwrap()
}

fn native(route: Route, request: &Value) -> Value {
    serde_json::from_slice(&translated(route, &request.to_string()).unwrap().body).unwrap()
}

/// The message of a refusal.
fn refused(route: Route, body: &str) -> String {
    match translated(route, body).err() {
        Some(Refused::Invalid { status: 400, body }) => {
            let body: Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(body["error"]["type"], "invalid_request_error");
            body["error"]["message"].as_str().unwrap().to_owned()
        }
        other => panic!("{route:?} {body}: {other:?}"),
    }
}

fn with(mut base: Value, more: &Value) -> Value {
    let more: Map<String, Value> = more.as_object().unwrap().clone();
    base.as_object_mut().unwrap().extend(more);
    base
}

#[test]
fn the_fields_of_a_chat_are_translated() {
    let schema = json!({ "type": "object", "properties": { "b": {}, "a": {} } });
    let tools = json!([{ "type": "function", "function": { "name": "f", "strict": true, "parameters": { "type": "object" } } }]);
    for (request, body, options) in [
        (json!({}), json!({}), json!({})),
        (json!({ "stream": true }), json!({ "stream": true }), json!({})),
        (json!({ "STREAM": true }), json!({ "stream": true }), json!({})),
        (json!({ "max_tokens": 5 }), json!({}), json!({ "num_predict": 5 })),
        (json!({ "max_completion_tokens": 3 }), json!({}), json!({ "num_predict": 3 })),
        (json!({ "max_completion_tokens": 3, "max_tokens": 5 }), json!({}), json!({ "num_predict": 5 })),
        (json!({ "max_completion_tokens": "3" }), json!({}), json!({})),
        (json!({ "temperature": 0, "top_p": 0 }), json!({}), json!({ "temperature": 0.0, "top_p": 0.0 })),
        (
            json!({ "seed": 42, "frequency_penalty": 0.5, "presence_penalty": -1 }),
            json!({}),
            json!({ "seed": 42, "frequency_penalty": 0.5, "presence_penalty": -1.0 }),
        ),
        (json!({ "stop": "a" }), json!({}), json!({ "stop": ["a"] })),
        (json!({ "stop": ["a", 5, "b"] }), json!({}), json!({ "stop": ["a", "b"] })),
        (json!({ "stop": [5] }), json!({}), json!({})),
        (json!({ "stop": 5 }), json!({}), json!({})),
        (json!({ "response_format": { "type": " JSON_object " } }), json!({ "format": "json" }), json!({})),
        (
            json!({ "response_format": { "type": "json_schema", "json_schema": { "schema": schema } } }),
            json!({ "format": schema }),
            json!({}),
        ),
        (json!({ "response_format": { "type": "json_schema", "json_schema": { "name": "x" } } }), json!({}), json!({})),
        (json!({ "response_format": { "type": "text" } }), json!({}), json!({})),
        (json!({ "reasoning_effort": "" }), json!({}), json!({})),
        (json!({ "reasoning_effort": "none" }), json!({ "think": false }), json!({})),
        (json!({ "reasoning_effort": "minimal" }), json!({ "think": "low" }), json!({})),
        (json!({ "reasoning_effort": "medium" }), json!({ "think": "medium" }), json!({})),
        (json!({ "reasoning_effort": "xhigh" }), json!({ "think": "max" }), json!({})),
        (json!({ "reasoning": { "effort": "high" }, "reasoning_effort": "low" }), json!({ "think": "high" }), json!({})),
        (json!({ "reasoning": {}, "reasoning_effort": "low" }), json!({}), json!({})),
        (json!({ "logprobs": true, "top_logprobs": 2 }), json!({ "logprobs": true, "top_logprobs": 2 }), json!({})),
        (json!({ "logprobs": false, "top_logprobs": 0 }), json!({}), json!({})),
        (json!({ "tools": tools }), json!({ "tools": tools }), json!({})),
        (json!({ "tools": [] }), json!({}), json!({})),
        (json!({ "keep_alive": "5m" }), json!({ "keep_alive": "5m" }), json!({})),
        (json!({ "keep_alive": -1 }), json!({ "keep_alive": -1 }), json!({})),
        (json!({ "keep_alive": {} }), json!({}), json!({})),
        (json!({ "num_ctx": 8192 }), json!({}), json!({ "num_ctx": 8192 })),
        (json!({ "options": { "num_ctx": 8192, "top_k": 3 } }), json!({}), json!({ "num_ctx": 8192 })),
        (json!({ "options": { "num_ctx": 8192 }, "num_ctx": 4096 }), json!({}), json!({ "num_ctx": 4096 })),
        (json!({ "options": "x", "num_ctx": "y" }), json!({}), json!({})),
        (json!({ "n": 3, "user": 5, "tool_choice": "none", "logit_bias": {}, "store": true, "metadata": [] }), json!({}), json!({})),
        (
            json!({ "stream": null, "stop": null, "tools": null, "temperature": null, "response_format": null, "reasoning": null,
                "stream_options": null, "max_tokens": null, "keep_alive": null, "options": null }),
            json!({}),
            json!({}),
        ),
        (json!({ "_debug_render_only": false }), json!({}), json!({})),
    ] {
        let messages = json!([{ "role": "user", "content": "hi" }]);
        let options = with(json!({ "temperature": 1.0, "top_p": 1.0 }), &options);
        let expected = with(json!({ "model": "m", "messages": messages, "stream": false, "options": options }), &body);
        let request = with(json!({ "model": "m", "messages": messages }), &request);
        assert_eq!(native(Route::ChatCompletions, &request), expected, "{request}");
    }
}

#[test]
fn messages_are_translated() {
    let calls = json!([{ "id": "call_1", "index": 3, "type": "function", "function": { "name": "f", "arguments": r#"{"b":1,"a":[]}"# } }]);
    let native_calls = json!([{ "id": "call_1", "function": { "index": 0, "name": "f", "arguments": { "b": 1, "a": [] } } }]);
    let called = json!({ "role": "assistant", "content": "", "tool_calls": native_calls });
    for (messages, expected) in [
        (json!([{ "role": "System", "content": "x" }]), json!([{ "role": "System", "content": "x" }])),
        (
            json!([{ "role": "assistant", "content": "x", "reasoning": "thought", "refusal": null, "name": "ignored" }]),
            json!([{ "role": "assistant", "content": "x", "thinking": "thought" }]),
        ),
        (
            json!([{ "role": "user", "content": [{ "type": "text", "text": "see" },
                { "type": "image_url", "image_url": { "url": "data:image/png;base64,aGk=", "detail": "low" } },
                { "type": "image_url", "image_url": "data:;base64,aG\nk=" },
                { "type": "input_audio", "input_audio": { "data": "aGk=", "format": "wav" } }] }]),
            json!([{ "role": "user", "content": "see" }, { "role": "user", "content": "", "images": ["aGk="] },
                { "role": "user", "content": "", "images": ["aG\nk="] }, { "role": "user", "content": "", "images": ["aGk="] }]),
        ),
        (json!([{ "role": "assistant", "content": null, "tool_calls": calls }]), json!([called])),
        (json!([{ "role": "assistant", "tool_calls": calls }]), json!([called])),
        (json!([{ "role": "assistant", "tool_calls": [] }]), json!([{ "role": "assistant", "content": "" }])),
        (
            json!([{ "role": "assistant", "content": [{ "type": "text", "text": "a" }, { "type": "text", "text": "b" }], "tool_calls": calls }]),
            json!([{ "role": "assistant", "content": "a" }, { "role": "assistant", "content": "b", "tool_calls": native_calls }]),
        ),
        (
            json!([{ "role": "assistant", "tool_calls": calls }, { "role": "tool", "tool_call_id": "call_1", "content": "12" }]),
            json!([called, { "role": "tool", "content": "12", "tool_name": "f", "tool_call_id": "call_1" }]),
        ),
        (
            json!([{ "role": "tool", "tool_call_id": "call_2", "name": "g", "content": "12" }]),
            json!([{ "role": "tool", "content": "12", "tool_name": "g", "tool_call_id": "call_2" }]),
        ),
        (
            json!([{ "role": "tool", "tool_call_id": "call_2", "content": "12" }]),
            json!([{ "role": "tool", "content": "12", "tool_call_id": "call_2" }]),
        ),
        (
            json!([{ "tool_calls": [{ "function": { "name": "f", "arguments": "null" } }] }]),
            json!([{ "role": "", "content": "", "tool_calls": [{ "function": { "index": 0, "name": "f", "arguments": {} } }] }]),
        ),
        (json!([{ "role": "user", "content": [] }, { "role": "user", "content": "x" }]), json!([{ "role": "user", "content": "x" }])),
    ] {
        let request = json!({ "model": "m", "messages": messages });
        assert_eq!(native(Route::ChatCompletions, &request)["messages"], expected, "{request}");
    }
}

#[test]
fn an_answer_with_a_tool_call_can_be_said_again() {
    let line = json!({ "model": "m", "message": { "role": "assistant", "content": "x", "thinking": "thought", "tool_calls": [
        { "id": "call_1", "function": { "index": 0, "name": "f", "arguments": { "city": "Tromsø", "days": [1, 2] } } }] }, "done": true });
    let question = json!({ "role": "user", "content": "hi" });
    let request = json!({ "model": "m", "messages": [question] }).to_string();
    let answer = translated(Route::ChatCompletions, &request).unwrap().writer.whole(line.to_string().as_bytes()).unwrap();
    let answer: Value = serde_json::from_slice(&answer).unwrap();
    let request = json!({ "model": "m", "messages": [question, answer["choices"][0]["message"]] });
    assert_eq!(native(Route::ChatCompletions, &request)["messages"][1], line["message"]);
}

#[test]
fn the_fields_of_a_completion_are_translated() {
    for (request, body, options) in [
        (json!({}), json!({ "prompt": "" }), json!({})),
        (json!({ "prompt": "x", "suffix": "y" }), json!({ "prompt": "x", "suffix": "y" }), json!({})),
        (json!({ "stream": true, "logprobs": 3 }), json!({ "prompt": "", "stream": true, "logprobs": true, "top_logprobs": 3 }), json!({})),
        (json!({ "logprobs": 0 }), json!({ "prompt": "" }), json!({})),
        (json!({ "max_tokens": 5, "seed": 1, "top_p": 0 }), json!({ "prompt": "" }), json!({ "num_predict": 5, "seed": 1 })),
        (json!({ "max_completion_tokens": 5, "echo": true, "n": 2 }), json!({ "prompt": "" }), json!({})),
        (
            json!({ "frequency_penalty": 1.5, "temperature": 0.8 }),
            json!({ "prompt": "" }),
            json!({ "frequency_penalty": 1.5, "temperature": 0.8 }),
        ),
        (
            json!({ "stop": "a", "num_ctx": 512, "keep_alive": 0 }),
            json!({ "prompt": "", "keep_alive": 0 }),
            json!({ "stop": ["a"], "num_ctx": 512 }),
        ),
        (json!({ "stop": [] }), json!({ "prompt": "" }), json!({})),
    ] {
        let defaults = json!({ "temperature": 1.0, "top_p": 1.0, "frequency_penalty": 0.0, "presence_penalty": 0.0 });
        let expected = with(json!({ "model": "m", "stream": false, "options": with(defaults, &options) }), &body);
        let request = with(json!({ "model": "m" }), &request);
        assert_eq!(native(Route::Completions, &request), expected, "{request}");
    }
}

#[test]
fn the_fields_of_embeddings_are_translated() {
    for (request, expected) in [
        (json!({ "input": "x" }), json!({ "input": "x" })),
        (json!({ "input": "" }), json!({ "input": [""] })),
        (json!({ "input": ["a", ""] }), json!({ "input": ["a", ""] })),
        (json!({ "input": [1, 2] }), json!({ "input": [1, 2] })),
        (json!({ "input": 5 }), json!({ "input": 5 })),
        (json!({ "input": "x", "dimensions": 4, "encoding_format": "float", "user": "u" }), json!({ "input": "x", "dimensions": 4 })),
        (
            json!({ "input": "x", "options": { "num_ctx": 512 }, "keep_alive": "1h" }),
            json!({ "input": "x", "options": { "num_ctx": 512 }, "keep_alive": "1h" }),
        ),
    ] {
        let (request, expected) = (with(json!({ "model": "m" }), &request), with(json!({ "model": "m" }), &expected));
        assert_eq!(native(Route::Embeddings, &request), expected, "{request}");
    }
}

#[test]
fn a_wrong_type_is_refused_in_ollamas_words() {
    const MESSAGES: &str = r#""messages":[{"role":"user","content":"x"}]"#;
    for (member, words) in [
        (r#""model":5"#, "number into Go struct field ChatCompletionRequest.model of type string"),
        (r#""messages":"hi""#, "string into Go struct field ChatCompletionRequest.messages of type []openai.Message"),
        (r#""messages":["hi"]"#, "string into Go struct field ChatCompletionRequest.messages of type openai.Message"),
        (r#""messages":[{"role":5}]"#, "number into Go struct field Message.messages.role of type string"),
        (r#""messages":[{"reasoning":[]}]"#, "array into Go struct field Message.messages.reasoning of type string"),
        (r#""messages":[{"name":true}]"#, "bool into Go struct field Message.messages.name of type string"),
        (r#""messages":[{"tool_call_id":{}}]"#, "object into Go struct field Message.messages.tool_call_id of type string"),
        (r#""messages":[{"tool_calls":{}}]"#, "object into Go struct field Message.messages.tool_calls of type []openai.ToolCall"),
        (r#""messages":[{"tool_calls":[5]}]"#, "number into Go struct field Message.messages.tool_calls of type openai.ToolCall"),
        (r#""messages":[{"tool_calls":[{"id":5}]}]"#, "number into Go struct field ToolCall.messages.tool_calls.id of type string"),
        (r#""messages":[{"tool_calls":[{"index":"0"}]}]"#, "string into Go struct field ToolCall.messages.tool_calls.index of type int"),
        (r#""messages":[{"tool_calls":[{"type":5}]}]"#, "number into Go struct field ToolCall.messages.tool_calls.type of type string"),
        (
            r#""messages":[{"tool_calls":[{"function":"f"}]}]"#,
            r#"string into Go struct field ToolCall.messages.tool_calls.function of type struct { Name string "json:\"name\""; Arguments string "json:\"arguments\"" }"#,
        ),
        (
            r#""messages":[{"tool_calls":[{"function":{"arguments":{}}}]}]"#,
            "object into Go struct field .messages.tool_calls.function.arguments of type string",
        ),
        (r#""stream":"yes""#, "string into Go struct field ChatCompletionRequest.stream of type bool"),
        (r#""stream_options":true"#, "bool into Go struct field ChatCompletionRequest.stream_options of type openai.StreamOptions"),
        (r#""stream_options":{"include_usage":1}"#, "number into Go struct field StreamOptions.stream_options.include_usage of type bool"),
        (r#""max_tokens":1.5"#, "number 1.5 into Go struct field ChatCompletionRequest.max_tokens of type int"),
        (r#""max_tokens":"5""#, "string into Go struct field ChatCompletionRequest.max_tokens of type int"),
        (r#""seed":1e3"#, "number 1e3 into Go struct field ChatCompletionRequest.seed of type int"),
        (r#""temperature":"hot""#, "string into Go struct field ChatCompletionRequest.temperature of type float64"),
        (r#""temperature":1e400"#, "number 1e400 into Go struct field ChatCompletionRequest.temperature of type float64"),
        (r#""frequency_penalty":[]"#, "array into Go struct field ChatCompletionRequest.frequency_penalty of type float64"),
        (r#""presence_penalty":{}"#, "object into Go struct field ChatCompletionRequest.presence_penalty of type float64"),
        (r#""top_p":true"#, "bool into Go struct field ChatCompletionRequest.top_p of type float64"),
        (r#""response_format":"json""#, "string into Go struct field ChatCompletionRequest.response_format of type openai.ResponseFormat"),
        (r#""response_format":{"type":5}"#, "number into Go struct field ResponseFormat.response_format.type of type string"),
        (
            r#""response_format":{"json_schema":5}"#,
            "number into Go struct field ResponseFormat.response_format.json_schema of type openai.JsonSchema",
        ),
        (r#""tools":{}"#, "object into Go struct field ChatCompletionRequest.tools of type []api.Tool"),
        (r#""reasoning":"low""#, "string into Go struct field ChatCompletionRequest.reasoning of type openai.Reasoning"),
        (r#""reasoning":{"effort":1}"#, "number into Go struct field Reasoning.reasoning.effort of type string"),
        (r#""reasoning_effort":1"#, "number into Go struct field ChatCompletionRequest.reasoning_effort of type string"),
        (r#""logprobs":1"#, "number into Go struct field ChatCompletionRequest.logprobs of type bool"),
        (r#""_debug_render_only":1"#, "number into Go struct field ChatCompletionRequest._debug_render_only of type bool"),
        (r#""top_logprobs":"1""#, "string into Go struct field ChatCompletionRequest.top_logprobs of type int"),
    ] {
        let body = format!("{{{MESSAGES},{member}}}");
        assert_eq!(refused(Route::ChatCompletions, &body), format!("json: cannot unmarshal {words}"), "{body}");
    }
    for (member, words) in [
        (r#""model":5"#, "number into Go struct field CompletionRequest.model of type string"),
        (r#""prompt":["x"]"#, "array into Go struct field CompletionRequest.prompt of type string"),
        (r#""suffix":5"#, "number into Go struct field CompletionRequest.suffix of type string"),
        (r#""stream":1"#, "number into Go struct field CompletionRequest.stream of type bool"),
        (r#""max_tokens":"5""#, "string into Go struct field CompletionRequest.max_tokens of type int"),
        (r#""temperature":"hot""#, "string into Go struct field CompletionRequest.temperature of type float32"),
        (r#""logprobs":true"#, "bool into Go struct field CompletionRequest.logprobs of type int"),
    ] {
        let body = format!("{{{member}}}");
        assert_eq!(refused(Route::Completions, &body), format!("json: cannot unmarshal {words}"), "{body}");
    }
    for (member, words) in [
        (r#""model":5"#, "number into Go struct field EmbedRequest.model of type string"),
        (r#""dimensions":"4""#, "string into Go struct field EmbedRequest.dimensions of type int"),
        (r#""encoding_format":5"#, "number into Go struct field EmbedRequest.encoding_format of type string"),
    ] {
        let body = format!("{{\"input\":\"x\",{member}}}");
        assert_eq!(refused(Route::Embeddings, &body), format!("json: cannot unmarshal {words}"), "{body}");
    }
}

#[test]
fn a_wrong_value_is_refused_in_ollamas_words() {
    for (content, message) in [
        ("5", "invalid message content type: float64"),
        ("null", "invalid message content type: <nil>"),
        ("true", "invalid message content type: bool"),
        ("{}", "invalid message content type: map[string]interface {}"),
        ("[5]", "invalid message format"),
        (r#"[{"type":"text"}]"#, "invalid message format"),
        (r#"[{"type":"video"}]"#, "invalid message format"),
        (r#"[{"type":"image_url"}]"#, "invalid message format"),
        (r#"[{"type":"image_url","image_url":{"url":5}}]"#, "invalid message format"),
        (
            r#"[{"type":"image_url","image_url":"https://127.0.0.1/x.png"}]"#,
            "image URLs are not currently supported, please use base64 encoded data instead",
        ),
        (r#"[{"type":"image_url","image_url":"file:///etc/passwd"}]"#, "invalid image input"),
        (r#"[{"type":"image_url","image_url":"data:image/gif;base64,aGk="}]"#, "invalid image input"),
        (r#"[{"type":"image_url","image_url":"data:image/png;base64,aGk"}]"#, "invalid image input"),
        (r#"[{"type":"image_url","image_url":"data:image/png;base64,%%%"}]"#, "invalid image input"),
        (r#"[{"type":"input_audio","input_audio":"aGk="}]"#, "invalid input_audio format"),
        (r#"[{"type":"input_audio","input_audio":{}}]"#, "invalid input_audio format: missing data"),
        (r#"[{"type":"input_audio","input_audio":{"data":"%"}}]"#, "invalid input_audio base64 data"),
    ] {
        let body = format!(r#"{{"model":"m","messages":[{{"role":"user","content":{content}}}]}}"#);
        assert_eq!(refused(Route::ChatCompletions, &body), message, "{body}");
    }
    for arguments in ["", "5", "[1]", "{", "{} x"] {
        let calls = json!([{ "function": { "name": "f", "arguments": arguments } }]);
        let body = json!({ "messages": [{ "role": "assistant", "tool_calls": calls }] }).to_string();
        assert_eq!(refused(Route::ChatCompletions, &body), "invalid tool call arguments", "{body}");
    }
    for (route, body, message) in [
        (Route::ChatCompletions, r#"{"model":"m"}"#, "[] is too short - 'messages'"),
        (Route::ChatCompletions, r#"{"messages":[null]}"#, "invalid message content type: <nil>"),
        (Route::Completions, r#"{"stop":["a",5]}"#, "invalid type for 'stop' field: float64"),
        (Route::Completions, r#"{"stop":[null]}"#, "invalid type for 'stop' field: <nil>"),
        (Route::Embeddings, "{}", "invalid input"),
        (Route::Embeddings, r#"{"input":null}"#, "invalid input"),
        (Route::Embeddings, r#"{"input":[]}"#, "invalid input"),
        (
            Route::Embeddings,
            r#"{"input":"x","encoding_format":"int8"}"#,
            "Invalid value for 'encoding_format' = int8. Supported values: ['float', 'base64'].",
        ),
    ] {
        assert_eq!(refused(route, body), message, "{body}");
    }
    let body = r#"{"messages":[{"role":"user","content":"x"}],"reasoning_effort":"extreme"}"#;
    assert!(refused(Route::ChatCompletions, body).starts_with(r#"invalid reasoning value: "extreme" (must be "minimal", "#));
}

#[test]
fn a_field_that_only_ollama_itself_can_honour_makes_a_request_untranslatable() {
    let render = r#""_debug_render_only":true"#;
    for (route, member, expected) in [
        (Route::ChatCompletions, r#""model":"gpt-oss:120b-cloud""#, Some("model")),
        (Route::Completions, r#""model":"gpt-oss:120b-cloud""#, Some("model")),
        (Route::Embeddings, r#""model":"gpt-oss:120b-cloud""#, Some("model")),
        (Route::ChatCompletions, render, Some("_debug_render_only")),
        (Route::Completions, render, Some("_debug_render_only")),
        (Route::Embeddings, render, None),
    ] {
        let body = format!(r#"{{"messages":[{{"role":"user","content":"x"}}],"input":"x",{member}}}"#);
        let expected = expected.map(|field| Refused::Untranslatable { field: field.to_owned() });
        assert_eq!(translated(route, &body).err(), expected, "{route:?} {body}");
    }
}

#[test]
fn no_value_in_any_field_breaks_anything() {
    const FIELDS: &str = "model messages stream stream_options max_tokens max_completion_tokens seed stop temperature frequency_penalty \
        presence_penalty top_p response_format tools reasoning reasoning_effort logprobs top_logprobs \
        _debug_render_only keep_alive num_ctx options prompt suffix input dimensions encoding_format n user \
        tool_choice";
    let deep = "[".repeat(5_000) + &"]".repeat(5_000);
    let values = [
        "null",
        "true",
        "5",
        "-1",
        "1.5",
        "1e400",
        "18446744073709551616",
        "\"\"",
        "\"x\"",
        "\"\\ud83d\"",
        "[]",
        "[null]",
        "[5]",
        "[\"x\"]",
        "[{}]",
        "[{\"role\":5,\"content\":[[]],\"tool_calls\":[null]}]",
        "{}",
        "{\"type\":[],\"effort\":{},\"num_ctx\":[]}",
        "{\"a\":{\"a\":{}}}",
        deep.as_str(),
    ];
    let mut seen = [0; 3];
    for route in ROUTES {
        for field in FIELDS.split(' ') {
            for value in values {
                let body = format!(r#"{{"model":"m","messages":[{{"role":"user","content":"x"}}],"input":"x","{field}":{value}}}"#);
                match translated(route, &body) {
                    Ok(translated) => {
                        assert!(serde_json::from_slice::<Map<String, Value>>(&translated.body).is_ok(), "{body}");
                        seen[0] += 1;
                    }
                    Err(Refused::Invalid { status, body }) => {
                        let said: Value = serde_json::from_slice(&body).unwrap();
                        assert!(status == 400 && !said["error"]["message"].as_str().unwrap().is_empty());
                        seen[1] += 1;
                    }
                    Err(Refused::Untranslatable { .. }) => seen[2] += 1,
                }
            }
        }
    }
    assert!(seen.iter().all(|count| *count > 0), "{seen:?}");
}

#[test]
fn a_body_that_stops_anywhere_is_refused() {
    let body = json!({ "model": "é", "messages": [{ "role": "user", "content": "\u{1f600}" }], "input": "x", "stop": ["\\"] }).to_string();
    for route in ROUTES {
        for end in 0..body.len() {
            let refused = translate(route, &body.as_bytes()[..end], Stamp { id: 1, created: 2 }).unwrap().err();
            assert!(matches!(refused, Some(Refused::Invalid { status: 400, .. })), "{route:?} {end}");
        }
        assert!(translated(route, &body).is_ok(), "{route:?}");
    }
}

#[test]
fn routes_of_other_protocols_are_left_alone() {
    for route in Route::ALL.into_iter().filter(|route| !ROUTES.contains(route)) {
        assert!(translate(route, b"{}", Stamp { id: 1, created: 2 }).is_none(), "{route:?}");
    }
}
