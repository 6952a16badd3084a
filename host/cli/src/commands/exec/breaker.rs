//! The shared circuit breaker of `--breaker`. Nothing is locked while the command runs.

use crate::exit::Failure;
use crate::output::complain;
use std::cell::Cell;
use tokio::sync::OnceCell;
use upright::PolicySlot;
use upright::error::CircuitOpen;
use upright::store::{StateAddress, StoreError};
use upright::types::{BreakerConfig, Fault, Phase};
use upright_core::breaker::{StoredBreaker, StoredPermit};

pub(super) struct Breaker {
    name: String,
    address: StateAddress,
    config: BreakerConfig,
    policy: PolicySlot,
    quiet: bool,
    /// `None` when the state cannot be opened.
    opened: OnceCell<Option<StoredBreaker>>,
    /// A failure of the state is reported once.
    said: Cell<bool>,
}

/// `None` when the state is unavailable; the outcome is then not recorded.
pub(super) type Admitted = Option<StoredPermit>;

impl Breaker {
    pub(super) fn new(name: &str, address: StateAddress, config: BreakerConfig, policy: PolicySlot, quiet: bool) -> Self {
        Self { name: name.to_owned(), address, config, policy, quiet, opened: OnceCell::new(), said: Cell::new(false) }
    }

    /// Refuses a `--state` that is not a store; after other errors the command runs without it.
    pub(super) async fn open_named(&self) -> Result<(), Failure> {
        match self.opened().await {
            Err(error @ (StoreError::NotAStore { .. } | StoreError::OldFormat { .. })) => {
                Err(Failure::bad_input(format!("--state: {error}")))
            }
            opened => {
                let opened = opened.inspect_err(|error| self.complain(error)).ok().flatten();
                // The cell is still empty.
                let _ = self.opened.set(opened);
                Ok(())
            }
        }
    }

    pub(super) async fn admit(&self) -> Result<Admitted, CircuitOpen> {
        let Some(breaker) = self.breaker().await else { return Ok(None) };
        match breaker.admit().await {
            Ok(Ok(permit)) => {
                self.moved(permit.moved());
                Ok(Some(permit))
            }
            Ok(Err(open)) => Err(open),
            Err(error) => {
                self.complain(&error);
                Ok(None)
            }
        }
    }

    /// Returns whether the breaker is open.
    pub(super) async fn settle(&self, admitted: Admitted, ended: Result<(), Fault>) -> bool {
        let (Some(breaker), Some(permit)) = (self.breaker().await, admitted) else { return false };
        match breaker.settle(permit, ended).await {
            Ok(moved) => {
                self.moved(moved);
                moved.1 == Phase::Open
            }
            Err(error) => {
                self.complain(&error);
                false
            }
        }
    }

    pub(super) async fn give_back(&self, admitted: Admitted) {
        let (Some(breaker), Some(permit)) = (self.breaker().await, admitted) else { return };
        if let Err(error) = breaker.give_back(permit).await {
            self.complain(&error);
        }
    }

    async fn opened(&self) -> Result<Option<StoredBreaker>, StoreError> {
        let store = self.address.open().await?;
        // The arguments were validated.
        let breaker = StoredBreaker::new(self.name.as_str(), store, self.config).ok();
        Ok(breaker.map(|breaker| breaker.policy(self.policy.clone())))
    }

    async fn breaker(&self) -> Option<&StoredBreaker> {
        let open = async || self.opened().await.inspect_err(|error| self.complain(error)).ok().flatten();
        self.opened.get_or_init(open).await.as_ref()
    }

    fn moved(&self, (from, to): (Phase, Phase)) {
        if from != to && !self.quiet {
            complain(format_args!("the circuit breaker {} went from {from} to {to}", self.name));
        }
    }

    fn complain(&self, error: &StoreError) {
        if !self.said.replace(true) {
            complain(format_args!("the state of the circuit breaker {} cannot be kept: {error}; going on without it", self.name));
        }
    }
}
