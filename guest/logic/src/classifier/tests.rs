//! Traps of classification, and the specification's table.

use super::rules::{RULES, Role};
use super::*;
use crate::types::{Endpoint, ErrorCategory as C, ErrorSeverity as S};
use alloc::format;

fn by_text(message: &str) -> Classification {
    classify(&Fault::new(FaultKind::Other, message))
}

fn by_status(status: u16, message: &str) -> Classification {
    classify(&Fault { status: Some(status), endpoint: Endpoint::Chat, ..Fault::new(FaultKind::HttpStatus, message) })
}

#[test]
fn the_classifier_gives_each_documented_error_its_category_severity_and_action() {
    let rows: &[(Classification, C, S, bool, &str)] = &[
        (classify(&Fault::new(FaultKind::ConnectionRefused, "")), C::Connection, S::High, true, "Check service, retry with backoff"),
        (classify(&Fault::new(FaultKind::Timeout, "")), C::Timeout, S::Medium, true, "Increase timeout, retry"),
        (classify(&Fault::new(FaultKind::OutOfMemory, "")), C::Resource, S::Critical, false, "Clear caches, use smaller model"),
        (by_text("model not found"), C::Permanent, S::High, false, "Pull model or use fallback"),
        (by_text("rate limit exceeded"), C::Transient, S::Medium, true, "Wait and retry"),
        (by_status(429, ""), C::Transient, S::Medium, true, "Wait and retry"),
        (by_status(500, ""), C::Transient, S::Medium, true, "Retry with backoff"),
        (by_status(502, ""), C::Transient, S::Medium, true, "Retry with backoff"),
        (by_status(504, ""), C::Transient, S::Medium, true, "Retry with backoff"),
        (classify(&Fault::new(FaultKind::InvalidInput, "")), C::Permanent, S::Low, false, "Fix input validation"),
        (by_text("ValueError: bad"), C::Permanent, S::Low, false, "Fix input validation"),
        (by_text("TypeError: bad"), C::Permanent, S::Low, false, "Fix input validation"),
        (classify(&Fault::new(FaultKind::DiskFull, "")), C::Resource, S::High, false, "Free disk space"),
        (classify(&Fault::new(FaultKind::PermissionDenied, "")), C::Permanent, S::High, false, "Fix permissions"),
        (by_text("something odd"), C::Unknown, S::Medium, false, "Log error and continue"),
    ];
    for (is, category, severity, retryable, action) in rows {
        assert_eq!((is.category, is.severity, is.retryable, is.action.text()), (*category, *severity, *retryable, *action), "{is:?}");
    }
    assert_eq!((by_status(503, "").category, by_status(503, "").retryable), (C::Transient, true));
}

#[test]
fn a_number_is_a_status_only_where_it_stands_as_one() {
    for text in [
        "peer 10.0.0.7:5000 gave up",
        "used 4500 tokens",
        "request id 8f429c",
        "separate limits apply",
        "cannot read /data/500.txt",
        "user_404 is odd",
        "500 items left over",
        "took 503 ms",
        "line 404, column 7",
        "version 4.2.9, build 429",
        "an error 429% larger",
        "status 503.25",
    ] {
        assert_eq!(by_text(text).category, C::Unknown, "{text}");
    }
    for (text, rule) in [
        ("HTTP 503 (upstream id 4041)", "overloaded-status"),
        ("HTTP/1.1 502 from upstream", "server-error"),
        ("failed (status code: 500)", "server-error"),
        ("status=429", "rate-limited"),
        ("error code 404", "http-not-found"),
        ("429 Too Many Requests", "rate-limited"),
        ("upstream said 503 Service Unavailable", "overloaded-status"),
        ("got 408.", "request-timeout"),
    ] {
        assert_eq!(by_text(text).rule, rule, "{text}");
    }
}

#[test]
fn structured_facts_come_before_text() {
    let fault = Fault { status: Some(400), ..Fault::new(FaultKind::HttpStatus, "field `timeout` says HTTP 503") };
    assert_eq!(classify(&fault).category, C::Permanent);
    let refused = Fault::new(FaultKind::ConnectionRefused, "HTTP 404 rate limit");
    assert_eq!(classify(&refused).category, C::Connection);
}

