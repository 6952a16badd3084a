//! Runs the store suite against a real server.

use super::{NatsOptions, NatsStore};
use crate::clock::SharedClock;
use upright_test_kit::nats_server::NatsServer;

async fn bucket(test: &str, clock: SharedClock) -> Option<NatsStore> {
    let url = NatsServer::shared(test)?.url(test);
    // With 1, a change replaced before its delivery would count as missed.
    let options = NatsOptions { history: 64, ..NatsOptions::default() };
    Some(NatsStore::connect_with_clock(&url, &options, clock).await.unwrap())
}

// Slow watchers: `host/upright/tests/state/nats/`.
upright_core::store_suite! { async |test, clock| bucket(test, clock).await;
    what_is_put_is_got_with_its_version_and_date,
    of_two_writers_who_read_the_same_version_one_writes,
    a_key_that_is_written_again_after_its_deletion_gets_no_old_version,
    concurrent_increments_lose_nothing,
    keys_are_listed_by_prefix_in_order,
    keys_and_values_out_of_bounds_are_refused,
    values_of_each_size_are_got_as_they_were_put,
    what_is_asked_for_at_the_same_time_is_judged_one_after_the_other,
    a_watcher_sees_the_changes_under_its_prefix_in_order_and_the_end,
}
