//! Creates, builds, tests, measures and compares policies.

use crate::common::{alone, command};
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;
use upright_test_kit::command::{Ran, end_within, finish};
use upright_test_kit::folder::Folder;
use upright_test_kit::policies;

const DEFAULT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../runtime/policy.wasm");
const STEADY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../guest/examples/steady/steady.wasm");

/// Only ends a hanging build.
const BUILD: Duration = Duration::from_secs(1200);

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Keeps a warm target folder.
async fn building(arguments: &[&str]) -> Ran {
    let mut command = command(None, arguments);
    command.env("CARGO_TARGET_DIR", Path::new(env!("CARGO_TARGET_TMPDIR")).join("policy-workbench"));
    end_within(command.spawn().unwrap(), BUILD).await
}

/// A long decision limit, for busy machines.
async fn tested(arguments: &[&str], code: i32) -> Value {
    let arguments = [&["policy", "test", "--json", "--decision-limit", "10"], arguments].concat();
    let ran = end_within(command(None, &arguments).spawn().unwrap(), BUILD).await.ends_with(code);
    ran.json().pop().unwrap()
}

fn has_target() -> bool {
    let run = std::process::Command::new("rustc").args(["--print", "target-libdir", "--target", "wasm32-unknown-unknown"]).output();
    let folder = run.map(|run| String::from_utf8_lossy(&run.stdout).trim().to_owned()).unwrap_or_default();
    std::fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some())
}

#[tokio::test]
async fn a_rust_policy_from_the_template_builds_outside_this_repository_and_decides_as_the_default_does() {
    if !has_target() {
        eprintln!("WARNING: NOT TESTED that the Rust template builds: run `rustup target add wasm32-unknown-unknown`");
        return;
    }
    let outside = Folder::new("workbench");
    let dir = outside.path("my-policy");
    let made = alone(&["policy", "new", text(&dir)], "").await.ends_with(0);
    assert!(made.out.contains("src/lib.rs") && made.out.contains("upright policy build"), "{made:?}");
    let built = building(&["policy", "build", text(&dir)]).await.ends_with(0);
    assert!(built.err.contains("cargo build --release --lib --target wasm32-unknown-unknown"), "{built:?}");
    let component = dir.join("policy.wasm");
    let described = alone(&["policy", "inspect", "--json", text(&component)], "").await.ends_with(0);
    assert_eq!((&described.json()[0]["name"], &described.json()[0]["imports"]), (&json!("my-policy"), &json!([])));
    let cases = dir.join("cases.jsonl");
    let answer = tested(&[text(&component), "--strict", "--cases", text(&cases)], 0).await;
    assert_eq!((&answer["ok"], &answer["cases"]["asked"]), (&json!(true), &json!(2)), "{answer}");

    let source = dir.join("src/lib.rs");
    let changed = std::fs::read_to_string(&source).unwrap().replace(
        "        recovery::decide(incident)\n",
        "        Verdict { directive: recovery::Directive::GiveUp, ..recovery::decide(incident) }\n",
    );
    std::fs::write(&source, changed).unwrap();
    building(&["policy", "build", text(&dir)]).await.ends_with(0);
    let answer = tested(&[text(&component), "--cases", text(&cases)], 1).await;
    assert_eq!(answer["functions"]["recovery.decide"]["failed"], json!(0), "to give up always makes sense: {answer}");
    let difference = json!([{ "path": ".directive", "expected": "{\"retry_after\":1.0}", "got": "\"give_up\"" }]);
    assert_eq!(answer["cases"]["failures"][0]["differences"], difference, "{answer}");
}

#[tokio::test]
async fn a_folder_that_is_not_empty_is_refused_and_left_alone() {
    let scratch = Folder::new("workbench");
    std::fs::create_dir(scratch.path("mine")).unwrap();
    scratch.write("mine/notes", "keep");
    let ran = alone(&["policy", "new", text(&scratch.path("mine"))], "").await.ends_with(2);
    assert!(ran.err.contains("is not empty; expected a new or an empty folder"), "{ran:?}");
    assert_eq!(std::fs::read_dir(scratch.path("mine")).unwrap().count(), 1);
    for lang in ["rust", "python", "js"] {
        let dir = scratch.path(lang);
        alone(&["policy", "new", text(&dir), "--lang", lang], "").await.ends_with(0);
        let again = alone(&["policy", "new", text(&dir), "--lang", lang], "").await.ends_with(2);
        assert!(again.err.contains("is not empty"), "{again:?}");
    }
}

