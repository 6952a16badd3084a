//! `health`, `demo`, `classify`, `policy` and `completions`: success and exit codes.

use crate::common::{alone, command, upright};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use upright::policy::CONTRACT_VERSION;
use upright_simulator::{FaultServer, Match};
use upright_test_kit::command::{end, finish};

const POLICY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../runtime/policy.wasm");

#[tokio::test]
async fn a_healthy_server_is_reported_line_by_line() {
    let server = FaultServer::start().await.unwrap();
    let ran = upright(&server, &["health", "--model", "qwen3:8b"]).await;
    // This machine may lack resources.
    let lines: Vec<_> = ran.out.lines().collect();
    assert!(
        lines[0].starts_with("ok    ollama") && lines[1].starts_with("ok    model:qwen3:8b") && lines[2].contains("resources"),
        "{ran:?}"
    );
    assert!(ran.err.is_empty() && !ran.out.contains('\u{1b}'), "{ran:?}");
}

#[tokio::test]
async fn the_exit_code_of_health_says_whether_all_is_well() {
    let server = FaultServer::start().await.unwrap();
    let ran = upright(&server, &["health", "--json"]).await;
    let [report] = &ran.json()[..] else { panic!("{ran:?}") };
    assert_eq!(report["components"]["ollama"]["healthy"], true);
    assert_eq!(ran.code, Some(if report["healthy"] == true { 0 } else { 1 }), "{ran:?}");
    let ran = upright(&server, &["health", "--json", "--model", "llama9"]).await.ends_with(1);
    assert_eq!((&ran.json()[0]["healthy"], &ran.json()[0]["components"]["model:llama9"]["healthy"]), (&json!(false), &json!(false)));
    let address = server.url();
    server.shutdown().await;
    let ran = alone(&["health", "--host", &address], "").await.ends_with(1);
    assert!(ran.out.contains("FAIL  ollama") && ran.out.contains("ollama serve"), "{ran:?}");
}

#[tokio::test]
async fn health_that_loads_finds_what_a_list_does_not() {
    let server = FaultServer::start().await.unwrap();
    let ran = upright(&server, &["health", "--model", "qwen3:8b", "--load", "--json"]).await;
    assert_eq!(ran.json()[0]["components"]["load:qwen3:8b"]["healthy"], true, "{ran:?}");
    assert_eq!((server.count("/api/chat"), server.model_loads()), (1, 1));
    server.always(Match::path("/api/chat"), "may-be-incompatible").unwrap();
    let ran = upright(&server, &["health", "--model", "qwen3:8b", "--load"]).await.ends_with(1);
    assert!(ran.out.contains("ok    model:qwen3:8b") && ran.out.contains("FAIL  load:qwen3:8b"), "{ran:?}");
    assert!(ran.out.contains("ollama pull qwen3:8b"), "{ran:?}");
    alone(&["health", "--load"], "").await.ends_with(2);
}

#[cfg(unix)]
#[tokio::test]
async fn watching_health_goes_on_until_ctrl_c() {
    let server = FaultServer::start().await.unwrap();
    let mut child = command(Some(&server), &["health", "--watch", "--interval", "0.01", "--json"]).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    for _ in 0..3 {
        let line = lines.next_line().await.unwrap().unwrap();
        let report: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(report["components"]["ollama"]["healthy"], true);
    }
    upright_test_kit::command::interrupt(&child).await;
    while lines.next_line().await.unwrap().is_some() {}
    assert_eq!(end(child).await.ends_with(0).err, "");
}

#[tokio::test]
async fn the_demo_shows_all_that_it_promises_without_an_ollama_and_ends_by_itself() {
    let ran = finish(command(None, &["demo", "--json"]), "").await.ends_with(0);
    let lines = ran.json();
    let summary = &lines.last().unwrap()["summary"];
    assert_eq!((&summary["missing"], &summary["lost"], &summary["safe_mode"]), (&json!([]), &json!(0), &json!(0)), "{summary}");
    assert_eq!(summary["resumed_at"], 10);
    // The first question of the gateway's act goes to one host, and the second to both.
    assert_eq!((&summary["by_gateway"], &summary["finished"]), (&json!(4), &json!(1)));
    let act = |line: &&Value| line["act"] == 8 && line["event"] == "answered";
    let texts: Vec<_> = lines.iter().filter(act).map(|line| line["text"].as_str().unwrap()).collect();
    let hosts = texts.iter().map(|text| text.matches("http://127.0.0.1:").count()).collect::<Vec<_>>();
    assert!(matches!(hosts[..], [1, 2, _]), "{texts:?}");
    assert!(lines[0]["said"].as_str().unwrap().contains("simulated"), "{}", lines[0]);
}

#[tokio::test]
async fn a_failure_is_classified_from_its_text_and_its_facts() {
    for (arguments, expected) in [
        (&["--status", "404", "model 'x' not found"][..], json!({ "category": "permanent", "rule": "model-not-found", "counted": false })),
        (
            &["--status", "503", "server busy, please try again.  maximum pending requests exceeded"],
            json!({ "category": "transient", "retryable": true }),
        ),
        (&["--kind", "connection-refused", "x"], json!({ "category": "connection", "action": "check_service" })),
        (&["--kind", "connection_refused", "x"], json!({ "category": "connection", "action_text": "Check service, retry with backoff" })),
        (&["--errno", "111", "x"], json!({ "category": "connection" })),
        (&["--status", "400", "--endpoint", "embed", "do embedding request: EOF"], json!({ "category": "transient" })),
        (&["something", "odd"], json!({ "category": "unknown", "retry_limit": null })),
    ] {
        let ran = alone(&[&["classify", "--json"], arguments].concat(), "").await.ends_with(0);
        for (key, value) in expected.as_object().unwrap() {
            assert_eq!(&ran.json()[0][key], value, "{key}: {ran:?}");
        }
    }
}

