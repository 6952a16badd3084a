//! Cached answers in a store: after a restart, with a slow or absent store, and within limits.

use bytes::Bytes;
use serde_json::{Value, json};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, SystemTime};
use tokio::sync::Semaphore;
use tokio::task::yield_now;
use upright::clock::{Clock, Instant, SharedClock, Sleep};
use upright::degradation::{CacheLimits, ModelDigests, ResponseCache, StoredCacheOptions};
use upright::ollama::OllamaClient;
use upright::store::{Changes, Entry, Listed, MemoryStore, StateAddress, Store, StoreError, StoreFuture};
use upright::testing::DrivenClock;
use upright::{Error, Recovered, RecoveryManager, Served};
use upright_simulator::{FaultServer, Model};
use upright_test_kit::driven::{Driven, seconds};
use upright_test_kit::refused;

const HOUR: Duration = Duration::from_secs(3600);
const LIMIT: Duration = Duration::from_millis(50);

/// A stand-in for a network store that hangs, fails or panics on demand.
#[derive(Clone)]
struct Network(Arc<Inner>);

struct Inner {
    store: MemoryStore,
    reads: AtomicU32,
    writes: AtomicU32,
    let_read: Semaphore,
    let_write: Semaphore,
    hangs: AtomicBool,
    is_away: AtomicBool,
    panics: AtomicBool,
}

impl Network {
    fn new(clock: SharedClock) -> Self {
        Self(Arc::new(Inner {
            store: MemoryStore::with_clock(clock),
            reads: AtomicU32::new(0),
            writes: AtomicU32::new(0),
            let_read: Semaphore::new(0),
            let_write: Semaphore::new(0),
            hangs: AtomicBool::new(false),
            is_away: AtomicBool::new(false),
            panics: AtomicBool::new(false),
        }))
    }

    fn shared(&self) -> Arc<dyn Store> {
        Arc::new(self.clone())
    }

    fn is_away(&self, away: bool) {
        self.0.is_away.store(away, Ordering::SeqCst);
    }

    fn hangs(&self, hangs: bool) {
        self.0.hangs.store(hangs, Ordering::SeqCst);
    }

    fn reads(&self) -> u32 {
        self.0.reads.load(Ordering::SeqCst)
    }

    fn writes(&self) -> u32 {
        self.0.writes.load(Ordering::SeqCst)
    }

    async fn reached(&self, gate: &Semaphore) -> Result<(), StoreError> {
        assert!(!self.0.panics.swap(false, Ordering::SeqCst), "the stand-in panics, as the test asked");
        if self.0.hangs.load(Ordering::SeqCst) {
            gate.acquire().await.unwrap().forget();
        }
        if self.0.is_away.load(Ordering::SeqCst) {
            return Err(StoreError::Unavailable { store: "stand-in", source: Box::new(refused()) });
        }
        Ok(())
    }
}

impl Store for Network {
    fn get<'a>(&'a self, key: &'a str) -> StoreFuture<'a, Option<Entry>> {
        Box::pin(async move {
            self.0.reads.fetch_add(1, Ordering::SeqCst);
            self.reached(&self.0.let_read).await?;
            self.0.store.get(key).await
        })
    }

    fn put<'a>(&'a self, key: &'a str, value: Bytes, content_type: &'a str) -> StoreFuture<'a, u64> {
        Box::pin(async move {
            self.0.writes.fetch_add(1, Ordering::SeqCst);
            self.reached(&self.0.let_write).await?;
            self.0.store.put(key, value, content_type).await
        })
    }

    fn compare_and_set<'a>(&'a self, key: &'a str, expected: Option<u64>, value: Bytes, content_type: &'a str) -> StoreFuture<'a, u64> {
        self.0.store.compare_and_set(key, expected, value, content_type)
    }

    fn delete<'a>(&'a self, key: &'a str) -> StoreFuture<'a, bool> {
        Box::pin(async move {
            self.reached(&self.0.let_write).await?;
            self.0.store.delete(key).await
        })
    }

    fn compare_and_delete<'a>(&'a self, key: &'a str, expected: u64) -> StoreFuture<'a, bool> {
        Box::pin(async move {
            self.reached(&self.0.let_write).await?;
            self.0.store.compare_and_delete(key, expected).await
        })
    }

    fn list<'a>(&'a self, prefix: &'a str) -> StoreFuture<'a, Vec<Listed>> {
        Box::pin(async move {
            self.reached(&self.0.let_write).await?;
            self.0.store.list(prefix).await
        })
    }

    fn watch<'a>(&'a self, prefix: &'a str) -> StoreFuture<'a, Changes> {
        self.0.store.watch(prefix)
    }
}

