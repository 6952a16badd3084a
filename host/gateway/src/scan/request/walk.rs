//! Walks over the members of an object. Strings are passed by searching for their end, nested values by counting
//! brackets.

use super::{Odd, Span};
use memchr::memchr2;

/// Maximum number of levels that Go reads, the outermost object included.
const LEVELS: usize = 10_000;

/// A place in a body.
pub(super) struct Walk<'a> {
    pub(super) body: &'a [u8],
    pub(super) at: usize,
}

impl Walk<'_> {
    fn space(&mut self) {
        while let Some(b' ' | b'\t' | b'\r' | b'\n') = self.body.get(self.at) {
            self.at += 1;
        }
    }

    /// Passes white space. Returns whether this byte comes next.
    pub(super) fn is_next(&mut self, wanted: u8) -> bool {
        self.space();
        self.body.get(self.at) == Some(&wanted)
    }

    fn passes(&mut self, wanted: u8) -> bool {
        let next = self.is_next(wanted);
        self.at += usize::from(next);
        next
    }

    /// Passes an object. Calls `each` with every key, quotes included, and its value.
    pub(super) fn members(&mut self, mut each: impl FnMut(Span, Span) -> Result<(), Odd>) -> Result<(), Odd> {
        if !self.passes(b'{') {
            return Err(Odd::Malformed);
        }
        if self.passes(b'}') {
            return Ok(());
        }
        loop {
            if !self.is_next(b'"') {
                return Err(Odd::Malformed);
            }
            let key = self.string()?;
            if !self.passes(b':') {
                return Err(Odd::Malformed);
            }
            let value = self.value()?;
            each(key, value)?;
            if self.passes(b'}') {
                return Ok(());
            }
            if !self.passes(b',') {
                return Err(Odd::Malformed);
            }
        }
    }

    /// Passes a string, from its opening quote on.
    fn string(&mut self) -> Result<Span, Odd> {
        let start = self.at;
        self.at += 1;
        loop {
            let rest = self.body.get(self.at..).unwrap_or_default();
            let found = memchr2(b'"', b'\\', rest).ok_or(Odd::Malformed)?;
            self.at += found;
            if rest[found] == b'"' {
                self.at += 1;
                return Ok(start..self.at);
            }
            let (length, lone) = escape(&rest[found..]);
            if lone {
                return Err(Odd::LoneSurrogate);
            }
            self.at += length;
        }
    }

    /// Passes a value.
    fn value(&mut self) -> Result<Span, Odd> {
        self.space();
        let (start, mut depth) = (self.at, 0);
        while let Some(byte) = self.body.get(self.at) {
            match byte {
                b'"' => {
                    self.string()?;
                }
                b'{' | b'[' => {
                    depth += 1;
                    if depth == LEVELS {
                        return Err(Odd::TooDeep);
                    }
                    self.at += 1;
                }
                b'}' | b']' if depth > 0 => {
                    depth -= 1;
                    self.at += 1;
                }
                b',' | b':' | b' ' | b'\t' | b'\r' | b'\n' if depth > 0 => self.at += 1,
                b'}' | b']' | b',' | b':' => return Err(Odd::Malformed),
                _ => self.literal(),
            }
            if depth == 0 {
                return Ok(start..self.at);
            }
        }
        Err(Odd::Malformed)
    }

    /// Passes a number or a word.
    fn literal(&mut self) {
        let rest = &self.body[self.at..];
        let ends = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | b',' | b':' | b'"' | b'{' | b'}' | b'[' | b']');
        self.at += rest.iter().position(ends).unwrap_or(rest.len());
    }
}

/// Length of the escape that opens a text, and whether it is half of a surrogate pair.
pub(super) fn escape(text: &[u8]) -> (usize, bool) {
    match (surrogate(text), text.get(6..).and_then(surrogate)) {
        (Some(0xD800..=0xDBFF), Some(0xDC00..=0xDFFF)) => (12, false),
        (Some(_), _) => (6, true),
        (None, _) => (2, false),
    }
}

/// Code unit of an escape `\uD8…` to `\uDF…`.
fn surrogate(text: &[u8]) -> Option<u16> {
    let [b'\\', b'u', digits @ ..] = text else { return None };
    let [b'd' | b'D', b'8'..=b'9' | b'a'..=b'f' | b'A'..=b'F', _, _] = digits.get(..4)? else { return None };
    u16::from_str_radix(std::str::from_utf8(&digits[..4]).ok()?, 16).ok()
}
