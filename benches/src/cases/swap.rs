//! Cost of swapping the policy, and of a shadow.

use super::decision;
use crate::group::{Case, Group, Target};
use anyhow::Result;
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use upright::policy::ShadowOptions;
use upright::policy::{PolicyLoader, SwapOptions};
use upright::types::Verdict;
use upright::{Policy, PolicyLifecycle};

const DECIDE: &str = "decide";
const SHADOWED: &str = "decide, with a shadow that is asked about everything";
const KNOWN: &str = "read, verify, swap and decide: compiled before";
const NEW: &str = "read, compile, probe, swap and decide: never seen before";

const STEADY: &[u8] = include_bytes!("../../../guest/examples/steady/steady.wasm");

pub(super) fn group() -> Result<Group> {
    Ok(Group {
        id: "swap",
        title: "Replacing the policy",
        note: "The incident is that of the decisions. A new policy is the `steady` example with a custom section of its own, so that its digest is new. The shadow stands \
               beside a thread that does nothing but decide: more than it can look at, so part of what is handed over is dropped and counted.",
        threads: 1,
        reference: DECIDE,
        cases: cases()?,
        targets: vec![
            Target::TimesOf { case: SHADOWED, peer: DECIDE, at_most: 1.10 },
            Target::Nanoseconds { case: KNOWN, at_most: 1e6 },
            Target::Nanoseconds { case: NEW, at_most: 60e6 },
        ],
    })
}

fn never_seen() -> Vec<u8> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed).to_le_bytes();
    [STEADY, &[0, 10, 1, b'n'], &number].concat()
}

fn cases() -> Result<Vec<Case>> {
    let decided = |verdict: &Verdict| verdict.breaker.is_some();
    let (plain, shadowed) = (PolicyLifecycle::built_in(), PolicyLifecycle::new(Policy::built_in()?));
    let options = SwapOptions { shadow: Some(ShadowOptions::default()), ..SwapOptions::default() };
    shadowed.swap(Policy::from_bytes(STEADY)?, &options)?;
    let incident = Arc::new(decision::incident(plain.slot()));
    let mut cases = Vec::new();
    for (name, slot) in [(DECIDE, plain), (SHADOWED, shadowed)] {
        let incident = Arc::clone(&incident);
        let call = move || {
            let (slot, incident) = (slot.clone(), Arc::clone(&incident));
            move || slot.slot().decide(black_box(&incident))
        };
        cases.push(Case::new(name, call, decided));
    }

    let slot = PolicyLifecycle::built_in();
    let components = [Policy::built_in()?.bytes().to_vec(), STEADY.to_vec()].map(Arc::new);
    let (given, of_case) = (Arc::clone(&incident), slot.clone());
    let known = move || {
        let (slot, incident, components) = (of_case.clone(), Arc::clone(&given), components.clone());
        let mut number = 0;
        move || {
            number += 1;
            swap_and_decide(&slot, &components[number % 2], &incident)
        }
    };
    cases.push(Case::new(KNOWN, known, |verdict: &Result<Verdict>| verdict.is_ok()));
    let new = move || {
        let (slot, incident) = (slot.clone(), Arc::clone(&incident));
        move || swap_and_decide(&slot, &never_seen(), &incident)
    };
    cases.push(Case::new(NEW, new, |verdict: &Result<Verdict>| verdict.is_ok()));
    Ok(cases)
}

fn swap_and_decide(slot: &PolicyLifecycle, component: &[u8], incident: &upright::types::Incident) -> Result<Verdict> {
    slot.swap(PolicyLoader::default().from_bytes(component)?, &SwapOptions::default())?;
    Ok(slot.slot().decide(incident))
}
