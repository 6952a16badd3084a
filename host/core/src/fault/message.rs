//! Collects error texts in bounded memory, even if `Display` fails or panics.

use super::Link;
use std::fmt::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use upright_logic::types::MESSAGE_LIMIT;

const HEAD: usize = MESSAGE_LIMIT / 4 * 3;
const TAIL: usize = MESSAGE_LIMIT - HEAD;
const GAP: &str = " … ";
const UNSAYABLE: &str = "(this error cannot say what it is)";

/// Keeps the beginning and the end of a text, [`MESSAGE_LIMIT`] bytes at most.
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
        // Twice the needed size, so that small writes rarely move it.
        if self.tail.len() > 2 * TAIL {
            self.cut = true;
            self.tail = last(&self.tail, TAIL).to_owned();
        }
        Ok(())
    }
}

impl Bounded {
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

fn last(text: &str, bytes: usize) -> &str {
    &text[text.ceil_char_boundary(text.len().saturating_sub(bytes))..]
}

/// Appends [`UNSAYABLE`] if `Display` fails or panics.
pub(super) fn text_of(error: &Link) -> String {
    let mut text = Bounded::default();
    let said = catch_unwind(AssertUnwindSafe(|| write!(text, "{error}")));
    if !matches!(said, Ok(Ok(()))) {
        let separator = if text.is_empty() { "" } else { " " };
        // Cannot fail.
        let _ = write!(text, "{separator}{UNSAYABLE}");
    }
    text.finish()
}
