//! The circuit breaker of `--breaker`, which many calls of this program share through a file.
//!
//! A call asks whether its attempt may be made, and tells afterwards how that ended. Each time the state is read, moved on and written under the
//! lock, so no call undoes what another one has seen meanwhile; while the command runs nothing is locked. What began before the breaker moved changes nothing, as
//! within one process. Probes of a half-open breaker are counted in each process alone: two calls that come at once may both probe.

use super::state::{Kept, StateFile};
use crate::output::complain;
use std::cell::Cell;
use std::io;
use upright::breaker::SavedState;
use upright::clock::{AnchoredClock, SharedClock};
use upright::error::CircuitOpen;
use upright::types::{BreakerConfig, Fault, Phase};
use upright::{CircuitBreaker, PolicySlot};

pub(super) struct Breaker {
    name: String,
    file: StateFile,
    config: BreakerConfig,
    policy: PolicySlot,
    clock: SharedClock,
    quiet: bool,
    /// What is wrong with the file is told once.
    told: Cell<bool>,
}

/// An attempt that may be made, and when it began.
#[derive(Clone, Copy, Debug)]
pub(super) struct Admitted {
    /// None where the state cannot be had: then nothing is told of the end either.
    generation: Option<u64>,
}

impl Breaker {
    pub(super) fn new(name: &str, file: StateFile, config: BreakerConfig, policy: PolicySlot, quiet: bool) -> Self {
        Self { name: name.to_owned(), file, config, policy, clock: AnchoredClock::shared(), quiet, told: Cell::new(false) }
    }

    /// May an attempt be made?
    pub(super) async fn admit(&self) -> Result<Admitted, CircuitOpen> {
        let asked = |breaker: &CircuitBreaker| breaker.try_acquire().map(drop).map(|()| breaker.snapshot().generation);
        match self.update(asked).await {
            Ok(Ok(generation)) => Ok(Admitted { generation: Some(generation) }),
            Ok(Err(open)) => Err(open),
            Err(_) => Ok(Admitted { generation: None }),
        }
    }

    /// The attempt ended well, or with these facts. Whether the breaker is open now.
    pub(super) async fn settle(&self, admitted: Admitted, ended: Result<(), Fault>) -> bool {
        let Some(generation) = admitted.generation else { return false };
        let moved = |breaker: &CircuitBreaker| {
            // What began in an older generation changes nothing.
            if breaker.snapshot().generation == generation
                && let Ok(permit) = breaker.try_acquire()
            {
                match ended {
                    Ok(()) => permit.success(),
                    Err(fault) => drop(permit.fault(fault)),
                }
            }
            breaker.state()
        };
        self.update(moved).await.is_ok_and(|phase| phase == Phase::Open)
    }

    /// Does something with the breaker as it is now, and keeps what becomes of it. What the file refuses is told.
    async fn update<R>(&self, change: impl FnOnce(&CircuitBreaker) -> R) -> io::Result<R> {
        let updated = self.update_file(change).await;
        if let Err(error) = &updated {
            self.tell(format_args!(
                "the state of the circuit breaker {} cannot be kept in {}: {error}; going on without it",
                self.name,
                self.place()
            ));
        }
        updated
    }

    async fn update_file<R>(&self, change: impl FnOnce(&CircuitBreaker) -> R) -> io::Result<R> {
        let locked = self.file.lock().await?;
        let kept = match locked.read() {
            Kept::State(saved) => Some(saved),
            Kept::Nothing => None,
            Kept::Unusable(why) => {
                self.tell(format_args!(
                    "the state of the circuit breaker {} in {} cannot be used: {why}; it counts as closed",
                    self.name,
                    self.place()
                ));
                None
            }
        };
        let breaker = self.restored(kept)?;
        let before = breaker.save();
        let result = change(&breaker);
        let after = breaker.save();
        if after != before {
            locked.write(&after)?;
        }
        drop(locked);
        let (from, to) = (before.state.phase, after.state.phase);
        if from != to && !self.quiet {
            complain(format_args!("the circuit breaker {} went from {from} to {to}", self.name));
        }
        Ok(result)
    }

    fn restored(&self, kept: Option<SavedState>) -> io::Result<CircuitBreaker> {
        let builder = CircuitBreaker::builder(self.name.as_str()).config(self.config).policy(self.policy.clone()).clock(self.clock.clone());
        let builder = kept.into_iter().fold(builder, |builder, saved| builder.restored(saved));
        builder.build().map_err(io::Error::other)
    }

    fn place(&self) -> std::path::Display<'_> {
        self.file.path().display()
    }

    fn tell(&self, text: std::fmt::Arguments<'_>) {
        if !self.told.replace(true) {
            complain(text);
        }
    }
}
