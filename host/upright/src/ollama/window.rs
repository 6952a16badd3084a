//! The window of a question: before it is sent, when it is refused, and when it is answered.

use super::client::OllamaClient;
use super::error::OllamaError;
use super::messages::{LoadedModel, ModelInfo, Timings, saturated};
use super::question::{Question, Window};
use super::windows::{DEFAULT_WINDOW, Known, Notice, Shown};
use crate::fault::ErrorBody;
use crate::machine::available_memory;
use crate::types::{Circumstances, ErrorCategory, MemoryOwner, ModelFacts, SuggestedAction, WindowFacts};
use futures_util::future::{Either, join3, select};
use std::fmt;
use std::pin::pin;
use std::time::Duration;
use upright_logic::classifier::classify;
use upright_logic::degradation::same_model;
use upright_wire::{CacheType, Judge, ModelCard};

/// A look at the server's models takes no longer: a question shall not wait for it.
const LOOK: Duration = Duration::from_secs(2);
/// What a model takes in memory beside its file and its cache, at most: more than that is the cache's. Bytes.
const BUFFERS: u64 = 512 << 20;

/// What is known of the window, and of other models' windows, where a question was refused or a model could not be loaded.
#[derive(Clone, Debug, PartialEq)]
pub struct Refusal {
    /// The window.
    pub facts: WindowFacts,
    /// The models that the server has.
    pub models: Vec<(String, ModelFacts)>,
}

impl Refusal {
    /// The counts that a refusal names.
    pub(super) fn counted(said: &ErrorBody) -> Option<Self> {
        let facts = WindowFacts { needed: said.prompt_tokens.map(saturated), loaded: said.window.map(saturated), ..NOTHING_KNOWN };
        (facts != NOTHING_KNOWN).then_some(Self { facts, models: Vec::new() })
    }

    /// The facts for a policy.
    pub(super) fn circumstances(&self) -> Circumstances {
        Circumstances { window: Some(self.facts), ..Circumstances::default() }
    }
}

const NOTHING_KNOWN: WindowFacts = WindowFacts {
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

/// What there is to say of the window, behind the server's own words; nothing where nothing is known.
impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let WindowFacts { needed, estimated, asked, fixed, loaded, model_limit, caller_limit, .. } = self.facts;
        let about = if estimated { "about " } else { "" };
        let parts = [
            needed.map(|needed| format!("the question has {about}{needed} tokens")),
            loaded.map(|loaded| format!("the window {loaded}")),
            asked.filter(|asked| fixed || loaded.is_none_or(|loaded| loaded != *asked)).map(|asked| {
                if fixed { format!("num_ctx={asked} was asked for by the caller") } else { format!("a window of {asked} was asked for") }
            }),
            model_limit.map(|limit| format!("the model can have {limit}")),
            caller_limit.map(|limit| format!("the caller allows {limit}")),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        formatter.write_str(&parts.join(", "))
    }
}

impl OllamaClient {
    /// Chooses the question's window: that which the model was made to have already, so that it is not loaded back and forth. Refuses images for a model that
    /// cannot see them, since older servers drop them without a word.
    pub(super) async fn prepare(&self, question: &mut Question) -> Result<(), OllamaError> {
        if question.fixed.is_none() && !question.unloads() && self.windows.is_new(question.model(), self.clock.now()) {
            // Rare, and large: in a box, so that the future of every question stays small.
            Box::pin(self.meet(question.model())).await;
        }
        let known = self.windows.of(question.model());
        let allowed = |tokens: &u32| question.window.is_none() && question.max_window.is_none_or(|most| *tokens <= most);
        if let Some(tokens) = known.and_then(|known| known.kept).filter(allowed) {
            question.choose(Window::Kept(tokens));
        }
        if question.asked.images && Box::pin(self.sees(question.model(), known)).await == Some(false) {
            return Err(OllamaError::Incapable { endpoint: question.endpoint, model: question.model().to_owned(), capability: "vision" });
        }
        Ok(())
    }

