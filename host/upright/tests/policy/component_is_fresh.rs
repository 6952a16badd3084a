//! Committed components match the sources beside them.

#[path = "../../../../xtask/src/sources.rs"]
mod sources;

use std::fs;
use std::path::Path;

use sources::{COMPONENTS, Committed};
use upright::types::*;
use upright::{PolicyLifecycle, PolicySlot};
use upright_test_kit::patient;

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

fn must_be_fresh(component: &Committed) {
    let path = component.path;
    let bytes = fs::read(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}: run `cargo xtask component`"));
    let expected = sources::digest(root(), component).unwrap();
    let recorded = sources::recorded(&bytes).unwrap_or_default();
    assert_eq!(recorded, expected, "{path} was made from other sources: run `cargo xtask component`");
}

#[test]
fn the_built_in_component_is_made_from_the_sources_beside_it() {
    must_be_fresh(&COMPONENTS[0]);
}

#[test]
fn each_example_component_is_made_from_the_sources_beside_it() {
    COMPONENTS[1..].iter().for_each(must_be_fresh);
}

#[test]
fn the_steady_component_waits_equally_long_where_the_built_in_one_waits_longer_each_time() {
    let retry = RetryConfig { jitter: false, ..RetryConfig::default() };
    let waits = |slot: &PolicySlot| {
        [0, 1, 2].map(|attempt| {
            let verdict = slot.decide(&Incident {
                attempt,
                retry,
                random: 0.5,
                ..Incident::of(Fault::new(FaultKind::ConnectionRefused, "connection refused"))
            });
            let Directive::RetryAfter(seconds) = verdict.directive else { panic!("{verdict:?}") };
            assert_eq!(slot.delay(&retry, attempt, 0.5).as_secs_f64(), seconds);
            seconds
        })
    };
    assert_eq!(waits(patient::slot().slot()), [1.0, 2.0, 4.0]);
    let steady = PolicyLifecycle::new(patient::loader().from_file(root().join(COMPONENTS[1].path)).unwrap());
    assert_eq!(waits(steady.slot()), [1.0, 1.0, 1.0]);
    assert_eq!(steady.description().name, "upright-steady");
}
