//! Collects the text of errors, however long it is and whatever happens while it is written.

use super::Link;
use crate::types::MESSAGE_LIMIT;
use std::fmt::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// So much of the beginning of a long text is kept.
const HEAD: usize = MESSAGE_LIMIT / 4 * 3;
/// So much of its end, together with the mark between them.
const TAIL: usize = MESSAGE_LIMIT - HEAD;
/// Stands where something was left out.
const GAP: &str = " … ";
/// Stands for the text of an error whose text cannot be produced.
const UNSAYABLE: &str = "(this error cannot say what it is)";

/// Keeps the beginning and the end of what is written to it, [`MESSAGE_LIMIT`] bytes at most, in bounded memory.
#[derive(Default)]
pub(super) struct Bounded {
    head: String,
    tail: String,
    cut: bool,
}

impl Write for Bounded {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = if self.tail.is_empty() { HEAD - self.head.len() } else { 0 };
        let (head, rest) = text.split_at(text.floor_char_boundary(room));
        self.head.push_str(head);
        if rest.len() > TAIL {
            self.cut = true;
            self.tail.clear();
        }
        self.tail.push_str(last(rest, TAIL));
        // Twice the room that is needed, so that many small texts do not move it each time.
        if self.tail.len() > 2 * TAIL {
            self.cut = true;
            self.tail = last(&self.tail, TAIL).to_owned();
        }
        Ok(())
    }
}

impl Bounded {
    /// What was kept, with a mark where something was left out.
    pub(super) fn finish(mut self) -> String {
        if self.cut || self.tail.len() > TAIL {
            self.head.push_str(GAP);
            self.head.push_str(last(&self.tail, TAIL - GAP.len()));
        } else {
            self.head.push_str(&self.tail);
        }
        self.head
    }

    fn is_empty(&self) -> bool {
        self.head.is_empty()
    }
}

/// The last bytes of a text, whole characters only.
fn last(text: &str, bytes: usize) -> &str {
    &text[text.ceil_char_boundary(text.len().saturating_sub(bytes))..]
}

/// The error's own text. One whose `Display` fails or panics gets a text that says so after what it had written.
pub(super) fn text_of(error: &Link) -> String {
    let mut text = Bounded::default();
    let said = catch_unwind(AssertUnwindSafe(|| write!(text, "{error}")));
    if !matches!(said, Ok(Ok(()))) {
        let separator = if text.is_empty() { "" } else { " " };
        // Writing to it cannot fail.
        let _ = write!(text, "{separator}{UNSAYABLE}");
    }
    text.finish()
}
