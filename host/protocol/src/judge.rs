//! Judges whether an answer is whole.

use crate::asked::Asked;
use crate::decode::{Ending, Piece, Usage};
use std::fmt;

/// Number of repetitions at which Ollama stops a model.
const REPEATS: u32 = 30;
/// Maximum length of a repeated token, bytes.
const LONGEST_TOKEN: usize = 32;
/// Maximum number of words that a template drops.
const LEFT_OUT: u64 = 8;

/// Kind of an exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// A whole answer to the whole question.
    Whole,
    /// The answer ended too early.
    Cut(Cut),
    /// A question got an empty answer.
    Empty(Empty),
    /// The answer used up its length.
    UsedUpLength,
    /// The server dropped a part of the question.
    QuestionCut(QuestionCut),
    /// An error, or nothing.
    Failed(Failed),
}

impl Verdict {
    /// Name: `whole`, `cut`, `empty`, `used_up_length`, `question_cut` or `failed`.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Whole => "whole",
            Self::Cut(_) => "cut",
            Self::Empty(_) => "empty",
            Self::UsedUpLength => "used_up_length",
            Self::QuestionCut(_) => "question_cut",
            Self::Failed(_) => "failed",
        }
    }
}

/// How an answer ended too early.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Cut {
    /// Without its end marker.
    NoDone,
    /// Within a line or an event.
    WithinLine,
    /// In one piece, marked as not whole.
    DoneFalse,
    /// The server stopped a repeating model.
    Repetition,
    /// The connection broke, or the caller stopped waiting.
    Broken,
}

impl fmt::Display for Cut {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::NoDone => "the stream ended without `done`",
            Self::WithinLine => "the stream ended within a line",
            Self::DoneFalse => "it says `done: false`",
            Self::Repetition => "the server stopped the model at its token repeat limit, since it wrote the same again and again",
            Self::Broken => "the connection broke",
        })
    }
}

/// How an answer is empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Empty {
    /// No text.
    Nothing,
    /// White space only.
    Blank,
    /// Thinking only.
    ThinkingAlone,
    /// The server dropped an unreadable tool call.
    ToolCallLost,
    /// The model was only loaded or unloaded.
    OnlyMoved,
}

impl fmt::Display for Empty {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Nothing => "the model wrote nothing",
            Self::Blank => "the model wrote nothing but white space",
            Self::ThinkingAlone => "the model wrote nothing but its thinking",
            Self::ToolCallLost => "the model wrote something that the server could not read as a tool call and dropped",
            Self::OnlyMoved => "the model was only loaded or unloaded",
        })
    }
}

/// Evidence that a part of the question was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum QuestionCut {
    /// Fewer tokens were read than the question has words.
    Unread {
        /// Number of tokens read.
        read: u64,
        /// Number of words in the question.
        words: u64,
    },
    /// Question and answer exceed the window, which dropped the beginning.
    Slid {
        /// Number of tokens in both.
        used: u64,
        /// Size of the window, tokens.
        window: u64,
    },
}

impl fmt::Display for QuestionCut {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unread { read, words } => write!(formatter, "the server read {read} tokens of a question of at least {words}"),
            Self::Slid { used, window } => {
                write!(formatter, "the window of {window} tokens slid over a question and an answer of {used}")
            }
        }
    }
}

/// How an exchange failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Failed {
    /// The status is not 2xx.
    Status(u16),
    /// An error came under status 2xx.
    Reported,
    /// The answer is not in this protocol.
    Unreadable,
    /// Nothing came.
    Nothing,
}

/// Amount received.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Received {
    /// Number of text characters.
    pub text: u64,
    /// Number of thinking characters.
    pub thinking: u64,
    /// Number of tool calls.
    pub tool_calls: u64,
}

impl Received {
    /// Both amounts.
    pub(crate) fn and(self, other: Self) -> Self {
        Self { text: self.text + other.text, thinking: self.thinking + other.thinking, tool_calls: self.tool_calls + other.tool_calls }
    }
}

/// Verdict on an exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// The verdict.
    pub verdict: Verdict,
    /// Amount received.
    pub received: Received,
    /// Counts of the server.
    pub usage: Usage,
    /// Whether the length was used up, whatever the verdict.
    pub used_up_length: bool,
    /// How the answer is empty; `None` before its end.
    pub empty: Option<Empty>,
}

impl Judgement {
    /// Number of characters, thinking included.
    pub const fn characters(&self) -> u64 {
        self.received.text + self.received.thinking
    }
}

/// Judges an answer from its pieces.
#[derive(Clone, Debug)]
pub struct Judge {
    asked: Asked,
    received: Received,
    visible: bool,
    /// A bit for each answer; from the 64th on they share the last.
    begun: u64,
    ended: u64,
    used_up: bool,
    moved: bool,
    last: bool,
    usage: Usage,
    failed: Option<Failed>,
    cut: Option<Cut>,
    token: Token,
}

