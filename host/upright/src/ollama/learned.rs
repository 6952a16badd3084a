//! Remembers each model's window, reading speed and load time.

use super::messages::{LoadedModel, Timings};
use super::question::{Question, Window};
use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use upright_core::clock::{Instant, between};

/// Ollama's default window on most machines; tokens. Windows up to it are not worth keeping.
pub(super) const DEFAULT_WINDOW: u32 = 4096;
/// Smallest default window of any Ollama version; tokens. With an unknown window, shorter exchanges count as whole.
const SMALLEST_DEFAULT: u64 = 2048;
/// Maximum number of models remembered; beyond it all are forgotten.
const MODELS: usize = 256;
/// Maximum load time of a model that was already in memory.
const LOADS: Duration = Duration::from_millis(250);
/// Time that Ollama keeps a model in memory by default.
const KEEP_ALIVE: Duration = Duration::from_secs(300);
/// Delay after a failed look at the server.
const NEXT_LOOK: Duration = Duration::from_secs(30);
/// Minimum tokens for measuring the reading speed.
const TELLING: u64 = 64;

/// Remark on a whole answer, for a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notice {
    /// A model in memory was loaded again to get its larger window.
    LoadedAgain {
        /// The window; tokens.
        window: u32,
        /// Number of times this client saw it.
        times: u32,
    },
    /// With its larger window the model does not fit on the graphics card.
    PartlyInMainMemory {
        /// The window; tokens.
        window: u32,
        /// Percentage of the model in main memory, which is slower.
        percent: u8,
    },
}

impl fmt::Display for Notice {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LoadedAgain { window, times } => write!(
                formatter,
                "the model had to be loaded with a window of {window} tokens again (times so far: {times}): another program asks for another \
                 window, or another model takes its place; start the server with OLLAMA_CONTEXT_LENGTH={window}"
            ),
            Self::PartlyInMainMemory { window, percent } => write!(
                formatter,
                "with a window of {window} tokens {percent} % of the model are in main memory and not on the graphics card: it answers more slowly"
            ),
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Learned(Mutex<HashMap<Box<str>, Known>>);

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Known {
    /// Window enlarged by this client; tokens.
    pub(super) kept: Option<u32>,
    /// Window found loaded; tokens.
    pub(super) found: Option<u32>,
    loaded: Option<u32>,
    pub(super) on_card: u64,
    digest: u64,
    looked_for: u64,
    size: Option<(u64, u32)>,
    pub(super) bytes_per_token: Option<f64>,
    pub(super) reading_speed: Option<f64>,
    pub(super) load_time: Option<f64>,
    pub(super) may_see: bool,
    in_vain: Option<Instant>,
    /// Another program made it load again.
    moved: bool,
    answered: Option<Instant>,
    reloads: u32,
}

pub(super) enum Shown {
    Nothing,
    MayHaveSlid,
    Slid(u32),
    First(u32),
    Say(Notice),
}

impl Learned {
    fn models(&self) -> MutexGuard<'_, HashMap<Box<str>, Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn of(&self, model: &str) -> Option<Known> {
        self.models().get(model).copied()
    }

    pub(super) fn is_new(&self, model: &str, now: Instant) -> bool {
        let again = |known: &Known| known.moved || known.in_vain.is_some_and(|then| between(then, now) >= NEXT_LOOK);
        self.models().get(model).is_none_or(again)
    }

    pub(super) fn in_vain(&self, model: &str, now: Instant) {
        self.note(model, |known| (known.in_vain, known.moved) = (Some(now), false));
    }

    pub(super) fn met(&self, model: &str, loaded: Option<&LoadedModel>, window: Option<u32>) {
        self.looked(model, loaded);
        self.note(model, |known| (known.found, known.moved) = (window, false));
    }

    /// The model failed to load with this window, so neither it nor a larger one is requested again.
    pub(super) fn not_loaded(&self, model: &str, window: u32) {
        let smaller = |kept: &u32| *kept < window;
        self.note(model, |known| (known.kept, known.found) = (known.kept.filter(smaller), known.found.filter(smaller)));
    }

    pub(super) fn note(&self, model: &str, change: impl FnOnce(&mut Known)) {
        let mut models = self.models();
        if let Some(known) = models.get_mut(model) {
            return change(known);
        }
        if models.len() >= MODELS {
            models.clear();
        }
        change(models.entry(model.into()).or_default());
    }

