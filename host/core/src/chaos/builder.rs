//! Configures injected failures.

use super::failure::InjectedFailure;
use super::plan::{Injection, Plan};
use super::{BlockingChaos, Chaos, Shared};
use crate::clock::{SharedClock, SystemClock};
use crate::error::ConfigurationError;
use crate::types::Fault;
use std::time::Duration;

/// Tolerance: ten times 0.1 is not quite 1.
const ROUNDING: f64 = 1e-9;

/// Builds a [`Chaos`]. By default all calls pass.
///
/// A call gets **at most one** injection, so probabilities are 0 to 1 and add up to at most 1. Each kind may occur
/// several times, such as delays of different lengths.
#[must_use]
pub struct ChaosBuilder<E> {
    seed: u64,
    chances: Vec<(f64, Injection<E>)>,
    plan: Plan<E>,
    clock: SharedClock,
}

impl<E> Default for ChaosBuilder<E> {
    fn default() -> Self {
        Self { seed: 0, chances: Vec::new(), plan: Plan::new(), clock: SystemClock::shared() }
    }
}

impl<E> ChaosBuilder<E> {
    /// Seed of the injections; default 0.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Fails calls with your error at this probability.
    pub fn fail(self, probability: f64, error: impl Fn() -> E + Send + Sync + 'static) -> Self {
        self.chance(probability, Injection::fail(error))
    }

    /// Fails calls with an [`InjectedFailure`] at this probability; see [`super::transient`].
    pub fn fail_with(self, probability: f64, fault: Fault) -> Self
    where
        E: From<InjectedFailure> + 'static,
    {
        self.chance(probability, Injection::fail_with(fault))
    }

    /// Delays calls by `span` at this probability.
    pub fn delay(self, probability: f64, span: Duration) -> Self {
        self.chance(probability, Injection::Delay(span))
    }

    /// Hangs calls at this probability.
    pub fn hang(self, probability: f64) -> Self {
        self.chance(probability, Injection::Hang)
    }

    fn chance(mut self, probability: f64, injection: Injection<E>) -> Self {
        self.chances.push((probability, injection));
        self
    }

    /// Plans injections regardless of probabilities; later plans are appended.
    pub fn plan(mut self, plan: impl Into<Plan<E>>) -> Self {
        self.plan.append(plan.into());
        self
    }

    /// Sets the clock of delays.
    pub fn clock(mut self, clock: SharedClock) -> Self {
        self.clock = clock;
        self
    }

    /// Builds the chaos.
    ///
    /// # Errors
    /// [`ConfigurationError`] for a probability outside 0 to 1, a sum above 1, or a plan for impossible calls.
    pub fn build(self) -> Result<Chaos<E>, ConfigurationError> {
        let mut sum = 0.0;
        for (probability, injection) in &self.chances {
            let setting = match injection {
                Injection::Delay(_) => "chaos delay",
                Injection::Hang => "chaos hang",
                Injection::Fail(_) | Injection::Pass => "chaos fail",
            };
            let fits = (0.0..=1.0).contains(probability);
            ConfigurationError::unless(fits, setting, probability, "expected a probability from 0 to 1")?;
            sum += probability;
        }
        let fits = sum <= 1.0 + ROUNDING;
        ConfigurationError::unless(
            fits,
            "chaos probabilities together",
            sum,
            "expected at most 1, since a call gets at most one injection",
        )?;
        if let Some((first, last)) = self.plan.without_calls() {
            let calls = format!("for calls {first} to {last}");
            ConfigurationError::unless(false, "chaos plan", calls, "expected calls that there can be; the first is 1")?;
        }
        Ok(Chaos::with(Shared::new(self.seed, self.chances, self.plan, self.clock)))
    }

    /// Builds chaos for blocking functions.
    ///
    /// # Errors
    /// The [`ConfigurationError`]s of [`ChaosBuilder::build`], and one for hangs, which nothing could end.
    pub fn build_blocking(self) -> Result<BlockingChaos<E>, ConfigurationError> {
        let all = self.chances.iter().map(|(_, injection)| injection).chain(self.plan.injections());
        let hangs = all.filter(|injection| matches!(injection, Injection::Hang)).count();
        let expected = "expected no hang among blocking calls, since nothing could end it; a long delay will do";
        ConfigurationError::unless(hangs == 0, "chaos hang", format!("set {hangs} times"), expected)?;
        self.build().map(BlockingChaos::with)
    }
}