#[derive(Clone, Copy, Debug, Default)]
struct Token {
    bytes: [u8; LONGEST_TOKEN],
    length: usize,
    repeats: u32,
}

impl Token {
    /// Ignores surrounding white space, as Ollama does.
    fn take(&mut self, text: &str) {
        let text = text.trim().as_bytes();
        let Some(free) = self.bytes.get_mut(..text.len()) else {
            *self = Self::default();
            return;
        };
        if self.length == text.len() && free == text {
            self.repeats += 1;
        } else {
            free.copy_from_slice(text);
            (self.length, self.repeats) = (text.len(), 0);
        }
    }

    fn take_whole(&mut self, text: &str) {
        let bytes = text.as_bytes();
        let repeats = |length: usize| {
            let tail = &bytes[bytes.len().saturating_sub(length * (REPEATS as usize + 1))..];
            tail.len() > length * REPEATS as usize && tail[length..] == tail[..tail.len() - length]
        };
        if (1..=LONGEST_TOKEN).any(repeats) {
            self.repeats = REPEATS;
        }
    }
}

impl Judge {
    /// Judges the answer to this request.
    pub fn new(asked: Asked) -> Self {
        Self {
            asked,
            received: Received::default(),
            visible: false,
            begun: 0,
            ended: 0,
            used_up: false,
            moved: false,
            last: false,
            usage: Usage::default(),
            failed: None,
            cut: None,
            token: Token::default(),
        }
    }

    /// The request.
    pub fn asked(&self) -> &Asked {
        &self.asked
    }

    /// Sets the window that was used, tokens.
    pub fn window(&mut self, tokens: u64) {
        self.asked.window = Some(tokens);
    }

    /// Takes the next piece.
    pub fn take(&mut self, piece: &Piece<'_>) {
        let Piece { choice, text, thinking, tool_calls, ending, last, usage, failed, calls: _ } = piece;
        if *failed {
            self.fail(Failed::Reported);
        }
        if !text.is_empty() || !thinking.is_empty() {
            self.received.text += text.chars().count() as u64;
            self.received.thinking += thinking.chars().count() as u64;
            self.visible |= !text.trim().is_empty();
            let token = if text.is_empty() { thinking } else { text };
            if self.asked.streamed { self.token.take(token) } else { self.token.take_whole(token) }
        }
        self.received.tool_calls += u64::from(*tool_calls);
        self.usage = Usage { prompt: usage.prompt.or(self.usage.prompt), answer: usage.answer.or(self.usage.answer) };
        let bit = 1 << (*choice).min(63);
        if ending.is_some() || !text.is_empty() || !thinking.is_empty() || *tool_calls > 0 {
            self.begun |= bit;
        }
        if let Some(ending) = ending {
            self.ended |= bit;
            self.used_up |= *ending == Ending::Length;
            self.moved |= *ending == Ending::Moved;
        }
        self.last |= *last;
    }

    /// Marks the exchange as failed.
    pub fn fail(&mut self, how: Failed) {
        self.failed.get_or_insert(how);
    }

    /// Marks the answer as cut, unless it has ended.
    pub fn cut(&mut self, how: Cut) {
        self.cut.get_or_insert(how);
    }

    /// Amount received so far.
    pub const fn received(&self) -> Received {
        self.received
    }

    /// Whether the exchange failed, which is final.
    pub fn has_failed(&self) -> bool {
        self.failed.is_some()
    }

    /// Whether the end has come.
    pub fn is_over(&self) -> bool {
        // A stream may end with fewer answers.
        let answers = if self.asked.streamed { self.asked.answers.min(64) } else { 1 };
        self.last || self.ended == self.begun && self.ended.count_ones() >= answers
    }

    /// Judgement if nothing more comes.
    pub fn judgement(&self) -> Judgement {
        let empty = if self.failed.is_none() && self.is_over() { self.empty() } else { None };
        Judgement { verdict: self.verdict(empty), received: self.received, usage: self.usage, used_up_length: self.used_up, empty }
    }

    fn verdict(&self, empty: Option<Empty>) -> Verdict {
        if let Some(how) = self.failed {
            return Verdict::Failed(how);
        }
        if !self.is_over() {
            return Verdict::Cut(self.how_cut());
        }
        if let Some(cut) = self.question_cut() {
            return Verdict::QuestionCut(cut);
        }
        match empty {
            Some(empty) => Verdict::Empty(empty),
            None if self.used_up => Verdict::UsedUpLength,
            None => Verdict::Whole,
        }
    }

    /// How the answer was cut, if it has no end.
    pub fn how_cut(&self) -> Cut {
        let repeated = self.token.repeats >= REPEATS;
        match self.cut {
            None | Some(Cut::NoDone) if repeated => Cut::Repetition,
            Some(cut) => cut,
            None if self.asked.streamed => Cut::NoDone,
            None => Cut::DoneFalse,
        }
    }

