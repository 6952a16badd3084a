//! A question that does not fit the window: how large a window is asked for, or which model has one that is large enough.

use super::Incident;
use crate::backoff::sane;
use crate::degradation::next_model_where;
use crate::types::{Classification, ErrorCategory, Seconds, SuggestedAction};

named_enum! {
    /// Whose memory a model is loaded into.
    pub enum MemoryOwner {
        /// This machine's.
        ThisMachine = "this_machine",
        /// Another machine's, of which nothing is known.
        OtherMachine = "other_machine",
        /// That is not known.
        Unknown = "unknown",
    }
}

/// What is known of the window, and of what a larger one costs. Windows are in tokens.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct WindowFacts {
    /// Tokens that the question has.
    #[cfg_attr(feature = "serde", serde(default))]
    pub needed: Option<u32>,
    /// Whether `needed` is an estimate and not the server's count.
    pub estimated: bool,
    /// Tokens of an answer that the caller asked for.
    #[cfg_attr(feature = "serde", serde(default))]
    pub answer_length: Option<u32>,
    /// The window that the request asked for.
    #[cfg_attr(feature = "serde", serde(default))]
    pub asked: Option<u32>,
    /// Whether the caller chose `asked`: then it is not to be changed.
    pub fixed: bool,
    /// The window that the model is loaded with.
    #[cfg_attr(feature = "serde", serde(default))]
    pub loaded: Option<u32>,
    /// The model's own: it cannot have a larger one.
    #[cfg_attr(feature = "serde", serde(default))]
    pub model_limit: Option<u32>,
    /// The largest that the caller allows.
    #[cfg_attr(feature = "serde", serde(default))]
    pub caller_limit: Option<u32>,
    /// Whose memory it takes.
    pub memory: MemoryOwner,
    /// What is left of that memory; bytes.
    #[cfg_attr(feature = "serde", serde(default))]
    pub memory_available: Option<u64>,
    /// What one more token of window takes; bytes.
    #[cfg_attr(feature = "serde", serde(default))]
    pub bytes_per_token: Option<f64>,
    /// How fast the model reads a question; tokens a second.
    #[cfg_attr(feature = "serde", serde(default))]
    pub reading_speed: Option<f64>,
    /// How long it takes to load; seconds.
    #[cfg_attr(feature = "serde", serde(default))]
    pub load_time: Option<Seconds>,
}

impl WindowFacts {
    /// Nothing is known.
    pub const UNKNOWN: Self = Self {
        needed: None,
        estimated: false,
        answer_length: None,
        asked: None,
        fixed: false,
        loaded: None,
        model_limit: None,
        caller_limit: None,
        memory: MemoryOwner::Unknown,
        memory_available: None,
        bytes_per_token: None,
        reading_speed: None,
        load_time: None,
    };
}

/// Room for an answer to which the caller set no length: what is asked for; tokens.
const ROOM: u64 = 1024;
/// The same where the window cannot be larger; tokens.
const LEAST_ROOM: u64 = 256;
/// The smallest window that Ollama has ever had by default; tokens.
const SMALLEST: u64 = 2048;
/// The largest window that is asked for where the model's own is not known; tokens.
const LARGEST: u64 = 1 << 20;
/// Windows that memory limits are multiples of this, as llama.cpp's are; tokens.
const STEP: u64 = 256;
/// A token of window takes up to this many times the memory of its cache. A small model, where buffers weigh most, took 1.28 times.
const MARGIN: f64 = 1.375;

impl WindowFacts {
    /// The window that was too small; 0 where it is not known.
    fn before(&self) -> u64 {
        u64::from(self.asked.max(self.loaded).unwrap_or(0))
    }

    /// The smallest window that will do: an estimate says only that the last one did not.
    fn least(&self) -> u64 {
        match self.needed {
            Some(needed) if !self.estimated => u64::from(needed) + self.answer(LEAST_ROOM).min(LEAST_ROOM),
            _ => self.before() + 1,
        }
    }

    /// How long the answer may be.
    fn answer(&self, unless_said: u64) -> u64 {
        self.answer_length.map_or(unless_said, u64::from)
    }
}

/// The facts of the window, where there are any.
fn known(incident: &Incident) -> Option<&WindowFacts> {
    incident.circumstances.as_ref()?.window.as_ref()
}

