//! Splits a body into lines. A piece may end within a line or a character, so bytes wait for their line's end.

use bytes::{Bytes, BytesMut};

/// Maximum length of a line, bytes.
pub const LINE_LIMIT: usize = 8 << 20;

/// Splits a body into lines.
#[derive(Debug)]
pub struct LineSplitter {
    pending: BytesMut,
    /// Number of bytes without a line end.
    searched: usize,
    limit: usize,
}

/// A line exceeds the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineTooLong;

impl LineSplitter {
    /// Accepts lines of at most `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self { pending: BytesMut::new(), searched: 0, limit }
    }

    /// Takes the next piece.
    pub fn push(&mut self, piece: &[u8]) {
        self.pending.extend_from_slice(piece);
    }

    /// Returns the next whole line without its end; `None` until more comes. Fails with [`LineTooLong`].
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

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.pending.len()
    }

    /// Returns the unfinished last line.
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
