//! The committed policy under other hosts answers the conformance vectors bit by bit.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;
use upright_test_kit::other_hosts::{Host, Installed};

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

fn committed_vectors() -> PathBuf {
    repository("guest/conformance/vectors")
}

fn count(folder: &Path) -> usize {
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files.map(|file| fs::read_to_string(file).unwrap().lines().count()).sum()
}

fn compare(host: Host, installed: &Installed, vectors: &Path) -> Output {
    let (policy, wit) = (repository("host/runtime/policy.wasm"), repository("wit"));
    let all = [&*policy, vectors, &*wit];
    installed.run("conformance", if host == Host::Node { &all } else { &all[..2] }).unwrap()
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn every_vector_is_answered(host: Host, test_name: &str) {
    let Some(installed) = host.prepare_or_skip(test_name) else { return };
    let output = compare(host, &installed, &committed_vectors());
    let all = count(&committed_vectors());
    assert!(all > 2_000, "only {all} vectors are left");
    assert_eq!(said(&output), format!("{all} questions, {all} answers equal\n"));
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn under_python_every_vector_is_answered_to_the_bit() {
    every_vector_is_answered(Host::Python, "under_python_every_vector_is_answered_to_the_bit");
}

#[test]
fn under_node_every_vector_is_answered_to_the_bit() {
    every_vector_is_answered(Host::Node, "under_node_every_vector_is_answered_to_the_bit");
}

struct Forgery {
    file: &'static str,
    written: &'static str,
    instead: &'static str,
    reported: &'static [&'static str],
}

/// A less careful comparison would miss each of these.
const FORGERIES: [Forgery; 10] = [
    // The last bit of an f64.
    Forgery {
        file: "backoff",
        written: "\"answer\":1.8}",
        instead: "\"answer\":1.8000000000000003}",
        reported: &["backoff.delay", "answer: expected 1.8000000000000003 (bits 0x3ffcccccccccccce)"],
    },
    // 0.0 and -0.0.
    Forgery {
        file: "backoff",
        written: "\"answer\":0.0}",
        instead: "\"answer\":-0.0}",
        reported: &["answer: expected -0.0 (bits 0x8000000000000000), found 0", "(bits 0x0000000000000000)"],
    },
    // An integer for an f64.
    Forgery { file: "backoff", written: "\"answer\":1.0}", instead: "\"answer\":1}", reported: &["\"attempt 0 without jitter\": answer"] },
    // A u64 above 2^53.
    Forgery {
        file: "breaker",
        written: "\"answer\":{\"state\":{\"phase\":\"closed\",\"consecutive_failures\":0,\"half_open_successes\":0,\"since\":9007199254740993",
        instead: "\"answer\":{\"state\":{\"phase\":\"closed\",\"consecutive_failures\":0,\"half_open_successes\":0,\"since\":9007199254740992",
        reported: &["\"a breaker made at 9007199254740993\": answer.state.since: expected 9007199254740992, found 9007199254740993"],
    },
    // Another case of an enum.
    Forgery {
        file: "classifier",
        written: "\"severity\":\"high\"",
        instead: "\"severity\":\"low\"",
        reported: &["answer.severity: expected \"low\", found \"high\""],
    },
    // A present option for an absent one.
    Forgery {
        file: "classifier",
        written: "\"retry_limit\":null",
        instead: "\"retry_limit\":0",
        reported: &["answer.retry_limit: expected 0, found "],
    },
    Forgery {
        file: "recovery",
        written: "\"directive\":{\"switch_model\":1}",
        instead: "\"directive\":{\"switch_model\":2}",
        reported: &["answer.directive.switch_model: expected 2, found 1"],
    },
    Forgery {
        file: "breaker",
        written: "\"admission\":\"all\"}}",
        instead: "\"admission\":{\"probes\":1}}}",
        reported: &["answer.admission: expected {\"probes\":"],
    },
    Forgery {
        file: "metadata",
        written: "\"state_layout\":2",
        instead: "\"state_layout\":2,\"colour\":1",
        reported: &["metadata.describe", "colour"],
    },
    Forgery {
        file: "degradation",
        written: "\"arguments\":{\"current\"",
        instead: "\"arguments\":{\"colour\":1,\"current\"",
        reported: &["degradation.next_model", "found no answer: its parameters are"],
    },
];

fn every_forgery_is_reported(host: Host, test_name: &str) {
    let Some(installed) = host.prepare_or_skip(test_name) else { return };
    let scratch = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("forged-{}", host.name()));
    for Forgery { file, written, instead, reported } in FORGERIES {
        let _ = fs::remove_dir_all(&scratch);
        fs::create_dir_all(&scratch).unwrap();
        let text = fs::read_to_string(committed_vectors().join(file).with_extension("jsonl")).unwrap();
        let forged = text.replacen(written, instead, 1);
        assert_ne!(text, forged, "no vector in {file}.jsonl has {written}");
        fs::write(scratch.join(file).with_extension("jsonl"), &forged).unwrap();

        let output = compare(host, &installed, &scratch);
        let (said, all) = (said(&output), text.lines().count());
        assert_eq!(output.status.code(), Some(1), "{instead} was let pass: {said}");
        assert!(said.ends_with(&format!("{all} questions, {} answers equal\n", all - 1)), "{instead}: {said}");
        for part in reported {
            assert!(said.contains(part), "{instead}: {part} is missing in: {said}");
        }
    }
}

#[test]
fn under_python_an_answer_that_is_changed_a_little_is_found_and_named() {
    every_forgery_is_reported(Host::Python, "under_python_an_answer_that_is_changed_a_little_is_found_and_named");
}

#[test]
fn under_node_an_answer_that_is_changed_a_little_is_found_and_named() {
    every_forgery_is_reported(Host::Node, "under_node_an_answer_that_is_changed_a_little_is_found_and_named");
}

#[test]
fn a_folder_without_vectors_is_no_success() {
    let empty = Path::new(env!("CARGO_TARGET_TMPDIR")).join("no-vectors");
    fs::create_dir_all(&empty).unwrap();
    for host in [Host::Python, Host::Node] {
        let Some(installed) = host.prepare_or_skip("a_folder_without_vectors_is_no_success") else { continue };
        let output = compare(host, &installed, &empty);
        assert_eq!(output.status.code(), Some(2), "{host:?}: {}", said(&output));
        assert!(said(&output).contains("holds no vectors"), "{host:?}: {}", said(&output));
    }
}

#[test]
fn the_programs_that_the_documentation_shows_are_these_and_they_run() {
    let page = fs::read_to_string(repository("docs/other-hosts.md")).unwrap();
    for (host, file) in [(Host::Python, "python/embed.py"), (Host::Node, "node/embed.mjs")] {
        let program = fs::read_to_string(repository("tests/other-hosts").join(file)).unwrap();
        assert!(page.contains(&program), "docs/other-hosts.md does not show {file} as it is");
        let Some(installed) = host.prepare_or_skip("the_programs_that_the_documentation_shows_are_these_and_they_run") else { continue };
        let output = installed.run("embed", &[&repository("host/runtime/policy.wasm")]).unwrap();
        let wait = if host == Host::Python { "4.0" } else { "4" };
        assert_eq!(said(&output), format!("upright-default waits {wait} s\n"));
    }
}