/// Whether the question did not fit, and something is known of the window.
pub(super) fn is_too_small(incident: &Incident, classification: &Classification) -> bool {
    classification.action == SuggestedAction::ShortenPrompt && known(incident).is_some()
}

/// Whether a model could not be loaded with a window that neither the caller nor the question asked for: without it, it may.
pub(super) fn may_be_undone(incident: &Incident, classification: &Classification) -> bool {
    classification.category == ErrorCategory::Resource
        && known(incident).is_some_and(|window| !window.fixed && window.asked.is_some() && window.needed.is_none())
}

/// The window to ask the same model for, in tokens; none where it cannot be had.
///
/// It is doubled until question and answer have room. A conversation that grows turn by turn then does not load the model at each turn.
pub(super) fn enlarged(incident: &Incident) -> Option<u32> {
    let window = known(incident).filter(|window| !window.fixed && in_time(incident, window))?;
    let (before, least) = (window.before(), window.least());
    let limit = window.model_limit.into_iter().chain(window.caller_limit).min().map_or(LARGEST, u64::from);
    // A server that gave less than it was asked for has no more to give. Without counts only the model's own window ends the search.
    let gave_less = window.loaded.zip(window.asked).is_some_and(|(loaded, asked)| loaded < asked);
    let endless = window.model_limit.is_none() && (window.estimated || window.needed.is_none());
    if limit <= before || limit < least || gave_less || endless {
        return None;
    }
    let wanted = window.needed.map_or(before, |needed| u64::from(needed) + window.answer(ROOM));
    let mut tokens = before.max(SMALLEST);
    while tokens <= before || tokens < wanted {
        tokens *= 2;
    }
    tokens = tokens.min(limit);
    if let Some(affordable) = affordable(window).filter(|affordable| *affordable < tokens) {
        tokens = affordable / STEP * STEP;
    }
    if tokens > before && tokens >= least { u32::try_from(tokens).ok() } else { None }
}

/// The largest window that memory has room for; none where that is not known.
fn affordable(window: &WindowFacts) -> Option<u64> {
    let each = window.bytes_per_token.filter(|bytes| *bytes > 0.0)? * MARGIN;
    let available = window.memory_available.filter(|_| window.memory == MemoryOwner::ThisMachine)?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "at least 0, at most LARGEST")]
    let more = (available as f64 / each).min(LARGEST as f64) as u64;
    Some(window.before() + more)
}

/// Whether the model can be loaded, and the question read, before the deadline.
fn in_time(incident: &Incident, window: &WindowFacts) -> bool {
    let Some(deadline) = incident.deadline else { return true };
    let speed = window.reading_speed.filter(|speed| *speed > 0.0);
    let reading = window.needed.zip(speed).map_or(0.0, |(needed, speed)| f64::from(needed) / speed);
    let takes: Seconds = sane(window.load_time.unwrap_or(0.0)) + reading;
    incident.elapsed + takes < deadline
}

/// The next model of the chain whose window is large enough, or is not known. Where there is no time for loading, one that is loaded with such a window.
pub(super) fn next_model(incident: &Incident, classification: &Classification) -> Option<u32> {
    let models = incident.models.as_ref()?;
    let next = |fits: &dyn Fn(usize) -> bool| next_model_where(&models.current, &models.chain, fits);
    // A count holds whatever failed; an estimate only where the question was refused.
    let tells = |window: &&WindowFacts| is_too_small(incident, classification) || window.needed.is_some() && !window.estimated;
    let Some(window) = known(incident).filter(tells) else { return next(&|_| true) };
    let least = window.least();
    if window.fixed && window.asked.is_some_and(|asked| u64::from(asked) < least) {
        return None;
    }
    let facts = |index: usize| models.known.as_ref().and_then(|known| known.get(index));
    let enough = |window: Option<u32>, unknown: bool| window.map_or(unknown, |window| u64::from(window) >= least);
    let loaded = || next(&|index| facts(index).is_some_and(|model| enough(model.loaded_window, false)));
    let hurried = if in_time(incident, window) { None } else { loaded() };
    hurried.or_else(|| next(&|index| facts(index).is_none_or(|model| enough(model.window, true))))
}
