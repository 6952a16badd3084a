//! Ollama's own protocol: answers pass unchanged.

use super::{ErrorAnswer, ErrorFacts, Wire, Writer};
use serde_json::json;
use upright_protocol::Unreadable;

/// Writer for Ollama's own routes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Native;

impl Writer for Native {
    fn line(&mut self, line: &[u8], out: &mut Vec<u8>) -> Result<(), Unreadable> {
        out.extend_from_slice(line);
        out.push(b'\n');
        Ok(())
    }

    fn end(&mut self, _: &mut Vec<u8>) {}

    fn whole(&mut self, answer: &[u8]) -> Result<Vec<u8>, Unreadable> {
        Ok(answer.to_vec())
    }

    fn error(&self, error: &ErrorFacts) -> ErrorAnswer {
        ErrorAnswer { status: error.status, content_type: Wire::Json.content_type(), body: body(error) }
    }

    fn error_in_stream(&mut self, error: &ErrorFacts, out: &mut Vec<u8>) {
        out.extend_from_slice(&body(error));
        out.push(b'\n');
    }

    fn wire(&self, streamed: bool) -> &'static str {
        if streamed { Wire::Ndjson.content_type() } else { Wire::Json.content_type() }
    }
}

fn body(error: &ErrorFacts) -> Vec<u8> {
    json!({ "error": error.message }).to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use upright_recordings::{Label, recordings};

    #[test]
    fn answers_of_ollamas_own_routes_pass_byte_for_byte() {
        let mut compared = 0;
        for recording in recordings().iter().filter(|recording| recording.request.path.starts_with("/api/")) {
            let Some(body) = recording.body().filter(|body| body.status == 200) else { continue };
            let mut out = Vec::new();
            match body.bytes.strip_suffix(b"\n") {
                Some(lines) => lines.split(|byte| *byte == b'\n').for_each(|line| Native.line(line, &mut out).unwrap()),
                None => out = Native.whole(&body.bytes).unwrap(),
            }
            Native.end(&mut out);
            assert_eq!(out, body.bytes, "{}", recording.name);
            compared += 1;
        }
        assert!(compared > 100, "{compared}");
    }

    #[test]
    fn errors_have_ollamas_form() {
        let mut compared = 0;
        for recording in
            recordings().iter().filter(|recording| recording.request.path.starts_with("/api/") && recording.label == Label::Error)
        {
            let Some(recorded) = recording.body() else { continue };
            let Ok(serde_json::Value::Object(said)) = serde_json::from_slice(&recorded.bytes) else { continue };
            let message = said["error"].as_str().unwrap().to_owned();
            let answer = Native.error(&ErrorFacts { status: recorded.status, message, code: None, retry_after: None });
            assert_eq!(serde_json::from_slice::<serde_json::Value>(&answer.body).unwrap(), serde_json::Value::Object(said));
            compared += 1;
        }
        assert!(compared > 20, "{compared}");
        let mut out = b"{\"done\":false}\n".to_vec();
        Native.error_in_stream(&ErrorFacts { status: 502, message: "it \"stopped\"".to_owned(), code: None, retry_after: None }, &mut out);
        assert_eq!(out, b"{\"done\":false}\n{\"error\":\"it \\\"stopped\\\"\"}\n");
    }
}
