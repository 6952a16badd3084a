//! Splits a body into lines. A piece may end within a line or a character, so a line's beginning waits for its end.

/// Maximum length of a line, bytes.
pub const LINE_LIMIT: usize = 8 << 20;
/// Memory for the beginning of a line that stays taken once the line has ended, bytes.
const SMALL: usize = 1 << 10;

/// Splits a body into lines. Keeps no more of it than the line that has not ended.
#[derive(Debug)]
pub struct LineSplitter {
    begun: Vec<u8>,
    /// Whether `begun` was returned as a line.
    is_returned: bool,
    limit: usize,
}

/// A line exceeds the limit. The rest of the body is of no use then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineTooLong;

impl LineSplitter {
    /// Accepts lines of at most `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self { begun: Vec::new(), is_returned: false, limit }
    }

    /// Takes the next line from `piece`, and returns it without its end. Without a whole line, takes all of `piece`
    /// and returns `None`. Fails with [`LineTooLong`].
    pub fn next_line<'a, 'piece: 'a>(&'a mut self, piece: &mut &'piece [u8]) -> Result<Option<&'a [u8]>, LineTooLong> {
        if std::mem::take(&mut self.is_returned) {
            self.begun.clear();
            self.begun.shrink_to(SMALL);
        }
        let found = memchr::memchr(b'\n', piece);
        let (part, rest) = piece.split_at(found.unwrap_or(piece.len()));
        if self.begun.len() + part.len() > self.limit {
            return Err(LineTooLong);
        }
        *piece = rest.get(1..).unwrap_or_default();
        if found.is_some() && self.begun.is_empty() {
            return Ok(Some(part));
        }
        self.begun.extend_from_slice(part);
        self.is_returned = found.is_some();
        Ok(self.is_returned.then_some(&self.begun))
    }

    /// The unfinished last line.
    pub fn rest(&self) -> &[u8] {
        if self.is_returned { b"" } else { &self.begun }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn lines(splitter: &mut LineSplitter, mut piece: &[u8]) -> Vec<String> {
        let mut all = Vec::new();
        while let Some(line) = splitter.next_line(&mut piece).unwrap() {
            all.push(String::from_utf8(line.to_vec()).unwrap());
        }
        all
    }

    #[test]
    fn lines_are_the_same_wherever_the_body_is_cut() {
        let body = "{\"a\":\"é\"}\n\n{\"b\":\"日本\"}\r\nlast".as_bytes();
        for cut in 0..=body.len() {
            let mut splitter = LineSplitter::new(100);
            let mut all = Vec::new();
            for piece in [&body[..cut], &body[cut..]] {
                all.extend(lines(&mut splitter, piece));
            }
            assert_eq!(all, ["{\"a\":\"é\"}", "", "{\"b\":\"日本\"}\r"], "cut at {cut}");
            assert_eq!(splitter.rest(), b"last");
        }
    }

    #[test]
    fn a_line_may_be_as_long_as_the_limit_and_no_longer() {
        for (length, fits) in [(10, true), (11, false)] {
            for cut in 0..=length {
                let mut body = vec![b'x'; length];
                body.push(b'\n');
                let mut splitter = LineSplitter::new(10);
                let (mut one, mut other) = body.split_at(cut);
                let begun = splitter.next_line(&mut one).map(|line| line.is_none());
                let ended = begun.and_then(|_| splitter.next_line(&mut other)).map(|line| line.is_some_and(|line| line.len() == length));
                assert_eq!(ended, if fits { Ok(true) } else { Err(LineTooLong) }, "{length}, {cut}");
            }
        }
    }

    #[test]
    fn whole_lines_are_not_copied_and_a_long_line_is_not_kept_once_it_has_ended() {
        let body = [b"whole\n".as_slice(), &[b'x'; 1 << 20]].concat();
        let (mut splitter, mut piece) = (LineSplitter::new(LINE_LIMIT), body.as_slice());
        assert!(std::ptr::eq(splitter.next_line(&mut piece).unwrap().unwrap().as_ptr(), body.as_ptr()));
        assert_eq!(splitter.next_line(&mut piece), Ok(None));
        let mut piece = b"\nnext".as_slice();
        assert_eq!(splitter.next_line(&mut piece).unwrap().unwrap().len(), 1 << 20);
        assert_eq!(splitter.rest(), b"");
        assert_eq!(splitter.next_line(&mut piece), Ok(None));
        assert_eq!(splitter.rest(), b"next");
        assert!(splitter.begun.capacity() <= SMALL);
    }
}
