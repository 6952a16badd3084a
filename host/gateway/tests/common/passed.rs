//! Requests that no attempt answers: which host gets them, and when the lists show what they changed.

use super::shelf::Ollama;
use super::{Answered, url};
use reqwest::Method;
use serde_json::{Value, json};
use upright_core::PolicySlot;
use upright_gateway::config::Config;
use upright_gateway::serve::{Gateway, StartOptions};
use upright_test_kit::gate::Gate;
use upright_test_kit::model_host::{ModelHost, listed};

fn before(hosts: &[&str], tables: &str) -> Gateway {
    let upstreams: String = hosts.iter().map(|host| format!("[[upstream]]\nurl = \"http://{host}\"\n")).collect();
    let text = format!("{tables}\n[listen]\naddress = \"127.0.0.1:0\"\n{upstreams}");
    let config = Config::parse(&text, "test.toml").unwrap_or_else(|error| panic!("{error}"));
    Gateway::start(config, PolicySlot::native(), StartOptions { workers: 1, ..StartOptions::default() }).unwrap()
}

/// Sends a request without a type, as `curl -d` would.
async fn send_to(gateway: &Gateway, host: Option<&str>, method: Method, path: &str, body: Value) -> Answered {
    let mut request = reqwest::Client::new().request(method, url(gateway, path)).body(body.to_string());
    if let Some(host) = host {
        request = request.header("x-upright-host", host);
    }
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    Answered { status, headers, text: response.text().await.unwrap() }
}

async fn send(gateway: &Gateway, method: Method, path: &str, body: Value) -> Answered {
    send_to(gateway, None, method, path, body).await
}

/// The names in a list of the gateway's.
async fn names(gateway: &Gateway, path: &str) -> Vec<String> {
    let list: Value = reqwest::get(url(gateway, path)).await.unwrap().json().await.unwrap();
    list["models"].as_array().unwrap().iter().map(|model| model["name"].as_str().unwrap().to_owned()).collect()
}

