//! Reduces the simulator's rows to facts, as a host does.

use upright_logic::types::{Endpoint, Fault, FaultKind};
use upright_simulator::{Behaviour, Header, Row};

/// The endpoint of a path.
pub fn endpoint_of(path: &str) -> Endpoint {
    match path {
        "/api/chat" => Endpoint::Chat,
        "/api/generate" => Endpoint::Generate,
        "/api/embed" | "/api/embeddings" => Endpoint::Embed,
        "/api/show" => Endpoint::Show,
        "/api/tags" => Endpoint::Tags,
        "/api/ps" => Endpoint::Ps,
        "/api/pull" => Endpoint::Pull,
        "/api/version" | "/" => Endpoint::Version,
        path if path.starts_with("/v1/") => Endpoint::Openai,
        _ => Endpoint::Other,
    }
}

/// The host's fault for a row on a path.
pub fn fault_of(row: &Row, path: &str) -> Fault {
    let (kind, status, message) = match row.behaviour {
        Behaviour::Answer if row.status < 300 => {
            (FaultKind::InvalidAnswer, None, format!("the answer is not Ollama's: expected JSON, got {:?}", row.body.text()))
        }
        Behaviour::Answer => (FaultKind::HttpStatus, Some(row.status), row.body.text().to_owned()),
        Behaviour::StreamThenErrorLine { .. } => (FaultKind::StreamError, None, row.body.text().to_owned()),
        Behaviour::StreamThenCleanEnd { .. } | Behaviour::OpenAiSwallowedError { .. } => {
            (FaultKind::IncompleteAnswer, None, "the answer is not whole: the stream ended without `done`".to_owned())
        }
        Behaviour::DoneFalse => (FaultKind::IncompleteAnswer, None, "the answer is not whole: it says `done: false`".to_owned()),
        Behaviour::LoadReason | Behaviour::UnloadReason => {
            (FaultKind::IncompleteAnswer, None, "the answer is not whole: nothing was written".to_owned())
        }
        Behaviour::StreamThenReset { .. } | Behaviour::StreamThenAbort { .. } | Behaviour::ResetBeforeHeaders => {
            (FaultKind::ConnectionReset, None, "the exchange with Ollama failed: connection closed before message completed".to_owned())
        }
        Behaviour::StreamThenStall { .. } | Behaviour::HangBeforeHeaders | Behaviour::ColdLoad | Behaviour::SlowDrip => {
            (FaultKind::Timeout, None, "Ollama timed out: the next token took longer than 30.000 s".to_owned())
        }
    };
    let retry_after = row.headers.iter().find(|(name, _)| *name == "retry-after").and_then(|(_, value)| match value {
        Header::Fixed(text) => text.parse().ok(),
        Header::HttpDateIn(seconds) => Some(*seconds as f64),
    });
    Fault { status, endpoint: endpoint_of(path), retry_after, ..Fault::new(kind, message) }
}