    pub(super) fn looked(&self, model: &str, loaded: Option<&LoadedModel>) {
        self.note(model, |known| {
            known.in_vain = None;
            let Some(loaded) = loaded else { return };
            // Another model under this name.
            let digest = loaded.digest.get(..16).and_then(|digits| u64::from_str_radix(digits, 16).ok()).unwrap_or(0);
            if known.digest != 0 && known.digest != digest {
                *known = Known { kept: known.kept, ..Known::default() };
            }
            known.digest = digest;
            known.on_card = loaded.size_vram;
            // Without a window from the server, no answer can exceed it.
            known.loaded = Some(loaded.window().unwrap_or(u32::MAX));
            let (Some(window), size) = (loaded.window(), loaded.size) else { return };
            if let Some((before, at)) = known.size.replace((size, window))
                && let (Some(tokens), Some(bytes)) = (window.checked_sub(at).filter(|more| *more > 0), size.checked_sub(before))
            {
                #[expect(clippy::cast_precision_loss, reason = "bytes of memory")]
                let each = bytes as f64 / f64::from(tokens);
                known.bytes_per_token = Some(each);
            }
        });
    }

    pub(super) fn answered(&self, question: &Question, timings: &Timings, now: Instant) -> Shown {
        let mut models = self.models();
        let Some(known) = models.get_mut(question.model()) else { return Shown::Nothing };
        let loading = Duration::from_nanos(timings.load_duration.unwrap_or(0));
        let was_loaded = loading >= LOADS;
        let before = known.answered.replace(now).filter(|_| !question.sets_keep_alive());
        // The caller's `keep_alive` makes the time in memory unknown.
        known.answered = known.answered.filter(|_| !question.sets_keep_alive());
        let window = question.window.filter(|window| !matches!(window, Window::Found(_))).map(Window::tokens);
        let enlarged = window.filter(|window| known.kept.is_none_or(|kept| kept < *window));
        let in_memory = before.is_some_and(|before| between(before, now) < KEEP_ALIVE + loading);
        let moved = was_loaded && in_memory && enlarged.is_none();
        if was_loaded {
            known.load_time = Some(loading.as_secs_f64());
            (known.loaded, known.looked_for) = (None, 0);
            known.moved |= moved;
            // Only after a load: a cached beginning is counted but not read.
            if let (Some(tokens @ TELLING..), Some(nanoseconds @ 1..)) = (timings.prompt_eval_count, timings.prompt_eval_duration) {
                #[expect(clippy::cast_precision_loss, reason = "counts of tokens are small")]
                let speed = tokens as f64 / Duration::from_nanos(nanoseconds).as_secs_f64();
                known.reading_speed = Some(speed);
            }
        }
        if let Some(window) = enlarged {
            known.kept = Some(window);
            return Shown::First(window);
        }
        if let Some(window) = window.filter(|_| moved) {
            known.reloads += 1;
            return Shown::Say(Notice::LoadedAgain { window, times: known.reloads });
        }
        let used = timings.prompt_eval_count.unwrap_or(0).saturating_add(timings.eval_count.unwrap_or(0));
        match known.loaded {
            // The judge knows the window asked for.
            _ if question.fixed.is_some() || question.window.is_some() => Shown::Nothing,
            loaded if used <= loaded.map_or(SMALLEST_DEFAULT, u64::from) => Shown::Nothing,
            loaded if used <= known.looked_for => loaded.map_or(Shown::Nothing, Shown::Slid),
            _ => {
                known.looked_for = used;
                Shown::MayHaveSlid
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ollama::ChatRequest;

    fn loaded(window: u64, size: u64) -> LoadedModel {
        LoadedModel { context_length: Some(window), size, ..LoadedModel::default() }
    }

    fn took(load: u64) -> Timings {
        Timings {
            load_duration: Some(load * 1_000_000),
            prompt_eval_count: Some(100),
            prompt_eval_duration: Some(500_000_000),
            ..Timings::default()
        }
    }

    fn question(window: Option<u32>) -> Question {
        Question::chat(&ChatRequest { window, ..ChatRequest::ask("m", "hi") }, true).unwrap()
    }

    #[test]
    fn two_sizes_of_a_model_show_what_a_token_of_window_takes() {
        let learned = Learned::default();
        learned.looked("m", Some(&loaded(4096, 209_505_483)));
        assert_eq!(learned.of("m").unwrap().bytes_per_token, None);
        learned.looked("m", Some(&loaded(8192, 330_626_497)));
        assert_eq!(learned.of("m").unwrap().bytes_per_token.map(f64::round), Some(29571.0));
    }

    #[test]
    fn reading_speed_and_load_time_are_those_of_the_last_answer_that_shows_them() {
        let learned = Learned::default();
        learned.looked("m", None);
        assert!(matches!(learned.answered(&question(None), &took(1000), 0), Shown::Nothing));
        let fast = Timings { prompt_eval_duration: Some(1), ..took(1) };
        assert!(matches!(learned.answered(&question(None), &fast, 1), Shown::Nothing));
        let known = learned.of("m").unwrap();
        assert_eq!((known.reading_speed, known.load_time), (Some(200.0), Some(1.0)));
    }

    #[test]
    fn a_model_that_is_loaded_again_within_its_keep_alive_is_noticed() {
        let learned = Learned::default();
        learned.looked("m", None);
        let minute = 60_000_000_000;
        assert!(matches!(learned.answered(&question(Some(8192)), &took(500), 0), Shown::First(8192)));
        assert!(matches!(learned.answered(&question(Some(8192)), &took(1), minute), Shown::Nothing));
        let again = learned.answered(&question(Some(8192)), &took(500), 2 * minute);
        assert!(matches!(again, Shown::Say(Notice::LoadedAgain { window: 8192, times: 1 })));
        assert!(matches!(learned.answered(&question(Some(8192)), &took(500), 20 * minute), Shown::Nothing));
    }

    #[test]
    fn only_an_answer_that_reaches_beyond_the_known_window_makes_a_client_look() {
        let learned = Learned::default();
        learned.looked("m", Some(&loaded(4096, 1)));
        let long = |tokens| Timings { prompt_eval_count: Some(tokens), eval_count: Some(100), ..Timings::default() };
        assert!(matches!(learned.answered(&question(None), &long(3996), 0), Shown::Nothing));
        assert!(matches!(learned.answered(&question(None), &long(3997), 0), Shown::MayHaveSlid));
        assert!(matches!(learned.answered(&question(None), &long(3997), 0), Shown::Slid(4096)));
        assert!(matches!(learned.answered(&question(None), &long(u64::MAX), 0), Shown::MayHaveSlid));
    }

    #[test]
    fn a_look_in_vain_is_repeated_after_half_a_minute() {
        let learned = Learned::default();
        assert!(learned.is_new("m", 0));
        learned.in_vain("m", 0);
        assert!(!learned.is_new("m", 29_999_999_999) && learned.is_new("m", 30_000_000_000));
        learned.looked("m", None);
        assert!(!learned.is_new("m", u64::MAX));
    }

    #[test]
    fn a_server_that_does_not_say_how_large_a_window_is_is_not_asked_again() {
        let learned = Learned::default();
        learned.looked("m", Some(&LoadedModel::default()));
        let long = Timings { prompt_eval_count: Some(100_000), ..Timings::default() };
        assert!(matches!(learned.answered(&question(None), &long, 0), Shown::Nothing));
    }

    #[test]
    fn the_largest_window_is_kept_until_it_cannot_be_loaded() {
        let learned = Learned::default();
        learned.met("m", None, None);
        for window in [16_384, 8192] {
            learned.answered(&question(Some(window)), &took(1), 0);
        }
        assert_eq!(learned.of("m").unwrap().kept, Some(16_384));
        learned.not_loaded("m", 32_768);
        assert_eq!(learned.of("m").unwrap().kept, Some(16_384));
        learned.not_loaded("m", 16_384);
        assert_eq!(learned.of("m").unwrap().kept, None);
    }

    #[test]
    fn a_model_that_somebody_else_moved_is_looked_at_again() {
        let learned = Learned::default();
        learned.met("m", None, None);
        learned.answered(&question(None), &took(1), 0);
        assert!(!learned.is_new("m", 1));
        learned.answered(&question(None), &took(500), 1);
        assert!(learned.is_new("m", 2));
        learned.met("m", Some(&loaded(8192, 1)), Some(8192));
        assert!(!learned.is_new("m", 2));
        assert_eq!(learned.of("m").unwrap().found, Some(8192));
    }

    #[test]
    fn a_server_that_does_not_list_its_model_is_not_asked_again_for_the_same_length() {
        let learned = Learned::default();
        learned.met("m", None, None);
        let long = Timings { prompt_eval_count: Some(3000), ..Timings::default() };
        assert!(matches!(learned.answered(&question(None), &long, 0), Shown::MayHaveSlid));
        assert!(matches!(learned.answered(&question(None), &long, 0), Shown::Nothing));
    }

    #[test]
    fn a_load_with_a_larger_window_moves_nothing_and_what_was_learned_stays() {
        let learned = Learned::default();
        learned.met("m", None, None);
        learned.answered(&question(None), &took(1000), 0);
        learned.answered(&question(Some(8192)), &took(500), 1);
        assert!(!learned.is_new("m", 2));
        learned.looked("m", Some(&LoadedModel { digest: "a".repeat(64), ..loaded(8192, 1) }));
        assert_eq!(learned.of("m").unwrap().load_time, Some(0.5));
    }

    #[test]
    fn another_model_under_the_same_name_is_another() {
        let learned = Learned::default();
        let of = |digest: &str, window, size| LoadedModel { digest: digest.repeat(64), ..loaded(window, size) };
        learned.looked("m", Some(&of("a", 4096, 1_000_000)));
        learned.note("m", |known| known.may_see = true);
        learned.looked("m", Some(&of("b", 8192, 2_000_000)));
        let known = learned.of("m").unwrap();
        assert_eq!((known.bytes_per_token, known.may_see), (None, false));
    }

    #[test]
    fn the_number_of_remembered_models_is_bounded() {
        let learned = Learned::default();
        for index in 0..3 * MODELS {
            learned.looked(&format!("m{index}"), None);
        }
        assert!(learned.models().len() <= MODELS);
    }
}
