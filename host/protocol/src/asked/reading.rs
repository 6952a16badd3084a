//! Reads a request's facts while its JSON is parsed. Its texts are not kept, so they are not copied.

use super::Asked;
use crate::route::Route;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// Length of the pieces in which words are counted, bytes.
const PIECE: usize = 255;

/// Facts of a JSON value of any type. A value of an unexpected type leaves no facts.
pub(super) trait Reads: Sized {
    fn text(&mut self, _text: &str) {}

    fn truth(&mut self, _truth: bool) {}

    /// `whole` is the number where it is whole and not negative.
    fn number(&mut self, _number: f64, _whole: Option<u64>) {}

    fn items<'de, A: SeqAccess<'de>>(&mut self, mut items: A) -> Result<(), A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }

    fn members<'de, A: MapAccess<'de>>(&mut self, mut members: A) -> Result<(), A::Error> {
        while members.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(())
    }
}

/// Reads a value into these facts.
pub(super) struct Into<'a, T>(pub(super) &'a mut T);

impl<'de, T: Reads> DeserializeSeed<'de> for Into<'_, T> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, value: D) -> Result<(), D::Error> {
        value.deserialize_any(self)
    }
}

impl<'de, T: Reads> Visitor<'de> for Into<'_, T> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: Error>(self, truth: bool) -> Result<(), E> {
        self.0.truth(truth);
        Ok(())
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<(), E> {
        self.0.number(number as f64, Some(number));
        Ok(())
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<(), E> {
        self.0.number(number as f64, u64::try_from(number).ok());
        Ok(())
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<(), E> {
        self.0.number(number, None);
        Ok(())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        self.0.text(text);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<(), A::Error> {
        self.0.items(items)
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<(), A::Error> {
        self.0.members(members)
    }
}

/// Reads the value that comes next into facts that know nothing yet: of equal keys the last counts.
fn next<'de, T: Reads + Default, A: MapAccess<'de>>(members: &mut A) -> Result<T, A::Error> {
    let mut facts = T::default();
    members.next_value_seed(Into(&mut facts))?;
    Ok(facts)
}

/// A key in any case; `None` for one that is not in the table.
struct Name<T: 'static>(&'static [(&'static str, T)]);

impl<'de, T: Copy> DeserializeSeed<'de> for Name<T> {
    type Value = Option<T>;

    fn deserialize<D: Deserializer<'de>>(self, key: D) -> Result<Option<T>, D::Error> {
        key.deserialize_str(self)
    }
}

impl<T: Copy> Visitor<'_> for Name<T> {
    type Value = Option<T>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<Option<T>, E> {
        Ok(self.0.iter().find(|(name, _)| name.eq_ignore_ascii_case(key)).map(|(_, member)| *member))
    }
}

/// The request as a whole.
pub(super) struct Request {
    pub(super) asked: Asked,
    /// Whether it is an object.
    pub(super) is_object: bool,
}

#[derive(Clone, Copy)]
enum Member {
    Stream,
    Question,
    Instructions,
    Suffix,
    Raw,
    Images,
    Tools,
    Format,
    Thinking,
    Answers,
    Options,
    Seed,
    Temperature,
}

const MEMBERS: &[(&str, Member)] = &[
    ("stream", Member::Stream),
    ("messages", Member::Question),
    ("input", Member::Question),
    ("prompt", Member::Question),
    ("system", Member::Instructions),
    ("instructions", Member::Instructions),
    ("suffix", Member::Suffix),
    ("raw", Member::Raw),
    ("images", Member::Images),
    ("tools", Member::Tools),
    ("format", Member::Format),
    ("response_format", Member::Format),
    ("think", Member::Thinking),
    ("thinking", Member::Thinking),
    ("reasoning", Member::Thinking),
    ("reasoning_effort", Member::Thinking),
    ("n", Member::Answers),
    ("options", Member::Options),
    ("seed", Member::Seed),
    ("temperature", Member::Temperature),
];

impl Reads for Request {
    fn members<'de, A: MapAccess<'de>>(&mut self, mut members: A) -> Result<(), A::Error> {
        let asked = &mut self.asked;
        let (mut question, mut instructions) = (Question::default(), Content::default());
        let (mut suffix, mut raw, mut images) = (Shape::default(), Shape::default(), Shape::default());
        while let Some(key) = members.next_key_seed(Name(MEMBERS))? {
            let Some(key) = key else {
                members.next_value::<IgnoredAny>()?;
                continue;
            };
            match key {
                Member::Question => question = next(&mut members)?,
                Member::Instructions => instructions = next(&mut members)?,
                Member::Options => members.next_value_seed(Into(&mut Options(asked)))?,
                _ => {
                    let value: Shape = next(&mut members)?;
                    match key {
                        Member::Stream if asked.route.embeds() => {}
                        Member::Stream => asked.streamed = value.truth.unwrap_or(asked.streamed),
                        Member::Suffix => suffix = value,
                        Member::Raw => raw = value,
                        Member::Images => images = value,
                        Member::Tools => asked.tools = value.given,
                        Member::Format => asked.format = value.given,
                        Member::Thinking => asked.thinking = value.given && value.truth != Some(false),
                        Member::Answers if asked.route.is_ollamas() => {}
                        Member::Answers => asked.answers = value.whole.map_or(1, |n| u32::try_from(n).unwrap_or(u32::MAX)).max(1),
                        Member::Seed => asked.seed_fixed = value.number.is_some(),
                        Member::Temperature => asked.temperature = value.number,
                        Member::Question | Member::Instructions | Member::Options => {}
                    }
                }
            }
        }
        asked.words = question.words + instructions.words;
        asked.images = images.given || question.images;
        asked.allows_empty |= suffix.is_text() || raw.truth == Some(true) || question.is_a_tools;
        if matches!(asked.route, Route::Chat | Route::Generate) {
            asked.question = question.parts > 0;
        }
        self.is_object = true;
        Ok(())
    }
}

/// Ollama's options.
struct Options<'a>(&'a mut Asked);

#[derive(Clone, Copy)]
enum Setting {
    Window,
    Seed,
    Temperature,
}

const OPTIONS: &[(&str, Setting)] = &[("num_ctx", Setting::Window), ("seed", Setting::Seed), ("temperature", Setting::Temperature)];

impl Reads for Options<'_> {
    fn members<'de, A: MapAccess<'de>>(&mut self, mut members: A) -> Result<(), A::Error> {
        while let Some(key) = members.next_key_seed(Name(OPTIONS))? {
            let value: Shape = next(&mut members)?;
            match key {
                Some(Setting::Window) => self.0.window = value.whole,
                Some(Setting::Seed) => self.0.seed_fixed = value.number.is_some(),
                Some(Setting::Temperature) => self.0.temperature = value.number,
                None => {}
            }
        }
        Ok(())
    }
}

/// The form of a value.
#[derive(Clone, Copy, Default)]
struct Shape {
    /// Whether it is neither null nor empty.
    given: bool,
    truth: Option<bool>,
    number: Option<f64>,
    whole: Option<u64>,
}

impl Shape {
    /// Whether it is a text that is not empty, or a list or an object.
    fn is_text(self) -> bool {
        self.given && self.truth.is_none() && self.number.is_none()
    }
}

impl Reads for Shape {
    fn text(&mut self, text: &str) {
        self.given = !text.is_empty();
    }

    fn truth(&mut self, truth: bool) {
        (self.given, self.truth) = (true, Some(truth));
    }

    fn number(&mut self, number: f64, whole: Option<u64>) {
        (self.given, self.number, self.whole) = (true, Some(number), whole);
    }

    fn items<'de, A: SeqAccess<'de>>(&mut self, mut items: A) -> Result<(), A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {
            self.given = true;
        }
        Ok(())
    }

    fn members<'de, A: MapAccess<'de>>(&mut self, mut members: A) -> Result<(), A::Error> {
        while members.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {
            self.given = true;
        }
        Ok(())
    }
}