#[test]
fn the_classifier_ignores_the_text_of_a_structured_fault() {
    let quoting = "expected value at line 1: `server busy, please try again; no space left on device`";
    assert_eq!(classify(&Fault::new(FaultKind::InvalidInput, quoting)).rule, "invalid-input");
    assert_eq!(classify(&Fault::new(FaultKind::Timeout, quoting)).rule, "timeout");
}

#[test]
fn connection_failures_that_were_missed_are_known() {
    for text in [
        "Connection reset by peer",
        "Connection aborted",
        "Broken pipe",
        "No route to host",
        "Name or service not known",
        "Temporary failure in name resolution",
        "read ECONNRESET",
        "dns error: failed to lookup address information",
    ] {
        assert_eq!(by_text(text).category, C::Connection, "{text}");
    }
    for errno in [104, 103, 32, 113, 101, 111] {
        let fault = Fault { errno: Some(errno), ..Fault::new(FaultKind::Other, "os error") };
        assert_eq!(classify(&fault).category, C::Connection, "{errno}");
    }
}

#[test]
fn resource_error_numbers_that_were_missed_are_known() {
    for errno in [28, 24, 23, 12, 122] {
        let fault = Fault { errno: Some(errno), ..Fault::new(FaultKind::Other, "os error") };
        assert_eq!(classify(&fault).category, C::Resource, "{errno}");
    }
    for text in ["No space left on device (os error 28)", "Too many open files", "Cannot allocate memory", "ENOSPC: write"] {
        assert_eq!(by_text(text).category, C::Resource, "{text}");
    }
}

#[test]
fn statuses_that_were_missed_are_known() {
    assert_eq!(by_status(408, "").category, C::Timeout);
    for status in [425, 529, 429] {
        assert_eq!((by_status(status, "").category, by_status(status, "").retryable), (C::Transient, true), "{status}");
    }
    assert_eq!(by_text("Too Many Requests").category, C::Transient);
}

#[test]
fn a_model_that_is_missing_is_known_with_its_name_between_the_words() {
    for text in [
        "model 'qwen3:8b' not found",
        "model \"qwen3:8b\" not found, try pulling it first",
        "{\"error\":\"model \\\"x\\\" not found\"}",
        "Model qwen3 not found",
        "the model `gpt-9` does not exist",
    ] {
        let is = by_text(text);
        assert_eq!((is.rule.as_str(), is.counted, is.model_specific), ("model-not-found", false, true), "{text}");
    }
    assert_ne!(by_text("model loaded but its file was not found").rule, "model-not-found");
}

#[test]
fn a_subprocess_that_took_too_long_is_a_timeout() {
    assert_eq!(by_text("Command '['ollama', 'list']' timed out after 30 seconds").category, C::Timeout);
}

#[test]
fn a_long_message_is_read_at_both_ends_and_no_further() {
    let padding = "x ".repeat(1 << 19);
    assert_eq!(by_text(&format!("rate limit {padding}")).category, C::Transient);
    assert_eq!(by_text(&format!("{padding} rate limit")).category, C::Transient);
    assert_eq!(by_text(&format!("{padding} rate limit {padding}")).category, C::Unknown);
}

#[test]
fn text_that_is_not_ascii_or_is_cut_within_a_phrase_is_harmless() {
    for text in [
        "é",
        "モデル 'qwen3' が見つかりません",
        "\u{0}\u{7f}",
        "model '",
        "model \"unclosed not found",
        "rate",
        "rate limi",
        "{}",
        "http 5",
        "50",
    ] {
        assert!(!by_text(text).rule.is_empty(), "{text}");
    }
}

#[test]
fn ollamas_misleading_statuses_are_read_by_their_texts() {
    let permanent = [
        (500, "option \"num_ctx\" must be of type integer"),
        (500, "invalid format: \"yaml\"; expected \"json\" or a valid JSON Schema object"),
        (500, "'llama3.2-vision' is no longer compatible with your version of Ollama"),
    ];
    for (status, text) in permanent {
        let is = by_status(status, text);
        assert_eq!((is.category, is.retryable, is.counted), (C::Permanent, false, false), "{text}");
    }
    let embed = Fault {
        status: Some(400),
        endpoint: Endpoint::Embed,
        ..Fault::new(FaultKind::HttpStatus, "do embedding request: Post \"http://127.0.0.1:4041/embedding\": EOF")
    };
    assert_eq!((classify(&embed).category, classify(&embed).retryable), (C::Transient, true));
}

