//! A streamed answer on its way to a client, over one or several attempts.
//!
//! A cut answer can be asked again. An [`AnswerStream`] compares the repeat with what the client has, holds it back
//! while both are equal, and goes on where the client's part ends. It does no I/O and reads no clock.
//!
//! It never joins two texts: at the first difference [`Broken::Differs`] ends the repeat. Only whole lines reach the
//! client, so an answer never ends within a line, a character or an escape sequence.

use crate::asked::Asked;
use crate::decode::{Piece, decode};
use crate::delivered::{Delivered, Differs, New, Repeat, divided};
use crate::error::OllamaError;
use crate::judge::Received;
use crate::reader::Reader;
use crate::verdict::{judged, unreadable};
use bytes::Bytes;
use std::collections::VecDeque;
use upright_logic::types::Endpoint;

/// Maximum copy of the last line or event, bytes: an error stands there.
const LAST: usize = 4 << 10;
/// Memory for such a copy that stays taken, bytes.
const SMALL: usize = 1 << 10;

/// How much of an answer is held back, so that a cut within it stays unseen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Hold {
    /// Nothing.
    #[default]
    Nothing,
    /// This number of lines. A line of Ollama's has a token.
    Last(u32),
    /// All of it.
    All,
}

/// Why an attempt brought no more of an answer.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// The answer is not whole.
    #[error(transparent)]
    Cut(#[from] OllamaError),
    /// The repeat has another text than the client.
    #[error("the repeated answer differs from what the client has")]
    Differs,
}

impl From<Differs> for Broken {
    fn from(_: Differs) -> Self {
        Self::Differs
    }
}

/// A streamed answer on its way to a client.
#[derive(Debug)]
pub struct AnswerStream {
    asked: Asked,
    endpoint: Endpoint,
    accepts_cuts: bool,
    reader: Reader,
    /// The client's part; `None` on a route whose answers are not compared.
    delivered: Option<Delivered>,
    /// Amount that the client has.
    counts: Received,
    /// Amount that the client had before the model went on in words of its own.
    before: Received,
    /// The repeat, until it has caught up with the client's part.
    repeat: Option<Repeat>,
    /// Whether the client's part is of several texts.
    mixed: bool,
    /// The beginning of a line.
    line: Vec<u8>,
    hold: Hold,
    held: VecDeque<Bytes>,
    last: Vec<u8>,
    question_cut: bool,
}

/// The end of a whole answer.
#[derive(Debug)]
pub struct WholeEnd {
    /// The last bytes for the client.
    pub bytes: Bytes,
    /// Whether the server dropped a part of the question, where that is accepted.
    pub question_cut: bool,
}

impl AnswerStream {
    /// The answer to this request. An answer to a cut question passes only where `accepts_cuts`. `memory` is the
    /// length of the client's part that is kept, in bytes; of the rest a hash is kept.
    pub fn new(asked: Asked, endpoint: Endpoint, accepts_cuts: bool, memory: usize, hold: Hold) -> Self {
        let is_compared = asked.streamed && asked.route.is_ollamas() && !asked.route.embeds() && memory > 0;
        Self {
            reader: Reader::new(asked.clone(), 200),
            delivered: is_compared.then(|| Delivered::new(memory)),
            counts: Received::default(),
            before: Received::default(),
            hold: if is_compared { hold } else { Hold::Nothing },
            asked,
            endpoint,
            accepts_cuts,
            repeat: None,
            mixed: false,
            line: Vec::new(),
            held: VecDeque::new(),
            last: Vec::new(),
            question_cut: false,
        }
    }

    /// The request.
    pub fn asked(&self) -> &Asked {
        &self.asked
    }

    /// Amount received in this attempt.
    pub fn received(&self) -> Received {
        self.reader.received()
    }

    /// Amount that the client has.
    pub fn delivered(&self) -> Received {
        self.counts
    }

    /// Whether the client has nothing of the answer.
    pub fn is_fresh(&self) -> bool {
        self.counts == Received::default()
    }

    /// Whether a repeat can be compared with the client's part.
    pub fn can_repeat(&self) -> bool {
        self.delivered.is_some() && !self.mixed
    }

    /// The client's part, if it is text alone and all of it is kept: a model can continue it.
    pub fn text(&self) -> Option<&str> {
        self.delivered.as_ref()?.text_alone()
    }

