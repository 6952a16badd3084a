//! Each example as a process, against a server that replays Ollama's failures.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;
use upright::RecoveryManager;
use upright::store::StateAddress;
use upright_simulator::{FaultServer, Match};
use upright_test_kit::command::{connect, finish};
use upright_test_kit::folder::Folder;

const CHAT: &str = "/api/chat";
const EMBED: &str = "/api/embed";

macro_rules! run {
    ($program:literal, $server:expr, $arguments:expr) => {
        run!($program, $server, $arguments, 0)
    };
    ($program:literal, $server:expr, $arguments:expr, $code:literal) => {
        run(env!(concat!("CARGO_BIN_EXE_", $program)), &$server.url(), &quick($arguments), $code).await
    };
}

fn quick<'a>(arguments: &[&'a str]) -> Vec<&'a str> {
    [&["--quick"], arguments].concat()
}

async fn run(program: &str, server: &str, arguments: &[&str], code: i32) -> String {
    let mut command = Command::new(program);
    command.env_remove("RUST_LOG").env_remove("RUST_BACKTRACE").env("OLLAMA_HOST", server).args(arguments);
    connect(&mut command);
    finish(command, "").await.ends_with(code).out
}

async fn server_that(path: &str, steps: &[&str]) -> FaultServer {
    let server = FaultServer::start().await.unwrap();
    server.plan(Match::path(path), steps).unwrap();
    server
}

#[track_caller]
fn tells(out: &str, pieces: &[&str]) {
    let mut rest = out;
    for piece in pieces {
        let Some((_, after)) = rest.split_once(piece) else { panic!("{piece:?} is not there, or not in its place:\n{out}") };
        rest = after;
    }
}

#[tokio::test]
async fn a_connection_that_is_reset_twice_is_made_a_third_time() {
    let server = server_that("/api/tags", &["reset-before-headers", "reset-before-headers"]).await;
    let out = run!("pattern_1_connection_failures", server, &[]);
    tells(&out, &["an attempt failed", "an attempt failed", "The server has: qwen3:8b, gemma3:4b"]);
    assert_eq!(server.count("/api/tags"), 3);
}

#[tokio::test]
async fn without_a_server_the_failure_is_explained_and_what_is_known_is_used() {
    let server = server_that("/", &[]).await;
    server.shutdown().await;
    let out = run!("pattern_1_connection_failures", server, &[]);
    let advice = "a failure of the kind connection. Check service, retry with backoff.";
    tells(&out, &["failed after 4 attempts (attempts_exhausted)", advice, "Going on with the models that this program knows: qwen3:8b"]);
}

#[tokio::test]
async fn a_model_that_takes_too_long_is_replaced_by_a_smaller_one_whose_answer_is_not_cached_in_its_place() {
    let server = FaultServer::start().await.unwrap();
    server.set_models(["qwen3:30b", "gemma3:4b"]);
    server.always(Match::model("qwen3:30b"), "hang-before-headers").unwrap();
    let out = run!("pattern_2_model_timeouts", server, &["--model", "qwen3:30b", "--model", "gemma3:4b"]);
    let timeout = "attempt 1 failed (timeout): Ollama (chat) timed out: loading the model took longer than 0.060 s";
    tells(&out, &["Round 1", timeout, "attempt 2 follows in", "gemma3:4b takes the place of qwen3:30b", "From gemma3:4b (attempts: 3)"]);
    assert_eq!((out.matches("From gemma3:4b").count(), out.contains("cache")), (3, false), "{out}");
}

#[tokio::test]
async fn an_answer_of_the_model_that_was_asked_for_is_served_from_the_cache_afterwards() {
    let server = FaultServer::start().await.unwrap();
    // Not quick: the model's time limit is real.
    let out = run(env!("CARGO_BIN_EXE_pattern_2_model_timeouts"), &server.url(), &["--model", "qwen3:8b", "--model", "gemma3:4b"], 0).await;
    tells(&out, &["Round 1", "From qwen3:8b (attempts: 1)", "Round 2", "From the cache", "Round 3", "From the cache", "This is qwen3:8b"]);
    assert_eq!(server.count(CHAT), 1);
}

