//! What a budget costs.

use crate::group::{Case, Group, Target};
use anyhow::Result;
use upright::RetryBudget;
use upright::clock::SystemClock;

const TAKE: &str = "upright `RetryBudget`: take and spend";

pub(super) fn group() -> Result<Group> {
    Ok(Group {
        id: "extras",
        title: "Budget, one thread",
        note: "A bucket that is never empty.",
        threads: 1,
        reference: TAKE,
        cases: cases()?,
        targets: vec![Target::Nanoseconds { case: TAKE, at_most: 100.0 }, Target::NoAllocation { case: TAKE }],
    })
}

fn cases() -> Result<Vec<Case>> {
    let budget = RetryBudget::new(1_000_000_000, 1e9, SystemClock::shared())?;
    let call = move || {
        let budget = budget.clone();
        move || budget.take().map(|token| token.spend()).is_some()
    };
    Ok(vec![Case::new(TAKE, call, |taken| *taken)])
}
