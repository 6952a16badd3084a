//! The command against a real small model behind the Ollama protocol (`upright_test_kit::rig`), whose server is
//! killed. Tests skip themselves where it is missing.

use crate::common::command;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Child;
use upright_test_kit::command::{Ran, end_within};
use upright_test_kit::rig::Rig;

/// Only ends a hanging test: a real model is slow.
const LIMIT: Duration = Duration::from_secs(300);
const LOOK: Duration = Duration::from_millis(5);

const LONG: &str = "Write a very long story about a fox and count to 1000.";
/// At temperature 0 always the same, about 75 tokens.
const MEDIUM: &str = "Explain in one paragraph why the sky is blue.";

fn start(rig: &Rig, flags: &[&str], prompt: &str) -> Child {
    let url = rig.url();
    let arguments = [&["run", rig.model(), "--host", &url, "--temperature", "0"], flags, &[prompt]].concat();
    command(None, &arguments).spawn().unwrap()
}

async fn ask(rig: &Rig, flags: &[&str], prompt: &str) -> Ran {
    end_within(start(rig, flags, prompt), LIMIT).await
}

async fn run(arguments: &[&str]) -> Ran {
    end_within(command(None, arguments).spawn().unwrap(), LIMIT).await
}

async fn slot(rig: &Rig) -> Value {
    let url = rig.llama_url();
    let mut connection = TcpStream::connect(url.strip_prefix("http://").unwrap()).await.unwrap();
    connection.write_all(b"GET /slots HTTP/1.0\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.unwrap();
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    serde_json::from_str::<Value>(body).unwrap()[0].take()
}

/// Some tokens, but not the whole answer.
async fn the_answer_has_begun(rig: &Rig) {
    let looking = async {
        let mut looks = tokio::time::interval(LOOK);
        loop {
            looks.tick().await;
            let slot = slot(rig).await;
            if slot["is_processing"] == true && slot["next_token"][0]["n_decoded"].as_u64() >= Some(3) {
                return;
            }
        }
    };
    tokio::time::timeout(LIMIT, looking).await.expect("the model writes");
}

/// Returns the first tokens, which the child's output then lacks.
async fn tokens_flow(child: &mut Child) -> String {
    let mut seen = vec![0; 16];
    let reading = child.stdout.as_mut().unwrap().read_exact(&mut seen);
    tokio::time::timeout(LIMIT, reading).await.expect("the model writes").expect("it has not ended yet");
    String::from_utf8(seen).unwrap()
}

#[tokio::test]
async fn a_real_model_answers() {
    let Some(rig) = Rig::start_or_skip("a_real_model_answers").await else { return };
    let ran = ask(&rig, &[], MEDIUM).await.ends_with(0);
    assert!(ran.out.chars().any(char::is_alphabetic) && ran.err.is_empty(), "{ran:?}");

    let ran = ask(&rig, &["--json"], MEDIUM).await.ends_with(0);
    let [record] = &ran.json()[..] else { panic!("{ran:?}") };
    assert!(record["answer"].as_str().unwrap().chars().any(char::is_alphabetic), "{record}");
    assert_eq!((&record["served"], &record["attempts"], &record["model"]), (&json!("live"), &json!(1), &json!(rig.model())));
    assert_eq!((&record["done_reason"], &record["error"], &record["events"]), (&json!("stop"), &json!(null), &json!([])));
}

#[tokio::test]
async fn a_server_that_is_killed_in_the_middle_of_an_answer_never_makes_half_an_answer_whole() {
    let name = "a_server_that_is_killed_in_the_middle_of_an_answer_never_makes_half_an_answer_whole";
    let Some(mut rig) = Rig::start_or_skip(name).await else { return };

    // Streamed: half an answer is shown, and reported as such.
    let mut child = start(&rig, &["--stream", "--retries", "0"], LONG);
    let half = tokens_flow(&mut child).await;
    rig.stop_llama();
    let ran = end_within(child, LIMIT).await.ends_with(1);
    assert!(ran.out.ends_with('\n') && !half.trim().is_empty(), "{ran:?}");
    assert!(ran.err.lines().count() == 1 && ran.err.contains("Connection error"), "{ran:?}");

    // Into a pipe: no output. The server stays down, so the retry fails.
    rig.start_llama().await.unwrap();
    let child = start(&rig, &["--retries", "1", "--base-delay", "0.001"], LONG);
    the_answer_has_begun(&rig).await;
    rig.stop_llama();
    let ran = end_within(child, LIMIT).await.ends_with(1);
    assert_eq!(ran.out, "", "{ran:?}");
    let [retried, failed] = ran.err.lines().collect::<Vec<_>>()[..] else { panic!("{ran:?}") };
    assert!(retried.contains("Connection error") && retried.contains("trying again in"), "{ran:?}");
    assert!(failed.contains("failed after 2 attempts") && failed.contains("Connection error"), "{ran:?}");

    // The proxy dies: the connection breaks.
    rig.start_llama().await.unwrap();
    let child = start(&rig, &["--retries", "0"], LONG);
    the_answer_has_begun(&rig).await;
    rig.stop_proxy();
    let ran = end_within(child, LIMIT).await.ends_with(1);
    assert_eq!(ran.out, "", "{ran:?}");
    assert!(ran.err.lines().count() == 1 && ran.err.contains("failed after 1 attempt"), "{ran:?}");
}

#[tokio::test]
async fn run_recovers_when_a_real_server_restarts() {
    let Some(mut rig) = Rig::start_or_skip("run_recovers_when_a_real_server_restarts").await else { return };
    let whole = ask(&rig, &[], MEDIUM).await.ends_with(0).out;

    let child = start(&rig, &["--retries", "5", "--base-delay", "1"], MEDIUM);
    the_answer_has_begun(&rig).await;
    rig.stop_llama();
    rig.start_llama().await.unwrap();
    let ran = end_within(child, LIMIT).await.ends_with(0);
    assert_eq!(ran.out, whole, "{}", ran.err);
    assert!(ran.err.contains("Connection error") && ran.err.contains("trying again in"), "{ran:?}");
}

#[tokio::test]
async fn a_prompt_longer_than_the_context_is_reported_as_such() {
    let Some(rig) = Rig::start_or_skip("a_prompt_longer_than_the_context_is_reported_as_such").await else { return };
    let ran = ask(&rig, &["--json"], &"word ".repeat(4000)).await.ends_with(1);
    let [record] = &ran.json()[..] else { panic!("{ran:?}") };
    assert_eq!((&record["answer"], &record["attempts"]), (&json!(null), &json!(1)));
    let happened: Vec<_> = record["events"].as_array().unwrap().iter().map(|event| event["event"].as_str().unwrap()).collect();
    assert_eq!(happened, ["attempt_failed", "gave_up"], "it is asked once only");
    let message = ran.err.to_lowercase();
    assert!(
        message.lines().count() == 1 && message.contains("context size (2048 tokens)") && message.contains("shorten the prompt"),
        "{}",
        ran.err
    );
}

#[tokio::test]
async fn health_finds_the_model_and_misses_the_server_when_it_is_gone() {
    let Some(mut rig) = Rig::start_or_skip("health_finds_the_model_and_misses_the_server_when_it_is_gone").await else { return };
    let url = rig.url();
    let arguments = ["health", "--model", rig.model(), "--host", &url, "--json"];
    let model = format!("model:{}", rig.model());
    let report = |ran: &Ran| ran.json().remove(0);

    let ran = run(&arguments).await;
    let found = report(&ran);
    assert_eq!(
        (&found["components"]["ollama"]["healthy"], &found["components"][&model]["healthy"]),
        (&json!(true), &json!(true)),
        "{ran:?}"
    );
    // This machine may lack resources.
    assert_eq!(ran.code == Some(0), found["healthy"] == true, "{ran:?}");

    rig.stop_proxy();
    let ran = run(&arguments).await.ends_with(1);
    let found = report(&ran);
    assert_eq!(
        (&found["components"]["ollama"]["healthy"], &found["components"][&model]["healthy"]),
        (&json!(false), &json!(false)),
        "{ran:?}"
    );
}

#[tokio::test]
async fn the_demo_plays_to_its_end_on_a_real_model() {
    let Some(rig) = Rig::start_or_skip("the_demo_plays_to_its_end_on_a_real_model").await else { return };
    let ran = run(&["demo", "--ollama", &rig.url()]).await.ends_with(0);
    assert!(ran.out.contains(rig.model()) && ran.out.contains("injected"), "{ran:?}");
    assert!(ran.out.contains("no chat was lost"), "{ran:?}");
}
