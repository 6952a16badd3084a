//! Breakers in a store: after a process ends, and shared by several.

use std::sync::Arc;
use std::time::Duration;
use upright::clock::SharedClock;
use upright::error::Rejection;
use upright::store::{MemoryStore, Store, StoreError};
use upright::testing::{AwayStore, DrivenClock};
use upright::types::{BreakerConfig, Phase};
use upright::{CircuitBreaker, RecoveryManager};
use upright_test_kit::refused;
use upright_test_kit::wait::until;

const SECOND: Duration = Duration::from_secs(1);

fn host_with(store: Arc<dyn Store>, clock: SharedClock) -> RecoveryManager {
    let breaker = BreakerConfig { failure_threshold: 3, success_threshold: 1, ..BreakerConfig::default() };
    RecoveryManager::builder().breaker(breaker).clock(clock).store(store).build().unwrap()
}

fn host(store: &MemoryStore, clock: &DrivenClock) -> RecoveryManager {
    host_with(Arc::new(store.clone()), clock.shared())
}

fn fail(breaker: &CircuitBreaker, times: u32) {
    for _ in 0..times {
        breaker.try_acquire().unwrap().failure(&refused());
    }
}

fn succeed(breaker: &CircuitBreaker) {
    breaker.try_acquire().unwrap().success();
}

fn time_left(breaker: &CircuitBreaker) -> Option<Duration> {
    match breaker.try_acquire().map(drop).unwrap_err().rejection {
        Rejection::Open { time_left } => Some(time_left),
        _ => None,
    }
}

#[tokio::test]
async fn an_open_breaker_stays_open_for_the_rest_of_its_time_after_a_restart_of_the_program() {
    let (store, clock) = (MemoryStore::default(), DrivenClock::new());
    let first = host(&store, &clock);
    fail(&first.breakers().get("ollama"), 3);
    assert_eq!(first.shutdown_gracefully(SECOND).await.still_running, 0);
    drop(first);
    clock.advance(20 * SECOND);
    let second = host(&store, &clock);
    assert_eq!(time_left(&second.breakers().get("ollama")), Some(40 * SECOND));
    assert_eq!(second.breakers().get("other").state(), Phase::Closed);
}

#[tokio::test]
async fn a_state_from_a_machine_with_another_clock_counts_by_the_time_that_has_passed() {
    let (store, clock) = (MemoryStore::default(), DrivenClock::new());
    clock.advance(1000 * SECOND);
    let first = host(&store, &clock);
    fail(&first.breakers().get("ollama"), 3);
    first.breakers_settled().await;
    let other = DrivenClock::new();
    other.advance(500 * SECOND);
    other.step_wall(510 * SECOND);
    let second = host(&store, &other);
    assert_eq!(time_left(&second.breakers().get("ollama")), Some(50 * SECOND));
    // Its clock is younger than the opening, so the breaker is open for at most its timeout.
    let young = DrivenClock::new();
    young.step_wall(1010 * SECOND);
    assert_eq!(time_left(&host(&store, &young).breakers().get("ollama")), Some(60 * SECOND));
}

#[tokio::test]
async fn a_breaker_opened_by_one_host_is_open_on_the_others() {
    let (store, clock) = (MemoryStore::default(), DrivenClock::new());
    let [a, b] = [host(&store, &clock), host(&store, &clock)];
    let [of_a, of_b] = [&a, &b].map(|host| host.breakers().get("ollama"));
    for host in [&a, &b] {
        host.breakers_settled().await;
    }
    clock.advance(SECOND);
    fail(&of_a, 3);
    until("the other is open", async || of_b.state() == Phase::Open).await;
    assert_eq!(time_left(&of_b), Some(60 * SECOND));
    assert_eq!(host(&store, &clock).breakers().get("ollama").state(), Phase::Open);
    clock.advance(60 * SECOND);
    let probe = of_b.try_acquire().unwrap();
    assert_eq!((of_b.state(), of_a.state()), (Phase::HalfOpen, Phase::Open));
    probe.success();
    until("the first is closed", async || of_a.state() == Phase::Closed).await;
    succeed(&of_a);
    assert_eq!((a.breaker_sharing().unwrap().adopted, b.breaker_sharing().unwrap().adopted), (1, 1));
}

