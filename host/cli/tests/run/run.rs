//! `upright run` against a server that replays Ollama's failures.

use crate::common::{command, upright};
use serde_json::json;
use upright_simulator::{FaultServer, Match};
use upright_test_kit::command::{Ran, end, finish, give};

const CHAT: &str = "/api/chat";

/// The answer breaks off after some tokens.
const BREAKS: &[&str] = &["stream-error-line", "stream-clean-end", "stream-reset", "stream-abort"];

fn answer(model: &str, prompt: &str) -> String {
    format!("This is {model}, a simulated model, and your last words were: {prompt}\n")
}

async fn server_that(steps: &[&str]) -> FaultServer {
    let server = FaultServer::start().await.unwrap();
    server.plan(Match::path(CHAT), steps).unwrap();
    server
}

async fn ask(server: &FaultServer, flags: &[&str]) -> Ran {
    let arguments = [&["run", "qwen3:8b", "--base-delay", "0.001"], flags, &["one", "two three"]].concat();
    upright(server, &arguments).await
}

#[tokio::test]
async fn a_whole_answer_goes_to_the_pipe_and_nothing_else() {
    let server = server_that(&[]).await;
    let ran = ask(&server, &[]).await.ends_with(0);
    assert_eq!((ran.out.as_str(), ran.err.as_str()), (answer("qwen3:8b", "one two three").as_str(), ""));
}

#[tokio::test]
async fn a_call_to_a_busy_server_is_retried_and_the_retry_is_reported() {
    let server = server_that(&["server-busy", "ok"]).await;
    let ran = ask(&server, &[]).await.ends_with(0);
    assert_eq!(ran.out, answer("qwen3:8b", "one two three"));
    assert!(ran.err.contains("server busy") && ran.err.contains("trying again in") && ran.err.lines().count() == 1, "{ran:?}");
    assert_eq!(server.count(CHAT), 2);
}

#[tokio::test]
async fn quiet_is_quiet_unless_it_fails() {
    let server = server_that(&["server-busy", "ok"]).await;
    assert_eq!(ask(&server, &["--quiet"]).await.ends_with(0).err, "");
    server.always(Match::path(CHAT), "server-busy").unwrap();
    assert_eq!(ask(&server, &["--quiet", "--retries", "1"]).await.ends_with(1).err.lines().count(), 1);
}

#[tokio::test]
async fn another_model_takes_the_place_of_one_that_is_not_there() {
    let server = server_that(&[]).await;
    let ran = upright(&server, &["run", "llama9", "--fallback", "llama8", "--fallback", "gemma3:4b", "hi"]).await.ends_with(0);
    assert_eq!(ran.out, answer("gemma3:4b", "hi"));
    assert!(ran.err.contains("switching to llama8") && ran.err.contains("switching to gemma3:4b"), "{ran:?}");
    let models: Vec<_> = server.requests().into_iter().filter_map(|seen| seen.model).collect();
    assert_eq!(models, ["llama9", "llama8", "gemma3:4b"]);
}

#[tokio::test]
async fn a_missing_model_fails_with_the_command_that_pulls_it() {
    let server = server_that(&[]).await;
    let ran = upright(&server, &["run", "llama9", "hi"]).await.ends_with(1);
    assert_eq!(ran.out, "");
    assert!(ran.err.contains("ollama pull llama9") && ran.err.lines().count() == 1, "{ran:?}");
    assert_eq!(server.count(CHAT), 1, "it is not asked for again");
}

#[tokio::test]
async fn an_answer_that_breaks_midway_and_then_succeeds_is_printed_exactly_once() {
    for row in BREAKS {
        let server = server_that(&[row, "ok"]).await;
        let ran = ask(&server, &[]).await.ends_with(0);
        assert_eq!(ran.out, answer("qwen3:8b", "one two three"), "{row}");
        assert_eq!(server.count(CHAT), 2, "{row}");
    }
}

#[tokio::test]
async fn an_answer_that_breaks_for_good_leaves_the_pipe_empty() {
    for row in BREAKS.iter().chain(&["done-false", "stream-empty", "load-reason", "html-page"]) {
        let server = server_that(&[]).await;
        server.always(Match::path(CHAT), row).unwrap();
        let ran = ask(&server, &["--retries", "1"]).await.ends_with(1);
        assert_eq!(ran.out, "", "{row}");
        assert!(ran.err.lines().last().is_some_and(|line| line.contains("qwen3:8b failed after")), "{row}: {ran:?}");
    }
}