#[tokio::test]
async fn the_default_policy_is_equal_to_every_vector_to_the_bit_and_steady_is_not() {
    let default = tested(&[DEFAULT, "--strict"], 0).await;
    assert!(default["functions"]["recovery.decide"]["asked"].as_u64().unwrap() > 400);
    for (function, count) in default["functions"].as_object().unwrap() {
        assert_eq!((&count["failed"], &count["differing"]), (&json!(0), &json!(0)), "{function}");
    }
    let steady = tested(&[STEADY], 0).await;
    assert!(steady["functions"]["backoff.delay"]["differing"].as_u64().unwrap() > 100, "{steady}");
    assert_eq!(steady["functions"]["breaker.step"]["differing"], json!(0));
    let strict = tested(&[STEADY, "--strict"], 1).await;
    assert_eq!(strict["functions"]["backoff.delay"]["failed"], steady["functions"]["backoff.delay"]["differing"]);
    assert_eq!(strict["functions"]["metadata.describe"]["failed"], json!(0), "every policy has a name of its own");
}

#[tokio::test]
async fn an_invalid_answer_fails_the_policy_test_and_is_reported() {
    let scratch = Folder::new("workbench");
    scratch.write("bad.wasm", policies::policy(&[("backoff#delay", "(f64.const -1)")]));
    let path = scratch.path("bad.wasm");
    let answer = tested(&[text(&path)], 1).await;
    let of = |function: &str| {
        let failures = answer["failures"].as_array().unwrap().iter();
        failures
            .filter(|failure| failure["function"] == function)
            .map(|failure| failure["error"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert!(of("backoff.delay").iter().all(|error| error.contains("nonsense") && error.contains("-1")), "{answer}");
    assert!(of("health.judge").iter().all(|error| error.contains("trapped")), "{answer}");
    let shown = alone(&["policy", "test", text(&path)], "").await.ends_with(1);
    assert!(shown.out.contains("FAIL backoff.delay") && shown.out.contains("expected a delay from 0 to max_delay"), "{}", shown.out);
}

#[tokio::test]
async fn a_policy_that_remembers_is_found_out() {
    let scratch = Folder::new("workbench");
    // Counts its calls, in nanoseconds.
    let counts = "(i32.store (i32.const 2048) (i32.add (i32.load (i32.const 2048)) (i32.const 1)))
        (f64.mul (f64.convert_i32_u (i32.load (i32.const 2048))) (f64.const 1e-9))";
    scratch.write("remembers.wasm", policies::policy(&[("backoff#delay", counts)]));
    let answer = tested(&[text(&scratch.path("remembers.wasm"))], 1).await;
    let failures = answer["failures"].as_array().unwrap().iter().filter(|failure| failure["function"] == "backoff.delay");
    let errors: Vec<_> = failures.map(|failure| failure["error"].as_str().unwrap()).collect();
    assert!(errors.len() > 300 && errors.iter().all(|error| error.contains("a second instance answers differently")), "{errors:?}");
}

#[tokio::test]
async fn each_failed_case_is_reported_with_path_expectation_and_answer() {
    let scratch = Folder::new("workbench");
    let case = |name: &str, expected: &str| {
        format!(r#"{{"name":"{name}","function":"degradation.next_model","arguments":{{"current":"a","chain":["a","b"]}},{expected}}}"#)
    };
    scratch.write("cases", [case("holds", r#""answer":1"#), String::new(), case("does not", r#""expect":0"#)].join("\n"));
    let ran = alone(&["policy", "test", DEFAULT, "--cases", text(&scratch.path("cases"))], "").await.ends_with(1);
    assert!(ran.out.contains("FAIL degradation.next_model \"does not\"\n       answer: expected 0, got 1\n"), "{}", ran.out);
    assert!(ran.out.contains("2 of your own, 1 do not hold"), "{}", ran.out);

    for (content, says) in [
        (case("x", r#""answer":1,"more":2"#), "line 1: unknown field `more`"),
        (format!("\n{}", case("x", r#""answer":1,"expect":1"#)), "line 2: \"x\" has both or neither"),
        ("not JSON".to_owned(), "line 1"),
    ] {
        scratch.write("cases", content);
        let ran = alone(&["policy", "test", DEFAULT, "--cases", text(&scratch.path("cases"))], "").await.ends_with(2);
        assert!(ran.err.contains(says) && ran.err.contains("expected"), "{}", ran.err);
        assert_eq!(ran.err.lines().count(), 1);
    }
}

#[tokio::test]
async fn a_difference_between_policies_is_grouped_by_function_with_an_example() {
    let diff = |one, other| ["policy", "diff", one, other, "--decision-limit", "10", "--json"];
    let ran = alone(&diff(DEFAULT, STEADY), "").await.ends_with(0);
    let functions = ran.json();
    let differing = |function: &str| {
        let found = functions.iter().find(|line| line["function"] == function).unwrap();
        found["differing"].as_array().unwrap().len()
    };
    assert_eq!(functions.len(), 11);
    assert!(differing("backoff.delay") > 100 && differing("recovery.decide") > 5 && differing("metadata.describe") == 1);
    assert_eq!(differing("breaker.step") + differing("classifier.classify") + differing("health.judge"), 0);
    let shown = alone(&diff(DEFAULT, STEADY)[..6], "").await.ends_with(0).out;
    assert!(shown.contains("answer.name: \"upright-default\" and \"upright-steady\""), "{shown}");
    let same = alone(&diff(DEFAULT, DEFAULT), "").await.ends_with(0);
    assert!(same.json().iter().all(|line| line["differing"] == json!([])));
}

#[tokio::test]
async fn every_function_is_measured_beside_an_empty_call() {
    let costs = alone(&["policy", "bench", "--json"], "").await.ends_with(0).json();
    let names: Vec<_> = costs.iter().map(|cost| cost["function"].as_str().unwrap()).collect();
    assert_eq!(names[0], "an empty call");
    assert_eq!(names.len(), 11, "{names:?}");
    assert!(costs.iter().all(|cost| cost["nanoseconds"].as_f64().unwrap() > 0.0), "{costs:?}");
    assert_eq!(costs[0]["times_empty"], json!(1.0));
}

#[tokio::test]
async fn a_folder_without_a_policy_and_a_missing_tool_are_each_reported_in_one_line() {
    let scratch = Folder::new("workbench");
    std::fs::create_dir(scratch.path("empty")).unwrap();
    let ran = alone(&["policy", "build", text(&scratch.path("empty"))], "").await.ends_with(2);
    assert!(ran.err.contains("has none of Cargo.toml, my_policy.py, policy.js"), "{}", ran.err);
    for (lang, says) in [("python", "pip install componentize-py"), ("js", "Node.js")] {
        let dir = scratch.path(lang);
        alone(&["policy", "new", text(&dir), "--lang", lang], "").await.ends_with(0);
        let mut command = command(None, &["policy", "build", text(&dir)]);
        command.env("PATH", scratch.path("empty"));
        let ran = finish(command, "").await.ends_with(1);
        let last = ran.err.lines().last().unwrap_or_default();
        assert!(last.contains("is not installed") && last.contains(says), "{}", ran.err);
    }
}

#[tokio::test]
async fn a_policy_that_imports_wasi_is_tested_only_where_that_is_allowed() {
    let scratch = Folder::new("workbench");
    let imports = r#"(import "wasi:random/random@0.2.0" "get-random-u64" (func $random (result i64)))"#;
    let packages = ["package wasi:random@0.2.0; interface random { get-random-u64: func() -> u64; }"];
    let small = "(f64.mul (f64.convert_i64_u (i64.shr_u (call $random) (i64.const 12))) (f64.const 1e-30))";
    let bodies = [("backoff#delay", small)];
    scratch.write("wasi.wasm", policies::policy_importing(imports, &packages, "import wasi:random/random@0.2.0;", &bodies));
    let path = scratch.path("wasi.wasm");
    let refused = alone(&["policy", "inspect", text(&path)], "").await.ends_with(2);
    assert!(refused.err.contains("wasi:random/random@0.2.0"), "{}", refused.err);
    // Its other functions trap, so it fails the probe.
    let shown = alone(&["policy", "inspect", text(&path), "--allow-wasi", "--json"], "").await.ends_with(1).json();
    assert_eq!(shown[0]["imports"], json!(["wasi:random/random@0.2.0"]));
    // The same for every decision, so the policy counts as pure.
    let answer = tested(&[text(&path), "--allow-wasi"], 1).await;
    let failures = answer["failures"].as_array().unwrap();
    assert!(!failures.iter().any(|failure| failure["error"].as_str().unwrap().contains("answers differently")), "{answer}");
}

async fn question_of_a_delay() -> String {
    let recommended = alone(&["policy", "eval", "settings.recommend"], "{\"profile\":\"standard\"}").await.ends_with(0).json();
    json!({ "config": recommended[0]["ok"]["retry"], "attempt": 0, "random": 0.5 }).to_string()
}

#[tokio::test]
async fn a_policy_has_the_memory_that_it_is_given() {
    let scratch = Folder::new("workbench");
    // Needs 19 MiB at its first call.
    let greedy = "(if (i32.lt_u (memory.size) (i32.const 304)) (then (if (i32.eq (memory.grow (i32.const 300)) (i32.const -1)) (then (unreachable)))))
        (f64.const 1)";
    scratch.write("greedy.wasm", policies::policy(&policies::hostile::sensible_but("backoff#delay", greedy)));
    let path = scratch.path("greedy.wasm");
    let question = question_of_a_delay().await;
    let eval = ["policy", "eval", "backoff.delay", "--policy", text(&path)];
    let refused = alone(&eval, &question).await.ends_with(2);
    assert!(refused.err.contains("bytes of memory in backoff.delay"), "{}", refused.err);
    let answer = alone(&[&eval[..], &["--memory-limit", "64"]].concat(), &question).await.ends_with(0).json();
    assert_eq!(answer[0], json!({ "ok": 1.0 }));
}

#[tokio::test]
async fn a_policy_has_the_time_that_it_is_given() {
    let scratch = Folder::new("workbench");
    let endless = "(loop $again (br $again)) (f64.const 1)";
    scratch.write("endless.wasm", policies::policy(&policies::hostile::sensible_but("backoff#delay", endless)));
    let path = scratch.path("endless.wasm");
    let question = question_of_a_delay().await;
    for (limit, shown) in [(&[][..], "longer than 5 ms"), (&["--decision-limit", "0.02"], "longer than 20 ms")] {
        let eval = [&["policy", "eval", "backoff.delay", "--policy", text(&path)], limit].concat();
        let refused = alone(&eval, &question).await.ends_with(2);
        assert!(refused.err.contains(shown), "{}", refused.err);
    }
}

#[tokio::test]
async fn what_a_policy_may_use_is_given_in_its_range_and_together_with_a_policy() {
    for (limit, given, says) in [
        ("--decision-limit", "0", "a number of seconds from 0.001 to 10"),
        ("--decision-limit", "NaN", "a number of seconds from 0.001 to 10"),
        ("--memory-limit", "5000", "a whole number from 1 to 4096"),
    ] {
        let refused = alone(&["policy", "inspect", limit, given], "").await.ends_with(2);
        assert!(refused.err.contains(given) && refused.err.contains(says), "{}", refused.err);
    }
    for limit in [&["--allow-wasi"][..], &["--decision-limit", "1"], &["--memory-limit", "64"]] {
        let refused = alone(&[&["run", "hello"], limit].concat(), "").await.ends_with(2);
        assert!(refused.err.contains("--policy"), "{}", refused.err);
    }
}

/// Used by `guest/examples/build-wasi-policies`.
async fn builds_and_decides_as_the_default_does(lang: &str) {
    let scratch = Folder::new("workbench");
    let dir = scratch.path(&format!("my-{lang}"));
    alone(&["policy", "new", text(&dir), "--lang", lang], "").await.ends_with(0);
    building(&["policy", "build", text(&dir)]).await.ends_with(0);
    let (component, cases) = (dir.join("policy.wasm"), dir.join("cases.jsonl"));
    let refused = alone(&["policy", "inspect", text(&component)], "").await.ends_with(2);
    assert!(refused.err.contains("wasi:"), "{}", refused.err);
    let answer = tested(&[text(&component), "--strict", "--cases", text(&cases), "--allow-wasi"], 0).await;
    assert_eq!(answer["ok"], json!(true), "{answer}");
}

#[tokio::test]
#[ignore = "needs componentize-py, and compiles CPython: run guest/examples/build-wasi-policies"]
async fn a_python_policy_from_the_template_builds_and_decides_as_the_default_does() {
    builds_and_decides_as_the_default_does("python").await;
}

#[tokio::test]
#[ignore = "needs Node.js and componentize-js, and compiles SpiderMonkey: run guest/examples/build-wasi-policies"]
async fn a_javascript_policy_from_the_template_builds_and_decides_as_the_default_does() {
    builds_and_decides_as_the_default_does("js").await;
}