#[tokio::test]
async fn a_call_that_began_before_a_state_was_taken_over_changes_nothing() {
    let (store, clock) = (MemoryStore::default(), DrivenClock::new());
    let [a, b] = [host(&store, &clock), host(&store, &clock)];
    let [of_a, of_b] = [&a, &b].map(|host| host.breakers().get("ollama"));
    let in_flight = of_b.try_acquire().unwrap();
    b.breakers_settled().await;
    clock.advance(SECOND);
    fail(&of_a, 3);
    until("the other is open", async || of_b.state() == Phase::Open).await;
    in_flight.success();
    assert_eq!(of_b.state(), Phase::Open);
}

#[tokio::test]
async fn of_two_concurrent_transitions_the_later_one_holds_on_both_hosts() {
    let (store, clock) = (MemoryStore::default(), DrivenClock::new());
    let [a, b] = [host(&store, &clock), host(&store, &clock)];
    let [of_a, of_b] = [&a, &b].map(|host| host.breakers().get("ollama"));
    for host in [&a, &b] {
        host.breakers_settled().await;
    }
    for _ in 0..20 {
        clock.advance(SECOND);
        of_a.reset();
        clock.advance(SECOND);
        of_b.reset();
        fail(&of_b, 3);
        until("both are open", async || of_a.state() == Phase::Open && of_b.state() == Phase::Open).await;
    }
}

#[tokio::test]
async fn a_breaker_that_is_isolated_by_hand_is_so_everywhere_until_it_is_reset() {
    let (store, clock) = (MemoryStore::default(), DrivenClock::new());
    let [a, b] = [host(&store, &clock), host(&store, &clock)];
    let [of_a, of_b] = [&a, &b].map(|host| host.breakers().get("ollama"));
    for host in [&a, &b] {
        host.breakers_settled().await;
    }
    of_a.isolate();
    until("the other is isolated", async || of_b.is_isolated()).await;
    assert!(of_b.try_acquire().is_err());
    clock.advance(SECOND);
    of_b.reset();
    until("the first is not any more", async || !of_a.is_isolated()).await;
    succeed(&of_a);
}

#[tokio::test]
async fn while_the_store_is_away_each_decides_by_itself_and_what_waits_is_bounded_and_counted() {
    let clock = DrivenClock::new();
    let store = Arc::new(AwayStore::new(MemoryStore::with_clock(clock.shared())));
    let away = host_with(Arc::clone(&store) as Arc<dyn Store>, clock.shared());
    away.breakers_settled().await;
    store.go_away();
    let breaker = away.breakers().get("ollama");
    for _ in 0..50 {
        fail(&breaker, 3);
        assert_eq!(breaker.state(), Phase::Open);
        breaker.reset();
    }
    fail(&breaker, 3);
    until("it was tried", async || away.breaker_sharing().unwrap().failed > 0).await;
    let counts = away.breaker_sharing().unwrap();
    assert!(counts.coalesced >= 99, "{counts:?}");
    // Another host opens and closes it before this one's last transition is written.
    store.come_back();
    until("it is tried again", async || {
        clock.advance(SECOND);
        away.breaker_sharing().unwrap().published > counts.published
    })
    .await;
    away.breakers_settled().await;
    let stored = store.list("breaker/").await.unwrap();
    assert_eq!(stored.iter().map(|listed| listed.key.as_str()).collect::<Vec<_>>(), ["breaker/ollama"]);
    let next = host_with(store as Arc<dyn Store>, clock.shared());
    assert_eq!(next.breakers().get("ollama").state(), Phase::Open);
}

