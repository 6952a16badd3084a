//! The content that a client has of an answer, and the comparison of a repeated answer with it.
//!
//! Content is compared decoded: two servers may split and escape the same text differently. Tool calls are compared
//! by name and arguments, since a server numbers them by chance.

use crate::decode::Piece;
use serde_json::{Map, Value};
use std::collections::hash_map::DefaultHasher;
use std::hash::Hasher as _;

/// First memory for content, bytes.
const FIRST: usize = 256;
/// Begins a part of another kind. No text of UTF-8 has this byte.
const MARK: u8 = 0xff;

/// Kind of content.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Kind {
    #[default]
    Nothing,
    Thinking,
    Text,
    Call,
}

impl Kind {
    /// The mark before a part of this kind. Each tool call has one, so two sequences are equal if their bytes are.
    fn then(self, next: Self) -> &'static [u8] {
        match next {
            Self::Nothing => b"",
            _ if self == next && next != Self::Call => b"",
            Self::Thinking => &[MARK, b'h'],
            Self::Text => &[MARK, b't'],
            Self::Call => &[MARK, b'c'],
        }
    }
}

/// A running hash. It takes whole words, so it depends on the bytes alone and not on their pieces.
#[derive(Clone, Debug, Default)]
struct Hash {
    words: DefaultHasher,
    /// The bytes after the last word, and their number.
    rest: [u8; size_of::<u64>()],
    length: usize,
}

impl Hash {
    fn write(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(self.rest.len() - self.length));
            self.rest[self.length..self.length + now.len()].copy_from_slice(now);
            self.length += now.len();
            if self.length == self.rest.len() {
                self.words.write_u64(u64::from_ne_bytes(self.rest));
                self.length = 0;
            }
            bytes = later;
        }
    }

    fn is_equal(&self, other: &Self) -> bool {
        self.rest[..self.length] == other.rest[..other.length] && self.words.finish() == other.words.finish()
    }
}

/// The content that a client has of an answer. Keeps its beginning, and a hash of the rest.
#[derive(Clone, Debug, Default)]
pub(crate) struct Delivered {
    /// Beginning of the sequence.
    kept: Vec<u8>,
    /// Maximum length of `kept`, bytes.
    memory: usize,
    end: End,
}

/// The end of what a client has.
#[derive(Clone, Debug, Default)]
pub(crate) struct End {
    /// Number of bytes in the sequence.
    length: u64,
    /// Hash of what follows the kept bytes.
    beyond: Hash,
    /// Kind of the last part.
    kind: Kind,
}

impl Delivered {
    /// Keeps this number of bytes.
    pub(crate) fn new(memory: usize) -> Self {
        Self { memory, ..Self::default() }
    }

    /// Nothing, with the same memory.
    pub(crate) fn emptied(&self) -> Self {
        Self::new(self.memory)
    }

    /// The client gets this piece.
    pub(crate) fn take(&mut self, piece: &Piece<'_>) {
        self.put(Kind::Thinking, piece.thinking.as_bytes());
        self.put(Kind::Text, piece.text.as_bytes());
        for call in calls(piece.calls) {
            self.put(Kind::Call, call.as_bytes());
        }
    }

    fn put(&mut self, kind: Kind, part: &[u8]) {
        if part.is_empty() {
            return;
        }
        self.append(self.end.kind.then(kind));
        self.append(part);
        self.end.kind = kind;
    }

    fn append(&mut self, bytes: &[u8]) {
        self.end.length += bytes.len() as u64;
        let (kept, beyond) = bytes.split_at(bytes.len().min(self.memory - self.kept.len()));
        if self.kept.capacity() - self.kept.len() < kept.len() {
            // A vector that doubles by itself would take up to twice its memory.
            let room = (2 * self.kept.len()).max(FIRST).clamp(self.kept.len() + kept.len(), self.memory);
            self.kept.reserve_exact(room - self.kept.len());
        }
        self.kept.extend_from_slice(kept);
        self.end.beyond.write(beyond);
    }

    /// The end of what the client has.
    pub(crate) fn end(&self) -> End {
        self.end.clone()
    }

    /// The client got nothing after this end.
    pub(crate) fn cut(&mut self, end: End) {
        self.kept.truncate(usize::try_from(end.length).unwrap_or(usize::MAX));
        self.end = end;
    }

    /// The text, if it is all that the client has, and if all of it is kept.
    pub(crate) fn text_alone(&self) -> Option<&str> {
        let is_all_kept = self.kept.len() as u64 == self.end.length;
        let text = self.kept.strip_prefix(&[MARK, b't']).filter(|text| is_all_kept && !text.contains(&MARK))?;
        std::str::from_utf8(text).ok()
    }
}

/// Tool calls, each by name and arguments, with sorted members.
fn calls(raw: &str) -> Vec<String> {
    if raw.is_empty() {
        return Vec::new();
    }
    // It may be null.
    let read: Vec<Value> = serde_json::from_str(raw).unwrap_or_default();
    let told = |call: Value| match call {
        Value::Object(mut call) => {
            let function = call.remove("function").unwrap_or(Value::Null);
            let member = |name: &str| sorted(function.get(name).cloned().unwrap_or(Value::Null));
            Value::from(vec![member("name"), member("arguments")]).to_string()
        }
        other => other.to_string(),
    };
    read.into_iter().map(told).collect()
}

