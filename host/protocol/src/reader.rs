//! Judges an answer from its bytes.

use crate::asked::Asked;
use crate::decode::{Piece, decode};
use crate::judge::{Cut, Failed, Judge, Judgement, Received};
use crate::lines::{LINE_LIMIT, LineSplitter};

/// Maximum length of an answer in one piece, bytes.
pub const ANSWER_LIMIT: usize = 64 << 20;

/// Sees each piece of an answer.
pub(crate) type Seen<'a> = &'a mut dyn FnMut(&Piece<'_>);

/// Judges an answer's body as it arrives, without HTTP framing.
#[derive(Debug)]
pub struct Reader {
    judge: Judge,
    framing: Framing,
}

#[derive(Debug)]
enum Framing {
    Document(Vec<u8>),
    Lines(LineSplitter),
    /// With the current event's data.
    Events(LineSplitter, Vec<u8>),
}

impl Reader {
    /// Reads the answer to this request, with this status.
    pub fn new(asked: Asked, status: u16) -> Self {
        let framing = match (asked.streamed, asked.route.is_ollamas()) {
            (false, _) => Framing::Document(Vec::new()),
            (true, true) => Framing::Lines(LineSplitter::new(LINE_LIMIT)),
            (true, false) => Framing::Events(LineSplitter::new(LINE_LIMIT), Vec::new()),
        };
        let mut judge = Judge::new(asked);
        if !(200..300).contains(&status) {
            judge.fail(Failed::Status(status));
        }
        Self { judge, framing }
    }

    /// Takes the next bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.push_and(bytes, &mut |_| {});
    }

    /// Takes the next bytes, and shows each piece in them.
    pub(crate) fn push_and(&mut self, bytes: &[u8], seen: Seen<'_>) {
        // An endless body must not be kept.
        if self.judge.has_failed() {
            return;
        }
        match &mut self.framing {
            Framing::Document(document) if document.len() + bytes.len() > ANSWER_LIMIT => self.judge.fail(Failed::Unreadable),
            Framing::Document(document) => document.extend_from_slice(bytes),
            Framing::Lines(lines) => each_line(lines, bytes, &mut self.judge, |judge, line| piece(judge, line, true, seen)),
            Framing::Events(lines, data) => {
                each_line(lines, bytes, &mut self.judge, |judge, line| event(judge, data, line, true, seen));
            }
        }
    }

    /// Amount received so far. An answer in one piece shows it at its end.
    pub fn received(&self) -> Received {
        self.judge.received()
    }

    /// Judgement if nothing more comes, of a streamed answer.
    pub fn judgement(&self) -> Judgement {
        self.judge.judgement()
    }

    /// Whether the exchange failed, which is final.
    pub fn has_failed(&self) -> bool {
        self.judge.has_failed()
    }

    /// The request.
    pub fn asked(&self) -> &Asked {
        self.judge.asked()
    }

    /// Whether the end has come.
    pub fn is_over(&self) -> bool {
        self.judge.is_over()
    }

    /// Judges the ended body; not `whole` if the connection broke or the caller stopped waiting.
    pub fn end(mut self, whole: bool) -> Judgement {
        let (judge, seen) = (&mut self.judge, &mut |_: &Piece<'_>| {});
        match self.framing {
            _ if judge.has_failed() => {}
            Framing::Document(document) if document.trim_ascii().is_empty() => judge.fail(Failed::Nothing),
            Framing::Document(document) => piece(judge, &document, whole, seen),
            Framing::Lines(lines) => piece(judge, lines.rest(), false, seen),
            Framing::Events(lines, mut data) => {
                event(judge, &mut data, lines.rest(), false, seen);
                event(judge, &mut data, b"", false, seen);
            }
        }
        if !whole {
            judge.cut(Cut::Broken);
        }
        judge.judgement()
    }
}

fn each_line(lines: &mut LineSplitter, mut bytes: &[u8], judge: &mut Judge, mut take: impl FnMut(&mut Judge, &[u8])) {
    loop {
        match lines.next_line(&mut bytes) {
            Ok(Some(line)) => take(judge, line),
            Ok(None) => return,
            Err(_) => return judge.fail(Failed::Unreadable),
        }
    }
}

/// Must be readable if `ended`.
fn piece(judge: &mut Judge, json: &[u8], ended: bool, seen: Seen<'_>) {
    if json.trim_ascii().is_empty() {
        return;
    }
    let (route, whole) = (judge.asked().route, !judge.asked().streamed);
    let mut take = |piece: &Piece<'_>| {
        judge.take(piece);
        seen(piece);
    };
    match decode(route, whole, json, &mut take) {
        Ok(()) => {}
        Err(_) if ended => judge.fail(Failed::Unreadable),
        Err(_) => judge.cut(Cut::WithinLine),
    }
}

/// A blank line ends an event.
fn event(judge: &mut Judge, data: &mut Vec<u8>, line: &[u8], ended: bool, seen: Seen<'_>) {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if let Some(more) = line.strip_prefix(b"data:") {
        if !data.is_empty() {
            data.push(b'\n');
        }
        data.extend_from_slice(more.strip_prefix(b" ").unwrap_or(more));
    } else if line.is_empty() && !data.is_empty() {
        if data.as_slice() == b"[DONE]" {
            judge.take(&Piece { last: true, ..Piece::default() });
        } else {
            piece(judge, data, ended, seen);
        }
        data.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::Verdict;
    use crate::route::Route;

    #[test]
    fn an_endless_answer_fails_and_its_buffer_stays_bounded() {
        let endless = vec![b'x'; 1 << 20];
        for asked in [
            Asked::new(Route::Chat),
            Asked { streamed: false, ..Asked::new(Route::Chat) },
            Asked { streamed: true, ..Asked::new(Route::Messages) },
        ] {
            let mut reader = Reader::new(asked, 200);
            for _ in 0..=ANSWER_LIMIT >> 20 {
                reader.push(&endless);
            }
            let kept = match &reader.framing {
                Framing::Document(document) => document.len(),
                Framing::Lines(lines) | Framing::Events(lines, _) => lines.rest().len(),
            };
            assert!(
                kept <= ANSWER_LIMIT && (kept <= LINE_LIMIT + endless.len() || matches!(reader.framing, Framing::Document(_))),
                "{kept}"
            );
            assert_eq!(reader.end(true).verdict, Verdict::Failed(Failed::Unreadable));
        }
    }
}