fn manager(store: Arc<dyn Store>, clock: &DrivenClock) -> RecoveryManager {
    RecoveryManager::builder().clock(clock.shared()).store(store).keep_breakers(false).build().unwrap()
}

fn cache(manager: &RecoveryManager) -> &ResponseCache {
    manager.degradation().cache()
}

async fn ask(manager: &RecoveryManager, answer: Result<u32, io::Error>) -> Result<Recovered<u32>, Error> {
    let mut answer = Some(answer);
    let operation = manager.operation("chat").attempts(1).cache("key").fresh_for(HOUR).stale_for(24 * HOUR);
    operation.run(|_| std::future::ready(answer.take().unwrap_or_else(|| Err(refused())))).await
}

async fn stored(store: &impl Store) -> Vec<String> {
    store.list("cache/").await.unwrap().into_iter().map(|listed| listed.key["cache/".len()..].to_owned()).collect()
}

fn over(store: &Network, clock: &DrivenClock, options: StoredCacheOptions) -> ResponseCache {
    ResponseCache::with_clock(CacheLimits::default(), clock.shared()).over(store.shared(), options)
}

fn later(clock: &DrivenClock, span: Duration) -> DrivenClock {
    let other = DrivenClock::new();
    other.step_wall(clock.wall().duration_since(other.wall()).unwrap() + span);
    other
}

mod after_a_restart {
    use super::*;

    #[tokio::test]
    async fn the_first_equal_request_is_served_from_the_store_with_its_true_age() {
        let clock = DrivenClock::new();
        clock.advance(100 * HOUR);
        let store = Network::new(clock.shared());
        let before = manager(store.shared(), &clock);
        assert_eq!(ask(&before, Ok(1)).await.unwrap().served, Served::Live);
        cache(&before).flush().await;
        drop(before);
        // The machine has just started: its monotonic clock is younger than the answer.
        let clock = later(&clock, seconds(100));
        let after = manager(store.shared(), &clock);
        let answer = ask(&after, Ok(2)).await.unwrap();
        assert_eq!((answer.value, answer.served), (1, Served::Cached { age: seconds(100) }));
        clock.advance(seconds(20));
        assert_eq!(ask(&after, Ok(3)).await.unwrap().served, Served::Cached { age: seconds(120) });
        assert_eq!((store.reads(), cache(&after).counts().loaded), (2, 1), "one for nothing before, one after the restart");
    }

    #[tokio::test]
    async fn an_answer_that_is_not_fresh_any_more_serves_when_the_call_fails() {
        let clock = DrivenClock::new();
        let store = Network::new(clock.shared());
        let before = manager(store.shared(), &clock);
        ask(&before, Ok(1)).await.unwrap();
        cache(&before).flush().await;
        for (age, served) in [(2 * HOUR, true), (24 * HOUR, true), (24 * HOUR + seconds(1), false)] {
            let after = manager(store.shared(), &later(&clock, age));
            let answer = ask(&after, Err(refused())).await;
            assert_eq!(answer.ok().map(|answer| answer.served), served.then_some(Served::Cached { age }));
        }
        let after = manager(store.shared(), &later(&clock, 2 * HOUR));
        assert_eq!(ask(&after, Ok(2)).await.unwrap().value, 2, "a call that succeeds comes first");
    }

    #[tokio::test]
    async fn an_answer_that_may_only_be_served_after_a_failure_is_there_too() {
        let clock = DrivenClock::new();
        let store = Network::new(clock.shared());
        let before = manager(store.shared(), &clock);
        ask(&before, Ok(1)).await.unwrap();
        cache(&before).flush().await;
        let after = manager(store.shared(), &clock);
        let reads = store.reads();
        for _ in 0..3 {
            let operation = after.operation("chat").attempts(1).cache("key").fresh_for(Duration::ZERO).stale_for(HOUR);
            let answer = operation.run(|_| async { Err::<u32, _>(refused()) }).await.unwrap();
            assert_eq!(answer.value, 1);
        }
        assert_eq!(store.reads(), reads + 1, "once it is in memory the store is left alone");
    }