#[tokio::test]
async fn an_embedding_that_does_not_fit_into_memory_is_made_in_smaller_batches_from_where_it_stopped() {
    let server = server_that(EMBED, &["ok", "out-of-memory", "out-of-memory", "ok"]).await;
    let out = run!("pattern_3_out_of_memory", server, &["--memory-percent", "50"]);
    let failed = "failed after 2 attempts";
    tells(&out, &["Embedded 20 of 40", failed, "going on with batches of 10", "Embedded 30 of 40", "Embedded 40 of 40", "All 40"]);
    assert_eq!(server.count(EMBED), 5);
}

#[tokio::test]
async fn a_machine_that_is_short_of_memory_begins_with_smaller_batches() {
    let server = server_that(EMBED, &[]).await;
    let out = run!("pattern_3_out_of_memory", server, &["--memory-percent", "85"]);
    tells(&out, &["memory 85.0 % used", "High memory usage: batches of 10", "Embedded 10 of 40", "All 40"]);
}

#[tokio::test]
async fn memory_that_does_not_suffice_for_the_smallest_batch_is_a_failure() {
    let server = FaultServer::start().await.unwrap();
    server.always(Match::path(EMBED), "out-of-memory").unwrap();
    let out = run!("pattern_3_out_of_memory", server, &["--memory-percent", "50"], 1);
    tells(&out, &["batches of 10", "batches of 5", "batches of 2"]);
    assert!(!out.contains("All 40"), "{out}");
}

#[tokio::test]
async fn an_import_resumes_where_the_attempt_before_it_was() {
    let server = server_that(EMBED, &["ok", "ok", "embed-eof", "ok"]).await;
    let folder = Folder::new("resumes");
    let state = folder.text("state.db");
    let out = run!("pattern_4_corrupted_state", server, &[&state]);
    tells(&out, &["attempt 1 failed", "Resuming from row 20", "Imported 40 rows", "(attempts: 2)"]);
    assert_eq!(server.count(EMBED), 5, "no row was embedded twice but those of the step that failed");
    let out = run!("pattern_4_corrupted_state", server, &[&state]);
    assert!(!out.contains("Resuming"), "{out}");
}

#[tokio::test]
async fn an_import_that_is_killed_in_the_middle_resumes_when_it_is_run_again() {
    let server = server_that(EMBED, &["ok", "ok", "hang-before-headers"]).await;
    let folder = Folder::new("killed");
    let state = folder.text("state.db");
    let mut command = Command::new(env!("CARGO_BIN_EXE_pattern_4_corrupted_state"));
    command.env("OLLAMA_HOST", server.url()).args(["--quick", &state]).stdout(Stdio::piped()).kill_on_drop(true);
    let mut import = command.spawn().unwrap();
    while server.count(EMBED) < 3 {
        assert!(import.try_wait().unwrap().is_none(), "it ended by itself");
        tokio::task::yield_now().await;
    }
    // On Unix this is SIGKILL.
    import.kill().await.unwrap();
    let out = run!("pattern_4_corrupted_state", server, &[&state]);
    tells(&out, &["Resuming from row 20", "Imported 40 rows", "(attempts: 1)"]);
    assert_eq!(server.count(EMBED), 5, "two steps before, the one that was cut off, and two after");
}

#[tokio::test]
async fn an_import_reports_an_older_programs_checkpoint_and_starts_from_the_first_row() {
    let server = server_that(EMBED, &[]).await;
    let folder = Folder::new("older");
    let state = folder.text("state.db");
    let manager = RecoveryManager::builder().state(StateAddress::File(state.clone().into())).build().unwrap();
    manager.save_checkpoint("pattern-4/import", "row 12, I think").await.unwrap();
    manager.shutdown_gracefully(Duration::from_secs(60)).await;
    drop(manager);
    let out = run!("pattern_4_corrupted_state", server, &[&state]);
    tells(&out, &["cannot be read", "has schema 0, expected 1", "first row", "Imported 40 rows", "(attempts: 1)"]);
}

