//! Runs each model in all orders with a limited number of interruptions.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use upright_interleavings::models;

fn holds(interruptions: usize, model: fn()) {
    let orders = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&orders);
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(interruptions);
    builder.max_branches = 20_000;
    builder.check(move || {
        counted.fetch_add(1, Ordering::Relaxed);
        model();
    });
    let orders = orders.load(Ordering::Relaxed);
    println!("{orders} orders");
    assert!(orders > 2, "nothing met in {orders} orders");
}

#[test]
fn permits_are_handed_out_once_each() {
    holds(3, models::permits_are_handed_out_once_each);
}

#[test]
fn permits_that_come_back_are_neither_lost_nor_doubled() {
    holds(3, models::permits_that_come_back_are_neither_lost_nor_doubled);
}

#[test]
fn a_permit_of_an_older_generation_adds_none() {
    holds(3, models::a_permit_of_an_older_generation_adds_none);
}

#[test]
fn a_late_permit_does_not_add_to_fewer_that_are_allowed_now() {
    holds(3, models::a_late_permit_does_not_add_to_fewer_that_are_allowed_now);
}

#[test]
fn a_turn_to_probes_lets_no_more_pass_than_it_allows() {
    holds(3, models::a_turn_to_probes_lets_no_more_pass_than_it_allows);
}

#[test]
fn a_turn_away_from_probes_and_back_neither_loses_nor_doubles_a_permit() {
    holds(3, models::a_turn_away_from_probes_and_back_neither_loses_nor_doubles_a_permit);
}

#[test]
fn several_that_find_a_hanging_probe_relieve_it_once() {
    holds(3, models::several_that_find_a_hanging_probe_relieve_it_once);
}

#[test]
fn a_probe_that_comes_back_while_it_is_relieved_adds_one_permit() {
    holds(3, models::a_probe_that_comes_back_while_it_is_relieved_adds_one_permit);
}

#[test]
fn successes_are_counted_once_each_while_they_are_taken() {
    holds(3, models::successes_are_counted_once_each_while_they_are_taken);
}

#[test]
fn successes_are_counted_once_each_while_calls_begin_to_be_measured() {
    holds(2, models::successes_are_counted_once_each_while_calls_begin_to_be_measured);
}

#[test]
fn permits_stay_as_many_while_calls_begin_to_be_measured() {
    holds(2, models::permits_stay_as_many_while_calls_begin_to_be_measured);
}

#[test]
fn successes_in_a_shared_cell_are_counted_once_each() {
    holds(3, models::successes_in_a_shared_cell_are_counted_once_each);
}

#[test]
fn the_last_token_is_taken_once() {
    holds(3, models::the_last_token_is_taken_once);
}

#[test]
fn tokens_that_are_put_back_are_neither_lost_nor_doubled() {
    holds(3, models::tokens_that_are_put_back_are_neither_lost_nor_doubled);
}

#[test]
fn a_token_that_comes_back_into_a_full_bucket_adds_none() {
    holds(3, models::a_token_that_comes_back_into_a_full_bucket_adds_none);
}