#[tokio::test]
async fn what_is_in_the_store_and_is_no_breaker_is_written_over_and_harms_nobody() {
    let (store, clock) = (MemoryStore::default(), DrivenClock::new());
    for (name, value) in [("a", "{"), ("b", r#"{"format":99}"#), ("c", "null")] {
        store.put(&format!("breaker/{name}"), value.into(), "application/json").await.unwrap();
    }
    let host = host(&store, &clock);
    for name in ["a", "b", "c"] {
        let breaker = host.breakers().get(name);
        assert_eq!(breaker.state(), Phase::Closed);
        fail(&breaker, 3);
    }
    host.breakers_settled().await;
    let kept = store.get("breaker/b").await.unwrap().unwrap();
    assert!(String::from_utf8_lossy(&kept.value).contains(r#""phase":"open""#), "{kept:?}");
    assert!(matches!(store.get("").await, Err(StoreError::KeyInvalid { .. })));
}

#[tokio::test]
async fn breakers_that_have_been_closed_for_a_week_are_removed() {
    let clock = DrivenClock::new();
    let store = MemoryStore::with_clock(clock.shared());
    let first = host(&store, &clock);
    let day = 24 * 3600 * SECOND;
    for name in ["old", "young", "isolated", "open"] {
        let breaker = first.breakers().get(name);
        match name {
            "isolated" => breaker.isolate(),
            "open" => fail(&breaker, 3),
            "young" => {}
            _ => breaker.reset(),
        }
    }
    first.breakers_settled().await;
    clock.advance(7 * day);
    first.breakers().get("young").reset();
    first.breakers_settled().await;
    let names = async || store.list("breaker/").await.unwrap().into_iter().map(|listed| listed.key).collect::<Vec<_>>();
    host(&store, &clock).breakers_settled().await;
    assert_eq!(names().await, ["breaker/isolated", "breaker/old", "breaker/open", "breaker/young"]);
    clock.advance(SECOND);
    host(&store, &clock).breakers_settled().await;
    assert_eq!(names().await, ["breaker/isolated", "breaker/open", "breaker/young"]);
}

#[cfg(feature = "sqlite")]
#[tokio::test]
async fn a_program_makes_its_next_probe_as_soon_as_one_has_ended_and_probes_also_after_its_end() {
    let folder = upright_test_kit::folder::Folder::new("next-probe");
    let clock = DrivenClock::new();
    let store = upright::store::FileStore::open_with_clock(folder.path("state.db"), clock.shared()).unwrap();
    let breaker = BreakerConfig { failure_threshold: 3, success_threshold: 3, ..BreakerConfig::default() };
    let host = RecoveryManager::builder().breaker(breaker).clock(clock.shared()).store(Arc::new(store.clone())).build().unwrap();
    let breaker = host.breakers().get("ollama");
    for round in 0..20 {
        fail(&breaker, 3);
        clock.advance(60 * SECOND);
        (0..3).for_each(|_| succeed(&breaker));
        assert_eq!(breaker.state(), Phase::Closed, "round {round}");
    }
    host.breakers_settled().await;
    assert!(store.list("probe/").await.unwrap().is_empty());
    fail(&breaker, 3);
    host.shutdown_gracefully(SECOND).await;
    clock.advance(60 * SECOND);
    succeed(&breaker);
    assert!(store.list("probe/").await.unwrap().is_empty());
}

#[tokio::test]
async fn breakers_are_not_kept_where_nothing_was_said_of_state_or_it_was_said_that_they_are_not() {
    assert_eq!(RecoveryManager::builder().build().unwrap().breaker_sharing(), None);
    let store = MemoryStore::default();
    let alone = RecoveryManager::builder().store(Arc::new(store.clone())).keep_breakers(false).build().unwrap();
    alone.breakers().get("ollama").isolate();
    alone.breakers_settled().await;
    assert!(alone.breaker_sharing().is_none() && store.list("").await.unwrap().is_empty());
}
