//! Larger windows, or models, for prompts that do not fit.

use super::Incident;
use crate::backoff::sane;
use crate::degradation::next_model_where;
use crate::types::{Classification, ErrorCategory, Seconds, SuggestedAction};

named_enum! {
    /// Owner of the model's memory.
    pub enum MemoryOwner {
        /// This machine.
        ThisMachine = "this_machine",
        /// Another machine.
        OtherMachine = "other_machine",
        /// Not known.
        Unknown = "unknown",
    }
}

/// Facts about the window, in tokens; `None` if unknown.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct WindowFacts {
    /// Length of the prompt.
    #[cfg_attr(feature = "serde", serde(default))]
    pub needed: Option<u32>,
    /// Whether `needed` is an estimate.
    pub estimated: bool,
    /// Maximum answer length.
    #[cfg_attr(feature = "serde", serde(default))]
    pub answer_length: Option<u32>,
    /// Requested window.
    #[cfg_attr(feature = "serde", serde(default))]
    pub asked: Option<u32>,
    /// Whether the caller chose `asked`, so that it must stay.
    pub fixed: bool,
    /// Loaded window.
    #[cfg_attr(feature = "serde", serde(default))]
    pub loaded: Option<u32>,
    /// Maximum window of the model.
    #[cfg_attr(feature = "serde", serde(default))]
    pub model_limit: Option<u32>,
    /// Maximum window allowed by the caller.
    #[cfg_attr(feature = "serde", serde(default))]
    pub caller_limit: Option<u32>,
    /// Owner of that memory.
    pub memory: MemoryOwner,
    /// Free memory there, bytes.
    #[cfg_attr(feature = "serde", serde(default))]
    pub memory_available: Option<u64>,
    /// Memory for one more token of window, bytes.
    #[cfg_attr(feature = "serde", serde(default))]
    pub bytes_per_token: Option<f64>,
    /// Prompt reading speed, tokens per second.
    #[cfg_attr(feature = "serde", serde(default))]
    pub reading_speed: Option<f64>,
    /// Time to load the model, seconds.
    #[cfg_attr(feature = "serde", serde(default))]
    pub load_time: Option<Seconds>,
}

impl WindowFacts {
    /// No facts.
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

/// Number of tokens for an answer without a set length.
const ROOM: u64 = 1024;
/// Minimum number of tokens for an answer.
const LEAST_ROOM: u64 = 256;
/// Minimum window, Ollama's smallest default ever, tokens.
const SMALLEST: u64 = 2048;
/// Maximum window of unknown models, tokens.
const LARGEST: u64 = 1 << 20;
/// Step of memory-limited windows, as in llama.cpp; tokens.
const STEP: u64 = 256;
/// Maximum memory per token, relative to its cache; a small model took 1.28.
const MARGIN: f64 = 1.375;

impl WindowFacts {
    fn before(&self) -> u64 {
        u64::from(self.asked.max(self.loaded).unwrap_or(0))
    }

    /// An estimate only proves the last window too small.
    fn least(&self) -> u64 {
        match self.needed {
            Some(needed) if !self.estimated => u64::from(needed) + self.answer(LEAST_ROOM).min(LEAST_ROOM),
            _ => self.before() + 1,
        }
    }

    fn answer(&self, unless_said: u64) -> u64 {
        self.answer_length.map_or(unless_said, u64::from)
    }
}

fn known(incident: &Incident) -> Option<&WindowFacts> {
    incident.circumstances.as_ref()?.window.as_ref()
}

pub(super) fn is_too_small(incident: &Incident, classification: &Classification) -> bool {
    classification.action == SuggestedAction::ShortenPrompt && known(incident).is_some()
}

/// Whether the host chose the window by itself.
pub(super) fn may_be_undone(incident: &Incident, classification: &Classification) -> bool {
    classification.category == ErrorCategory::Resource
        && known(incident).is_some_and(|window| !window.fixed && window.asked.is_some() && window.needed.is_none())
}

/// Returns the window to ask for, tokens.
///
/// Doubling spares growing conversations a reload each turn.
pub(super) fn enlarged(incident: &Incident) -> Option<u32> {
    let window = known(incident).filter(|window| !window.fixed && in_time(incident, window))?;
    let (before, least) = (window.before(), window.least());
    let limit = window.model_limit.into_iter().chain(window.caller_limit).min().map_or(LARGEST, u64::from);
    // A server that gave less has no more. Without counts, only the model's limit ends the search.
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

fn affordable(window: &WindowFacts) -> Option<u64> {
    let each = window.bytes_per_token.filter(|bytes| *bytes > 0.0)? * MARGIN;
    let available = window.memory_available.filter(|_| window.memory == MemoryOwner::ThisMachine)?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "at least 0, at most LARGEST")]
    let more = (available as f64 / each).min(LARGEST as f64) as u64;
    Some(window.before() + more)
}

fn in_time(incident: &Incident, window: &WindowFacts) -> bool {
    let Some(deadline) = incident.deadline else { return true };
    let speed = window.reading_speed.filter(|speed| *speed > 0.0);
    let reading = window.needed.zip(speed).map_or(0.0, |(needed, speed)| f64::from(needed) / speed);
    let takes: Seconds = sane(window.load_time.unwrap_or(0.0)) + reading;
    incident.elapsed + takes < deadline
}

/// Prefers a loaded model if the deadline leaves no time to load.
pub(super) fn next_model(incident: &Incident, classification: &Classification) -> Option<u32> {
    let models = incident.models.as_ref()?;
    let next = |fits: &dyn Fn(usize) -> bool| next_model_where(&models.current, &models.chain, fits);
    // A count holds after any failure, an estimate only after a refused prompt.
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