#[tokio::test]
async fn a_classification_for_people_is_a_small_table() {
    let ran = alone(&["classify", "--status", "404", "model 'x' not found"], "").await.ends_with(0);
    let names: Vec<_> = ran.out.lines().map(|line| line.split("  ").next().unwrap().trim()).collect();
    assert_eq!(names, ["category", "severity", "retryable", "retry limit", "counted", "other model", "other host", "action", "rule"]);
    assert!(ran.out.contains("Pull model or use fallback") && !ran.out.contains('\u{1b}'), "{ran:?}");
}

#[tokio::test]
async fn colours_come_when_asked_for_and_never_into_json() {
    let coloured = alone(&["classify", "--color", "always", "x"], "").await.ends_with(0);
    assert!(coloured.out.contains("\u{1b}["), "{coloured:?}");
    assert_eq!(alone(&["classify", "--color", "always", "--json", "x"], "").await.ends_with(0).json().len(), 1);
    let mut unwanted = command(None, &["classify", "x"]);
    unwanted.env("NO_COLOR", "1").env("CLICOLOR_FORCE", "1");
    assert!(!finish(unwanted, "").await.ends_with(0).out.contains('\u{1b}'));
}

#[tokio::test]
async fn a_policy_is_inspected_and_the_file_of_the_built_in_one_is_it() {
    let built_in = alone(&["policy", "inspect", "--json"], "").await.ends_with(0);
    let file = alone(&["policy", "inspect", POLICY, "--json"], "").await.ends_with(0);
    assert_eq!(built_in.out, file.out);
    let [description] = &built_in.json()[..] else { panic!("{built_in:?}") };
    assert_eq!((&description["imports"], &description["contract_version"]), (&json!([]), &json!(CONTRACT_VERSION)));
    assert!(description["exports"].as_array().unwrap().contains(&json!(format!("upright:policy/recovery@{CONTRACT_VERSION}#decide"))));
    assert_eq!((&description["passes_probe"], &description["refused"]), (&json!(true), &Value::Null));
    assert!(description["digest"].as_str().unwrap().starts_with("sha256:") && description["size_bytes"].as_u64() > Some(1000));
    let table = alone(&["policy", "inspect"], "").await.ends_with(0);
    assert!(table.out.contains("imports   none") && table.out.contains(description["name"].as_str().unwrap()), "{table:?}");
}

#[tokio::test]
async fn each_line_gets_its_answer_and_a_bad_one_does_not_end_it() {
    let lines =
        "{\"current\":\"a\",\"chain\":[\"a\",\"b\"]}\n\n{\"current\":1,\"chain\":[]}\n{\n{\"current\":\"b\",\"chain\":[\"a\",\"b\"]}\n";
    let ran = alone(&["policy", "eval", "degradation.next_model"], lines).await.ends_with(1);
    let answers = ran.json();
    assert_eq!((&answers[0], &answers[3]), (&json!({ "ok": 1 }), &json!({ "ok": null })));
    assert!(
        answers[1]["error"].as_str().unwrap().contains("arguments.current") && answers[2]["error"].as_str().unwrap().contains("not JSON")
    );
    assert_eq!((answers.len(), ran.err.lines().count()), (4, 1), "{ran:?}");
    let good = alone(&["policy", "eval", "metadata.describe", "--policy", POLICY], "{}\n{}").await.ends_with(0);
    assert_eq!(good.json()[1]["ok"]["name"], good.json()[0]["ok"]["name"]);
}

#[tokio::test]
async fn answers_come_line_by_line_and_not_at_the_end() {
    let mut child = command(None, &["policy", "eval", "metadata.describe"]).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    for _ in 0..2 {
        tokio::io::AsyncWriteExt::write_all(&mut stdin, b"{}\n").await.unwrap();
        assert!(lines.next_line().await.unwrap().unwrap().starts_with("{\"ok\":"));
    }
    drop(stdin);
    end(child).await.ends_with(0);
}

#[tokio::test]
async fn every_function_of_a_policy_is_listed_with_its_shapes() {
    let ran = alone(&["policy", "eval", "--list", "--json"], "").await.ends_with(0);
    let functions: Vec<_> = ran.json().iter().map(|shape| shape["function"].as_str().unwrap().to_owned()).collect();
    assert!(functions.contains(&"recovery.decide".to_owned()) && functions.len() == 11, "{functions:?}");
    assert!(alone(&["policy", "eval", "--list"], "").await.ends_with(0).out.contains("half_open"));
}

#[tokio::test]
async fn every_shell_gets_its_completions() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ran = alone(&["completions", shell], "").await.ends_with(0);
        assert!(ran.out.contains("classify") && ran.out.contains("retry-after"), "{shell}");
    }
}

#[tokio::test]
async fn help_and_version_go_to_standard_output() {
    for (arguments, words) in [
        (&["--help"][..], "Exit codes:"),
        (&["run", "--help"], "--between-tokens-timeout"),
        (&["help", "policy"], "inspect"),
        (&["--version"], "upright "),
    ] {
        let ran = alone(arguments, "").await.ends_with(0);
        assert!(ran.out.contains(words) && ran.err.is_empty(), "{arguments:?}: {ran:?}");
    }
}

#[tokio::test]
async fn with_verbose_events_are_logged_to_standard_error() {
    let server = FaultServer::start().await.unwrap();
    let ran = upright(&server, &["run", "llama9", "-v", "hi"]).await.ends_with(1);
    assert!(ran.err.contains("model-not-found") && ran.out.is_empty(), "{ran:?}");
}
