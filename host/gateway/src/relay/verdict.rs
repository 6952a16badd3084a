//! What is wrong with an answer of a host, as an error with facts for the policy.

use upright_core::types::Endpoint;
use upright_protocol::{Asked, ErrorBody, Exchange, Failed, Judgement, OllamaError, Verdict};

/// The error in a judged answer; `None` if it is whole. `last` is the last piece that came: an error stands there.
pub(super) fn error_in(endpoint: Endpoint, asked: Asked, judgement: Judgement, last: &[u8]) -> Option<OllamaError> {
    let (verdict, empty) = (judgement.verdict.clone(), judgement.empty);
    let exchange = || Box::new(Exchange { asked, judgement });
    Some(match (verdict, empty) {
        (Verdict::Cut(why), _) => OllamaError::Incomplete { endpoint, why, exchange: exchange() },
        (Verdict::QuestionCut(how), _) => OllamaError::QuestionCut { endpoint, how, exchange: exchange() },
        (Verdict::Failed(Failed::Unreadable), _) => OllamaError::invalid(endpoint, "an answer of this route", last),
        (Verdict::Failed(Failed::Nothing), _) => OllamaError::invalid(endpoint, "an answer", b""),
        (Verdict::Failed(_), _) => OllamaError::in_stream(endpoint, said(last)),
        (_, Some(why)) => OllamaError::EmptyAnswer { endpoint, why, exchange: exchange() },
        (_, None) => return None,
    })
}

/// The error in the last line or event that has one.
fn said(last: &[u8]) -> ErrorBody {
    let lines = last.split(|byte| *byte == b'\n').rev();
    let data = lines.map(|line| line.strip_prefix(b"data:").unwrap_or(line).trim_ascii());
    let read = data.filter(|line| line.starts_with(b"{")).map(ErrorBody::read).find(|said| !said.message.is_empty());
    read.unwrap_or_else(|| ErrorBody { message: "the server reported an error without words".to_owned(), ..ErrorBody::default() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use upright_protocol::{Cut, Reader, Route};

    fn error(lines: &[&str]) -> Option<OllamaError> {
        let asked = Asked::read(Route::Chat, br#"{"model":"a","messages":[{"role":"user","content":"Hello?"}]}"#);
        let mut reader = Reader::new(asked.clone(), 200);
        let mut last = String::new();
        for line in lines {
            last = format!("{line}\n");
            reader.push(last.as_bytes());
        }
        error_in(Endpoint::Chat, asked, reader.end(true), last.as_bytes())
    }

    #[test]
    fn a_whole_answer_has_no_error_and_each_other_one_has_its_own() {
        let (text, done) =
            (r#"{"message":{"content":"Hi"},"done":false}"#, r#"{"message":{"content":""},"done":true,"done_reason":"stop"}"#);
        assert!(error(&[text, done]).is_none());
        assert!(matches!(error(&[text]), Some(OllamaError::Incomplete { why: Cut::NoDone, .. })));
        assert!(matches!(error(&[done]), Some(OllamaError::EmptyAnswer { .. })));
        match error(&[text, r#"{"error":"unexpected EOF"}"#]) {
            Some(OllamaError::InStream { message, .. }) => assert_eq!(message, "unexpected EOF"),
            other => panic!("{other:?}"),
        }
        assert!(matches!(error(&[]), Some(OllamaError::InvalidAnswer { .. } | OllamaError::Incomplete { .. })));
    }
}