    #[tokio::test]
    async fn of_many_who_ask_the_same_one_asks_the_store() {
        let clock = DrivenClock::new();
        let store = Network::new(clock.shared());
        let before = manager(store.shared(), &clock);
        ask(&before, Ok(1)).await.unwrap();
        cache(&before).flush().await;
        let (after, reads) = (manager(store.shared(), &clock), store.reads());
        store.hangs(true);
        let mut calls: Vec<_> = (0..20).map(|_| Driven::begun(ask(&after, Ok(2)))).collect();
        store.0.let_read.add_permits(20);
        for call in &mut calls {
            let answer = loop {
                if let Some(answer) = call.run() {
                    break answer.unwrap();
                }
                yield_now().await;
            };
            assert_eq!(answer.value, 1);
        }
        assert_eq!(store.reads(), reads + 1);
    }

    #[tokio::test]
    async fn what_another_host_has_cached_since_is_found_where_memory_has_only_an_old_one() {
        let clock = DrivenClock::new();
        let store = Network::new(clock.shared());
        let (one, other) = (manager(store.shared(), &clock), manager(store.shared(), &clock));
        ask(&one, Ok(1)).await.unwrap();
        cache(&one).flush().await;
        clock.advance(2 * HOUR);
        ask(&other, Ok(2)).await.unwrap();
        cache(&other).flush().await;
        let answer = ask(&one, Ok(3)).await.unwrap();
        assert_eq!((answer.value, answer.served), (2, Served::Cached { age: Duration::ZERO }));
    }

    #[tokio::test]
    async fn a_shutdown_writes_cached_answers_to_the_store_first() {
        let clock = DrivenClock::new();
        let store = Network::new(clock.shared());
        let manager = manager(store.shared(), &clock);
        ask(&manager, Ok(1)).await.unwrap();
        cache(&manager).flush().await;
        store.hangs(true);
        cache(&manager).cache_response("last", json!(2));
        let mut shutdown = Driven::begun(manager.shutdown_gracefully(seconds(1)));
        store.0.let_write.add_permits(1);
        while shutdown.run().is_none() {
            yield_now().await;
        }
        assert_eq!(stored(&store.0.store).await, ["key", "last"]);
        cache(&manager).cache_response("for ever", json!(3));
        let mut shutdown = Driven::begun(manager.shutdown_gracefully(seconds(1)));
        assert_eq!(shutdown.ended_after(seconds(1), &clock).still_running, 0, "a store that hangs is not waited for longer");
    }
}

mod dates {
    use super::*;

    struct SetBack(DrivenClock, AtomicU32);

    impl Clock for SetBack {
        fn now(&self) -> Instant {
            self.0.now()
        }
        fn wall(&self) -> SystemTime {
            self.0.wall() - seconds(self.1.load(Ordering::SeqCst).into())
        }
        fn sleep(&self, span: Duration) -> Sleep {
            self.0.sleep(span)
        }
        fn sleep_blocking(&self, span: Duration) {
            self.0.sleep_blocking(span);
        }
    }

    #[tokio::test]
    async fn setting_the_wall_clock_back_makes_nothing_younger() {
        let driven = DrivenClock::new();
        let clock = Arc::new(SetBack(driven.clone(), AtomicU32::new(0)));
        let store = Arc::new(MemoryStore::with_clock(clock.clone()));
        let cached = |limits| ResponseCache::with_clock(limits, clock.clone()).over(store.clone(), StoredCacheOptions::default());
        let forgetful = cached(CacheLimits { max_bytes: 0, ..CacheLimits::default() });
        let cache = cached(CacheLimits::default());
        cache.cache_response("key", json!(1));
        cache.flush().await;
        driven.advance(seconds(100));
        for back in [0, 30, 7200] {
            clock.1.store(back, Ordering::SeqCst);
            assert_eq!(forgetful.load_cached_response("key", HOUR).await.unwrap().age, seconds(100), "back by {back} s");
            assert_eq!(cache.load_cached_response("key", HOUR).await.unwrap().age, seconds(100));
        }
    }