/// A prompt, a message, or a list of them.
#[derive(Default)]
struct Question {
    words: u64,
    /// Number of messages and of texts that are not empty.
    parts: u64,
    images: bool,
    /// Whether its last message is a tool's, to which a model may have nothing to add.
    is_a_tools: bool,
}

#[derive(Clone, Copy)]
enum Part {
    Role,
    Kind,
    Content,
    Images,
}

const PARTS: &[(&str, Part)] = &[("role", Part::Role), ("type", Part::Kind), ("content", Part::Content), ("images", Part::Images)];

impl Reads for Question {
    fn text(&mut self, text: &str) {
        self.parts = u64::from(!text.is_empty());
        self.words = words(text);
    }

    fn items<'de, A: SeqAccess<'de>>(&mut self, mut items: A) -> Result<(), A::Error> {
        loop {
            let mut item = Self::default();
            if items.next_element_seed(Into(&mut item))?.is_none() {
                return Ok(());
            }
            self.words += item.words;
            self.parts += item.parts;
            self.images |= item.images;
            self.is_a_tools = item.is_a_tools;
        }
    }

    fn members<'de, A: MapAccess<'de>>(&mut self, mut members: A) -> Result<(), A::Error> {
        let (mut role, mut kind, mut content, mut images) = (Kind::default(), Kind::default(), Content::default(), Shape::default());
        while let Some(key) = members.next_key_seed(Name(PARTS))? {
            match key {
                Some(Part::Role) => role = next(&mut members)?,
                Some(Part::Kind) => kind = next(&mut members)?,
                Some(Part::Content) => content = next(&mut members)?,
                Some(Part::Images) => images = next(&mut members)?,
                None => {
                    members.next_value::<IgnoredAny>()?;
                }
            }
        }
        self.parts = 1;
        self.words = content.words;
        self.images = content.images || images.given;
        self.is_a_tools = role.is_a_tools || kind.is_a_tools || content.is_a_tools;
        Ok(())
    }
}