    /// Whether it is known that the server dropped a part of the question.
    pub fn question_cut(&self) -> bool {
        self.question_cut
    }

    /// Whether the answer has ended or failed: no more bytes are needed.
    pub fn is_over(&self) -> bool {
        self.reader.has_failed() || self.reader.is_over()
    }

    /// The answer is asked again, and comes from its beginning.
    pub fn repeat(&mut self) {
        self.begin(self.asked.clone());
        self.repeat = self.delivered.is_some().then(Repeat::default);
    }

    /// The model goes on after the client's part, in words of its own.
    pub fn go_on(&mut self) {
        // The client's part may have been all of it.
        self.begin(Asked { allows_empty: true, ..self.asked.clone() });
        (self.mixed, self.before) = (true, self.counts);
    }

    /// The answer begins again, and the client knows it.
    pub fn restart(&mut self) {
        self.begin(self.asked.clone());
        self.delivered = self.delivered.as_ref().map(Delivered::emptied);
        (self.counts, self.before) = (Received::default(), Received::default());
        self.mixed = false;
    }

    fn begin(&mut self, asked: Asked) {
        self.reader = Reader::new(asked, 200);
        self.repeat = None;
        self.line.clear();
        self.held.clear();
        self.last.clear();
    }

    /// Takes bytes of the server, and returns those for the client.
    ///
    /// # Errors
    /// [`Broken`]; nothing of these bytes is for the client.
    pub fn take(&mut self, bytes: &[u8]) -> Result<Bytes, Broken> {
        let (counts, end) = (self.counts, self.delivered.as_ref().map(Delivered::end));
        let taken = self.taken(bytes);
        if taken.is_err() {
            self.counts = counts;
            if let Some((delivered, end)) = self.delivered.as_mut().zip(end) {
                delivered.cut(end);
            }
        }
        taken
    }

    fn taken(&mut self, bytes: &[u8]) -> Result<Bytes, Broken> {
        let is_plain = self.repeat.is_none() && self.hold == Hold::Nothing;
        // Of each line, what the client does not have.
        let mut news = Vec::new();
        match (&mut self.delivered, &mut self.repeat) {
            (Some(delivered), _) if is_plain => self.reader.push_and(bytes, &mut |piece| delivered.take(piece)),
            (Some(delivered), Some(repeat)) => self.reader.push_and(bytes, &mut |piece| news.push(repeat.take(delivered, piece))),
            _ => self.reader.push_and(bytes, &mut |_| news.push(Ok(New::All))),
        }
        if !self.is_over() {
            self.remember(bytes);
        } else {
            self.add_last(bytes);
            // The end is for the client only if the answer is whole.
            let (asked, judgement) = (self.reader.asked().clone(), self.reader.judgement());
            self.question_cut = judged(self.endpoint, asked, judgement, &self.last, self.accepts_cuts)
                .inspect_err(|_| self.line.extend_from_slice(bytes))?;
        }
        let lines = self.whole_lines(bytes);
        if is_plain {
            // A repeat that has caught up has counted the client's part, too.
            self.counts = self.before.and(self.reader.received());
            return Ok(lines);
        }
        let mut out = self.chosen(&lines, news)?;
        if self.is_over() {
            self.release_all(&mut out)?;
        }
        Ok(out.into())
    }

    /// Keeps the line or the event that has not ended.
    fn remember(&mut self, bytes: &[u8]) {
        let ending: &[u8] = if self.asked.route.is_ollamas() { b"\n" } else { b"\n\n" };
        let ended = |bytes: &[u8]| bytes.windows(ending.len()).rposition(|end| end == ending).map_or(0, |at| at + ending.len());
        let begun = ended(bytes);
        if begun > 0 {
            self.last.clear();
        }
        self.add_last(&bytes[begun..]);
        // An event's two line ends may come in two pieces.
        let begun = ended(&self.last);
        self.last.drain(..begun);
        self.last.shrink_to(SMALL);
    }

    fn add_last(&mut self, bytes: &[u8]) {
        self.last.extend_from_slice(&bytes[bytes.len().saturating_sub(LAST)..]);
        let excess = self.last.len().saturating_sub(LAST);
        self.last.drain(..excess);
    }

    /// The bytes with which the answer failed, from the beginning of their line: an error line, for instance.
    pub fn failed_with(&mut self) -> Bytes {
        std::mem::take(&mut self.line).into()
    }

