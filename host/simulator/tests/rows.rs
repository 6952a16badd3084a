//! Each row of the table, over real HTTP.

use crate::common::{self, within};
use serde_json::Value;
use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};
use upright_simulator::{Behaviour, Body, FaultServer, Match, REPLAY_HEADER, ROWS, Row};

fn client() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().build().unwrap()
}

#[test]
fn names_are_unique_and_kebab_case() {
    let mut names = BTreeSet::new();
    for row in ROWS {
        assert!(names.insert(row.name), "{} twice", row.name);
        let words =
            row.name.split('-').all(|word| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()));
        assert!(words, "{}", row.name);
        assert!(std::ptr::eq(Row::find(row.name).unwrap(), row));
    }
}

#[test]
fn each_row_is_complete() {
    let categories = ["transient", "permanent", "resource", "connection", "timeout"];
    for row in ROWS {
        assert!(!row.about.is_empty() && !row.endpoints.is_empty(), "{}", row.name);
        assert!(categories.contains(&row.expect.category), "{}", row.name);
        if row.expect.category == "permanent" {
            assert!(!row.expect.retryable, "{}", row.name);
        }
        let texts = !row.body.text().is_empty() || matches!(row.body, Body::Empty);
        assert!(texts, "{} has an empty text", row.name);
        assert!(!row.body.text().contains("  ") || row.name == "server-busy", "{} has a stray space", row.name);
    }
}

#[tokio::test]
async fn each_row_that_answers_at_once_has_its_status_and_text_on_each_of_its_paths() {
    let server = FaultServer::start().await.unwrap();
    let client = client();
    for row in ROWS.iter().filter(|row| row.behaviour == Behaviour::Answer) {
        for path in row.endpoints {
            server.plan(Match::path(path), &[row.name]).unwrap();
            let request = client.post(server.url() + path).body(common::body("qwen3:8b", true));
            let answer = within(request.send()).await.unwrap();
            let place = format!("{} on {path}", row.name);
            assert_eq!(answer.status(), row.status, "{place}");
            assert_eq!(answer.headers()[REPLAY_HEADER], row.name, "{place}");
            let kind = answer.headers()["content-type"].to_str().unwrap().to_owned();
            let text = answer.text().await.unwrap();
            match row.body {
                Body::Plain(expected) => assert_eq!((kind.as_str(), text.as_str()), ("text/plain", expected), "{place}"),
                Body::Html(expected) => assert_eq!((kind.contains("html"), text.as_str()), (true, expected), "{place}"),
                Body::Empty => assert_eq!(text, "", "{place}"),
                Body::NativeJson(expected) | Body::InnerJson(expected) | Body::NativeJsonWith(expected, _) => {
                    let body: Value = serde_json::from_str(&text).unwrap();
                    let error = &body["error"];
                    let message = if path.starts_with("/v1/") { &error["message"] } else { error };
                    assert_eq!(message, expected, "{place}");
                }
            }
        }
    }
    server.shutdown().await;
}

#[tokio::test]
async fn a_model_named_after_a_row_gets_that_row_on_any_route() {
    let server = FaultServer::start().await.unwrap();
    for row in ROWS.iter().filter(|row| row.behaviour == Behaviour::Answer) {
        let raw = common::ask(&server, "/api/chat", &format!("fault/{}", row.name), true).await;
        assert!(raw.text.starts_with(&format!("HTTP/1.1 {}", row.status)), "{}: {}", row.name, raw.text);
        assert!(raw.text.contains(&format!("{REPLAY_HEADER}: {}\r\n", row.name)), "{}: {}", row.name, raw.text);
    }
    let seen = server.requests();
    assert!(seen.iter().all(|seen| seen.model.as_deref() == Some(&format!("fault/{}", seen.replay))));
}

#[tokio::test]
async fn the_context_figures_are_json_inside_the_error_text() {
    let server = FaultServer::start().await.unwrap();
    let raw = common::ask(&server, "/api/chat", "fault/context-exceeded-inner-json", false).await;
    let (_, body) = raw.text.split_once("\r\n\r\n").unwrap();
    let outer: Value = serde_json::from_str(body).unwrap();
    let inner: Value = serde_json::from_str(outer["error"].as_str().unwrap()).unwrap();
    assert_eq!(inner["error"]["type"], "exceed_context_size_error");
    assert_eq!((&inner["error"]["n_prompt_tokens"], &inner["error"]["n_ctx"]), (&5120.into(), &4096.into()));
}

#[tokio::test]
async fn an_unauthorized_answer_says_where_to_sign_in() {
    let server = FaultServer::start().await.unwrap();
    let raw = common::ask(&server, "/api/chat", "fault/unauthorized", false).await;
    let (_, body) = raw.text.split_once("\r\n\r\n").unwrap();
    let body: Value = serde_json::from_str(body).unwrap();
    assert!(body["signin_url"].as_str().unwrap().starts_with("https://"));
}

#[tokio::test]
async fn the_cloud_says_how_long_to_wait_in_seconds_or_as_a_date_yet_to_come() {
    let server = FaultServer::start().await.unwrap();
    for (row, is_date) in [
        ("cloud-overloaded-retry-after", false),
        ("rate-limited-retry-after", false),
        ("cloud-overloaded-retry-after-date", true),
        ("rate-limited-retry-after-date", true),
    ] {
        let before = SystemTime::now();
        let raw = common::ask(&server, "/api/chat", &format!("fault/{row}"), false).await;
        let line = raw.text.lines().find_map(|line| line.strip_prefix("retry-after: ")).unwrap();
        if is_date {
            let date = httpdate::parse_http_date(line).unwrap();
            assert!(date > before + Duration::from_secs(1), "{row}: {line}");
        } else {
            assert_eq!(line, "2", "{row}");
        }
    }
}