    #[tokio::test]
    async fn the_cache_does_not_serve_a_stored_answer_dated_in_the_future() {
        let ahead = DrivenClock::new();
        ahead.advance(HOUR);
        let store = Network::new(ahead.shared());
        let cache = over(&store, &ahead, StoredCacheOptions::default());
        cache.cache_response("key", json!(1));
        cache.flush().await;
        let behind = over(&store, &DrivenClock::new(), StoredCacheOptions::default());
        assert!(behind.load_cached_response("key", Duration::MAX).await.is_none());
    }
}

mod a_store_that_does_not_answer {
    use super::*;

    #[test]
    fn a_slow_store_delays_a_call_up_to_the_read_limit_and_serves_the_next_call() {
        let clock = DrivenClock::new();
        let store = Network::new(clock.shared());
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let other = over(&store, &clock, StoredCacheOptions::default());
        other.cache_response("key", json!(7));
        runtime.block_on(other.flush());
        let manager = manager(store.shared(), &clock);
        store.hangs(true);
        let called = AtomicBool::new(false);
        let describe = || manager.operation("chat").attempts(1).cache("key").fresh_for(HOUR).stale_for(HOUR);
        let mut call = Driven::begun(describe().run(|_| {
            called.store(true, Ordering::SeqCst);
            async { Err::<u32, _>(refused()) }
        }));
        assert!(call.after(LIMIT - Duration::from_millis(1), &clock).is_none());
        assert!(!called.load(Ordering::SeqCst));
        assert!(call.ended_after(Duration::from_millis(1), &clock).is_err());
        assert!(called.load(Ordering::SeqCst));
        assert_eq!(cache(&manager).counts().failed, 1);
        store.0.let_read.add_permits(1);
        runtime.block_on(async {
            while cache(&manager).counts().loaded == 0 {
                yield_now().await;
            }
        });
        let reads = store.reads();
        let next = runtime.block_on(describe().run(|_| async { Ok::<u32, io::Error>(8) })).unwrap();
        assert_eq!((next.value, store.reads()), (7, reads), "from memory");
    }

    #[test]
    fn a_slow_store_does_not_delay_a_call_beyond_its_deadline() {
        let clock = DrivenClock::new();
        let store = Network::new(clock.shared());
        let manager = manager(store.shared(), &clock);
        store.hangs(true);
        let operation =
            manager.operation("chat").attempts(1).deadline(Duration::from_millis(10)).cache("key").fresh_for(HOUR).stale_for(HOUR);
        let mut call = Driven::begun(operation.run(|_| std::future::pending::<Result<u32, io::Error>>()));
        assert!(call.ended_after(Duration::from_millis(10), &clock).is_err());
    }

    #[tokio::test]
    async fn a_hanging_store_blocks_no_caller_and_its_write_queue_is_bounded() {
        let clock = DrivenClock::new();
        let store = Network::new(clock.shared());
        let cache = over(&store, &clock, StoredCacheOptions { max_waiting: 3, ..StoredCacheOptions::default() });
        store.hangs(true);
        cache.cache_response("first", json!(0));
        while store.writes() == 0 {
            yield_now().await;
        }
        for number in 0..10 {
            cache.cache_response(number.to_string(), json!(number));
        }
        cache.cache_response("9", json!("again"));
        let counts = cache.counts();
        assert_eq!((counts.dropped, counts.coalesced, counts.written, counts.failed), (7, 1, 0, 0));
        store.hangs(false);
        store.0.let_write.add_permits(1);
        cache.flush().await;
        assert_eq!(stored(&store.0.store).await, ["7", "8", "9", "first"]);
        assert_eq!(store.0.store.get("cache/9").await.unwrap().unwrap().value, "\"again\"");
        assert_eq!(cache.counts().written, 4);
    }

