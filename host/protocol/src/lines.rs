//! Lines out of a body that arrives in pieces.
//!
//! A piece ends anywhere: in the middle of a line, even of a character. So bytes are kept until their line is whole, and only whole lines
//! are looked at. What never ends is given up at a limit.

use bytes::{Bytes, BytesMut};

/// A line of an answer is no longer than this, bytes.
pub const LINE_LIMIT: usize = 8 << 20;

/// Splits a body into lines as it arrives.
#[derive(Debug)]
pub struct LineSplitter {
    pending: BytesMut,
    /// So many bytes of `pending` are known to hold no line's end.
    searched: usize,
    limit: usize,
}

/// A line is longer than it may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineTooLong;

impl LineSplitter {
    /// Lines of at most so many bytes.
    pub fn new(limit: usize) -> Self {
        Self { pending: BytesMut::new(), searched: 0, limit }
    }

    /// Takes the next piece of the body.
    pub fn push(&mut self, piece: &[u8]) {
        self.pending.extend_from_slice(piece);
    }

    /// The next whole line, without its end; none until more has come.
    pub fn next_line(&mut self) -> Result<Option<Bytes>, LineTooLong> {
        let found = self.pending[self.searched..].iter().position(|byte| *byte == b'\n').map(|offset| self.searched + offset);
        if found.unwrap_or(self.pending.len()) > self.limit {
            return Err(LineTooLong);
        }
        let Some(length) = found else {
            self.searched = self.pending.len();
            return Ok(None);
        };
        self.searched = 0;
        let mut line = self.pending.split_to(length + 1);
        line.truncate(length);
        Ok(Some(line.freeze()))
    }

    /// Bytes that are kept until their line is whole.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.pending.len()
    }

    /// What is left when the body has ended: a line without an end.
    pub fn rest(&mut self) -> Bytes {
        self.searched = 0;
        self.pending.split().freeze()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn lines(splitter: &mut LineSplitter) -> Vec<String> {
        std::iter::from_fn(|| splitter.next_line().unwrap()).map(|line| String::from_utf8(line.to_vec()).unwrap()).collect()
    }

    #[test]
    fn lines_are_the_same_wherever_the_body_is_cut() {
        let body = "{\"a\":\"é\"}\n\n{\"b\":\"日本\"}\r\nlast".as_bytes();
        for cut in 0..=body.len() {
            let mut splitter = LineSplitter::new(100);
            let mut all = Vec::new();
            for piece in [&body[..cut], &body[cut..]] {
                splitter.push(piece);
                all.extend(lines(&mut splitter));
            }
            assert_eq!(all, ["{\"a\":\"é\"}", "", "{\"b\":\"日本\"}\r"], "cut at {cut}");
            assert_eq!(&splitter.rest()[..], b"last");
        }
    }

    #[test]
    fn a_line_may_be_as_long_as_the_limit_and_no_longer() {
        for (length, fits) in [(10, true), (11, false)] {
            let mut splitter = LineSplitter::new(10);
            splitter.push(&vec![b'x'; length]);
            assert_eq!(splitter.next_line().is_ok(), fits);
            splitter.push(b"\n");
            assert_eq!(splitter.next_line().is_ok(), fits);
        }
    }
}
