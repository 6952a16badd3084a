//! The classifier agrees with each row of the simulator.

use upright_conformance::rows::{endpoint_of, fault_of};
use upright_logic::classifier::classify;
use upright_logic::types::{Endpoint, ErrorCategory, ErrorSeverity, Fault, FaultKind};
use upright_simulator::{Behaviour, Body, ROWS, Row};

fn contradiction(row: &Row, fault: &Fault) -> Option<String> {
    let is = classify(fault);
    let as_expected = is.category.name() == row.expect.category && is.retryable == row.expect.retryable;
    (!as_expected).then(|| {
        let Row { name, expect, .. } = row;
        let Fault { kind, endpoint, message, .. } = fault;
        format!(
            "{name} ({kind} on {endpoint}, {message:?}): expected {} and retryable {}, got {} and {} by the rule {}",
            expect.category, expect.retryable, is.category, is.retryable, is.rule
        )
    })
}

fn assert_none(contradictions: &[String]) {
    assert!(contradictions.is_empty(), "{} contradictions:\n{}", contradictions.len(), contradictions.join("\n"));
}

#[test]
fn every_row_of_the_fault_server_is_classified_as_it_expects_on_each_of_its_paths() {
    let faults = ROWS.iter().flat_map(|row| row.endpoints.iter().map(move |path| (row, fault_of(row, path))));
    let contradictions: Vec<_> = faults.filter_map(|(row, fault)| contradiction(row, &fault)).collect();
    assert_none(&contradictions);
}

#[test]
fn the_same_words_mean_the_same_in_a_stream_under_a_status_500_and_among_other_words() {
    let mut contradictions = Vec::new();
    for row in ROWS.iter().filter(|row| matches!(row.behaviour, Behaviour::StreamThenErrorLine { .. })) {
        let fault = fault_of(row, row.endpoints[0]);
        let whole = Fault { kind: FaultKind::HttpStatus, status: Some(500), ..fault };
        contradictions.extend(contradiction(row, &whole));
    }
    // A server repeats its texts in mid-stream, without a status.
    let words = |row: &&Row| row.behaviour == Behaviour::Answer && matches!(row.status, 500 | 503) && !matches!(row.body, Body::Empty);
    for row in ROWS.iter().filter(words) {
        let fault = fault_of(row, row.endpoints[0]);
        let in_stream = Fault { kind: FaultKind::StreamError, status: None, ..fault.clone() };
        contradictions.extend(contradiction(row, &in_stream));
        let message = format!("llama-server said: {} (status {}).", fault.message, row.status);
        contradictions.extend(contradiction(row, &Fault { message, ..fault }));
    }
    assert_none(&contradictions);
}

#[test]
fn words_that_a_client_hands_on_as_text_alone_mean_the_same() {
    // The Python client's error text: the server's words and status only.
    let answers = ROWS.iter().filter(|row| row.behaviour == Behaviour::Answer && row.status >= 400);
    let contradictions: Vec<_> = answers
        .filter_map(|row| {
            let message = format!("{} (status code: {})", row.body.text(), row.status);
            contradiction(row, &Fault::new(FaultKind::Other, message))
        })
        .collect();
    assert_none(&contradictions);
}

#[test]
fn severities_are_the_specifications() {
    use ErrorSeverity::{Critical, High, Low, Medium};
    let status =
        |status, message: &str| Fault { status: Some(status), endpoint: Endpoint::Chat, ..Fault::new(FaultKind::HttpStatus, message) };
    let by_text = |message: &str| Fault::new(FaultKind::Other, message);
    let kind = |kind| Fault::new(kind, "");
    let severities = [
        (
            High,
            vec![kind(FaultKind::ConnectionRefused), kind(FaultKind::ConnectionReset), kind(FaultKind::Dns), by_text("connection refused")],
        ),
        (Medium, vec![kind(FaultKind::Timeout), status(408, ""), by_text("the call timed out")]),
        (Critical, vec![kind(FaultKind::OutOfMemory), status(500, "CUDA error: out of memory"), by_text("MemoryError")]),
        (High, vec![kind(FaultKind::DiskFull), by_text("No space left on device")]),
        (High, vec![status(404, "model 'qwen3:8b' not found"), by_text("model not found")]),
        (Medium, vec![status(429, ""), by_text("rate limit exceeded")]),
        (Medium, vec![status(500, ""), status(502, ""), status(503, ""), status(504, ""), by_text("Internal Server Error")]),
        (High, vec![kind(FaultKind::PermissionDenied), status(401, ""), status(403, ""), by_text("permission denied")]),
        (Low, vec![kind(FaultKind::InvalidInput), status(400, ""), by_text("ValueError: bad")]),
        (Medium, vec![by_text("something odd")]),
    ];
    for (severity, faults) in severities {
        for fault in faults {
            let is = classify(&fault);
            assert_eq!(is.severity, severity, "{fault:?} by the rule {}", is.rule);
        }
    }
}

#[test]
fn a_category_has_the_severity_of_its_kind_in_every_row() {
    for row in ROWS {
        let is = classify(&fault_of(row, row.endpoints[0]));
        let expected = match is.category {
            ErrorCategory::Connection => ErrorSeverity::High,
            ErrorCategory::Timeout => ErrorSeverity::Medium,
            ErrorCategory::Resource => ErrorSeverity::Critical,
            ErrorCategory::Permanent | ErrorCategory::Transient | ErrorCategory::Unknown => continue,
        };
        assert_eq!(is.severity, expected, "{}: {is:?}", row.name);
    }
}

#[test]
fn no_row_is_unknown_and_every_path_is_an_endpoint() {
    for row in ROWS {
        for path in row.endpoints {
            assert_ne!(endpoint_of(path), Endpoint::Other, "{path}");
            let is = classify(&fault_of(row, path));
            assert_ne!(is.category, ErrorCategory::Unknown, "{}", row.name);
        }
    }
}
