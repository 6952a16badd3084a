//! Hosts that have OpenAI's API alone, as llama.cpp and vLLM write it, by themselves and beside an Ollama.

use super::*;

const SSE: &str = "text/event-stream";
const CHAT: &str = "/v1/chat/completions";

fn chunk(delta: Value, finish: Option<&str>) -> String {
    let choice = json!({ "index": 0, "delta": delta, "finish_reason": finish });
    format!("data: {}\n\n", json!({ "id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice] }))
}

fn whole(text: &str) -> Value {
    let choice = json!({ "index": 0, "message": { "role": "assistant", "content": text }, "finish_reason": "stop" });
    json!({ "id": "x", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice] })
}

/// The beginning of a stream: the role, then some words.
fn begins(line: &mut Line) {
    line.head(SSE);
    line.piece(chunk(json!({ "role": "assistant", "content": "" }), None));
    line.piece(chunk(json!({ "content": "The sky " }), None));
}

/// A host with these models that answers by this function.
fn openai(models: &'static [&'static str], answer: impl Fn(&Asked, &mut Line) + Send + Sync + 'static) -> ModelHost {
    ModelHost::start(move |asked, line| {
        if asked.is_question() {
            return answer(asked, line);
        }
        let data: Vec<Value> = models.iter().map(|id| json!({ "id": id, "object": "model", "owned_by": "vllm" })).collect();
        line.json(200, &json!({ "object": "list", "data": data }));
    })
}

fn says_plainly(asked: &Asked, line: &mut Line) {
    assert_eq!(asked.target, format!("POST {CHAT}"));
    if asked.json()["stream"] != true {
        return line.json(200, &whole("The sky is blue"));
    }
    begins(line);
    line.piece(chunk(json!({ "content": "is blue" }), None));
    line.piece(chunk(json!({}), Some("stop")));
    line.piece("data: [DONE]\n\n");
    line.end();
}

/// An answer as a client sees it.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Seen {
    Whole,
    /// An error with this status in place of an answer.
    Status(u16),
    /// An error after content.
    Broken,
}

type Script = fn(&mut Line);

/// Answers of hosts: name, whether streamed, script, and the client's view of a host alone and of one beside an
/// Ollama.
const SCRIPTS: [(&str, bool, Script, Seen, Seen); 11] = [
    (
        "a stream without [DONE]",
        true,
        |line| {
            begins(line);
            line.piece(chunk(json!({}), Some("stop")));
            line.end();
        },
        Seen::Whole,
        Seen::Whole,
    ),
    (
        "a stream without its end",
        true,
        |line| {
            begins(line);
            line.end();
        },
        Seen::Broken,
        Seen::Broken,
    ),
    (
        "a stream that breaks",
        true,
        |line| {
            begins(line);
            line.close();
        },
        Seen::Broken,
        Seen::Broken,
    ),
    (
        "vLLM's error within a stream",
        true,
        |line| {
            begins(line);
            line.piece("data: {\"error\":{\"message\":\"boom\",\"type\":\"InternalServerError\",\"code\":500}}\n\n");
            line.piece("data: [DONE]\n\n");
            line.end();
        },
        Seen::Broken,
        Seen::Broken,
    ),
    (
        "a stream that breaks within an event",
        true,
        |line| {
            begins(line);
            line.piece("data: {\"id\":\"x\",\"choi");
            line.close();
        },
        Seen::Broken,
        Seen::Broken,
    ),
    (
        "vLLM's error before the content",
        true,
        |line| {
            line.head(SSE);
            line.piece(chunk(json!({ "role": "assistant", "content": "" }), None));
            line.piece("data: {\"error\":{\"message\":\"boom\",\"type\":\"InternalServerError\",\"code\":500}}\n\n");
            line.end();
        },
        Seen::Status(502),
        Seen::Whole,
    ),
    (
        "llama.cpp that loads",
        true,
        |line| line.json(503, &json!({ "error": { "code": 503, "message": "Loading model", "type": "unavailable_error" } })),
        Seen::Status(503),
        Seen::Whole,
    ),
    (
        "vLLM that is dead behind a proxy",
        false,
        |line| line.whole(502, "text/html", "<html>502 Bad Gateway</html>"),
        Seen::Status(502),
        Seen::Whole,
    ),
    (
        "an answer that is cut",
        false,
        |line| {
            line.send("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 900\r\n\r\n{\"id\":\"x\",\"choices\":[{\"ind");
            line.close();
        },
        Seen::Status(502),
        Seen::Whole,
    ),
    (
        "an error under status 200",
        false,
        |line| line.json(200, &json!({ "error": { "message": "boom", "type": "InternalServerError", "code": 500 } })),
        Seen::Status(502),
        Seen::Whole,
    ),
    ("a connection that closes at once", false, |line| line.close(), Seen::Status(502), Seen::Whole),
];