#[tokio::test]
async fn startup_goes_on_with_the_model_that_is_there_and_says_how_to_get_the_other() {
    let server = FaultServer::start().await.unwrap();
    server.set_models(["gemma3:4b"]);
    let out = run!("pattern_5_missing_dependencies", server, &["--memory-percent", "90"]);
    tells(&out, &["Model qwen3:8b not found. Pull it with: ollama pull qwen3:8b", "Low memory: 1.6 GB", "Going on with gemma3:4b."]);
}

#[tokio::test]
async fn startup_has_nothing_to_say_where_nothing_is_missing_and_fails_where_the_server_is() {
    let server = FaultServer::start().await.unwrap();
    assert_eq!(run!("pattern_5_missing_dependencies", server, &["--memory-percent", "50"]), "All startup checks passed.\n");
    server.shutdown().await;
    let out = run!("pattern_5_missing_dependencies", server, &["--memory-percent", "50"], 1);
    tells(&out, &["Start it with: ollama serve", "There is no model to go on with."]);
}

#[tokio::test]
async fn an_agent_whose_steps_fail_still_calls_its_tool_and_answers() {
    let server = server_that(CHAT, &["server-busy", "ok", "no-tools"]).await;
    server.set_models(["qwen3:8b", "qwen3:4b"]);
    let out = run!("integration_agent", server, &["Count the letters of strawberry!"]);
    let tool = "Tool count_letters: strawberry has 10 letters";
    tells(
        &out,
        &[
            "attempt 1 failed (transient)",
            "attempt 2 follows",
            tool,
            "qwen3:4b takes the place of qwen3:8b",
            "Agent (steps: 2), by qwen3:4b",
        ],
    );
    assert!(out.trim_end().ends_with("strawberry has 10 letters"), "{out}");
    assert_eq!(server.count(CHAT), 4);
}

#[tokio::test]
async fn an_mcp_server_is_retried_then_restarted_then_not_called_while_its_breaker_is_open() {
    let server = FaultServer::start().await.unwrap();
    let out = run!("integration_mcp", server, &[]);
    let (first, rest) = out.split_once("Scene 2").unwrap();
    let (second, third) = rest.split_once("Scene 3").unwrap();
    tells(first, &["the server is started", "(call 1)", "(call 2)", "backoff: waiting longer"]);
    tells(second, &["the server is started", "backoff: waiting longer", "a call failed", "the server is started", "jitter: a random part"]);
    let open = "bulkhead: not known now, since Circuit breaker OPEN: \"mcp\"";
    let failed = "bulkhead: not known now, since failed after 3 attempts (circuit_open)";
    tells(third, &["(call 1)", "(call 2)", "(call 3)", failed, open, "the clock goes on by 30 s", "bulkhead: a limit of calls in flight"]);
    let counts = [first, second, third].map(|scene| scene.matches("the server is started").count());
    assert_eq!(counts, [1, 2, 1], "{out}");
    assert_eq!(out.matches("a call failed").count(), 6, "{out}");
}

#[tokio::test]
async fn the_mcp_server_names_a_flag_that_it_does_not_know() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mcp_server"));
    let output = command.args(["--fast", "1"]).stdin(Stdio::null()).kill_on_drop(true).output().await.unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && output.stdout.is_empty() && err.contains("not --fast"), "{err}");
}

#[tokio::test]
async fn a_search_is_tried_again_and_finds_the_equal_text_first() {
    let server = server_that(EMBED, &["ok", "embed-eof", "ok"]).await;
    let out = run!("integration_vectors", server, &["--memory-percent", "50", "Jitter spreads retries over time."]);
    tells(&out, &["attempt 1 failed (transient)", "by distance:", "  0.000  Jitter spreads retries over time."]);
    assert_eq!(out.lines().filter(|line| line.starts_with("  0.") || line.starts_with("  1.")).count(), 5, "{out}");
}