    /// Looks at a model when it is first asked. One that is loaded with a larger window than its default was made to have it, by another program or by this one.
    async fn meet(&self, model: &str) {
        let Some(found) = self.looked(self.loaded()).await else {
            let now = self.clock.now();
            return self.windows.note(model, |known| known.in_vain = Some(now));
        };
        let loaded = found.iter().find(|loaded| same_model(&loaded.name, model));
        self.windows.looked(model, loaded);
        let Some(window) = loaded.and_then(LoadedModel::window).filter(|window| *window > DEFAULT_WINDOW) else { return };
        let own = self.looked(self.show(model)).await.and_then(|card| card.num_ctx);
        if own.is_none_or(|own| own < window.into()) {
            self.windows.note(model, |known| known.kept = Some(window));
        }
    }

    async fn sees(&self, model: &str, known: Option<Known>) -> Option<bool> {
        if let Some(sees) = known.and_then(|known| known.sees) {
            return sees;
        }
        let card = self.looked(self.show(model)).await?;
        let sees = card.can("vision");
        self.windows.note(model, |known| known.sees = Some(sees));
        sees
    }

    /// A look at the server that must not take long. None where it could not be reached; what it does not know is empty.
    async fn looked<T: Default>(&self, look: impl Future<Output = Result<T, OllamaError>>) -> Option<T> {
        match select(pin!(look), self.clock.sleep(LOOK)).await {
            Either::Left((Ok(found), _)) => Some(found),
            Either::Left((Err(OllamaError::Status { .. } | OllamaError::InvalidAnswer { .. }), _)) => Some(T::default()),
            Either::Left((Err(_), _)) | Either::Right(_) => None,
        }
    }

    /// A refusal with what is known of the window, where the window is what it is about.
    pub(super) async fn explained(&self, error: OllamaError, question: &Question) -> OllamaError {
        let OllamaError::Status { fault, window } = error else { return error };
        let meaning = classify(&fault);
        let is_about_window = matches!(meaning.action, SuggestedAction::ShortenPrompt | SuggestedAction::RaiseWindow);
        let window = if is_about_window && meaning.model_specific {
            let counted = window.map_or(NOTHING_KNOWN, |refusal| refusal.facts);
            Some(Box::new(Box::pin(self.refused(question, counted)).await))
        } else if meaning.category == ErrorCategory::Resource {
            self.not_loaded(question)
        } else {
            None
        };
        OllamaError::Status { fault, window }
    }

    /// What is known where the model could not be loaded: the window that it was asked with is let go of.
    fn not_loaded(&self, question: &Question) -> Option<Box<Refusal>> {
        let window = question.window?;
        self.windows.note(question.model(), |known| known.kept = None);
        let facts = WindowFacts { asked: Some(window.tokens()), ..NOTHING_KNOWN };
        Some(Box::new(Refusal { facts, models: Vec::new() }))
    }

    /// Asks the server, where the question did not fit, for all that a policy may want to know.
    async fn refused(&self, question: &Question, counted: WindowFacts) -> Refusal {
        let model = question.model();
        let looks = join3(self.looked(self.loaded()), self.looked(self.tags()), self.looked(self.show(model)));
        let (loaded, models, card) = looks.await;
        let (loaded, models, card) = (loaded.unwrap_or_default(), models.unwrap_or_default(), card.unwrap_or_default());
        let in_memory = loaded.iter().find(|loaded| same_model(&loaded.name, model));
        let info = models.iter().find(|info| same_model(&info.name, model));
        self.windows.looked(model, in_memory);
        let known = self.windows.of(model).unwrap_or_default();
        let window = counted.loaded.or_else(|| in_memory.and_then(LoadedModel::window));
        let asked = question.fixed.or(question.window.map(Window::tokens));
        let estimated = counted.needed.is_none();
        let least = asked.max(window).map_or(0, |window| window.saturating_add(1));
        let facts = WindowFacts {
            needed: counted.needed.or_else(|| Some(question.estimate().max(least))),
            estimated,
            answer_length: question.answer_length(),
            asked,
            fixed: question.fixed.is_some(),
            loaded: window,
            model_limit: card.context_length.or_else(|| info.and_then(|info| info.details.context_length)).map(saturated),
            caller_limit: question.max_window,
            memory: self.memory_of(in_memory),
            memory_available: if self.address().is_loopback() { available_memory() } else { None },
            bytes_per_token: known.bytes_per_token.or_else(|| bytes_per_token(&card, in_memory, info)),
            reading_speed: known.reading_speed,
            load_time: known.load_time,
        };
        Refusal { facts, models: models.iter().map(|info| facts_of(info, &loaded)).collect() }
    }