#[test]
fn a_refused_host_header_is_told_from_other_refusals() {
    assert_eq!(by_status(403, "").action, SuggestedAction::FixHostHeader);
    assert_eq!(by_status(403, "ollama cloud is disabled: remote model is unavailable").action, SuggestedAction::UseFallback);
    assert_eq!(by_status(403, "go away").action, SuggestedAction::FixPermissions);
}

#[test]
fn a_weekly_quota_is_not_waited_for() {
    let is = by_status(429, "you've reached your weekly usage limit, please wait or upgrade to continue");
    assert_eq!((is.category, is.retry_limit, is.model_specific), (C::Transient, Some(0), true));
}

#[test]
fn an_inner_breakers_rejection_is_not_counted_by_an_outer_one() {
    assert!(!classify(&Fault::new(FaultKind::CircuitOpen, "")).counted);
    assert!(!by_text("Circuit breaker OPEN: ollama").counted);
}

#[test]
fn a_web_page_in_place_of_an_answer_is_another_service_and_stays_one() {
    let is = classify(&Fault::new(FaultKind::InvalidAnswer, "expected JSON, got \"<!doctype html><html><head>\""));
    assert_eq!((is.category, is.retryable, is.counted, is.action), (C::Permanent, false, true, SuggestedAction::CheckService));
    let garbled = classify(&Fault::new(FaultKind::InvalidAnswer, "expected JSON, got \"{\""));
    assert_eq!((garbled.category, garbled.retry_limit), (C::Transient, Some(1)));
}

#[test]
fn a_disks_quota_is_not_the_clouds() {
    let is = by_text("write: Disk quota exceeded (os error 122)");
    assert_eq!((is.category, is.severity, is.action), (C::Resource, S::High, SuggestedAction::FreeDisk));
    assert_eq!(by_text("API quota exceeded").action, SuggestedAction::UseFallback);
}

#[test]
fn a_gateways_timeout_is_a_server_error_as_its_status_is() {
    assert_eq!(by_text("<h1>Gateway Timeout</h1>").rule, "server-error-text");
    assert_eq!(by_text("the gateway timed out").rule, "timeout-text");
}

#[test]
fn a_runner_that_died_of_an_error_loading_its_model_is_not_one_that_is_loading() {
    let died = by_status(500, "llama-server process has terminated: exit status 1: error loading model: bad magic");
    assert_eq!((died.rule.as_str(), died.retryable), ("model-unreadable-inner", false));
    let died = by_status(500, "llama-server process has terminated: exit status 1: while loading model");
    assert_eq!((died.rule.as_str(), died.retry_limit), ("runner-died", Some(1)));
    assert_eq!(by_status(503, "Loading model").rule, "runner-loading");
}

#[test]
fn a_servers_words_mean_the_same_when_a_client_hands_them_on_as_text() {
    for (text, rule) in [
        ("CUDA error: out of memory (status code: 500)", "server-out-of-memory-text"),
        ("llama runner process has terminated: exit status 2 (status code: 500)", "runner-died"),
        ("invalid format: \"yaml\"; expected \"json\" or a valid JSON Schema object (status code: 500)", "invalid-format"),
        ("do embedding request: Post \"http://127.0.0.1:4041/embedding\": EOF (status code: 400)", "runner-failed"),
    ] {
        assert_eq!(by_text(text).rule, rule, "{text}");
    }
    assert_eq!(by_text("out of memory").rule, "out-of-memory-text", "no server said so: it is this program's memory");
}

