//! Keeps one retry budget per name.

use super::{RetryBudget, RetryBudgetConfig, check};
use crate::clock::SharedClock;
use crate::error::ConfigurationError;
use crate::registry::Registry;

/// One budget per name, made on first use. Clones share it.
#[derive(Clone)]
pub struct RetryBudgets {
    budgets: Registry<RetryBudget>,
    config: RetryBudgetConfig,
    clock: SharedClock,
}

impl RetryBudgets {
    /// Budgets of this size, each on this clock.
    ///
    /// # Errors
    /// [`ConfigurationError`] names the setting that is out of its range.
    pub fn with_clock(config: RetryBudgetConfig, clock: SharedClock) -> Result<Self, ConfigurationError> {
        check(config)?;
        Ok(Self { budgets: Registry::default(), config, clock })
    }

    /// The budget of this name.
    pub fn get(&self, name: &str) -> RetryBudget {
        let make = |_: &_| RetryBudget::of_checked(self.config, self.clock.clone());
        self.budgets.get(name, make, RetryBudget::is_idle)
    }

    /// Replaces a budget; holders keep the old one.
    pub fn insert(&self, name: &str, budget: RetryBudget) {
        self.budgets.insert(name, budget);
    }

    /// The budget, if it exists.
    pub fn find(&self, name: &str) -> Option<RetryBudget> {
        self.budgets.find(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::DrivenClock;

    #[test]
    fn one_name_is_one_budget_and_another_name_another() {
        let budgets = RetryBudgets::with_clock(RetryBudgetConfig { capacity: 1, per_second: 0.0 }, DrivenClock::new().shared()).unwrap();
        budgets.get("chat").take().unwrap().spend();
        assert!(budgets.get("chat").take().is_none());
        assert!(budgets.get("embed").take().is_some());
        assert!(budgets.find("search").is_none());
    }

    #[test]
    fn names_that_come_from_anybody_do_not_grow_it_without_bound_and_used_budgets_stay() {
        let budgets = RetryBudgets::with_clock(RetryBudgetConfig { capacity: 1, per_second: 0.0 }, DrivenClock::new().shared()).unwrap();
        budgets.get("used").take().unwrap().spend();
        let held = budgets.get("held");
        (0..5000).for_each(|number| drop(budgets.get(&number.to_string())));
        assert!(budgets.get("used").take().is_none());
        held.take().unwrap().spend();
        assert!(budgets.get("held").take().is_none());
        assert!(budgets.find("0").is_none());
    }
}