    #[test]
    fn a_hanging_store_gets_at_most_64_reads_at_once() {
        let clock = DrivenClock::new();
        let store = Network::new(clock.shared());
        let cache = over(&store, &clock, StoredCacheOptions::default());
        store.hangs(true);
        let keys: Vec<_> = (0..65).map(|number| number.to_string()).collect();
        let reads: Vec<_> = keys[..64].iter().map(|key| Driven::begun(cache.load_cached_response(key, HOUR))).collect();
        assert_eq!(Driven::new(cache.load_cached_response(&keys[64], HOUR)).poll(), Some(None), "there is no room to wait");
        assert_eq!(cache.counts().failed, 1);
        drop(reads);
    }

    #[tokio::test]
    async fn a_hanging_write_to_the_store_is_given_up_after_ten_seconds() {
        let clock = DrivenClock::new();
        let store = Network::new(clock.shared());
        let cache = over(&store, &clock, StoredCacheOptions::default());
        store.hangs(true);
        cache.cache_response("a", json!(1));
        cache.cache_response("b", json!(2));
        while cache.counts().failed < 2 {
            clock.advance(seconds(10));
            yield_now().await;
        }
        cache.flush().await;
        assert_eq!((store.writes(), cache.counts().written), (2, 0));
    }

    #[tokio::test]
    async fn the_cache_serves_a_queued_response_without_asking_the_store() {
        let clock = DrivenClock::new();
        let store = Network::new(clock.shared());
        let one = CacheLimits { max_entries: 1, ..CacheLimits::default() };
        let cache = ResponseCache::with_clock(one, clock.shared()).over(store.shared(), StoredCacheOptions::default());
        cache.cache_response("a", json!("old"));
        cache.flush().await;
        store.hangs(true);
        cache.cache_response("a", json!("new"));
        cache.cache_response("b", json!(1));
        assert!(cache.cached_response("a", HOUR).is_none(), "memory has room for one");
        let found = Driven::new(cache.load_cached_response("a", HOUR)).poll().unwrap().unwrap();
        assert_eq!((&*found.value, store.reads()), (&json!("new"), 0));
    }
}

mod a_store_that_fails {
    use super::*;

    #[tokio::test]
    async fn a_failing_store_fails_no_call_and_is_counted() {
        let clock = DrivenClock::new();
        let store = Network::new(clock.shared());
        store.is_away(true);
        let manager = manager(store.shared(), &clock);
        assert_eq!(ask(&manager, Ok(1)).await.unwrap().served, Served::Live);
        cache(&manager).flush().await;
        assert_eq!(cache(&manager).counts().failed, 2, "a read and a write");
        assert_eq!(ask(&manager, Ok(2)).await.unwrap().served, Served::Cached { age: Duration::ZERO }, "from memory");
        store.is_away(false);
        cache(&manager).cache_response("other", json!(1));
        cache(&manager).flush().await;
        assert_eq!(stored(&store.0.store).await, ["other"]);
    }

    #[tokio::test]
    async fn a_store_that_panicked_is_used_again_at_the_next_write() {
        let clock = DrivenClock::new();
        let store = Network::new(clock.shared());
        let cache = over(&store, &clock, StoredCacheOptions::default());
        store.0.panics.store(true, Ordering::SeqCst);
        cache.cache_response("a", json!(1));
        cache.flush().await;
        cache.cache_response("b", json!(2));
        cache.flush().await;
        assert_eq!(stored(&store.0.store).await, ["b"]);
    }

    #[tokio::test]
    async fn a_response_damaged_in_the_store_is_not_served() {
        let clock = DrivenClock::new();
        let store = Network::new(clock.shared());
        let cache = over(&store, &clock, StoredCacheOptions::default());
        cache.cache_response("key", json!("right"));
        cache.flush().await;
        let entry = store.0.store.get("cache/key").await.unwrap().unwrap();
        store.0.store.put("cache/key", "\"wrong\"".into(), &entry.content_type).await.unwrap();
        let other = over(&store, &clock, StoredCacheOptions::default());
        assert!(other.load_cached_response("key", HOUR).await.is_none());
        assert_eq!(other.counts().failed, 1);
    }
}

mod limits {
    use super::*;

    fn limited(limits: CacheLimits) -> (ResponseCache, Network, DrivenClock) {
        let clock = DrivenClock::new();
        let store = Network::new(clock.shared());
        let cache = over(&store, &clock, StoredCacheOptions { limits, ..StoredCacheOptions::default() });
        (cache, store, clock)
    }