#[test]
fn every_rule_has_its_own_kebab_case_name() {
    for (index, rule) in RULES.iter().enumerate() {
        assert!(rule.name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'), "{}", rule.name);
        assert!(RULES[..index].iter().all(|earlier| earlier.name != rule.name), "{} stands twice", rule.name);
    }
}

#[test]
fn every_phrase_of_every_rule_is_found_by_itself() {
    for (index, rule) in RULES.iter().enumerate() {
        for role in Role::ALL {
            for phrase in rule.phrases(role) {
                let message = said(phrase).to_uppercase();
                assert!(has(&message, role, index), "{} does not find {message}", rule.name);
            }
        }
    }
}

fn said(phrase: &str) -> String {
    phrase.replace("{}", "'some name'").replace(" .. ", " 1.5 of \"it\", and ").replace(['*', '^', '$'], "")
}

fn found(text: &str) -> text::Found {
    let mut found = text::Found::default();
    text::find(text, &mut found);
    found
}

fn has(text: &str, role: Role, index: usize) -> bool {
    let found = found(text);
    match role {
        Role::Said => found.said.has(index),
        Role::Also | Role::Unless => found.has_second(rules::second(index, role)),
    }
}

#[test]
fn a_phrase_is_found_wherever_it_stands_and_never_within_a_longer_word() {
    for (index, rule) in rules::RULES.iter().enumerate() {
        for role in Role::ALL {
            for phrase in rule.phrases(role).iter().filter(|phrase| !phrase.ends_with('*')) {
                for before in 0..20 {
                    let text = format!("{} {}.{}", "é".repeat(before), said(phrase).to_uppercase(), " ".repeat(before));
                    assert!(has(&text, role, index), "{}: {text:?}", rule.name);
                }
            }
        }
    }
    for before in 0..20 {
        for longer in ["xoom", "oomx", "oom_", "9oom"] {
            let text = format!("{}{longer}{}", "-".repeat(before), "-".repeat(20 - before));
            assert_eq!(found(&text), text::Found::default(), "{text:?}");
        }
    }
}

#[test]
fn a_gap_is_followed_to_the_end_of_the_line_and_256_bytes_however_many_gaps_a_message_has() {
    let classified = |text: &str| by_text(text).rule;
    // More gaps than can be deferred.
    let opened = "prompt, model, maximum, exceeded, input; ".repeat(6);
    assert_eq!(classified(&format!("{opened}\nthis prompt of 9000 words is too long")), "context-overflow");
    assert_eq!(classified(&format!("{opened}\nthis prompt of 9000 words\nis too long")), "unknown");
    let far = |bytes: usize| classified(&format!("prompt{} is too long", " x".repeat(bytes / 2)));
    assert_eq!((far(240).as_str(), far(280).as_str()), ("context-overflow", "unknown"));
}

#[test]
fn a_rule_is_asked_for_its_statuses_and_no_others() {
    for (index, rule) in RULES.iter().enumerate() {
        for status in [None, Some(0), Some(200)].into_iter().chain((298..=602).map(Some)).chain([Some(u16::MAX)]) {
            let asked = rule.statuses.is_none_or(|ranges| status.is_some_and(|status| ranges.iter().any(|range| range.contains(&status))));
            let mut said = rules::RuleSet::default();
            (0..RULES.len()).for_each(|rule| said.insert(rule));
            let kind = rule.kinds.map_or(FaultKind::Other, |kinds| kinds[0]);
            let endpoint = rule.endpoints.map_or(Endpoint::Other, |endpoints| endpoints[0]);
            assert_eq!(rules::candidates(kind, endpoint, status, said).has(index), asked, "{} and {status:?}", rule.name);
        }
    }
}

#[test]
fn the_vocabulary_has_the_words_of_phrases_and_statuses_and_no_others() {
    let vocabulary = text::Vocabulary::new();
    for word in ["model", "NOT", "found", "http_status", "gateway", "looking", "exceed_context_size_error"] {
        assert!(vocabulary.has(word), "{word}");
    }
    assert_eq!(vocabulary.beginning_of("Timeouts"), Some("timeout"));
    assert_eq!(vocabulary.beginning_of("time"), None);
    for word in ["", "q", "zebra", "secret", "grandmother", "{}", "*"] {
        assert!(!vocabulary.has(word), "{word}");
    }
    assert!(vocabulary.iter().all(|word| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')));
}

#[test]
fn a_number_is_a_status_only_where_something_says_so() {
    assert!(text::is_status("HTTP/1.1 503", 9));
    assert!(!text::is_status("10.0.0.7:500", 9) && !text::is_status("é", 1) && !text::is_status("", 7));
}