fn sorted(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let mut members: Vec<_> = members.into_iter().map(|(name, value)| (name, sorted(value))).collect();
            members.sort_by(|one, other| one.0.cmp(&other.0));
            Value::Object(members.into_iter().collect::<Map<_, _>>())
        }
        Value::Array(items) => items.into_iter().map(sorted).collect(),
        other => other,
    }
}

/// The repeated answer is another one than the client has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Differs;

/// The part of a line of a repeated answer that the client does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum New {
    /// All of it.
    All,
    /// Nothing.
    Nothing,
    /// A part.
    Part {
        /// Number of bytes of thinking that the client has.
        thinking: usize,
        /// Number of bytes of text that the client has.
        text: usize,
        /// Number of tool calls that the client has.
        calls: usize,
    },
}

/// A repeated answer, up to the end of what the client has.
#[derive(Clone, Debug, Default)]
pub(crate) struct Repeat {
    length: u64,
    kind: Kind,
    beyond: Hash,
}

impl Repeat {
    /// Whether the repeat has reached the end of what the client has.
    pub(crate) fn has_caught_up(&self, delivered: &Delivered) -> bool {
        self.length == delivered.end.length
    }

    /// Compares the next piece with what the client has. Whatever follows the end of that is new.
    ///
    /// # Errors
    /// [`Differs`].
    pub(crate) fn take(&mut self, delivered: &Delivered, piece: &Piece<'_>) -> Result<New, Differs> {
        if self.has_caught_up(delivered) {
            return Ok(New::All);
        }
        let thinking = self.part(delivered, Kind::Thinking, piece.thinking.as_bytes())?;
        let text = self.part(delivered, Kind::Text, piece.text.as_bytes())?;
        let (mut known, calls) = (0, calls(piece.calls));
        for call in &calls {
            match self.part(delivered, Kind::Call, call.as_bytes())? {
                0 => break,
                all if all == call.len() => known += 1,
                _ => return Err(Differs),
            }
        }
        let is_known = thinking == piece.thinking.len() && text == piece.text.len() && known == calls.len();
        if is_known && !piece.last {
            return Ok(New::Nothing);
        }
        // It ends before what the client has.
        if is_known && !self.has_caught_up(delivered) {
            return Err(Differs);
        }
        if !piece.thinking.is_char_boundary(thinking) || !piece.text.is_char_boundary(text) {
            return Err(Differs);
        }
        Ok(New::Part { thinking, text, calls: known })
    }

    /// Number of bytes of this part that the client has.
    fn part(&mut self, delivered: &Delivered, kind: Kind, part: &[u8]) -> Result<usize, Differs> {
        if part.is_empty() || self.has_caught_up(delivered) {
            return Ok(0);
        }
        let left = usize::try_from(delivered.end.length - self.length).unwrap_or(usize::MAX);
        let mark = self.kind.then(kind);
        if mark.len() >= left {
            return Err(Differs);
        }
        let known = part.len().min(left - mark.len());
        self.kind = kind;
        self.compare(delivered, mark)?;
        self.compare(delivered, &part[..known])?;
        if self.has_caught_up(delivered) && !self.beyond.is_equal(&delivered.end.beyond) {
            return Err(Differs);
        }
        Ok(known)
    }

    fn compare(&mut self, delivered: &Delivered, bytes: &[u8]) -> Result<(), Differs> {
        let at = usize::try_from(self.length).unwrap_or(usize::MAX);
        let kept = delivered.kept.get(at..).unwrap_or_default();
        let (compared, hashed) = bytes.split_at(bytes.len().min(kept.len()));
        if compared != &kept[..compared.len()] {
            return Err(Differs);
        }
        self.length += bytes.len() as u64;
        self.beyond.write(hashed);
        Ok(())
    }
}

/// A line of Ollama's without the part that the client has; `None` if it cannot be divided.
pub(crate) fn divided(line: &[u8], thinking: usize, text: usize, calls: usize) -> Option<Vec<u8>> {
    let mut members: Map<String, Value> = serde_json::from_slice(line).ok()?;
    // Each entry belongs to a token.
    if members.get("logprobs").is_some_and(|logprobs| !logprobs.is_null()) {
        return None;
    }
    // Chat has its content in a message, generate in the line itself.
    let (spoken, named) = match members.get_mut("message") {
        Some(Value::Object(message)) => (message, "content"),
        _ => (&mut members, "response"),
    };
    for (name, known) in [("thinking", thinking), (named, text)] {
        if known > 0 {
            let Some(Value::String(text)) = spoken.get_mut(name) else { return None };
            *text = text.get(known..)?.to_owned();
        }
    }
    if calls > 0 {
        spoken.get_mut("tool_calls")?.as_array_mut()?.drain(..calls);
    }
    serde_json::to_vec(&members).ok()
}
