//! The rig works as documented: a real answer, the expected failures, no process left behind.

use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::Duration;
use upright_test_kit::rig::{Rig, RigOptions};

/// A full answer takes many seconds; at temperature 0 it is always the same.
const LONG: &str = "Write a very long story about a fox and count to 1000.";

fn client() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(120)).build().unwrap()
}

fn chat(model: &str, prompt: &str, stream: bool, tokens: u32) -> Value {
    json!({
        "model": model, "stream": stream, "messages": [{"role": "user", "content": prompt}],
        "options": {"temperature": 0, "num_predict": tokens},
        "temperature": 0, "max_tokens": tokens,
    })
}

async fn post(url: String, body: Value) -> reqwest::Response {
    client().post(url).json(&body).send().await.unwrap()
}

async fn get(url: String) -> String {
    client().get(url).send().await.unwrap().error_for_status().unwrap().text().await.unwrap()
}

async fn lines(response: reqwest::Response) -> Vec<Value> {
    assert_eq!(response.status(), 200);
    let body = response.text().await.expect("the body ends properly");
    body.lines().map(|line| serde_json::from_str(line).expect(line)).collect()
}

async fn read_lines(response: &mut reqwest::Response, count: usize) -> String {
    assert_eq!(response.status(), 200);
    let mut body = String::new();
    while body.lines().count() <= count {
        let chunk = response.chunk().await.unwrap().expect("the answer is longer than this");
        body.push_str(std::str::from_utf8(&chunk).unwrap());
    }
    body
}

async fn read_rest(response: &mut reqwest::Response) -> (bool, String) {
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Ok(None) => return (true, String::from_utf8(body).unwrap()),
            Err(_) => return (false, String::from_utf8(body).unwrap()),
        }
    }
}

fn is_the_line_of_a_lost_connection(line: &Value) -> bool {
    line["done"] == true && line["done_reason"] == "error" && line["error"] == "Connection error."
}

fn exists(process_id: u32) -> bool {
    Command::new("kill").args(["-0", &process_id.to_string()]).stderr(Stdio::null()).status().unwrap().success()
}

#[tokio::test]
async fn the_model_streams_a_real_answer_that_ends_with_done() {
    let Some(rig) = Rig::start_or_skip("the_model_streams_a_real_answer_that_ends_with_done").await else { return };
    let answer = lines(post(rig.url() + "/api/chat", chat(rig.model(), "What is the capital of France?", true, 40)).await).await;

    let (last, tokens) = answer.split_last().unwrap();
    assert_eq!((&last["done"], &last["done_reason"], last.get("error")), (&json!(true), &json!("stop"), None), "{last}");
    assert!(tokens.iter().all(|line| line["done"] == false), "{tokens:?}");
    let text: String = tokens.iter().filter_map(|line| line["message"]["content"].as_str()).collect();
    assert!(tokens.len() > 2 && text.chars().any(char::is_alphabetic), "{text}");
}