#[tokio::test]
async fn streaming_shows_the_break_and_begins_the_answer_again_on_a_new_line() {
    let server = server_that(&["stream-clean-end", "ok"]).await;
    let ran = ask(&server, &["--stream"]).await.ends_with(0);
    let (half, whole) = ran.out.split_once('\n').unwrap();
    assert!(answer("qwen3:8b", "").starts_with(half) && !half.is_empty(), "{ran:?}");
    assert_eq!(whole, answer("qwen3:8b", "one two three"));
    assert!(ran.err.contains("the answer broke off (") && ran.err.contains("); trying again in"), "{ran:?}");
}

#[tokio::test]
async fn streaming_tells_of_the_switch_to_another_model() {
    let server = server_that(&[]).await;
    server.always(Match::model("qwen3:8b"), "stream-clean-end").unwrap();
    let ran = ask(&server, &["--stream", "--retries", "0", "--fallback", "gemma3:4b"]).await.ends_with(0);
    assert!(ran.out.ends_with(&format!("\n{}", answer("gemma3:4b", "one two three"))), "{ran:?}");
    assert!(ran.err.contains("the answer broke off (") && ran.err.contains("); switching to gemma3:4b"), "{ran:?}");
}

#[tokio::test]
async fn streaming_an_answer_that_breaks_for_good_is_no_success() {
    for row in BREAKS {
        let server = server_that(&[row]).await;
        let ran = ask(&server, &["--stream", "--retries", "0"]).await.ends_with(1);
        assert!(!ran.out.is_empty() && ran.out.ends_with('\n'), "{row}: {ran:?}");
    }
}

#[tokio::test]
async fn a_deadline_that_passes_has_an_exit_code_of_its_own() {
    let server = server_that(&["hang-before-headers"]).await;
    let ran = ask(&server, &["--deadline", "0.1", "--retries", "0"]).await.ends_with(4);
    assert!(ran.out.is_empty() && ran.err.contains("--deadline"), "{ran:?}");
}

#[tokio::test]
async fn each_silence_has_a_budget_of_its_own() {
    for (row, flag, words) in [
        ("hang-before-headers", "--load-timeout", "loading the model"),
        ("stall-before-first-token", "--first-token-timeout", "the first token"),
        ("stream-stall", "--between-tokens-timeout", "the next token"),
    ] {
        let server = server_that(&[row]).await;
        let ran = ask(&server, &[flag, "0.1", "--retries", "0"]).await.ends_with(1);
        assert!(ran.out.is_empty() && ran.err.contains(words) && ran.err.contains(flag), "{row}: {ran:?}");
    }
}

#[tokio::test]
async fn a_breaker_that_opens_ends_the_retries() {
    let server = server_that(&[]).await;
    server.always(Match::path(CHAT), "server-busy").unwrap();
    let ran = ask(&server, &["--retries", "9", "--max-delay", "0.001"]).await.ends_with(3);
    assert!(ran.err.contains("from closed to open"), "{ran:?}");
    assert_eq!(server.count(CHAT), 5);
}

#[tokio::test]
async fn json_holds_the_answer_and_all_that_happened() {
    let server = server_that(&["server-busy", "ok"]).await;
    let ran = ask(&server, &["--json"]).await.ends_with(0);
    let [record] = &ran.json()[..] else { panic!("{ran:?}") };
    assert_eq!(record["answer"], answer("qwen3:8b", "one two three").trim_end());
    assert_eq!((&record["model"], &record["served"], &record["attempts"]), (&json!("qwen3:8b"), &json!("live"), &json!(2)));
    assert_eq!((&record["done_reason"], &record["error"]), (&json!("stop"), &json!(null)));
    assert!(record["timings"]["elapsed_seconds"].as_f64() > Some(0.0) && record["timings"]["answer_tokens"].is_u64(), "{record}");
    let happened: Vec<_> = record["events"].as_array().unwrap().iter().map(|event| event["event"].as_str().unwrap()).collect();
    assert_eq!(happened, ["attempt_failed", "retry_scheduled"]);
    assert_eq!(record["events"][0]["classification"]["rule"], "queue-full");
}

#[tokio::test]
async fn json_tells_a_fallback_and_a_failure_apart() {
    let server = server_that(&[]).await;
    let ran = upright(&server, &["run", "llama9", "--fallback", "gemma3:4b", "--json", "hi"]).await.ends_with(0);
    assert_eq!((&ran.json()[0]["served"], &ran.json()[0]["model"]), (&json!("fallback"), &json!("gemma3:4b")));
    let ran = upright(&server, &["run", "llama9", "--json", "hi"]).await.ends_with(1);
    let [record] = &ran.json()[..] else { panic!("{ran:?}") };
    assert_eq!((&record["answer"], &record["served"]), (&json!(null), &json!(null)));
    assert_eq!(record["error"]["classification"]["action"], "pull_model");
    assert_eq!((&record["error"]["exit_code"], &record["error"]["reason"]), (&json!(1), &json!("model_unsuitable")));
}