fn upstream(host: &ModelHost, kind: &str) -> String {
    format!("[[upstream]]\nurl = \"{}\"\nkind = \"{kind}\"\n", host.url())
}

fn seen(answer: &Answer, streamed: bool) -> Option<Seen> {
    let error = |text: &str| serde_json::from_str::<Value>(text).is_ok_and(|json| json["error"]["message"].is_string());
    match answer.status {
        200 if streamed && answer.whole => answer.text.contains("\"finish_reason\":\"stop\"").then_some(Seen::Whole),
        200 if streamed => {
            let last = answer.text.trim_end().lines().next_back()?.strip_prefix("data: ")?;
            (error(last) && answer.text.ends_with("\n\n") && !answer.text.contains("[DONE]")).then_some(Seen::Broken)
        }
        200 => answer.text.contains("\"finish_reason\":\"stop\"").then_some(Seen::Whole),
        status => (error(&answer.text) || answer.text.starts_with("<html>")).then_some(Seen::Status(status)),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fault_of_a_host_with_openais_api_is_an_error_in_openais_form_or_an_ollama_beside_it_answers() {
    for (name, streamed, script, alone, beside) in SCRIPTS {
        let host = openai(&["m"], move |_, line| script(line));
        let ollama = ModelHost::ollama(&["m:latest"], |asked, line| {
            assert_eq!(asked.target, "POST /api/chat");
            says(asked, line, "Grass is green");
        });
        let body = question(Route::ChatCompletions, "m", streamed);
        let first = gateway_of(&upstream(&host, "openai"));
        let answer = ask(&first, CHAT, &body).await;
        assert_eq!(seen(&answer, streamed), Some(alone), "{name}, alone: {} {}", answer.status, answer.text);
        let both = gateway_of(&format!("{}{}", upstream(&host, "openai"), upstream(&ollama, "ollama")));
        until(&both, "/v1/models", "vllm").await;
        // Asked until the host with the fault had its turn.
        let before = host.questions().len();
        let answer = loop {
            let answer = ask(&both, CHAT, &body).await;
            if host.questions().len() > before {
                break answer;
            }
        };
        let shown = format!("{name}, beside an Ollama: {} {}", answer.status, answer.text);
        assert_eq!(seen(&answer, streamed), Some(beside), "{shown}");
        assert!(!(answer.text.contains("sky") && answer.text.contains("Grass")), "{shown}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_with_openais_api_gets_the_clients_own_request_and_an_ollama_beside_it_the_translated_one() {
    let host = openai(&["plain", "both"], says_plainly);
    let ollama = ModelHost::ollama(&["own:latest", "both:latest"], |asked, line| {
        assert_eq!(asked.target, "POST /api/chat");
        says(asked, line, "Grass is green");
    });
    let gateway = gateway_of(&format!("{}{}", upstream(&ollama, "ollama"), upstream(&host, "openai")));
    until(&gateway, "/v1/models", "plain").await;
    until(&gateway, "/v1/models", "own").await;
    for streamed in [true, false] {
        for (model, at_host, text) in [("plain", true, "sky"), ("own", false, "Grass")] {
            let mut body = question(Route::ChatCompletions, model, streamed);
            body["logit_bias"] = json!({ "7": -100 });
            let (before, before_ollama) = (host.questions().len(), ollama.questions().len());
            let answer = ask(&gateway, CHAT, &body).await;
            assert!(answer.status == 200 && answer.whole && answer.text.contains(text), "{model}: {} {}", answer.status, answer.text);
            let counts = (host.questions().len() - before, ollama.questions().len() - before_ollama);
            assert_eq!(counts, if at_host { (1, 0) } else { (0, 1) }, "{model}, streamed {streamed}");
            if at_host {
                assert_eq!(host.questions().pop().unwrap().json(), body);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_ollama_would_refuse_is_refused_only_where_no_host_with_openais_api_has_the_model() {
    let host = openai(&["plain", "both"], says_plainly);
    let ollama = ModelHost::ollama(&["own:latest", "both:latest"], |_, line| line.json(400, &json!({ "error": "refused" })));
    let tables = "[aliases]\nalias = \"plain\"\n";
    let gateway = gateway_of(&format!("{tables}{}{}", upstream(&ollama, "ollama"), upstream(&host, "openai")));
    until(&gateway, "/v1/models", "plain").await;
    until(&gateway, "/v1/models", "own").await;
    // Ollama fetches no images.
    let image = json!({ "type": "image_url", "image_url": { "url": "https://example.com/sky.png" } });
    for _ in 0..3 {
        for (model, reaches) in [("plain", Some("plain")), ("alias", Some("plain")), ("both", Some("both")), ("own", None), ("none", None)]
        {
            let mut body = question(Route::ChatCompletions, model, false);
            body["messages"][0]["content"] = json!([image]);
            let before = host.questions().len();
            let answer = ask(&gateway, CHAT, &body).await;
            let shown = format!("{model}: {} {}", answer.status, answer.text);
            assert_eq!(host.questions().len() - before, usize::from(reaches.is_some()), "{shown}");
            match reaches {
                Some(name) => {
                    assert!(answer.status == 200 && answer.text.contains("sky"), "{shown}");
                    body["model"] = name.into();
                    assert_eq!(host.questions().pop().unwrap().json(), body);
                }
                None => assert!(answer.status == 400 && answer.text.contains("image URLs are not currently supported"), "{shown}"),
            }
        }
    }
    assert_eq!(ollama.questions().len(), 0);

    // Nobody knows the models of this host.
    let host = ModelHost::start(|asked, line| if asked.is_question() { says_plainly(asked, line) } else { line.json(404, &json!({})) });
    let gateway = gateway_of(&format!("{}{}", upstream(&ollama, "ollama"), upstream(&host, "openai")));
    until(&gateway, "/v1/models", "own").await;
    for (model, status) in [("plain", 200), ("own", 400)] {
        let mut body = question(Route::ChatCompletions, model, false);
        body["messages"][0]["content"] = json!([image]);
        assert_eq!(ask(&gateway, CHAT, &body).await.status, status, "{model}");
    }
    assert_eq!((host.questions().len(), ollama.questions().len()), (1, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_with_openais_api_that_refuses_a_long_question_is_not_asked_again_for_a_window_it_cannot_be_asked_for() {
    let error = json!({ "error": {
        "code": 400, "message": "request (6010 tokens) exceeds the available context size (4096 tokens), try increasing it",
        "type": "exceed_context_size_error", "n_prompt_tokens": 6010, "n_ctx": 4096,
    } });
    let host = openai(&["m"], move |_, line| line.json(400, &error));
    let gateway = gateway_of(&upstream(&host, "openai"));
    let answer = ask(&gateway, CHAT, &question(Route::ChatCompletions, "m", true)).await;
    assert_eq!((answer.status, host.questions().len()), (400, 1), "{}", answer.text);
    assert!(answer.text.contains("exceed_context_size_error"), "{}", answer.text);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_of_the_gateways_own_before_a_host_with_openais_api_has_the_clients_form() {
    let gateway = gateway_of("[[upstream]]\nurl = \"http://127.0.0.1:1\"\nkind = \"openai\"\n[retry]\nmax_retries = 0\n");
    for (route, kind) in [(Route::ChatCompletions, "api_error"), (Route::Responses, "api_error"), (Route::Messages, "overloaded_error")] {
        let answer = ask(&gateway, route.path(), &question(route, "m", false)).await;
        let error = &serde_json::from_str::<Value>(&answer.text).unwrap()["error"];
        assert!(answer.status >= 500 && error["message"].is_string(), "{}", answer.text);
        assert!([kind, "api_error"].contains(&error["type"].as_str().unwrap()), "{}", answer.text);
    }
}