#[tokio::test]
async fn a_search_on_a_machine_that_is_short_of_memory_gives_fewer_results() {
    let server = server_that(EMBED, &[]).await;
    let out = run!("integration_vectors", server, &["--memory-percent", "95", "Jitter spreads retries over time."]);
    tells(&out, &["caches cleared, at most 2 results", "by distance:", "  0.000  Jitter"]);
    assert_eq!(out.lines().count(), 4, "{out}");
}

#[tokio::test]
async fn a_search_without_embeddings_compares_words() {
    let server = FaultServer::start().await.unwrap();
    server.set_models(["qwen3:8b"]);
    let out = run!("integration_vectors", server, &["--memory-percent", "50"]);
    tells(
        &out,
        &["There is no index", "the fallback is used", "by the words in common:", "  3.000  Delete old models when the disk is full."],
    );
}

#[tokio::test]
async fn settings_are_those_of_the_specification_and_jitter_spreads_them() {
    let server = FaultServer::start().await.unwrap();
    let out = run!("practice_settings", server, &[]);
    let row = |name: &str| -> Vec<String> {
        let line = out.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().skip(1).map(str::to_owned).collect()
    };
    assert_eq!(row("very_slow"), ["5", "5.0", "s", "80.0", "s"]);
    assert_eq!(row("quick")[..2], ["3", "0.5"]);
    tells(&out, &["jitter off: 4.00, 4.00, 4.00, 4.00, 4.00 s", "jitter on: "]);
    assert!(!out.contains("jitter on: 4.00, 4.00, 4.00, 4.00, 4.00 s"), "{out}");
}

#[tokio::test]
async fn with_everything_combined_the_second_answer_comes_from_the_cache_when_both_models_fail() {
    let server = server_that(CHAT, &["server-busy", "ok"]).await;
    server.always(Match::path(CHAT), "server-busy").unwrap();
    let out = run!("practice_combined", server, &["--memory-percent", "50"]);
    tells(&out, &["ollama: OK", "model:qwen3:8b: OK", "Answer 1, from qwen3:8b (attempts: 2): This is qwen3:8b"]);
    tells(&out, &["gemma3:4b takes the place of qwen3:8b", "Answer 2, from the cache, 0 s old (attempts: 6): This is qwen3:8b"]);
}

#[tokio::test]
async fn with_everything_combined_and_no_other_alternative_the_fallback_answers() {
    let server = FaultServer::start().await.unwrap();
    server.shutdown().await;
    let out = run!("practice_combined", server, &["--memory-percent", "50"]);
    tells(&out, &["ollama: FAIL", "the fallback is used", "Answer 1, from the fallback", "I cannot answer now"]);
}

#[tokio::test]
async fn monitoring_counts_failures_that_a_retry_made_good_and_shows_how_breakers_stand() {
    let server = server_that(CHAT, &["server-busy", "ok"]).await;
    server.always(Match::model("gemma3:4b"), "server-busy").unwrap();
    let out = run!("practice_monitoring", server, &[]);
    tells(&out, &["event: attempt 1 failed (transient)", "qwen3:8b answered 3 of 3 times.", "gemma3:4b answered 0 of 3 times."]);
    tells(&out, &["Error patterns: {\"transient\": 6}", "Failed attempts by severity: {\"medium\": 6}"]);
    assert!(out.contains("Breaker gemma3:4b: open") && out.contains("Breaker qwen3:8b: closed"), "{out}");
}

#[test]
fn every_program_has_a_test_and_a_row_in_the_readme() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = std::fs::read_to_string(folder.join("README.md")).unwrap();
    let programs: Vec<String> = std::fs::read_dir(folder.join("src/bin"))
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    assert!(programs.len() > 10, "{programs:?}");
    for program in programs {
        let runs = [format!("run!(\"{program}\", server,"), format!("(env!(\"CARGO_BIN_EXE_{program}\")")];
        assert!(runs.iter().any(|run| include_str!("examples.rs").contains(run)), "{program} is not run by any test");
        assert!(readme.contains(&format!("[`{program}`](src/bin/{program}.rs)")), "{program} is not in README.md");
    }
}
