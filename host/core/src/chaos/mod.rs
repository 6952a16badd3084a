//! Injects failures, delays and hangs, to test recovery before it is needed.
//!
//! [`Chaos`] wraps operations in tests, or in staging, where it can be switched off at run time.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use std::time::Duration;
//! use upright::RetryStrategy;
//! use upright::chaos::{Chaos, Injection, transient};
//! use upright::testing::DrivenClock;
//!
//! let clock = DrivenClock::skipping();
//! let chaos = Chaos::<std::io::Error>::builder()
//!     .seed(42)
//!     .fail_with(0.1, transient())
//!     .delay(0.2, Duration::from_millis(300))
//!     .hang(0.01)
//!     .plan([(3..5, Injection::fail_with(transient()))])
//!     .clock(clock.shared())
//!     .build()?;
//! let retry = RetryStrategy::builder().attempt_timeout(Duration::from_secs(5)).clock(clock.shared()).build()?;
//! for _ in 0..100 {
//!     retry.execute(|| chaos.call(|| async { Ok("page") })).await?;
//! }
//! assert!(chaos.counts().failed > 2);
//! # Ok(()) }
//! ```
//!
//! # Reproducibility
//!
//! Seed, settings and call number alone decide an injection, not machine, operation or threads; [`Chaos::injection`]
//! predicts it. Concurrency may change which call is the third, but not the third's injection.

mod builder;
mod failure;
mod plan;
#[cfg(test)]
mod tests;

pub use builder::ChaosBuilder;
pub use failure::{InjectedFailure, transient};
pub use plan::{Failing, Injection, Plan};

use crate::clock::SharedClock;
use std::fmt;
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Numbers of calls and injections while on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct ChaosCounts {
    /// Number of calls, passed ones included.
    pub calls: u64,
    /// Number of calls failed without running.
    pub failed: u64,
    /// Number of delayed calls.
    pub delayed: u64,
    /// Number of calls that hang or hung.
    pub hung: u64,
}

/// Injects failures, delays and hangs into asynchronous calls. Clones share state.
pub struct Chaos<E> {
    shared: Arc<Shared<E>>,
}

/// [`Chaos`] for blocking functions, built by [`ChaosBuilder::build_blocking`]. Clones share state.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use upright::chaos::{Chaos, Injection, transient};
///
/// let chaos = Chaos::<std::io::Error>::builder().plan([(2..3, Injection::fail_with(transient()))]).build_blocking()?;
/// assert!(chaos.call(|| Ok(1)).is_ok());
/// assert!(chaos.call(|| Ok(2)).is_err());
/// # Ok(()) }
/// ```
pub struct BlockingChaos<E> {
    chaos: Chaos<E>,
}

struct Shared<E> {
    seed: u64,
    /// Cumulative probabilities.
    chances: Vec<(f64, Injection<E>)>,
    plan: Plan<E>,
    clock: SharedClock,
    enabled: AtomicBool,
    calls: AtomicU64,
    failed: AtomicU64,
    delayed: AtomicU64,
    hung: AtomicU64,
}

impl<E> Shared<E> {
    fn new(seed: u64, mut chances: Vec<(f64, Injection<E>)>, plan: Plan<E>, clock: SharedClock) -> Self {
        let mut sum = 0.0;
        for (probability, _) in &mut chances {
            sum += *probability;
            *probability = sum;
        }
        let zero = || AtomicU64::new(0);
        Self { seed, chances, plan, clock, enabled: AtomicBool::new(true), calls: zero(), failed: zero(), delayed: zero(), hung: zero() }
    }

    fn injection(&self, call: u64) -> Injection<E> {
        let by_chance = || {
            let number = number_of(self.seed, call);
            self.chances.iter().find(|(sum, _)| number < *sum).map(|(_, injection)| injection)
        };
        self.plan.at(call).or_else(by_chance).cloned().unwrap_or(Injection::Pass)
    }

