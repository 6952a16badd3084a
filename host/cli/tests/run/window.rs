//! `upright run` with questions that exceed the window of a simulated server, where a word is a token.

use crate::common::command;
use serde_json::Value;
use upright_simulator::{FaultServer, Model, TooLong, Window};
use upright_test_kit::command::{Ran, finish};

const MODEL: &str = "smollm2";

async fn serving(models: impl IntoIterator<Item = (&'static str, Window)>) -> FaultServer {
    let server = FaultServer::start().await.unwrap();
    server.set_models(models.into_iter().map(|(name, window)| Model::with_window(name, window)));
    server
}

/// `tokens` includes the template's ten.
async fn run(server: &FaultServer, tokens: usize, flags: &[&str]) -> Ran {
    let arguments = [&["run", MODEL, "--base-delay", "0.001"], flags, &["-"]].concat();
    finish(command(Some(server), &arguments), &format!("{}\n", vec!["word"; tokens - 10].join(" "))).await
}

#[tokio::test]
async fn a_long_question_is_answered_whole_and_a_second_process_loads_nothing() {
    let server = serving([(MODEL, Window::default())]).await;
    let ran = run(&server, 6010, &[]).await.ends_with(0);
    assert!(ran.out.ends_with("word word\n"), "{ran:?}");
    assert!(ran.err.contains("6010 tokens does not fit the window of 4096") && ran.err.contains("a window of 8192"), "{ran:?}");
    assert_eq!((ran.err.lines().count(), server.model_loads()), (1, 2));
    for tokens in [6010, 20] {
        let ran = run(&server, tokens, &[]).await.ends_with(0);
        assert_eq!((ran.err.as_str(), server.model_loads()), ("", 2), "{tokens}");
    }
}

#[tokio::test]
async fn a_question_that_cannot_be_given_room_ends_with_the_numbers_and_the_next_step() {
    let server = serving([(MODEL, Window { own: 32_768, ..Window::default() }), ("tiny", Window::default())]).await;
    for (tokens, flags, said, step) in [
        (9010, &["--max-window", "8192"][..], "the caller allows 8192", "raise --max-window"),
        (6010, &["--option", "num_ctx=2048"], "num_ctx=2048", "raise num_ctx, or leave it out"),
        (40_010, &[], "the model can have 32768", "--fallback"),
        (40_010, &["--fallback", "tiny"], "the model can have 32768", "--fallback"),
    ] {
        let ran = run(&server, tokens, flags).await.ends_with(1);
        let words = [&tokens.to_string(), said, step, "the question does not fit the window"];
        assert!(ran.out.is_empty() && words.iter().all(|word| ran.err.contains(word)), "{flags:?}: {ran:?}");
    }
    assert!(server.requests().iter().all(|seen| seen.model.as_deref() != Some("tiny")));
}

#[tokio::test]
async fn a_model_with_a_large_enough_window_takes_its_place() {
    let server = serving([(MODEL, Window::default()), ("large", Window { own: 131_072, default: 65_536, ..Window::default() })]).await;
    let ran = run(&server, 9010, &["--fallback", "large", "--json"]).await.ends_with(0);
    let record = &ran.json()[0];
    assert_eq!((&record["model"], &record["verdict"], &record["notes"]), (&"large".into(), &"whole".into(), &Value::Array(Vec::new())));
}

#[tokio::test]
async fn an_enlarged_window_is_an_event_in_json_output() {
    let server = serving([(MODEL, Window::default())]).await;
    let record = run(&server, 6010, &["--json", "--quiet"]).await.ends_with(0).json().remove(0);
    let event = record["events"].as_array().unwrap().iter().find(|event| event["event"] == "window_enlarged").unwrap();
    assert_eq!((&event["from"], &event["to"], &event["needed"]), (&4096.into(), &8192.into(), &6010.into()));
}

#[tokio::test]
async fn half_a_question_is_never_answered_without_a_word() {
    for (too_long, code) in [(TooLong::RefusesWithCounts, 1), (TooLong::Refuses, 1), (TooLong::Cuts, 0)] {
        let window = Window { own: 4096, too_long, ..Window::default() };
        let server = serving([(MODEL, window)]).await;
        for flags in [&[][..], &["--stream"], &["--json"]] {
            let ran = run(&server, 6010, flags).await.ends_with(code);
            assert!(!ran.err.is_empty(), "{too_long:?} {flags:?}: {ran:?}");
            if code == 0 {
                assert!(ran.err.contains("the server read 2050 tokens of a question of at least 6000"), "{flags:?}: {ran:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_window_that_memory_has_no_room_for_leads_to_another_model_or_to_an_error() {
    let tight = Window { own: 32_768, loadable: 4096, ..Window::default() };
    let server = serving([(MODEL, tight), ("other", Window { default: 16_384, own: 16_384, ..Window::default() })]).await;
    let ran = run(&server, 6010, &["--retries", "1"]).await.ends_with(1);
    assert!(ran.out.is_empty() && ran.err.contains("insufficient memory") && ran.err.contains("8192"), "{ran:?}");
    let ran = run(&server, 6010, &["--retries", "1", "--fallback", "other"]).await.ends_with(0);
    assert!(ran.out.ends_with("word word\n") && ran.err.contains("switching to other"), "{ran:?}");
}
