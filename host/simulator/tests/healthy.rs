//! The healthy simulated Ollama, and plans for failures.

use crate::common::{self, ask, read, send, within};
use serde_json::{Value, json};
use upright_simulator::{FaultServer, HEALTHY, Match, Model, REPLAY_HEADER, VERSION};

async fn server() -> FaultServer {
    FaultServer::start().await.unwrap()
}

async fn call(server: &FaultServer, method: &str, path: &str, body: Value) -> (u16, Value) {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let raw = read(send(server, method, path, &body).await).await;
    let (head, body) = raw.text.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, serde_json::from_str(body).unwrap_or_else(|_| body.into()))
}

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

#[tokio::test]
async fn the_fault_server_identifies_itself_as_a_replay() {
    let server = server().await;
    assert_eq!(call(&server, "GET", "/api/version", Value::Null).await, (200, json!({"version": VERSION})));
    assert!(VERSION.contains("replay"));
    let raw = read(send(&server, "GET", "/", "").await).await;
    assert!(raw.text.contains(&format!("{REPLAY_HEADER}: {HEALTHY}\r\n")) && raw.text.ends_with("\r\n\r\nOllama is running"));
}

#[tokio::test]
async fn tags_and_ps_list_models_in_ollamas_shape() {
    let server = server().await;
    let fixed = Model { name: "tiny:1b".into(), digest: "ab".repeat(32), size: 7, window: None };
    server.set_models([Model::from("Qwen3"), fixed]);
    let (_, tags) = call(&server, "GET", "/api/tags", Value::Null).await;
    assert_eq!(keys(&tags["models"][0]), ["name", "model", "modified_at", "size", "digest", "details", "capabilities"]);
    assert_eq!(tags["models"][0]["name"], "qwen3:latest");
    assert_eq!((&tags["models"][1]["digest"], &tags["models"][1]["size"]), (&"ab".repeat(32).into(), &7.into()));

    let (_, none) = call(&server, "GET", "/api/ps", Value::Null).await;
    assert_eq!(none, json!({"models": []}));
    ask(&server, "/api/chat", "qwen3", false).await;
    let (_, loaded) = call(&server, "GET", "/api/ps", Value::Null).await;
    assert_eq!(loaded["models"].as_array().unwrap().len(), 1);
    for key in ["name", "model", "size", "size_vram", "digest", "details", "expires_at", "context_length"] {
        assert!(loaded["models"][0].get(key).is_some(), "{key}");
    }
    let unload = json!({"model": "qwen3", "keep_alive": 0, "stream": false});
    assert_eq!(call(&server, "POST", "/api/generate", unload).await.1["done_reason"], "unload");
    assert_eq!(call(&server, "GET", "/api/ps", Value::Null).await.1, json!({"models": []}));
}

#[tokio::test]
async fn chat_and_generate_stream_lines_and_end_with_the_figures() {
    let server = server().await;
    for (path, content) in [("/api/chat", "/message/content"), ("/api/generate", "/response")] {
        let raw = ask(&server, path, "qwen3:8b", true).await;
        let lines = raw.lines();
        let (last, tokens) = lines.split_last().unwrap();
        assert!(raw.is_whole() && tokens.iter().all(|token| token["done"] == false), "{}", raw.text);
        assert_eq!((&last["done"], &last["done_reason"]), (&true.into(), &"stop".into()));
        for time in ["total_duration", "load_duration", "prompt_eval_duration", "eval_duration"] {
            assert!(last[time].as_u64().unwrap() > 1_000_000, "{time} in nanoseconds");
        }
        let streamed: String = tokens.iter().map(|token| token.pointer(content).unwrap().as_str().unwrap()).collect();
        assert!(streamed.contains("qwen3:8b") && streamed.contains("one two three"), "{streamed}");

        let whole = ask(&server, path, "qwen3:8b", false).await.lines().remove(0);
        assert_eq!(whole.pointer(content).unwrap(), &Value::from(streamed), "the same without streaming");
        assert_eq!((&whole["done"], &whole["eval_count"]), (&true.into(), &tokens.len().into()));
    }
}

