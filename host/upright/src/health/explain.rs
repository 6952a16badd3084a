//! Explains a server's failure, so that people look for it in the right place.

use crate::ollama::{BaseUrl, OllamaError};
use crate::types::{Fault, FaultKind, SuggestedAction};
use serde_json::{Map, Value};
use upright_logic::classifier::classify;

pub(super) fn explain(error: &OllamaError, address: &BaseUrl) -> (String, Map<String, Value>) {
    let fault = error.fault();
    let mut details = Map::new();
    details.insert("url".into(), address.to_string().into());
    details.insert("fault".into(), fault.kind.name().into());
    if let Some(status) = fault.status {
        details.insert("status".into(), status.into());
    }
    (sentence(error, &fault, address), details)
}

pub(super) fn not_loaded(error: &OllamaError, address: &BaseUrl, model: &str) -> (String, Map<String, Value>) {
    let (sentence, mut details) = explain(error, address);
    let meaning = classify(&error.fault());
    details.insert("rule".into(), meaning.rule.as_str().into());
    details.insert("action".into(), meaning.action.name().into());
    let message = match meaning.action {
        SuggestedAction::PullModel => format!("Model {model} not found. Pull it with: ollama pull {model}"),
        SuggestedAction::RepullModel => {
            format!(
                "Model {model} cannot be loaded, its file at {address} is damaged. Pull it again with: ollama pull {model} ({sentence})"
            )
        }
        SuggestedAction::RepairServer => {
            format!("The Ollama at {address} cannot start any model. Install it again: https://ollama.com/download ({sentence})")
        }
        _ => format!("Model {model} cannot be loaded: {sentence}"),
    };
    (message, details)
}

fn sentence(error: &OllamaError, fault: &Fault, address: &BaseUrl) -> String {
    let host = address.host();
    match (fault.kind, error) {
        (FaultKind::ConnectionRefused, _) => format!("nothing listens at {address}. Start it with: ollama serve"),
        (FaultKind::Dns, _) => format!("the name {host} does not resolve. Check OLLAMA_HOST, or the network"),
        (FaultKind::Unreachable, _) => format!("there is no route to {host}. Check the network"),
        (FaultKind::Tls, _) => format!("the TLS handshake with {host} failed: {}", fault.message),
        (FaultKind::ConnectionReset, _) => format!("{address} broke the connection off before its answer was whole"),
        (FaultKind::Timeout, OllamaError::Timeout { limit, .. }) => {
            format!("{address} gave no whole answer within {} s", limit.as_secs_f64())
        }
        (FaultKind::InvalidAnswer, OllamaError::InvalidAnswer { found, .. }) => {
            format!("something else answers at {address}, not Ollama: {found:?}")
        }
        (FaultKind::InvalidAnswer, _) => format!("something else answers at {address}, not Ollama: {}", fault.message),
        (FaultKind::HttpStatus, _) => match (fault.status.unwrap_or_default(), fault.message.as_str()) {
            (403, "") => format!("{address} answered with status 403: it does not accept the host name {host}"),
            (status, "") => format!("{address} answered with status {status}"),
            (status, message) => format!("{address} answered with status {status}: {}", first_line(message)),
        },
        _ => format!("{address} cannot be asked: {}", fault.message),
    }
}

fn first_line(text: &str) -> &str {
    let line = text.lines().next().unwrap_or_default();
    &line[..line.floor_char_boundary(200)]
}