#[tokio::test]
async fn a_repeated_prompt_is_served_from_the_cache_where_that_is_asked_for() {
    for (flags, requests, served) in [(&["--max-age", "600"][..], 2, "cached"), (&[], 3, "live")] {
        let server = server_that(&[]).await;
        let arguments = [&["run", "qwen3:8b", "--json"], flags].concat();
        let ran = finish(command(Some(&server), &arguments), "same\n\nother\nsame\n").await.ends_with(0);
        let records = ran.json();
        assert_eq!(records.len(), 3, "{ran:?}");
        assert_eq!((&records[2]["served"], &records[2]["answer"]), (&json!(served), &records[0]["answer"]));
        assert_ne!(records[1]["answer"], records[0]["answer"]);
        assert_eq!(server.count(CHAT), requests);
    }
}

#[tokio::test]
async fn a_model_that_changed_under_its_name_is_asked_again() {
    let server = server_that(&[]).await;
    let mut child = command(Some(&server), &["run", "qwen3:8b", "--max-age", "600"]).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let say = tokio::io::AsyncWriteExt::write_all;
    say(&mut stdin, b"same\n").await.unwrap();
    server.wait_for(CHAT, 1).await;
    server.set_models([upright_simulator::Model { digest: "0".repeat(64), ..upright_simulator::Model::from("qwen3:8b") }]);
    say(&mut stdin, b"same\n").await.unwrap();
    drop(stdin);
    end(child).await.ends_with(0);
    assert_eq!(server.count(CHAT), 2);
}

#[tokio::test]
async fn a_prompt_without_an_answer_does_not_end_the_others() {
    let server = server_that(&["model-not-found", "ok"]).await;
    let ran = finish(command(Some(&server), &["run", "qwen3:8b", "-"]), "first\nsecond\n").await.ends_with(1);
    assert_eq!(ran.out, answer("qwen3:8b", "second"));
    assert_eq!(ran.err.lines().count(), 1, "{ran:?}");
}

#[tokio::test]
async fn the_options_of_run_reach_the_model() {
    let server = server_that(&[]).await;
    ask(&server, &["--temperature", "0.5", "--system", "Be brief."]).await.ends_with(0);
    let body = server.requests().into_iter().find(|seen| seen.path == CHAT).unwrap().body;
    assert_eq!(body["options"], json!({ "temperature": 0.5 }));
    let messages = json!([{ "role": "system", "content": "Be brief." }, { "role": "user", "content": "one two three" }]);
    assert_eq!(body["messages"], messages);
}

#[tokio::test]
async fn the_flag_names_the_server_before_the_environment_does() {
    let (server, other) = (server_that(&[]).await, server_that(&[]).await);
    ask(&other, &["--host", &server.url()]).await.ends_with(0);
    assert_eq!((server.count(CHAT), other.count(CHAT)), (1, 0));
}

#[tokio::test]
async fn a_policy_out_of_a_file_decides() {
    let server = server_that(&["server-busy", "ok"]).await;
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../runtime/policy.wasm");
    let ran = ask(&server, &["--policy", file, "--decision-limit", "10"]).await.ends_with(0);
    assert_eq!(ran.out, answer("qwen3:8b", "one two three"));
}

#[cfg(unix)]
#[tokio::test]
async fn ctrl_c_hangs_up_and_says_so_by_the_exit_code() {
    let server = server_that(&["hang-before-headers"]).await;
    let child = command(Some(&server), &["run", "qwen3:8b", "hi"]).spawn().unwrap();
    server.wait_for(CHAT, 1).await;
    upright_test_kit::command::interrupt(&child).await;
    let ran = end(child).await.ends_with(130);
    assert_eq!((ran.out.as_str(), ran.err.as_str()), ("", ""));
    server.wait_until(|server| server.requests().iter().any(|seen| seen.path == CHAT && seen.client_left)).await;
}

#[tokio::test]
async fn a_reader_that_left_ends_it_quietly() {
    for flags in [&[][..], &["--stream"]] {
        let server = server_that(&[]).await;
        let mut child = command(Some(&server), &[&["run", "qwen3:8b", "-"], flags].concat()).spawn().unwrap();
        drop(child.stdout.take());
        give(&mut child, "hi\n").await;
        assert_eq!(end(child).await.ends_with(141).err, "");
    }
}