#[tokio::test]
async fn openai_routes_speak_their_own_shapes() {
    let server = server().await;
    for (path, piece, whole) in [
        ("/v1/chat/completions", "/choices/0/delta/content", "/choices/0/message/content"),
        ("/v1/completions", "/choices/0/text", "/choices/0/text"),
    ] {
        let raw = ask(&server, path, "qwen3:8b", true).await;
        assert!(raw.is_whole() && raw.text.contains("data: [DONE]\n\n"), "{}", raw.text);
        let events: Vec<Value> = raw
            .text
            .lines()
            .filter_map(|line| line.strip_prefix("data: {"))
            .map(|event| serde_json::from_str(&format!("{{{event}")).unwrap())
            .collect();
        assert_eq!(events.last().unwrap()["choices"][0]["finish_reason"], "stop");
        let streamed: String = events.iter().map(|event| event.pointer(piece).unwrap().as_str().unwrap()).collect();
        let body: Value = serde_json::from_str(&common::body("qwen3:8b", false)).unwrap();
        let (status, answer) = call(&server, "POST", path, body).await;
        assert_eq!((status, answer.pointer(whole).unwrap()), (200, &Value::from(streamed)));
        assert_eq!(answer["choices"][0]["finish_reason"], "stop");
    }
    let (_, models) = call(&server, "GET", "/v1/models", Value::Null).await;
    assert_eq!((&models["object"], &models["data"][0]["id"]), (&"list".into(), &"qwen3:8b".into()));
}

#[tokio::test]
async fn embeddings_are_vectors_that_depend_on_the_text_alone() {
    let server = server().await;
    let ask = |input: Value| json!({"model": "nomic-embed-text", "input": input, "prompt": "one"});
    let (_, two) = call(&server, "POST", "/api/embed", ask(json!(["one", "two"]))).await;
    let (_, one) = call(&server, "POST", "/api/embed", ask("one".into())).await;
    assert_eq!((two["embeddings"].as_array().unwrap().len(), &two["embeddings"][0]), (2, &one["embeddings"][0]));
    assert_ne!(two["embeddings"][0], two["embeddings"][1]);
    let (_, openai) = call(&server, "POST", "/v1/embeddings", ask("one".into())).await;
    assert_eq!(openai["data"][0]["embedding"], one["embeddings"][0]);
    let (_, old) = call(&server, "POST", "/api/embeddings", ask("one".into())).await;
    assert_eq!(old["embedding"], one["embeddings"][0]);
}

#[tokio::test]
async fn an_unknown_model_is_refused_in_each_routes_words_and_a_known_one_in_no_spelling() {
    let server = server().await;
    server.set_models(["qwen3"]);
    let (quoted, embed) = ("model 'x:1b' not found", "model \"x:1b\" not found, try pulling it first");
    for (path, text) in [("/api/chat", quoted), ("/api/generate", quoted), ("/api/show", quoted), ("/api/embed", embed)] {
        let body = |model: &str| serde_json::from_str(&common::body(model, false)).unwrap();
        assert_eq!(call(&server, "POST", path, body("x:1b")).await, (404, json!({"error": text})), "{path}");
        assert_eq!(call(&server, "POST", path, body("qwen3:8b")).await.0, 404, "{path}: another tag");
        for known in ["qwen3", "QWEN3:latest", "registry.ollama.ai/library/qwen3:latest"] {
            assert_eq!(call(&server, "POST", path, body(known)).await.0, 200, "{path}: {known}");
        }
    }
    let (status, show) = call(&server, "POST", "/api/show", json!({"name": "qwen3"})).await;
    assert!(status == 200 && show["details"]["format"] == "gguf" && show["capabilities"].is_array());
}

#[tokio::test]
async fn unknown_routes_and_bad_requests_get_ollamas_answers() {
    let server = server().await;
    assert_eq!(call(&server, "GET", "/api/none", Value::Null).await, (404, "404 page not found".into()));
    assert_eq!(call(&server, "GET", "/api/chat", Value::Null).await, (405, "405 method not allowed".into()));
    assert_eq!(call(&server, "POST", "/api/chat", Value::Null).await.1, json!({"error": "missing request body"}));
    assert_eq!(call(&server, "POST", "/api/chat", json!({})).await, (400, json!({"error": "model is required"})));
    assert_eq!(read(send(&server, "POST", "/api/chat", "{").await).await.text.split(' ').nth(1), Some("400"));
}