/// Waits until the gateway knows the models of all hosts.
async fn knows(gateway: &Gateway, expected: &[&str]) {
    loop {
        let list: Value = reqwest::get(url(gateway, "/api/tags")).await.unwrap().json().await.unwrap();
        if list["models"].as_array().is_some_and(|models| models.len() == expected.len()) {
            break;
        }
    }
    let mut found = names(gateway, "/api/tags").await;
    found.sort();
    assert_eq!(found, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_about_a_model_goes_to_the_host_that_has_it() {
    let (one, two) = (Ollama::start(&["a"]), Ollama::start(&["b"]));
    let gateway = before(&[&one.name, &two.name], "[aliases]\nc = \"b\"");
    knows(&gateway, &["a:latest", "b:latest", "c"]).await;
    for round in 0..6 {
        for (path, body, host) in [
            ("/api/show", json!({ "model": "a" }), &one),
            ("/api/show", json!({ "model": "", "name": "B" }), &two),
            ("/api/show", json!({ "model": "c" }), &two),
            ("/api/push", json!({ "model": "b" }), &two),
            ("/v1/systemone", json!({ "model": "b" }), &two),
            ("/api/copy", json!({ "source": "b", "destination": "d" }), &two),
        ] {
            let answer = send(&gateway, Method::POST, path, body.clone()).await;
            let shown = format!("{path} {body}, round {round}");
            assert_eq!(answer.status, 200, "{shown}: {}", answer.text);
            assert_eq!(answer.header("x-upright-outcome"), Some("passed"), "{shown}");
            assert_eq!(answer.header("x-upright-attempts"), Some("1"), "{shown}");
            assert_eq!(answer.header("x-upright-host"), Some(&*host.name), "{shown}");
        }
    }
    assert!(two.shelf().asked.iter().all(|(_, body)| body["model"] != "c"));
    assert_eq!(names(&gateway, "/api/tags").await.len(), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_lacks_a_model_or_cannot_be_reached_is_followed_by_the_next() {
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let (one, two) = (Ollama::start(&["a"]), Ollama::start(&["b"]));
    let gateway = before(&[&gone, &one.name, &two.name], "");
    // Nothing is known of any host yet.
    for model in ["a", "b", "a", "b"] {
        assert_eq!(send(&gateway, Method::POST, "/api/show", json!({ "model": model })).await.status, 200, "{model}");
    }
    knows(&gateway, &["a:latest", "b:latest"]).await;
    // Another program made it at the host.
    two.shelf().models.insert("new:latest".to_owned());
    for _ in 0..4 {
        let answer = send(&gateway, Method::POST, "/api/show", json!({ "model": "new" })).await;
        assert_eq!((answer.status, answer.header("x-upright-host")), (200, Some(&*two.name)));
    }
    let missing = send(&gateway, Method::POST, "/api/show", json!({ "model": "none" })).await;
    assert_eq!((missing.status, missing.json()["error"].as_str()), (404, Some("model 'none:latest' not found")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_model_is_created_where_its_blobs_are_and_answers_at_once() {
    let (one, two) = (Ollama::start(&["a"]), Ollama::start(&["b"]));
    let gateway = before(&[&one.name, &two.name], "");
    knows(&gateway, &["a:latest", "b:latest"]).await;
    for (name, host, target) in [("first", None, &one), ("second", Some(&*two.name), &two)] {
        let digests = ["1", "2", "3"].map(|digit| format!("sha256:{name}{digit}"));
        for digest in &digests {
            let path = format!("/api/blobs/{digest}");
            assert_eq!(send_to(&gateway, host, Method::HEAD, &path, Value::Null).await.status, 404);
            assert_eq!(send_to(&gateway, host, Method::POST, &path, json!("bytes")).await.status, 201);
            assert_eq!(send_to(&gateway, host, Method::HEAD, &path, Value::Null).await.status, 200);
        }
        let body = json!({ "model": name, "files": { "m.gguf": digests[0], "n.gguf": digests[2] } });
        let created = send_to(&gateway, host, Method::POST, "/api/create", body).await;
        assert_eq!((created.status, created.header("x-upright-host")), (200, Some(&*target.name)), "{}", created.text);
        assert!(names(&gateway, "/api/tags").await.contains(&format!("{name}:latest")));
        let question = json!({ "model": name, "stream": false, "messages": [{ "role": "user", "content": "Hello?" }] });
        let answer = send(&gateway, Method::POST, "/api/chat", question).await;
        assert_eq!((answer.status, answer.header("x-upright-attempts")), (200, Some("1")), "{}", answer.text);
        assert!(names(&gateway, "/api/ps").await.contains(&format!("{name}:latest")));
    }
    // The model that it begins with is there, and nowhere else.
    let brief = send(&gateway, Method::POST, "/api/create", json!({ "model": "brief", "from": "b" })).await;
    assert_eq!((brief.header("x-upright-host"), brief.text.contains("success")), (Some(&*two.name), true), "{}", brief.text);
    assert_eq!(send(&gateway, Method::POST, "/api/pull", json!({ "model": "pulled" })).await.header("x-upright-host"), Some(&*one.name));
    assert_eq!(send(&gateway, Method::POST, "/api/pull", json!({ "model": "b" })).await.header("x-upright-host"), Some(&*one.name));
    let digest = "sha256:first1";
    let both =
        send(&gateway, Method::POST, "/api/create", json!({ "model": "both", "from": "second", "files": { "m.gguf": digest } })).await;
    assert_eq!(both.header("x-upright-host"), Some(&*one.name));
    // Both hosts have the model.
    for number in 0..4 {
        let copy = json!({ "source": "b", "destination": format!("copy{number}") });
        assert_eq!(send(&gateway, Method::POST, "/api/copy", copy).await.header("x-upright-host"), Some(&*one.name));
    }
    let form =
        reqwest::Client::new().post(url(&gateway, "/v1/audio/transcriptions")).header("content-type", "multipart/form-data; boundary=x");
    assert_eq!(form.body(r#"{"model":"second"}"#).send().await.unwrap().headers()["x-upright-host"], &*one.name);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deletion_or_an_unload_reaches_each_host_that_has_the_model_and_the_lists_show_it_at_once() {
    let hosts = [Ollama::start(&["a"]), Ollama::start(&["a"]), Ollama::start(&["b"])];
    let gateway = before(&hosts.each_ref().map(|host| &*host.name), "");
    knows(&gateway, &["a:latest", "b:latest"]).await;
    for (path, body) in [
        ("/api/generate", json!({ "model": "a", "prompt": "", "keep_alive": "0s" })),
        ("/api/chat", json!({ "model": "a", "messages": [], "keep_alive": 0 })),
    ] {
        for host in &hosts[..2] {
            host.shelf().loaded.insert("a:latest".to_owned());
        }
        let unloaded = send(&gateway, Method::POST, path, body).await;
        assert_eq!((unloaded.status, unloaded.json()["done_reason"].as_str()), (200, Some("unload")), "{}", unloaded.text);
        assert_eq!(names(&gateway, "/api/ps").await, [""; 0]);
        assert_eq!(hosts.each_ref().map(|host| host.asked(&format!("POST {path}"))), [1, 1, 0]);
        let both = format!("{}, {}", hosts[0].name, hosts[1].name);
        let named = unloaded.header("x-upright-host").unwrap().to_owned();
        assert!(named == both || named == format!("{}, {}", hosts[1].name, hosts[0].name), "{named}");
    }
    let deleted = send(&gateway, Method::DELETE, "/api/delete", json!({ "model": "", "name": "a" })).await;
    assert_eq!((deleted.status, deleted.header("x-upright-attempts")), (200, Some("2")), "{}", deleted.text);
    assert_eq!(names(&gateway, "/api/tags").await, ["b:latest"]);
    assert_eq!(hosts.each_ref().map(|host| host.asked("DELETE /api/delete")), [1, 1, 0]);
    assert_eq!(send(&gateway, Method::DELETE, "/api/delete", json!({ "model": "a" })).await.status, 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_for_a_host_that_is_no_upstream_is_refused_with_the_names_of_those_that_are() {
    let hosts = [Ollama::start(&["a"]), Ollama::start(&["b"])];
    let gateway = before(&hosts.each_ref().map(|host| &*host.name), "");
    let expected = format!(
        "the header x-upright-host: found \"evil.example:80\"; expected the name of an upstream: \"{}\", \"{}\". Send one of these names, or leave the header out",
        hosts[0].name, hosts[1].name
    );
    for (method, path, body) in [
        (Method::POST, "/api/pull", json!({ "model": "m" })),
        (Method::DELETE, "/api/delete", json!({ "model": "a" })),
        (Method::POST, "/api/generate", json!({ "model": "a", "keep_alive": 0 })),
        (Method::POST, "/v1/systemone", json!({ "model": "a" })),
        (Method::GET, "/api/me", Value::Null),
    ] {
        let refused = send_to(&gateway, Some("evil.example:80"), method, path, body).await;
        assert_eq!((refused.status, super::refused::message(path, &refused)), (400, expected.clone()), "{path}");
    }
    let long = send_to(&gateway, Some(&"x".repeat(5000)), Method::POST, "/api/pull", json!({ "model": "m" })).await;
    assert!(long.status == 400 && long.text.len() < 1000, "{}", long.text);
    assert!(hosts.iter().all(|host| host.shelf().asked.is_empty()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_request_that_is_passed_on_is_counted_by_its_route_its_host_and_its_outcome() {
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let gate = Gate::default();
    let of_host = gate.clone();
    let host = ModelHost::ollama(&["a:latest", "b:latest"], move |asked, line| match asked.target.as_str() {
        "POST /api/show" => line.json(200, &json!({ "details": {} })),
        "POST /api/pull" => {
            line.head("application/x-ndjson");
            line.line(&json!({ "status": "success" }));
            line.end();
        }
        "POST /api/push" => {
            line.head("application/x-ndjson");
            line.line(&json!({ "status": "pushing" }));
            line.close();
        }
        "HEAD /api/blobs/sha256:1" => line.send("HTTP/1.1 200 -\r\ncontent-length: 12\r\n\r\n"),
        "POST /api/generate" => line.json(200, &json!({ "done": true, "done_reason": "unload" })),
        "GET /api/me" => {
            of_host.pass();
            line.json(200, &json!({}));
        }
        _ => line.json(404, &json!({ "error": "not found" })),
    });
    let gateway = before(&[&host.name()], "");
    knows(&gateway, &["a:latest", "b:latest"]).await;
    let waiting = tokio::spawn(reqwest::get(url(&gateway, "/api/me")));
    super::until(&gateway, "upright_gateway_open_requests 1\n").await;
    waiting.abort();
    let counted = |route: &str, host: &str, outcome: &str, count: u32| {
        format!("upright_gateway_requests_total{{route=\"{route}\",model=\"\",host=\"{host}\",outcome=\"{outcome}\"}} {count}\n")
    };
    super::until(&gateway, &counted("/api/me", &host.name(), "client_gone", 1)).await;
    gate.open();
    for model in ["a", "b"] {
        send(&gateway, Method::POST, "/api/show", json!({ "model": model })).await;
    }
    send(&gateway, Method::POST, "/api/pull", json!({ "model": "c" })).await;
    send(&gateway, Method::POST, "/api/generate", json!({ "model": "a", "keep_alive": 0 })).await;
    send(&gateway, Method::HEAD, "/api/blobs/sha256:1", Value::Null).await;
    for path in ["/api/one", "/api/two"] {
        send(&gateway, Method::GET, path, Value::Null).await;
    }
    let push = reqwest::Client::new().post(url(&gateway, "/api/push")).body(json!({ "model": "a" }).to_string()).send().await.unwrap();
    assert!(push.bytes().await.is_err());
    for (route, outcome, count) in [
        ("/api/show", "passed", 2),
        ("/api/pull", "passed", 1),
        ("/api/generate", "passed", 1),
        ("/api/blobs", "passed", 1),
        ("other", "passed", 2),
        ("/api/push", "broken", 1),
    ] {
        super::until(&gateway, &counted(route, &host.name(), outcome, count)).await;
    }
    super::until(&gateway, "upright_gateway_attempts_total 9\n").await;
    super::until(&gateway, "upright_gateway_open_requests 0\n").await;

    let gateway = before(&[&gone], "");
    loop {
        // Asked until its probe has failed.
        if send(&gateway, Method::POST, "/api/pull", json!({ "model": "a" })).await.status == 503 {
            break;
        }
    }
    super::until(&gateway, &counted("/api/pull", "none", "no_host", 1)).await;
    send_to(&gateway, Some(&gone), Method::POST, "/api/show", json!({ "model": "a" })).await;
    super::until(&gateway, &counted("/api/show", &gone, "failed", 1)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_client_gets_the_worst_answer_of_all_hosts_of_a_model_but_not_that_one_lacks_it() {
    for (answer, status) in [("refuses", 500), ("fails", 502), ("lacks it", 200)] {
        let good = ModelHost::ollama(&["a:latest"], |_, line| line.json(200, &json!({})));
        let bad = ModelHost::ollama(&["a:latest"], move |_, line| match answer {
            "refuses" => line.json(500, &json!({ "error": "no" })),
            "fails" => line.close(),
            _ => line.json(404, &json!({ "error": "model 'a' not found" })),
        });
        for hosts in [[&good, &bad], [&bad, &good]] {
            let gateway = before(&hosts.map(ModelHost::name).each_ref().map(|name| &**name), "");
            for (method, path, body) in [
                (Method::DELETE, "/api/delete", json!({ "model": "a" })),
                (Method::POST, "/api/generate", json!({ "model": "a", "keep_alive": 0 })),
            ] {
                let answered = send(&gateway, method, path, body).await;
                assert_eq!(answered.status, status, "{answer} {path}: {}", answered.text);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_a_request_without_a_question_and_with_keep_alive_0_unloads() {
    let hosts = [Ollama::start(&["a"]), Ollama::start(&["a"])];
    let gateway = before(&hosts.each_ref().map(|host| &*host.name), "");
    knows(&gateway, &["a:latest"]).await;
    let asks = json!([{ "role": "user", "content": "Hello?" }]);
    for (number, (messages, keep_alive)) in (1..).zip([(asks, json!(0)), (json!([]), json!("10m")), (json!([]), json!(-1))]) {
        let body = json!({ "model": "a", "stream": false, "messages": messages, "keep_alive": keep_alive });
        let answer = send(&gateway, Method::POST, "/api/chat", body.clone()).await;
        assert_ne!(answer.header("x-upright-outcome"), Some("passed"), "{body}: {}", answer.text);
        assert!(hosts.iter().map(|host| host.asked("POST /api/chat")).sum::<usize>() >= number, "{body}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_took_a_change_and_broke_off_is_not_followed_by_the_next() {
    let broken = ModelHost::ollama(&["a:latest"], |_, line| line.close());
    let good = ModelHost::ollama(&["a:latest"], |_, line| line.json(200, &json!({})));
    let gateway = before(&[&broken.name(), &good.name()], "");
    knows(&gateway, &["a:latest"]).await;
    let copied = send(&gateway, Method::POST, "/api/copy", json!({ "source": "a", "destination": "b" })).await;
    assert_eq!((copied.status, good.count("POST /api/copy")), (502, 0), "{}", copied.text);
    for _ in 0..4 {
        assert_eq!(send(&gateway, Method::POST, "/api/show", json!({ "model": "a" })).await.status, 200);
    }
    assert!(broken.count("POST /api/show") > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_gets_and_the_client_gets_no_header_that_is_not_for_it() {
    let other = ModelHost::start(|_, line| line.json(200, &json!({ "data": [{ "id": "a" }] })));
    let host = ModelHost::start(|asked, line| {
        match asked.target.as_str() {
            "GET /api/version" => return line.json(200, &json!({ "version": "0.33.0" })),
            "GET /api/tags" | "GET /api/ps" => return line.json(200, &listed(&["a:latest"])),
            _ => {}
        }
        let private = ["authorization", "cookie", "x-api-key", "x-upright-host", "origin", "te", "proxy-authorization"];
        let found: Vec<_> = private.iter().filter(|name| asked.header(name).is_some()).collect();
        let seen = json!({ "private": found, "via": asked.header("via"), "own": asked.header("x-own") }).to_string();
        line.send(format!("HTTP/1.1 200 -\r\nkeep-alive: timeout=5\r\nx-hers: yes\r\ncontent-length: {}\r\n\r\n{seen}", seen.len()));
    });
    let openai = format!("[[upstream]]\nurl = \"{}\"\nkind = \"openai\"\n", other.url());
    let gateway = before(&[&host.name()], &openai);
    knows(&gateway, &["a:latest"]).await;
    for chosen in [None, Some(host.name())] {
        for path in ["/api/show", "/api/pull"] {
            let mut request = reqwest::Client::new().post(url(&gateway, path)).body(json!({ "model": "a" }).to_string());
            for name in ["authorization", "cookie", "x-api-key", "te", "proxy-authorization", "x-own"] {
                request = request.header(name, "secret");
            }
            request = request.header("origin", "http://localhost");
            if let Some(name) = &chosen {
                request = request.header("x-upright-host", name);
            }
            let answer = request.send().await.unwrap();
            assert!(answer.headers().get("keep-alive").is_none() && answer.headers()["x-hers"] == "yes", "{:?}", answer.headers());
            assert_eq!(answer.headers()["x-upright-host"], host.name(), "{path}");
            let seen: Value = answer.json().await.unwrap();
            assert_eq!((&seen["private"], &seen["own"]), (&json!([]), &json!("secret")), "{path}");
            assert!(seen["via"].as_str().is_some_and(|via| via.contains("upright")), "{seen}");
        }
    }
    assert_eq!(other.count("POST /api/pull"), 0);
}
