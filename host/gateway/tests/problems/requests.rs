//! Requests that clients cancel, get wrong, make too long, or send in the order that one program needs.

use super::*;
use std::sync::atomic::{AtomicBool, Ordering};
use upright_simulator::{Behaviour, ROWS, Row};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_hangs_up_between_two_attempts_ends_its_request() {
    let host = ModelHost::ollama(&["m:latest"], |_, line| line.json(503, &json!({ "error": "server busy, please try again" })));
    let gateway = gateway(&[&host], "[retry]\nmax_retries = 5\nbase_delay = \"10m\"\nmax_delay = \"10m\"\n");
    let client = tokio::spawn(asked(url(&gateway, "/api/chat"), question(Route::Chat, "m", true)));
    upright_test_kit::wait::until("the first attempt", async || host.questions().len() == 1).await;
    until(&gateway, "/metrics", "upright_gateway_open_requests 1\n").await;
    client.abort();
    until(&gateway, "/metrics", "upright_gateway_open_requests 0\n").await;
    assert!(got(&gateway, "/metrics").await.contains("outcome=\"client_gone\"} 1\n"));
    assert_eq!(host.questions().len(), 1);
}

/// The body of an answer of Ollama with this error.
fn body_of(row: &Row) -> Value {
    json!({ "error": row.body.text() })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_error_of_ollama_is_tried_again_only_if_that_can_help_whatever_its_status() {
    let (mut rows, mut wrong) = (0, Vec::new());
    // Those with `Retry-After` take seconds; a quota that is used up has a test of its own.
    let is_plain =
        |row: &&Row| row.behaviour == Behaviour::Answer && row.status >= 400 && row.headers.is_empty() && row.name != "weekly-usage-limit";
    let is_too_long = |row: &Row| row.name.starts_with("context-");
    for row in ROWS.iter().filter(is_plain) {
        for endpoint in row.endpoints {
            let Some(route) = Route::of(endpoint) else { continue };
            let fails = Arc::new(AtomicBool::new(true));
            let is_failing = Arc::clone(&fails);
            let host = ModelHost::ollama(&["m:latest"], move |asked, line| match asked.target.as_str() {
                _ if is_failing.load(Ordering::SeqCst) => line.json(row.status, &body_of(row)),
                "POST /api/embed" => line.json(200, &json!({ "model": "m", "embeddings": [[0.5]], "prompt_eval_count": 2 })),
                "POST /api/generate" => line.json(200, &json!({ "model": "m", "response": "yes", "done": true, "done_reason": "stop" })),
                _ => says(asked, line, "yes"),
            });
            let gateway = gateway(&[&host], "");
            rows += 1;
            let answer = ask(&gateway, endpoint, &question(route, "m", false)).await;
            let mut bodies: Vec<_> = host.questions().into_iter().map(|asked| asked.body).collect();
            let asked = bodies.len();
            bodies.dedup();
            let repeats = asked > bodies.len();
            if repeats != row.expect.retryable || answer.status < 400 {
                wrong.push(format!("{} on {endpoint}: asked {asked} times, {} {}", row.name, answer.status, answer.text));
            }
            if !row.expect.retryable && !is_too_long(row) {
                // A caller's mistake, again and again, opens no breaker.
                for _ in 0..5 {
                    ask(&gateway, endpoint, &question(route, "m", false)).await;
                }
                fails.store(false, Ordering::SeqCst);
                let healthy = ask(&gateway, endpoint, &question(route, "m", false)).await;
                if healthy.status != 200 || healthy.header("x-upright-attempts") != "1" {
                    wrong.push(format!("{} on {endpoint}, healthy again: {} {}", row.name, healthy.status, healthy.text));
                }
            }
        }
    }
    println!("{rows} errors on their routes");
    assert!(wrong.is_empty(), "{} are wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_question_that_is_too_long_goes_to_the_model_with_the_larger_window_without_a_repetition() {
    let inner = r#"{"error":{"code":400,"message":"request (6010 tokens) exceeds the available context size (4096 tokens), try increasing it","type":"exceed_context_size_error","n_prompt_tokens":6010,"n_ctx":4096}}"#;
    for (status, text) in [(400, inner), (500, "no user query found in messages")] {
        for route in ROUTES {
            let small = ModelHost::ollama(&["small:latest"], move |_, line| line.json(status, &json!({ "error": text })));
            let long = ModelHost::ollama(&["long:latest"], |asked, line| says(asked, line, "all of it was read"));
            let tables = "[model.small]\nfallback = [\"long\"]\nwindow = 4096\n[integrity]\nrefuse_cut_questions = false\n";
            let gateway = gateway(&[&small, &long], tables);
            until(&gateway, "/api/tags", "long").await;
            until(&gateway, "/api/tags", "small").await;
            let answer = ask(&gateway, route.path(), &question(route, "small", false)).await;
            let shown = format!("{status}, {}: {} {}", route.path(), answer.status, answer.text);
            assert!(answer.status == 200 && answer.text.contains("all of it"), "{shown}");
            assert_eq!((answer.header("x-upright-model"), small.questions().len(), long.questions().len()), ("long", 1, 1), "{shown}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_of_v1_sets_the_window_and_the_time_that_a_model_stays_loaded() {
    let host = ModelHost::ollama(&["m:latest"], |asked, line| says(asked, line, "yes"));
    let gateway = gateway(&[&host], "");
    for extra in [json!({ "keep_alive": "30m", "options": { "num_ctx": 16384 } }), json!({ "keep_alive": "30m", "num_ctx": 16384 })] {
        let mut body = question(Route::ChatCompletions, "m", false);
        body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        let answer = ask(&gateway, "/v1/chat/completions", &body).await;
        let asked = host.questions().pop().unwrap();
        assert_eq!((answer.status, asked.target.as_str()), (200, "POST /api/chat"), "{}", answer.text);
        assert_eq!((&asked.json()["keep_alive"], &asked.json()["options"]["num_ctx"]), (&json!("30m"), &json!(16384)));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_guards_its_name_answers_behind_the_gateway_and_a_foreign_page_reaches_none() {
    let host = ModelHost::start(move |asked, line| {
        // As Ollama on loopback does it.
        let is_local = asked.header("host").is_some_and(|host| host.starts_with("127.0.0.1:"));
        if !is_local || asked.header("origin").is_some() {
            return line.whole(403, "text/plain", "");
        }
        if asked.is_question() {
            says(asked, line, "yes")
        } else {
            line.json(200, &json!({ "models": [], "capabilities": ["completion"] }))
        }
    });
    let gateway = gateway(&[&host], "[access]\nhosts = [\"my.lan\"]\n");
    let client = reqwest::Client::new();
    for path in ["/api/chat", "/v1/chat/completions", "/api/show", "/api/anything"] {
        for (host_header, origin, expected) in [
            ("my.lan", None, 200),
            ("my.lan", Some("app://obsidian.md"), 200),
            ("localhost", Some("http://localhost:5173"), 200),
            ("localhost", Some("null"), 403),
            ("localhost", Some("https://evil.example"), 403),
            ("evil.example", None, 403),
        ] {
            let body = question(Route::Chat, "m", false);
            let mut request = client.post(url(&gateway, path)).header("host", host_header).json(&body);
            if let Some(origin) = origin {
                request = request.header("origin", origin);
            }
            let before = host.count(&format!("POST {path}")) + host.count("POST /api/chat");
            let response = request.send().await.unwrap();
            let shown = format!("{path}, {host_header}, {origin:?}");
            assert_eq!(response.status(), expected, "{shown}");
            let allowed = response.headers().get("access-control-allow-origin").map(|value| value.to_str().unwrap());
            assert_eq!(allowed, origin.filter(|_| expected == 200), "{shown}");
            let after = host.count(&format!("POST {path}")) + host.count("POST /api/chat");
            assert_eq!(after > before, expected == 200, "{shown}");
        }
    }
    let preflight = client.request(reqwest::Method::OPTIONS, url(&gateway, "/v1/chat/completions"));
    let headers = "content-type,authorization,x-stainless-lang,x-stainless-retry-count";
    let preflight = preflight.header("origin", "app://obsidian.md").header("access-control-request-method", "POST");
    let answer = preflight.header("access-control-request-headers", headers).send().await.unwrap();
    let allowed = answer.headers()["access-control-allow-headers"].to_str().unwrap().to_ascii_lowercase();
    assert!(answer.status() == 204 && headers.split(',').all(|header| allowed.contains(header)), "{allowed}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_requests_of_copilot_claude_code_codex_and_the_ollama_command_get_what_these_programs_need() {
    let host = ModelHost::start(|asked, line| match asked.target.as_str() {
        "GET /api/version" => line.json(200, &json!({ "version": "0.33.0" })),
        "GET /api/tags" | "GET /api/ps" => line.json(200, &upright_test_kit::model_host::listed(&["m:latest"])),
        "POST /api/show" => line.json(200, &json!({ "capabilities": ["completion", "tools"], "model_info": {} })),
        _ => says(asked, line, "yes"),
    });
    let gateway = gateway(&[&host], "");
    until(&gateway, "/api/tags", "m:latest").await;
    until(&gateway, "/api/version", "0.33.0").await;
    let client = reqwest::Client::new();

    // The command, VS Code.
    let head = client.head(url(&gateway, "/")).send().await.unwrap();
    assert_eq!(head.status(), 200);
    // Copilot: a version that is three numbers, the list, then what each model can do.
    assert_eq!(got(&gateway, "/api/version").await, r#"{"version":"0.33.0"}"#);
    let shown = ask(&gateway, "/api/show", &json!({ "model": "m:latest" })).await;
    assert_eq!(serde_json::from_str::<Value>(&shown.text).unwrap()["capabilities"], json!(["completion", "tools"]));
    // Claude Code: `count_tokens` is a route that Ollama does not have, and a stream begins with the input's tokens.
    let claude = ask(&gateway, "/v1/messages?beta=true", &question(Route::Messages, "m", true)).await;
    let first = claude.text.lines().find_map(|line| line.strip_prefix("data: ")).unwrap();
    assert!(serde_json::from_str::<Value>(first).unwrap()["message"]["usage"]["input_tokens"].as_u64() > Some(0), "{first}");
    assert!(claude.text.contains("message_stop"));
    // Codex: the last event of a response.
    let codex = ask(&gateway, "/v1/responses", &question(Route::Responses, "m", true)).await;
    assert!(codex.text.contains("event: response.completed"), "{}", codex.text);

    // A body of 40 MB, with an image, announced as curl does it.
    let mut large = question(Route::Chat, "m", false);
    large["messages"][0]["images"] = json!(["A".repeat(40 << 20)]);
    let sent = client.post(url(&gateway, "/api/chat")).header("expect", "100-continue").json(&large).send().await.unwrap();
    assert_eq!(sent.status(), 200);
    let arrived = host.questions().pop().unwrap().json();
    assert_eq!(arrived["messages"][0]["images"][0].as_str().map(str::len), Some(40 << 20));
}
