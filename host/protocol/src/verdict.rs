//! The error of an answer that was judged from its bytes.

use crate::answer::ErrorBody;
use crate::asked::Asked;
use crate::error::OllamaError;
use crate::exchange::Exchange;
use crate::judge::{Failed, Judgement, Verdict};
use upright_logic::types::Endpoint;

/// Whether a whole answer is to a cut question, which passes only where `accepts_cuts`. `last` is the last piece that
/// came: an error stands there.
///
/// # Errors
/// The error in an answer that is not whole.
#[doc(hidden)]
pub fn judged(endpoint: Endpoint, asked: Asked, judgement: Judgement, last: &[u8], accepts_cuts: bool) -> Result<bool, OllamaError> {
    let (verdict, empty) = (judgement.verdict.clone(), judgement.empty);
    let is_cut = matches!(verdict, Verdict::QuestionCut(_));
    let exchange = || Box::new(Exchange { asked, judgement });
    Err(match (verdict, empty) {
        (Verdict::Cut(why), _) => OllamaError::Incomplete { endpoint, why, exchange: exchange() },
        (Verdict::QuestionCut(how), _) if !accepts_cuts => OllamaError::QuestionCut { endpoint, how, exchange: exchange() },
        (Verdict::Failed(Failed::Unreadable), _) => unreadable(endpoint, last),
        (Verdict::Failed(Failed::Nothing), _) => OllamaError::invalid(endpoint, "an answer", b""),
        (Verdict::Failed(_), _) => OllamaError::in_stream(endpoint, said(last)),
        (_, Some(why)) => OllamaError::EmptyAnswer { endpoint, why, exchange: exchange() },
        (_, None) => return Ok(is_cut),
    })
}

/// The error for bytes that are no answer of the route. It quotes none of them, since the log and the journal get it.
#[doc(hidden)]
pub fn unreadable(endpoint: Endpoint, bytes: &[u8]) -> OllamaError {
    OllamaError::InvalidAnswer { endpoint, expected: "an answer of this route", found: format!("{} unreadable bytes", bytes.len()) }
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
    use crate::judge::Cut;
    use crate::reader::Reader;
    use crate::route::Route;

    fn judge(content: &str, lines: &[&str], accepts_cuts: bool) -> Result<bool, OllamaError> {
        let request = format!(r#"{{"model":"a","messages":[{{"role":"user","content":"{content}"}}]}}"#);
        let asked = Asked::read(Route::Chat, request.as_bytes());
        let mut reader = Reader::new(asked.clone(), 200);
        let mut last = String::new();
        for line in lines {
            last = format!("{line}\n");
            reader.push(last.as_bytes());
        }
        judged(Endpoint::Chat, asked, reader.end(true), last.as_bytes(), accepts_cuts)
    }

    fn error(lines: &[&str]) -> Option<OllamaError> {
        judge("Hello?", lines, false).err()
    }

    #[test]
    fn an_answer_to_a_cut_question_passes_only_where_cuts_are_accepted() {
        let (text, done) = (
            r#"{"message":{"content":"Hi"},"done":false}"#,
            r#"{"message":{"content":""},"done":true,"done_reason":"stop","prompt_eval_count":50}"#,
        );
        let long = "word ".repeat(500);
        assert!(matches!(judge(&long, &[text, done], false), Err(OllamaError::QuestionCut { .. })));
        assert!(matches!(judge(&long, &[text, done], true), Ok(true)));
        assert!(matches!(judge(&long, &[done], true), Err(OllamaError::EmptyAnswer { .. })));
        assert!(matches!(judge("Hello?", &[text, done], true), Ok(false)));
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