#[tokio::test]
async fn the_other_pages_of_the_protocol_answer_also_while_the_llama_server_is_down() {
    let name = "the_other_pages_of_the_protocol_answer_also_while_the_llama_server_is_down";
    let Some(mut rig) = Rig::start_or_skip(name).await else { return };
    for _ in ["up", "down"] {
        assert_eq!(get(rig.url() + "/").await, "Ollama is running");
        assert_eq!(get(rig.url() + "/api/version").await, r#"{"version":"0.6.5"}"#);
        assert_eq!(get(rig.url() + "/api/ps").await, r#"{"models":[]}"#);
        let tags: Value = serde_json::from_str(&get(rig.url() + "/api/tags").await).unwrap();
        assert!(tags["models"].as_array().unwrap().iter().any(|model| model["name"] == rig.model()), "{tags}");
        rig.stop_llama();
    }
}

#[tokio::test]
async fn a_llama_server_killed_in_mid_answer_ends_the_stream_properly_with_a_done_line_that_carries_an_error() {
    let name = "a_llama_server_killed_in_mid_answer_ends_the_stream_properly_with_a_done_line_that_carries_an_error";
    let Some(mut rig) = Rig::start_or_skip(name).await else { return };
    let mut response = post(rig.url() + "/api/chat", chat(rig.model(), LONG, true, 1500)).await;
    let mut body = read_lines(&mut response, 3).await;
    rig.stop_llama();
    let (proper_end, rest) = read_rest(&mut response).await;
    body.push_str(&rest);

    assert!(proper_end);
    let last: Value = serde_json::from_str(body.lines().last().unwrap()).unwrap();
    assert!(is_the_line_of_a_lost_connection(&last), "{last}");
    assert!(client().get(rig.llama_url()).send().await.unwrap_err().is_connect());
}

#[tokio::test]
async fn a_llama_server_that_is_down_is_reported_in_the_stream_under_200_and_otherwise_as_502() {
    let name = "a_llama_server_that_is_down_is_reported_in_the_stream_under_200_and_otherwise_as_502";
    let Some(mut rig) = Rig::start_or_skip(name).await else { return };
    rig.stop_llama();

    let streamed = lines(post(rig.url() + "/api/chat", chat(rig.model(), "Hello", true, 5)).await).await;
    assert!(matches!(streamed.as_slice(), [line] if is_the_line_of_a_lost_connection(line)), "{streamed:?}");
    let whole = post(rig.url() + "/api/chat", chat(rig.model(), "Hello", false, 5)).await;
    assert_eq!((whole.status().as_u16(), whole.text().await.unwrap().as_str()), (502, r#"{"error":"Connection error."}"#));
}

#[tokio::test]
async fn the_llama_server_starts_again_on_the_same_port() {
    let Some(mut rig) = Rig::start_or_skip("the_llama_server_starts_again_on_the_same_port").await else { return };
    let (url, first_ids) = (rig.llama_url(), rig.process_ids());
    rig.stop_llama();
    assert_eq!(rig.process_ids().len(), 1);
    rig.start_llama().await.unwrap();

    assert_eq!(rig.llama_url(), url);
    assert_ne!(rig.process_ids(), first_ids);
    let answer = lines(post(rig.url() + "/api/chat", chat(rig.model(), "Hello", true, 5)).await).await;
    assert_eq!(answer.last().unwrap()["done_reason"], "stop");
}

#[tokio::test]
async fn a_killed_server_cuts_the_body_that_it_was_sending() {
    let Some(mut rig) = Rig::start_or_skip("a_killed_server_cuts_the_body_that_it_was_sending").await else { return };
    let mut response = post(rig.llama_url() + "/v1/chat/completions", chat(rig.model(), LONG, true, 1500)).await;
    read_lines(&mut response, 3).await;
    rig.stop_llama();
    assert!(!read_rest(&mut response).await.0, "the llama server's body came to a proper end");

    rig.start_llama().await.unwrap();
    let mut response = post(rig.url() + "/api/chat", chat(rig.model(), LONG, true, 1500)).await;
    read_lines(&mut response, 3).await;
    rig.stop_proxy();
    assert!(!read_rest(&mut response).await.0, "the proxy's body came to a proper end");
    assert!(client().get(rig.url()).send().await.unwrap_err().is_connect());

    rig.start_proxy().await.unwrap();
    assert_eq!(get(rig.url() + "/").await, "Ollama is running");
}

#[tokio::test]
async fn a_prompt_longer_than_the_context_is_named_with_both_sizes() {
    let name = "a_prompt_longer_than_the_context_is_named_with_both_sizes";
    if Rig::start_or_skip(name).await.is_none() {
        return;
    }
    let rig = Rig::start_with(RigOptions { context_tokens: 256, parallel: 2 }).await.unwrap();
    let prompt = "word ".repeat(600);

    let llama: Value = post(rig.llama_url() + "/v1/chat/completions", chat(rig.model(), &prompt, false, 5)).await.json().await.unwrap();
    let error = &llama["error"];
    assert_eq!(
        (&error["code"], &error["type"], &error["n_ctx"]),
        (&json!(400), &json!("exceed_context_size_error"), &json!(256)),
        "{error}"
    );

    let expected = format!("Error code: 400 - {}", error["message"].as_str().unwrap());
    let streamed = lines(post(rig.url() + "/api/chat", chat(rig.model(), &prompt, true, 5)).await).await;
    assert_eq!(streamed.len(), 1, "{streamed:?}");
    assert_eq!((&streamed[0]["done"], &streamed[0]["error"]), (&json!(true), &json!(expected)));
    let whole = post(rig.url() + "/api/chat", chat(rig.model(), &prompt, false, 5)).await;
    assert_eq!(whole.status(), 502);
    assert_eq!(whole.json::<Value>().await.unwrap(), json!({ "error": expected }));
}

#[tokio::test]
async fn only_the_part_of_a_model_name_before_the_slash_matters() {
    let Some(rig) = Rig::start_or_skip("only_the_part_of_a_model_name_before_the_slash_matters").await else { return };
    let answered = post(rig.url() + "/api/chat", chat("local/anything", "Hello", false, 5)).await;
    assert_eq!(answered.json::<Value>().await.unwrap()["done"], true);
    let refused = post(rig.url() + "/api/chat", chat("other/anything", "Hello", true, 5)).await;
    assert_eq!(refused.status(), 400);
    let error = refused.json::<Value>().await.unwrap()["error"].as_str().unwrap().to_owned();
    assert!(error.starts_with("Unknown provider prefix: 'other'"), "{error}");
}

#[tokio::test]
async fn two_rigs_stand_side_by_side() {
    let Some(first) = Rig::start_or_skip("two_rigs_stand_side_by_side").await else { return };
    let second = Rig::start().await.unwrap();
    assert_ne!(first.url(), second.url());
    assert_ne!(first.llama_url(), second.llama_url());
    drop(first);
    let answer = lines(post(second.url() + "/api/chat", chat(second.model(), "Hello", true, 5)).await).await;
    assert_eq!(answer.last().unwrap()["done_reason"], "stop");
}

#[tokio::test]
async fn a_dropped_rig_leaves_no_process_behind() {
    let Some(rig) = Rig::start_or_skip("a_dropped_rig_leaves_no_process_behind").await else { return };
    let (process_ids, url) = (rig.process_ids(), rig.url());
    assert_eq!(process_ids.len(), 2);
    assert!(process_ids.iter().all(|id| exists(*id)));
    drop(rig);
    assert!(!process_ids.iter().any(|id| exists(*id)));
    assert!(client().get(url).send().await.unwrap_err().is_connect());
}

#[tokio::test]
async fn a_killed_process_takes_its_rig_with_it() {
    if Rig::start_or_skip("a_killed_process_takes_its_rig_with_it").await.is_none() {
        return;
    }
    let mut holder = Command::new(env!("CARGO_BIN_EXE_real-model")).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(holder.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let addresses: Vec<&str> = line.split_whitespace().filter_map(|word| word.strip_prefix("http://")).collect();
    assert_eq!(addresses.len(), 2, "{line}");
    assert!(addresses.iter().all(|address| TcpStream::connect(address).is_ok()));
    holder.kill().unwrap();
    holder.wait().unwrap();

    for address in addresses {
        // Each round waits until the server closes the connection.
        let refused = (0..20).any(|_| match TcpStream::connect(address) {
            Ok(mut connection) => {
                connection.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
                let _ = connection.write_all(b"GET / HTTP/1.1\r\nHost: rig\r\n\r\n");
                let _ = connection.read_to_end(&mut Vec::new());
                false
            }
            Err(_) => true,
        });
        assert!(refused, "{address} still answers");
    }
}

fn without_python(test: &str, required: &str) -> (bool, String) {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &format!("rig::{test}")])
        .envs([("UPRIGHT_RIG_PYTHON", "no-such-python"), ("UPRIGHT_REQUIRE_RIG", required)])
        .output()
        .unwrap();
    (output.status.success(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn a_rig_that_cannot_be_had_is_skipped_aloud_unless_it_is_required() {
    let test = "a_dropped_rig_leaves_no_process_behind";
    let skipped = format!("SKIPPED {test}: the real model is not available here: `no-such-python` cannot be run");
    let (passed, said) = without_python(test, "0");
    assert!(passed && said.contains(&skipped), "{said}");
    let (passed, said) = without_python(test, "1");
    assert!(!passed && !said.contains("SKIPPED"), "{said}");
}