    async fn bytes(store: &Network) -> usize {
        let mut bytes = 0;
        for listed in store.0.store.list("cache/").await.unwrap() {
            bytes += listed.key.len() + store.0.store.get(&listed.key).await.unwrap().unwrap().value.len();
        }
        bytes
    }

    #[tokio::test]
    async fn the_store_stays_within_its_bytes_and_keeps_the_latest() {
        let (cache, store, clock) = limited(CacheLimits { max_bytes: 10_000, ..CacheLimits::default() });
        for number in 0..100 {
            cache.cache_response(format!("key {number:03}"), json!("x".repeat(500)));
            clock.advance(seconds(1));
            cache.flush().await;
            let bytes = bytes(&store).await;
            assert!(bytes <= 10_000 + 10_000 / 8, "{bytes} after {number}");
        }
        let stored = stored(&store.0.store).await;
        assert!(stored.len() >= 15 && stored[0] > format!("key {:03}", 99 - stored.len()), "{stored:?}");
        assert_eq!((stored.last().unwrap().as_str(), store.reads()), ("key 099", 0), "it knows what it wrote itself");
        assert_eq!(cache.counts().removed, 100 - stored.len() as u64);
    }

    #[tokio::test]
    async fn responses_of_an_earlier_process_count_towards_the_stores_byte_limit() {
        let (cache, store, clock) = limited(CacheLimits::default());
        for number in 0..10 {
            cache.cache_response(number.to_string(), json!("x".repeat(1000)));
            cache.flush().await;
            clock.advance(seconds(1));
        }
        let options = StoredCacheOptions { limits: CacheLimits { max_bytes: 3500, ..CacheLimits::default() }, ..Default::default() };
        let next = over(&store, &clock, options);
        next.cache_response("new", json!(1));
        next.flush().await;
        assert_eq!(stored(&store.0.store).await, ["7", "8", "9", "new"]);
        assert_eq!(store.reads(), 4, "the fourth is the first that is too much");
    }

    #[tokio::test]
    async fn the_store_stays_within_its_entries() {
        let (cache, store, _) = limited(CacheLimits { max_entries: 8, ..CacheLimits::default() });
        for number in 0..40 {
            cache.cache_response(format!("{number:02}"), json!(number));
            cache.flush().await;
            assert!(stored(&store.0.store).await.len() <= 9);
        }
        assert!(stored(&store.0.store).await.contains(&"39".to_owned()));
    }

    #[tokio::test]
    async fn the_cache_removes_only_its_own_expired_responses_from_the_store_without_reading_them() {
        let (cache, store, clock) = limited(CacheLimits { max_age: Some(HOUR), ..CacheLimits::default() });
        store.0.store.put("checkpoint/x", "1".into(), "application/json").await.unwrap();
        cache.cache_response("old", json!(1));
        cache.flush().await;
        clock.advance(HOUR);
        cache.cache_response("young", json!(1));
        cache.flush().await;
        assert_eq!(stored(&store.0.store).await, ["old", "young"], "as old as it may be");
        clock.advance(HOUR / 8);
        cache.cache_response("new", json!(1));
        cache.flush().await;
        assert_eq!(stored(&store.0.store).await, ["new", "young"]);
        assert!(store.0.store.get("checkpoint/x").await.unwrap().is_some());
    }

    #[tokio::test]
    async fn a_response_that_is_too_large_does_not_leave_the_one_before_in_its_place() {
        let limits = CacheLimits { max_bytes: 1000, ..CacheLimits::default() };
        let waiting = StoredCacheOptions { max_waiting_bytes: 1000, ..StoredCacheOptions::default() };
        for options in [StoredCacheOptions { limits, ..StoredCacheOptions::default() }, waiting] {
            let clock = DrivenClock::new();
            let store = Network::new(clock.shared());
            let cache = over(&store, &clock, options);
            cache.cache_response("a", json!("small"));
            cache.flush().await;
            cache.cache_response("a", json!("x".repeat(1001)));
            cache.flush().await;
            assert!(stored(&store.0.store).await.is_empty());
            assert_eq!(cache.counts().dropped, 1);
        }
        let clock = DrivenClock::new();
        let store = Network::new(clock.shared());
        let cache = ResponseCache::with_clock(limits, clock.shared()).over(store.shared(), StoredCacheOptions::default());
        cache.cache_response("a", json!("small"));
        cache.cache_response("a", json!("x".repeat(1001)));
        cache.flush().await;
        assert!(cache.load_cached_response("a", HOUR).await.is_none(), "nor what memory has no room for");
    }