    /// The lines that have ended. The beginning of the next one waits.
    ///
    /// They are a copy: a client that reads slowly must not keep the buffer that they were read into.
    fn whole_lines(&mut self, bytes: &[u8]) -> Bytes {
        let (ended, rest) = bytes.split_at(memchr::memrchr(b'\n', bytes).map_or(0, |at| at + 1));
        let whole = if ended.is_empty() { Bytes::new() } else { [&std::mem::take(&mut self.line), ended].concat().into() };
        self.line.extend_from_slice(rest);
        whole
    }

    /// Of these lines, those that the client gets now.
    fn chosen(&mut self, lines: &[u8], news: Vec<Result<New, Differs>>) -> Result<Vec<u8>, Broken> {
        let mut out = Vec::new();
        let lines = lines.split_inclusive(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty());
        for (line, new) in lines.zip(news) {
            self.choose(line, new?, &mut out)?;
        }
        Ok(out)
    }

    fn choose(&mut self, line: &[u8], new: New, out: &mut Vec<u8>) -> Result<(), Broken> {
        let line = match new {
            New::Nothing => return Ok(()),
            New::All => line.to_vec(),
            New::Part { thinking, text, calls } => {
                let mut line = divided(line, thinking, text, calls).ok_or(Broken::Differs)?;
                line.push(b'\n');
                line
            }
        };
        self.repeat = None;
        self.held.push_back(line.into());
        let most = match self.hold {
            Hold::Nothing => 0,
            Hold::Last(lines) => lines as usize,
            Hold::All => usize::MAX,
        };
        while self.held.len() > most {
            self.release(out)?;
        }
        Ok(())
    }

    /// The client gets the first line that is held.
    fn release(&mut self, out: &mut Vec<u8>) -> Result<(), Broken> {
        let Some(line) = self.held.pop_front() else { return Ok(()) };
        let Some(piece) = self.piece(&line) else { return Err(unreadable(self.endpoint, &line).into()) };
        self.counts = self.counts.and(amount(&piece));
        if let Some(delivered) = &mut self.delivered {
            delivered.take(&piece);
        }
        out.extend_from_slice(&line);
        Ok(())
    }

    fn release_all(&mut self, out: &mut Vec<u8>) -> Result<(), Broken> {
        while !self.held.is_empty() {
            self.release(out)?;
        }
        Ok(())
    }

    fn piece<'a>(&self, line: &'a [u8]) -> Option<Piece<'a>> {
        let mut found = None;
        decode(self.asked.route, false, line, &mut |piece| found = Some(piece.clone())).ok()?;
        found
    }

    /// The body ended; not `whole` if the connection broke.
    ///
    /// # Errors
    /// [`Broken`].
    pub fn end(&mut self, whole: bool) -> Result<WholeEnd, Broken> {
        let asked = self.reader.asked().clone();
        let reader = std::mem::replace(&mut self.reader, Reader::new(asked.clone(), 200));
        let question_cut = judged(self.endpoint, asked, reader.end(whole), &self.last, self.accepts_cuts)?;
        let mut out = std::mem::take(&mut self.line);
        if self.repeat.is_some() || self.hold != Hold::Nothing {
            out.extend_from_slice(b"\n");
            // The reader has taken it as its last line.
            let new = match (self.piece(&out), &mut self.repeat, &self.delivered) {
                (Some(piece), Some(repeat), Some(delivered)) => vec![repeat.take(delivered, &piece)],
                (Some(_), ..) => vec![Ok(New::All)],
                (None, ..) => Vec::new(),
            };
            out = self.chosen(&out, new)?;
        }
        // The rest of the client's part will not come.
        let is_behind = |(repeat, delivered): (&Repeat, &Delivered)| !repeat.has_caught_up(delivered);
        if self.repeat.as_ref().zip(self.delivered.as_ref()).is_some_and(is_behind) {
            return Err(Broken::Differs);
        }
        self.release_all(&mut out)?;
        Ok(WholeEnd { bytes: out.into(), question_cut })
    }
}

fn amount(piece: &Piece<'_>) -> Received {
    let characters = |text: &str| text.chars().count() as u64;
    Received { text: characters(&piece.text), thinking: characters(&piece.thinking), tool_calls: piece.tool_calls.into() }
}
