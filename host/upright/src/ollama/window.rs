//! Chooses a question's window, explains its refusal, and learns from its answer.

use super::OllamaError;
use super::client::OllamaClient;
use super::learned::{DEFAULT_WINDOW, Notice, Shown};
use super::messages::{LoadedModel, ModelInfo, Timings, saturated};
use super::question::{Question, Window};
use crate::machine::available_memory;
use crate::types::{ErrorCategory, MemoryOwner, ModelFacts, SuggestedAction, WindowFacts};
use futures_util::future::join3;
use upright_logic::classifier::classify;
use upright_logic::degradation::same_model;
use upright_protocol::{CacheType, Judge, ModelCard, Refusal};

/// Maximum bytes of a model beside its file and cache; more belongs to the cache.
const BUFFERS: u64 = 2 << 30;

impl OllamaClient {
    /// Chooses the window the model already has, to avoid reloads. Rejects images for a model without vision: older
    /// servers drop them silently.
    pub(super) async fn prepare(&self, question: &mut Question) -> Result<(), OllamaError> {
        if question.fixed.is_none() && !question.unloads() && self.learned.is_new(question.model(), self.clock.now()) {
            // Rare and large; boxed to keep each question's future small.
            Box::pin(self.meet(question.model())).await;
        }
        let known = self.learned.of(question.model()).unwrap_or_default();
        let chosen = [known.kept.map(Window::Kept), known.found.map(Window::Found)].into_iter().flatten();
        let allowed = chosen.filter(|window| question.max_window.is_none_or(|most| window.tokens() <= most));
        if let Some(window) = allowed.reduce(|one, other| if other.tokens() > one.tokens() { other } else { one }) {
            match question.window {
                None => question.choose(window),
                Some(asked) if asked.tokens() < window.tokens() => question.choose(Window::Enlarged(window.tokens())),
                Some(_) => {}
            }
        }
        if question.asked.images && !known.may_see && !Box::pin(self.may_see(question.model())).await {
            return Err(OllamaError::Incapable { endpoint: question.endpoint, model: question.model().to_owned(), capability: "vision" });
        }
        Ok(())
    }

    /// Looks at a model first asked. One loaded with more than its default window was enlarged.
    async fn meet(&self, model: &str) {
        let Some(found) = self.looked(self.loaded()).await else {
            return self.learned.in_vain(model, self.clock.now());
        };
        let loaded = found.iter().find(|loaded| same_model(&loaded.name, model));
        let mut window = loaded.and_then(LoadedModel::window).filter(|window| *window > DEFAULT_WINDOW);
        if let Some(tokens) = window {
            let card = self.looked(self.show(model)).await;
            // A Modelfile's own window is not lowered.
            window = window.filter(|_| card.is_some_and(|card| card.num_ctx.is_none_or(|own| own < tokens.into())));
        }
        self.learned.met(model, loaded, window);
    }

    /// Whether a model takes images, or the server does not say. Another version of it may.
    async fn may_see(&self, model: &str) -> bool {
        let Some(card) = self.looked(self.show(model)).await else { return true };
        let may_see = card.can("vision") != Some(false);
        self.learned.note(model, |known| known.may_see = may_see);
        may_see
    }

    /// `None` if the server could not be asked, empty if it does not know.
    async fn looked<T: Default>(&self, look: impl Future<Output = Result<T, OllamaError>>) -> Option<T> {
        match look.await {
            Ok(found) => Some(found),
            Err(OllamaError::InvalidAnswer { .. }) => Some(T::default()),
            Err(OllamaError::Status { fault, .. }) if fault.status.is_some_and(|status| status < 500) => Some(T::default()),
            Err(_) => None,
        }
    }

    pub(super) async fn explained(&self, error: OllamaError, question: &Question) -> OllamaError {
        let OllamaError::Status { fault, window } = error else { return error };
        let meaning = classify(&fault);
        let window = if meaning.action == SuggestedAction::ShortenPrompt && meaning.model_specific {
            let counted = window.map_or(WindowFacts::UNKNOWN, |refusal| refusal.facts);
            Some(Box::new(Box::pin(self.refused(question, counted)).await))
        } else if meaning.category == ErrorCategory::Resource {
            self.not_loaded(question)
        } else {
            None
        };
        OllamaError::Status { fault, window }
    }

    fn not_loaded(&self, question: &Question) -> Option<Box<Refusal>> {
        let window = question.window?;
        self.learned.not_loaded(question.model(), window.tokens());
        let facts = WindowFacts { asked: Some(window.tokens()), ..WindowFacts::UNKNOWN };
        Some(Box::new(Refusal { facts, models: Vec::new() }))
    }

    async fn refused(&self, question: &Question, counted: WindowFacts) -> Refusal {
        let model = question.model();
        let looks = join3(self.looked(self.loaded()), self.looked(self.tags()), self.looked(self.show(model)));
        let (loaded, models, card) = looks.await;
        let (loaded, models, card) = (loaded.unwrap_or_default(), models.unwrap_or_default(), card.unwrap_or_default());
        let in_memory = loaded.iter().find(|loaded| same_model(&loaded.name, model));
        let info = models.iter().find(|info| same_model(&info.name, model));
        self.learned.looked(model, in_memory);
        let known = self.learned.of(model).unwrap_or_default();
        let window = counted.loaded.or_else(|| in_memory.and_then(LoadedModel::window));
        // A text longer than the batch is refused, too.
        let window = question.batch().map_or(window, |batch| Some(window.map_or(batch, |window| window.min(batch))));
        let asked = question.fixed.or(question.window.map(Window::tokens));
        let asked = question.batch().map_or(asked, |batch| asked.map(|asked| asked.min(batch)));
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

    fn memory_of(&self, loaded: Option<&LoadedModel>) -> MemoryOwner {
        match loaded {
            _ if !self.address().is_loopback() => MemoryOwner::OtherMachine,
            Some(loaded) if loaded.size_vram == 0 => MemoryOwner::ThisMachine,
            _ => MemoryOwner::Unknown,
        }
    }

    /// Learns from a whole answer. Looks at the server if the exchange may exceed the window, and after the first
    /// larger one.
    pub(super) async fn learn(&self, question: &Question, timings: &Timings, judge: &mut Judge) -> Option<Notice> {
        match self.learned.answered(question, timings, self.clock.now()) {
            Shown::Nothing => None,
            Shown::Say(notice) => Some(notice),
            Shown::Slid(window) => {
                judge.window(window.into());
                None
            }
            Shown::MayHaveSlid => {
                let window = Box::pin(self.look_again(question.model())).await?.window()?;
                judge.window(window.into());
                None
            }
            Shown::First(window) => {
                let had_card = self.learned.of(question.model()).is_some_and(|known| known.on_card > 0);
                let LoadedModel { size, size_vram, .. } = Box::pin(self.look_again(question.model())).await?;
                let percent = size.saturating_sub(size_vram).saturating_mul(100).checked_div(size)?;
                let partly = (size_vram > 0 || had_card) && percent > 0;
                partly.then_some(Notice::PartlyInMainMemory { window, percent: u8::try_from(percent).unwrap_or(100) })
            }
        }
    }

    async fn look_again(&self, model: &str) -> Option<LoadedModel> {
        let found = self.looked(self.loaded()).await?.into_iter().find(|loaded| same_model(&loaded.name, model));
        self.learned.looked(model, found.as_ref());
        found
    }
}

/// Memory of one more token of window: by the card, or by the loaded size if that is more (several slots).
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