    #[tokio::test]
    async fn what_memory_has_no_room_for_is_served_from_the_store() {
        let (cache, store, clock) = limited(CacheLimits::default());
        cache.cache_response("a", json!("x".repeat(2000)));
        cache.flush().await;
        let small = CacheLimits { max_bytes: 1000, ..CacheLimits::default() };
        let small = ResponseCache::with_clock(small, clock.shared()).over(store.shared(), StoredCacheOptions::default());
        assert!(small.load_cached_response("a", HOUR).await.is_some());
        assert!(small.is_empty());
    }

    #[tokio::test]
    async fn long_keys_are_kept_apart() {
        let (cache, store, clock) = limited(CacheLimits::default());
        let keys = ["x".repeat(5000), "x".repeat(5001)];
        for (number, key) in keys.iter().enumerate() {
            cache.cache_response(key, json!(number));
        }
        cache.flush().await;
        let other = over(&store, &clock, StoredCacheOptions::default());
        for (number, key) in keys.iter().enumerate() {
            assert_eq!(*other.load_cached_response(key, HOUR).await.unwrap().value, json!(number));
        }
    }
}

mod clearing {
    use super::*;

    #[tokio::test]
    async fn clearing_the_cache_clears_its_store_and_keeps_later_responses() {
        let clock = DrivenClock::new();
        let store = Network::new(clock.shared());
        store.0.store.put("checkpoint/x", "1".into(), "application/json").await.unwrap();
        let cache = over(&store, &clock, StoredCacheOptions::default());
        for number in 0..20 {
            cache.cache_response(number.to_string(), json!(number));
        }
        cache.clear_cache();
        cache.cache_response("new", json!(1));
        assert!(cache.load_cached_response("7", HOUR).await.is_none());
        cache.flush().await;
        assert_eq!(stored(&store.0.store).await, ["new"]);
        assert!(store.0.store.get("checkpoint/x").await.unwrap().is_some());
    }

    #[tokio::test]
    async fn cleared_responses_are_not_served_while_the_store_still_has_them() {
        let clock = DrivenClock::new();
        let store = Network::new(clock.shared());
        let cache = over(&store, &clock, StoredCacheOptions::default());
        cache.cache_response("old", json!(1));
        cache.flush().await;
        store.is_away(true);
        cache.clear_cache();
        cache.flush().await;
        store.is_away(false);
        assert!(cache.load_cached_response("old", HOUR).await.is_none());
        cache.cache_response("new", json!(1));
        cache.flush().await;
        assert_eq!(stored(&store.0.store).await, ["new"], "the next write clears it first");
    }

    #[tokio::test]
    async fn clearing_the_cache_discards_a_read_from_the_store_in_progress() {
        let clock = DrivenClock::new();
        let store = Network::new(clock.shared());
        let cache = over(&store, &clock, StoredCacheOptions::default());
        let other = over(&store, &clock, StoredCacheOptions::default());
        other.cache_response("key", json!(1));
        other.flush().await;
        store.hangs(true);
        let mut reading = Driven::begun(cache.load_cached_response("key", HOUR));
        store.hangs(false);
        cache.clear_cache();
        cache.flush().await;
        other.cache_response("key", json!(1));
        other.flush().await;
        store.0.let_read.add_permits(1);
        let found = loop {
            if let Some(found) = reading.run() {
                break found;
            }
            yield_now().await;
        };
        assert!(found.is_none() && cache.is_empty());
    }
}

mod a_manager {
    use super::*;