    fn begin(&self) -> (u64, Injection<E>) {
        if !self.enabled.load(Ordering::Relaxed) {
            return (0, Injection::Pass);
        }
        let call = self.calls.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        let injection = self.injection(call);
        let counter = match injection {
            Injection::Pass => return (call, injection),
            Injection::Fail(_) => &self.failed,
            Injection::Delay(_) => &self.delayed,
            Injection::Hang => &self.hung,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        tracing::info!(call, injection = injection.name(), "chaos injected");
        (call, injection)
    }
}

/// SplitMix64's output for this seed and call. Computed from the call's number, so that concurrent calls cannot swap
/// draws; written out, so that no library update changes it.
fn number_of(seed: u64, call: u64) -> f64 {
    let mut bits = seed.wrapping_add(call.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^= bits >> 31;
    // 53 bits: an f64 holds no more exactly.
    (bits >> 11) as f64 / (1_u64 << 53) as f64
}

impl<E> Chaos<E> {
    fn with(shared: Shared<E>) -> Self {
        Self { shared: Arc::new(shared) }
    }

    /// Starts a builder.
    pub fn builder() -> ChaosBuilder<E> {
        ChaosBuilder::default()
    }

    /// Runs the operation or injects. The call is numbered now, not at its first poll.
    ///
    /// # Errors
    /// The operation's or the injected error.
    pub fn call<T, F, O>(&self, operation: O) -> impl Future<Output = Result<T, E>> + use<T, E, F, O>
    where
        O: FnOnce() -> F,
        F: Future<Output = Result<T, E>>,
    {
        let (call, injection) = self.shared.begin();
        let clock = Arc::clone(&self.shared.clock);
        async move {
            match injection {
                Injection::Pass => operation().await,
                Injection::Fail(failing) => Err((failing.0)(call)),
                Injection::Delay(span) => {
                    clock.sleep(span).await;
                    operation().await
                }
                Injection::Hang => pending().await,
            }
        }
    }

    /// The injection for this call number, from 1, while on.
    pub fn injection(&self, call: u64) -> Injection<E> {
        self.shared.injection(call)
    }

    /// Switches on (default) or off. While off, calls pass unnumbered; delayed and hanging calls stay so.
    pub fn set_enabled(&self, enabled: bool) {
        self.shared.enabled.store(enabled, Ordering::Relaxed);
    }

    /// Whether it is on.
    pub fn is_enabled(&self) -> bool {
        self.shared.enabled.load(Ordering::Relaxed)
    }

    /// The counts so far.
    pub fn counts(&self) -> ChaosCounts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let Shared { calls, failed, delayed, hung, .. } = &*self.shared;
        ChaosCounts { calls: read(calls), failed: read(failed), delayed: read(delayed), hung: read(hung) }
    }
}

impl<E> BlockingChaos<E> {
    fn with(chaos: Chaos<E>) -> Self {
        Self { chaos }
    }

    /// Runs the operation or injects; delays block the thread.
    ///
    /// # Errors
    /// The operation's or the injected error.
    pub fn call<T>(&self, operation: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        let (call, injection) = self.chaos.shared.begin();
        match injection {
            Injection::Fail(failing) => Err((failing.0)(call)),
            Injection::Delay(span) => {
                self.chaos.shared.clock.sleep_blocking(span);
                operation()
            }
            // `build_blocking` refuses hangs.
            Injection::Pass | Injection::Hang => operation(),
        }
    }

    /// See [`Chaos::injection`].
    pub fn injection(&self, call: u64) -> Injection<E> {
        self.chaos.injection(call)
    }

    /// See [`Chaos::set_enabled`].
    pub fn set_enabled(&self, enabled: bool) {
        self.chaos.set_enabled(enabled);
    }

    /// See [`Chaos::is_enabled`].
    pub fn is_enabled(&self) -> bool {
        self.chaos.is_enabled()
    }

    /// See [`Chaos::counts`].
    pub fn counts(&self) -> ChaosCounts {
        self.chaos.counts()
    }
}

impl<E> Clone for Chaos<E> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<E> Clone for BlockingChaos<E> {
    fn clone(&self) -> Self {
        Self::with(self.chaos.clone())
    }
}

impl<E> fmt::Debug for Chaos<E> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = if self.is_enabled() { "on" } else { "off" };
        write!(formatter, "Chaos(seed {}, {state}, {:?})", self.shared.seed, self.counts())
    }
}

impl<E> fmt::Debug for BlockingChaos<E> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Blocking{:?}", self.chaos)
    }
}