    /// Whose memory a model is in: this machine's where the server runs here, unless a graphics card has a part of it.
    fn memory_of(&self, loaded: Option<&LoadedModel>) -> MemoryOwner {
        match loaded {
            _ if !self.address().is_loopback() => MemoryOwner::OtherMachine,
            Some(loaded) if loaded.size_vram == 0 => MemoryOwner::ThisMachine,
            _ => MemoryOwner::Unknown,
        }
    }

    /// Learns from an answer that came whole. Looks at the server where question and answer may be longer than the window, and after the first answer with a
    /// larger one.
    pub(super) async fn learn(&self, question: &Question, timings: &Timings, judge: &mut Judge) -> Option<Notice> {
        match self.windows.answered(question, timings, self.clock.now()) {
            Shown::Nothing => None,
            Shown::Say(notice) => Some(notice),
            Shown::MayHaveSlid { used } => {
                let window = Box::pin(self.look_again(question.model())).await?.window()?;
                if used > window.into() {
                    judge.window(window.into());
                }
                None
            }
            Shown::First(window) => {
                let LoadedModel { size, size_vram, .. } = Box::pin(self.look_again(question.model())).await?;
                let percent = size.saturating_sub(size_vram).saturating_mul(100).checked_div(size)?;
                let partly = size_vram > 0 && percent > 0;
                partly.then_some(Notice::PartlyInMainMemory { window, percent: u8::try_from(percent).unwrap_or(100) })
            }
        }
    }

    async fn look_again(&self, model: &str) -> Option<LoadedModel> {
        let found = self.looked(self.loaded()).await?.into_iter().find(|loaded| same_model(&loaded.name, model));
        self.windows.looked(model, found.as_ref());
        found
    }
}

/// What one more token of window takes: what the card says, or what the loaded model takes beyond its file where that is more (several slots).
fn bytes_per_token(card: &ModelCard, loaded: Option<&LoadedModel>, info: Option<&ModelInfo>) -> Option<f64> {
    let by_card = card.cache_bytes_per_token(CacheType::F16, 1);
    let by_size = loaded.zip(info).and_then(|(loaded, info)| {
        let cache = loaded.size.checked_sub(info.size)?.checked_sub(BUFFERS)?;
        #[expect(clippy::cast_precision_loss, reason = "bytes of memory")]
        let each = cache as f64 / f64::from(loaded.window()?);
        Some(each)
    });
    by_card.into_iter().chain(by_size).reduce(f64::max)
}

fn facts_of(info: &ModelInfo, loaded: &[LoadedModel]) -> (String, ModelFacts) {
    let in_memory = loaded.iter().find(|loaded| same_model(&loaded.name, &info.name));
    let facts = ModelFacts {
        window: info.details.context_length.map(saturated),
        loaded_window: in_memory.and_then(LoadedModel::window),
        size_bytes: in_memory.map(|loaded| loaded.size),
        tools: info.can("tools"),
        images: info.can("vision"),
        thinking: info.can("thinking"),
    };
    (info.name.clone(), facts)
}