    #[tokio::test]
    async fn a_manager_reads_its_store_only_for_cached_operations_missing_in_memory() {
        let clock = DrivenClock::new();
        let store = Network::new(clock.shared());
        let manager = manager(store.shared(), &clock);
        manager.operation("chat").run(|_| async { Ok::<_, io::Error>(1) }).await.unwrap();
        assert_eq!((store.reads(), store.writes()), (0, 0));
        ask(&manager, Ok(1)).await.unwrap();
        for _ in 0..10 {
            ask(&manager, Ok(2)).await.unwrap();
        }
        cache(&manager).flush().await;
        assert_eq!((store.reads(), store.writes()), (1, 1));
    }

    #[tokio::test]
    async fn a_manager_stores_its_cache_only_with_a_state_and_unless_switched_off() {
        let clock = DrivenClock::new();
        let store = Network::new(clock.shared());
        let builder = || RecoveryManager::builder().clock(clock.shared()).keep_breakers(false);
        let managers = [
            (builder(), 0),
            (builder().state(StateAddress::Memory), 0),
            (builder().store(store.shared()).cache_in_store(None), 0),
            (builder().store(store.shared()), 1),
            (builder().store(store.shared()).cache_in_store(StoredCacheOptions::default()), 1),
        ];
        for (index, (builder, written)) in managers.into_iter().enumerate() {
            let manager = builder.build().unwrap();
            manager.degradation().cache().cache_response(index.to_string(), json!(1));
            cache(&manager).flush().await;
            assert_eq!(cache(&manager).counts().written, written, "{index}");
        }
    }

    #[tokio::test]
    async fn a_manager_stores_cached_answers_as_plain_json() {
        let clock = DrivenClock::new();
        let store = Network::new(clock.shared());
        let manager = manager(store.shared(), &clock);
        ask(&manager, Ok(42)).await.unwrap();
        cache(&manager).flush().await;
        let entry = store.0.store.get("cache/key").await.unwrap().unwrap();
        assert_eq!(serde_json::from_slice::<Value>(&entry.value).unwrap(), json!(42));
        assert!(entry.content_type.starts_with("application/json;cached=315360000000;"), "{}", entry.content_type);
    }
}

mod digests {
    use super::*;

    fn pulled(digest: &str) -> Model {
        Model { digest: digest.repeat(64), ..Model::from("qwen3:8b") }
    }

    #[tokio::test]
    async fn a_model_that_was_pulled_again_does_not_get_the_answers_of_the_one_before() {
        let server = FaultServer::start().await.unwrap();
        let client = OllamaClient::new(server.url().parse().unwrap()).unwrap();
        let digests = ModelDigests::new(client, ResponseCache::default()).fresh(Duration::ZERO);
        let mut keys = Vec::new();
        for digest in ["0", "1", "0"] {
            server.set_models([pulled(digest)]);
            keys.push(digests.cache_key("Qwen3:8B", &json!({ "prompt": "hi" })).await);
        }
        assert!(keys[0] != keys[1] && keys[0] == keys[2], "{keys:?}");
        server.set_models::<Model>([]);
        assert_eq!(digests.digest("qwen3:8b").await, None);
    }

    #[tokio::test]
    async fn an_unavailable_server_has_the_digest_that_it_last_gave_an_earlier_process() {
        let clock = DrivenClock::new();
        let store = Network::new(clock.shared());
        let server = FaultServer::start().await.unwrap();
        server.set_models([pulled("a")]);
        let client = OllamaClient::new(server.url().parse().unwrap()).unwrap();
        let cache = over(&store, &clock, StoredCacheOptions::default());
        let digests = ModelDigests::new(client.clone(), cache.clone());
        assert_eq!(digests.digest("qwen3:8b").await, Some("a".repeat(64)));
        server.set_models([pulled("b")]);
        assert_eq!(digests.digest("qwen3:8b").await, Some("a".repeat(64)), "it was asked a moment ago");
        clock.advance(seconds(11));
        assert_eq!(digests.digest("qwen3:8b").await, Some("b".repeat(64)));
        cache.flush().await;
        server.shutdown().await;
        let after = ModelDigests::new(client, over(&store, &later(&clock, HOUR), StoredCacheOptions::default()));
        assert_eq!(after.digest("qwen3").await, None, "another model");
        assert_eq!(after.digest("qwen3:8b").await, Some("b".repeat(64)));
    }
}