    fn question_cut(&self) -> Option<QuestionCut> {
        let Asked { words, window, .. } = self.asked;
        let read = self.usage.prompt?;
        if words > read.saturating_add(LEFT_OUT) {
            return Some(QuestionCut::Unread { read, words });
        }
        let (window, used) = (window?, read.saturating_add(self.usage.answer.unwrap_or(0)));
        // The last token is never read.
        (used > window.saturating_add(1) && !self.asked.route.embeds()).then_some(QuestionCut::Slid { used, window })
    }

    fn empty(&self) -> Option<Empty> {
        let Asked { route, question, tools, allows_empty, .. } = self.asked;
        if route.embeds() || !question || self.visible || self.received.tool_calls > 0 {
            return None;
        }
        if self.moved {
            return Some(Empty::OnlyMoved);
        }
        if allows_empty {
            return None;
        }
        // The end counts, too.
        let wrote = self.usage.answer.is_some_and(|tokens| tokens > 1);
        Some(match self.received {
            Received { thinking: 1.., .. } => Empty::ThinkingAlone,
            Received { text: 1.., .. } => Empty::Blank,
            _ if tools && wrote => Empty::ToolCallLost,
            _ => Empty::Nothing,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::Route;

    fn text(choice: u32, text: &'static str) -> Piece<'static> {
        Piece { choice, text: text.into(), ..Piece::default() }
    }

    fn end(choice: u32) -> Piece<'static> {
        Piece { choice, ending: Some(Ending::Stop), ..Piece::default() }
    }

    fn verdict(asked: Asked, pieces: &[Piece<'_>]) -> Verdict {
        let mut judge = Judge::new(asked);
        pieces.iter().for_each(|piece| judge.take(piece));
        judge.judgement().verdict
    }

    #[test]
    fn several_answers_are_whole_when_each_has_ended() {
        let two = Asked { streamed: true, answers: 2, ..Asked::new(Route::ChatCompletions) };
        let cut = Verdict::Cut(Cut::NoDone);
        assert_eq!(verdict(two.clone(), &[text(0, "a"), end(0)]), cut);
        assert_eq!(verdict(two.clone(), &[text(0, "a"), end(0), text(1, "b")]), cut);
        assert_eq!(verdict(two.clone(), &[text(0, "a"), text(1, "b"), end(1), end(0)]), Verdict::Whole);
        // Ollama gives one, whatever the request.
        let done = Piece { last: true, ..Piece::default() };
        assert_eq!(verdict(two.clone(), &[text(0, "a"), end(0), done]), Verdict::Whole);
        assert_eq!(verdict(Asked { streamed: false, ..two }, &[text(0, "a"), end(0)]), Verdict::Whole);
    }

    #[test]
    fn white_space_alone_is_no_answer_and_a_tool_call_is_one() {
        let asked = Asked::new(Route::Chat);
        assert_eq!(verdict(asked.clone(), &[text(0, " \n\u{a0}"), end(0)]), Verdict::Empty(Empty::Blank));
        let call = Piece { tool_calls: 1, ..Piece::default() };
        assert_eq!(verdict(asked.clone(), &[call, end(0)]), Verdict::Whole);
        assert_eq!(verdict(Asked { allows_empty: true, ..asked.clone() }, &[end(0)]), Verdict::Whole);
        let moved = Piece { ending: Some(Ending::Moved), ..Piece::default() };
        assert_eq!(verdict(asked.clone(), std::slice::from_ref(&moved)), Verdict::Empty(Empty::OnlyMoved));
        assert_eq!(verdict(Asked { question: false, ..asked }, &[moved]), Verdict::Whole);
    }

    #[test]
    fn a_token_may_come_thirty_times_and_not_once_more() {
        for (times, cut) in [(30, Cut::NoDone), (31, Cut::Repetition)] {
            let pieces = vec![text(0, " again"); times];
            assert_eq!(verdict(Asked::new(Route::Chat), &pieces), Verdict::Cut(cut), "{times}");
            let whole = Piece { text: " again".repeat(times).into(), ..Piece::default() };
            let asked = Asked { streamed: false, ..Asked::new(Route::Chat) };
            let cut = if cut == Cut::NoDone { Cut::DoneFalse } else { cut };
            assert_eq!(verdict(asked, &[whole]), Verdict::Cut(cut), "{times} in one piece");
        }
    }

    #[test]
    fn an_error_piece_makes_an_answer_failed_even_after_its_end() {
        let failed = Piece { failed: true, ..Piece::default() };
        assert_eq!(verdict(Asked::new(Route::Chat), &[text(0, "a"), end(0), failed]), Verdict::Failed(Failed::Reported));
    }
}