#[tokio::test]
async fn a_plan_is_used_up_step_by_step_and_only_by_the_requests_that_it_is_for() {
    let server = server().await;
    let requests = Match { path: Some("/api/chat"), model: Some("QWEN3:8b") };
    server.plan(requests, &["server-busy", "ok", "out-of-memory"]).unwrap();
    server.always(Match::model("gemma3:4b"), "no-tools").unwrap();
    for (path, model) in [
        ("/api/chat", "qwen3:8b"),
        ("/api/generate", "qwen3:8b"),
        ("/api/chat", "gemma3:4b"),
        ("/api/chat", "qwen3:8b"),
        ("/api/chat", "registry.ollama.ai/library/qwen3:8b"),
        ("/api/chat", "qwen3:8b"),
        ("/api/chat", "gemma3:4b"),
    ] {
        ask(&server, path, model, true).await;
    }
    let replayed: Vec<&str> = server.requests().iter().map(|seen| seen.replay).collect();
    assert_eq!(replayed, ["server-busy", HEALTHY, "no-tools", HEALTHY, "out-of-memory", HEALTHY, "no-tools"]);
    server.clear();
    assert!(ask(&server, "/api/chat", "gemma3:4b", true).await.is_whole());
    assert_eq!((server.count("/api/chat"), server.count("/api/generate")), (7, 1));
}

#[tokio::test]
async fn a_wrong_row_name_is_refused_with_the_list_and_plans_nothing() {
    let server = server().await;
    let fault = server.plan(Match::any(), &["server-busy", "server-buzy"]).unwrap_err();
    let text = fault.to_string();
    assert!(text.contains("`server-buzy`") && text.contains("server-busy,") && text.contains("ok,"), "{text}");
    assert!(server.always(Match::any(), "").is_err());
    assert!(ask(&server, "/api/chat", "qwen3:8b", true).await.is_whole());
    let (status, body) = call(&server, "POST", "/api/chat", json!({"model": "fault/server-buzy"})).await;
    assert!(status == 404 && body["error"].as_str().unwrap().contains("slow-drip"), "{body}");
}

#[tokio::test]
async fn after_a_shutdown_or_a_drop_nobody_listens_and_open_connections_are_gone() {
    let server = server().await;
    let stalled = send(&server, "POST", "/api/chat", &common::body("fault/hang-before-headers", true)).await;
    within(server.wait_for("/api/chat", 1)).await;
    within(server.shutdown()).await;
    assert_eq!(read(stalled).await.text, "");
    assert!(tokio::net::TcpStream::connect(server.address()).await.is_err());
    assert_eq!((server.requests().len(), server.loads_aborted()), (1, 0), "the server left, not the client");
    let again = FaultServer::start_on(server.address()).await.unwrap();
    assert!(ask(&again, "/api/chat", "qwen3:8b", true).await.is_whole());

    let address = again.address();
    let held = send(&again, "POST", "/api/chat", &common::body("fault/hang-before-headers", true)).await;
    within(again.wait_for("/api/chat", 2)).await;
    drop(again);
    read(held).await;
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn a_model_that_is_offered_a_tool_calls_it_once_and_then_answers() {
    let server = server().await;
    let schema = json!({"type": "object", "properties": {"word": {"type": "string"}, "times": {"type": "integer"}}});
    let tools = json!([{"type": "function", "function": {"name": "count", "parameters": schema}}]);
    let wanted = json!([{"function": {"name": "count", "arguments": {"word": "strawberry", "times": 1}}}]);
    let user = json!({"role": "user", "content": "Count the letters of strawberry."});
    let mut body = json!({"model": "qwen3:8b", "messages": [user], "tools": tools, "stream": false});
    let (_, call_made) = call(&server, "POST", "/api/chat", body.clone()).await;
    assert_eq!((&call_made["message"]["tool_calls"], &call_made["done"]), (&wanted, &true.into()));

    body["stream"] = true.into();
    let lines = read(send(&server, "POST", "/api/chat", &body.to_string()).await).await.lines();
    assert_eq!((lines.len(), &lines[0]["message"]["tool_calls"], &lines[1]["done"]), (2, &wanted, &true.into()));

    body["stream"] = false.into();
    body["messages"] = json!([user, call_made["message"], {"role": "tool", "tool_name": "count", "content": "10 letters"}]);
    let (_, answer) = call(&server, "POST", "/api/chat", body).await;
    assert!(answer["message"]["content"].as_str().unwrap().ends_with("10 letters") && answer["message"].get("tool_calls").is_none());
}