/// The content of a message: a text or parts.
#[derive(Default)]
struct Content {
    words: u64,
    images: bool,
    /// Whether a part is a tool's result.
    is_a_tools: bool,
}

const TEXTS: &[(&str, bool)] = &[("text", true), ("type", false)];

impl Reads for Content {
    fn text(&mut self, text: &str) {
        self.words = words(text);
    }

    fn items<'de, A: SeqAccess<'de>>(&mut self, mut items: A) -> Result<(), A::Error> {
        while items.next_element_seed(Into(&mut PartOf(self)))?.is_some() {}
        Ok(())
    }
}

/// A part of a message's content.
struct PartOf<'a>(&'a mut Content);

impl Reads for PartOf<'_> {
    fn members<'de, A: MapAccess<'de>>(&mut self, mut members: A) -> Result<(), A::Error> {
        let (mut text, mut kind) = (Kind::default(), Kind::default());
        while let Some(key) = members.next_key_seed(Name(TEXTS))? {
            match key {
                Some(true) => text = next(&mut members)?,
                Some(false) => kind = next(&mut members)?,
                None => {
                    members.next_value::<IgnoredAny>()?;
                }
            }
        }
        self.0.words += text.words;
        self.0.images |= kind.is_an_image;
        self.0.is_a_tools |= kind.is_a_tools;
        Ok(())
    }
}

/// A text: its words, and what it means as a role or a type.
#[derive(Default)]
struct Kind {
    words: u64,
    is_an_image: bool,
    is_a_tools: bool,
}

impl Reads for Kind {
    fn text(&mut self, text: &str) {
        self.words = words(text);
        self.is_an_image = text.contains("image");
        // Anthropic's are parts of a user's message, OpenAI's newer ones items.
        self.is_a_tools = matches!(text, "tool" | "function" | "function_call_output" | "tool_result");
    }
}

/// Number of words, each a run of bytes that are not white space.
fn words(text: &str) -> u64 {
    let bytes = text.as_bytes();
    let Some((first, after)) = bytes.split_first() else { return 0 };
    // In pieces whose count fits into a byte, which the compiler counts many at once.
    let begin = |(before, after): (&[u8], &[u8])| {
        let begins = |(before, after): (&u8, &u8)| u8::from(before.is_ascii_whitespace() & !after.is_ascii_whitespace());
        u64::from(before.iter().zip(after).map(begins).sum::<u8>())
    };
    u64::from(!first.is_ascii_whitespace()) + bytes.chunks(PIECE).zip(after.chunks(PIECE)).map(begin).sum::<u64>()
}
