//! Caches responses, bounded in bytes, entries and age. Each reader says how old a response may be; reading a fresh one
//! evicts nothing that others accept.

use super::limits::{CacheLimits, size};
use super::write_behind::{CacheCounts, StoredCacheOptions, WriteBehind};
use crate::store::Store;
use moka::ops::compute::Op;
use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use serde_json::Value;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use upright_core::clock::{Instant, SharedClock, SystemClock, between, nanoseconds};

/// A cached response. The value is shared, not copied.
#[derive(Clone, Debug, PartialEq)]
pub struct CachedResponse {
    /// The response.
    pub value: Arc<Value>,
    /// Time since it was cached.
    pub age: Duration,
}

#[derive(Clone)]
pub(super) struct Kept {
    pub(super) value: Arc<Value>,
    pub(super) cached: Instant,
    /// Age at that moment; the clock may have begun later.
    pub(super) older: Duration,
    pub(super) bytes: u64,
}

impl Kept {
    pub(super) fn age(&self, now: Instant) -> Duration {
        self.older.saturating_add(between(self.cached, now))
    }
}

/// A cache of responses that evicts the least recently used. Clones share it.
#[derive(Clone)]
pub struct ResponseCache {
    entries: Cache<String, Kept>,
    limits: CacheLimits,
    clock: SharedClock,
    swept: Arc<AtomicU64>,
    write_behind: Option<Arc<WriteBehind>>,
}

impl Default for ResponseCache {
    fn default() -> Self {
        Self::new(CacheLimits::default())
    }
}

impl std::fmt::Debug for ResponseCache {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "ResponseCache({:?})", self.limits)
    }
}

impl ResponseCache {
    /// An empty cache within these limits.
    pub fn new(limits: CacheLimits) -> Self {
        Self::with_clock(limits, SystemClock::shared())
    }

    /// An empty cache within these limits, whose ages follow this clock.
    pub fn with_clock(limits: CacheLimits, clock: SharedClock) -> Self {
        let share = limits.share();
        let entries = Cache::builder()
            .max_capacity(limits.bytes())
            .weigher(move |_: &String, kept: &Kept| u32::try_from(kept.bytes.max(share)).unwrap_or(u32::MAX))
            // The default policy would refuse new entries in favour of those used more often.
            .eviction_policy(EvictionPolicy::lru())
            .build();
        let swept = Arc::new(AtomicU64::new(clock.now()));
        Self { entries, limits, clock, swept, write_behind: None }
    }

    /// Also keeps responses in this store, so that they outlive the process and are shared. Callers do not wait for
    /// writes or notice failures ([`ResponseCache::counts`]).
    ///
    /// Responses are JSON under `cache/`. Their age is the greater one by the writer's date and by the store's; dates
    /// more than 10 s ahead are not served. Setting the wall clock back makes nothing younger while this cache exists.
    ///
    /// Earlier clones stay without the store.
    #[must_use]
    pub fn over(self, store: Arc<dyn Store>, options: StoredCacheOptions) -> Self {
        let write_behind = WriteBehind::new(store, options, Arc::clone(&self.clock));
        Self { write_behind: Some(Arc::new(write_behind)), ..self }
    }

    /// Replaces the response under the key. Does not keep one larger than the whole cache.
    pub fn cache_response(&self, key: impl Into<String>, value: Value) {
        self.cache_shared(key.into(), Arc::new(value));
    }

    pub(crate) fn cache_shared(&self, key: String, value: Arc<Value>) {
        let bytes = size(&value).saturating_add(size_of::<Kept>() + key.len()) as u64;
        let kept = Kept { value, cached: self.clock.now(), older: Duration::ZERO, bytes };
        if !self.fits(&kept) {
            // The old response is no longer the latest.
            self.entries.invalidate(&key);
            if let Some(write_behind) = &self.write_behind {
                write_behind.remove(&key);
            }
            return;
        }
        if let Some(write_behind) = &self.write_behind {
            write_behind.write(&key, kept.clone());
        }
        self.entries.insert(key, kept);
        // Evicts now: large values would exceed the bound until later.
        self.entries.run_pending_tasks();
        self.sweep_now_and_then();
    }

    /// Returns the response from memory if not older than `max_age`.
    pub fn cached_response(&self, key: &str, max_age: Duration) -> Option<CachedResponse> {
        let kept = self.entries.get(key)?;
        let age = kept.age(self.clock.now());
        if self.limits.expired(age) {
            self.remove_if_expired(key);
            return None;
        }
        (age <= max_age).then_some(CachedResponse { value: kept.value, age })
    }

    /// Returns the response from memory or else from the store, if not older than `max_age`. Waits at most
    /// [`StoredCacheOptions::read_limit`].
    pub async fn load_cached_response(&self, key: &str, max_age: Duration) -> Option<CachedResponse> {
        self.load_within(key, max_age, Duration::MAX).await
    }

    pub(crate) async fn load_within(&self, key: &str, max_age: Duration, limit: Duration) -> Option<CachedResponse> {
        if let Some(found) = self.cached_response(key, max_age) {
            return Some(found);
        }
        let write_behind = self.write_behind.as_ref()?;
        let kept = write_behind.read(self, key, limit.min(write_behind.read_limit())).await?;
        let age = kept.age(self.clock.now());
        (age <= max_age && !self.limits.expired(age)).then_some(CachedResponse { value: kept.value, age })
    }

    pub(super) fn keep_loaded(&self, key: &str, kept: Kept) -> Kept {
        if !self.fits(&kept) {
            return kept;
        }
        let now = self.clock.now();
        let mut younger = None;
        self.entries.entry_by_ref(key).and_compute_with(|entry| match entry {
            Some(entry) if entry.value().age(now) <= kept.age(now) => {
                younger = Some(entry.into_value());
                Op::Nop
            }
            _ => Op::Put(kept.clone()),
        });
        self.entries.run_pending_tasks();
        younger.unwrap_or(kept)
    }

    fn fits(&self, kept: &Kept) -> bool {
        kept.bytes.max(self.limits.share()) <= self.limits.bytes()
    }

    /// Counters of the store behind this cache.
    pub fn counts(&self) -> CacheCounts {
        self.write_behind.as_ref().map(|write_behind| write_behind.counts()).unwrap_or_default()
    }

    /// Waits until each queued response is stored or refused. Give it a time limit: the store may hang.
    pub async fn flush(&self) {
        if let Some(write_behind) = &self.write_behind {
            write_behind.flush().await;
        }
    }

    /// Drops responses older than `max_age` of the limits, as caching does from time to time.
    fn remove_expired(&self) {
        let now = self.clock.now();
        self.swept.store(now, Ordering::Relaxed);
        for (key, kept) in &self.entries {
            if self.limits.expired(kept.age(now)) {
                self.remove_if_expired(&key);
            }
        }
        self.entries.run_pending_tasks();
    }

    /// Drops all responses here and in the store, but not in other processes' memory.
    pub fn clear_cache(&self) {
        // First, so that a read in progress lands before the loop below or not at all.
        if let Some(write_behind) = &self.write_behind {
            write_behind.clear();
        }
        // `invalidate_all` uses the cache's own clock.
        for (key, _) in &self.entries {
            self.entries.invalidate(&*key);
        }
        self.entries.run_pending_tasks();
    }

    pub(super) fn clock(&self) -> &SharedClock {
        &self.clock
    }

    /// Number of responses in memory.
    pub fn len(&self) -> usize {
        self.entries.iter().count()
    }

    /// Whether memory holds no response.
    pub fn is_empty(&self) -> bool {
        self.entries.iter().next().is_none()
    }

    /// Bytes of the responses in memory, with their keys.
    pub fn size_bytes(&self) -> u64 {
        self.entries.iter().map(|(_, kept)| kept.bytes).sum()
    }

    fn remove_if_expired(&self, key: &str) {
        self.entries.entry_by_ref(key).and_compute_with(|entry| {
            let age = entry.map(|entry| entry.value().age(self.clock.now()));
            if age.is_some_and(|age| self.limits.expired(age)) { Op::Remove } else { Op::Nop }
        });
    }

    /// At most once in an eighth of the maximum age: a sweep looks at every entry.
    fn sweep_now_and_then(&self) {
        let Some(max_age) = self.limits.max_age else { return };
        let swept = self.swept.load(Ordering::Relaxed);
        let now = self.clock.now();
        let due = now.saturating_sub(swept) > nanoseconds(max_age) / 8;
        if due && self.swept.compare_exchange(swept, now, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            self.remove_expired();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::DrivenClock;
    use serde_json::json;

    const HOUR: Duration = Duration::from_secs(3600);

    fn cache(limits: CacheLimits) -> (ResponseCache, DrivenClock) {
        let clock = DrivenClock::new();
        (ResponseCache::with_clock(limits, clock.shared()), clock)
    }

    fn with_age(max_age: Duration) -> (ResponseCache, DrivenClock) {
        cache(CacheLimits { max_age: Some(max_age), ..CacheLimits::default() })
    }

    fn value(cache: &ResponseCache, key: &str, max_age: Duration) -> Option<Value> {
        cache.cached_response(key, max_age).map(|cached| Value::clone(&cached.value))
    }

    #[test]
    fn a_response_is_served_with_its_age_up_to_what_the_reader_allows() {
        let (cache, clock) = cache(CacheLimits::default());
        cache.cache_response("a", json!([1, 2]));
        clock.advance(HOUR);
        let cached = cache.cached_response("a", HOUR).unwrap();
        assert_eq!((cached.age, &*cached.value), (HOUR, &json!([1, 2])));
        clock.advance(Duration::from_nanos(1));
        assert!(cache.cached_response("a", HOUR).is_none());
        assert!(cache.cached_response("b", HOUR).is_none());
    }

    #[test]
    fn a_reader_with_a_short_max_age_evicts_for_nobody() {
        let (cache, clock) = cache(CacheLimits::default());
        cache.cache_response("a", json!(1));
        clock.advance(Duration::from_secs(60));
        assert_eq!(value(&cache, "a", Duration::from_secs(1)), None);
        assert_eq!(value(&cache, "a", HOUR), Some(json!(1)));
    }

    #[test]
    fn a_cached_null_is_a_hit() {
        let (cache, _) = cache(CacheLimits::default());
        cache.cache_response("a", Value::Null);
        assert_eq!(value(&cache, "a", HOUR), Some(Value::Null));
    }

    #[test]
    fn the_cache_stays_within_its_bytes_and_keeps_the_latest() {
        let (cache, _) = cache(CacheLimits { max_bytes: 100_000, ..CacheLimits::default() });
        for number in 0..500 {
            cache.cache_response(format!("key {number}"), json!("x".repeat(1000)));
            assert!(cache.size_bytes() <= 100_000, "{} after {number}", cache.size_bytes());
        }
        assert!(cache.len() > 80, "{}", cache.len());
        assert!(value(&cache, "key 499", HOUR).is_some());
        assert!(value(&cache, "key 0", HOUR).is_none());
    }

    #[test]
    fn the_cache_stays_within_its_entries() {
        let (cache, _) = cache(CacheLimits { max_entries: 10, ..CacheLimits::default() });
        for number in 0..100 {
            cache.cache_response(number.to_string(), json!(number));
            assert!(cache.len() <= 10);
        }
        assert!(cache.len() >= 9);
        assert_eq!(value(&cache, "99", HOUR), Some(json!(99)));
    }

    #[test]
    fn the_cache_evicts_the_least_recently_used_response() {
        let (cache, _) = cache(CacheLimits { max_entries: 8, ..CacheLimits::default() });
        cache.cache_response("used", json!(1));
        for number in 0..50 {
            cache.cache_response(number.to_string(), json!(number));
            assert!(value(&cache, "used", HOUR).is_some(), "gone after {number}");
        }
    }

    #[test]
    fn a_value_larger_than_the_cache_is_not_kept_and_does_not_leave_the_one_before_in_its_place() {
        let (cache, _) = cache(CacheLimits { max_bytes: 1000, ..CacheLimits::default() });
        cache.cache_response("a", json!("old"));
        cache.cache_response("b", json!("other"));
        cache.cache_response("a", json!("x".repeat(1001)));
        assert_eq!(value(&cache, "a", HOUR), None);
        assert_eq!(value(&cache, "b", HOUR), Some(json!("other")));
    }

    #[test]
    fn a_cache_without_room_keeps_nothing() {
        for limits in [CacheLimits { max_bytes: 0, ..CacheLimits::default() }, CacheLimits { max_entries: 0, ..CacheLimits::default() }] {
            let (cache, _) = cache(limits);
            cache.cache_response("a", json!(1));
            assert!(cache.is_empty());
        }
    }

    #[test]
    fn expired_entries_are_dropped_without_being_read() {
        let (cache, clock) = with_age(HOUR);
        for number in 0..100 {
            cache.cache_response(number.to_string(), json!(number));
        }
        clock.advance(HOUR * 2);
        assert_eq!(cache.len(), 100);
        cache.cache_response("new", json!(1));
        assert_eq!(cache.len(), 1);
    }

    #[test]
    fn expired_entries_can_be_removed_at_any_time() {
        let (cache, clock) = with_age(HOUR);
        cache.cache_response("old", json!(1));
        clock.advance(HOUR / 2);
        cache.cache_response("new", json!(2));
        clock.advance(HOUR / 2 + Duration::from_secs(1));
        cache.remove_expired();
        assert_eq!((cache.len(), value(&cache, "new", HOUR)), (1, Some(json!(2))));
    }

    #[test]
    fn an_expired_entry_is_no_hit_however_old_a_one_the_reader_takes() {
        let (cache, clock) = with_age(HOUR);
        cache.cache_response("a", json!(1));
        clock.advance(HOUR + Duration::from_secs(1));
        assert_eq!(value(&cache, "a", Duration::MAX), None);
        assert!(cache.is_empty(), "the reader's hit dropped it");
    }

    #[test]
    fn caching_a_response_again_resets_its_age() {
        let (cache, clock) = with_age(HOUR);
        cache.cache_response("a", json!(1));
        clock.advance(HOUR);
        cache.cache_response("a", json!(2));
        clock.advance(HOUR);
        assert_eq!(value(&cache, "a", HOUR), Some(json!(2)));
    }

    #[test]
    fn clearing_drops_everything_and_the_cache_goes_on() {
        let (cache, _) = cache(CacheLimits::default());
        for number in 0..50 {
            cache.cache_response(number.to_string(), json!(number));
        }
        cache.clear_cache();
        assert!(cache.is_empty());
        assert_eq!((cache.size_bytes(), value(&cache, "7", HOUR)), (0, None));
        cache.cache_response("7", json!(7));
        assert_eq!(value(&cache, "7", HOUR), Some(json!(7)));
    }

    #[test]
    fn hits_share_the_value_and_nobody_can_change_it_for_others() {
        let (cache, _) = cache(CacheLimits::default());
        cache.cache_response("a", json!({ "list": [1] }));
        let (one, mut other) = (cache.cached_response("a", HOUR).unwrap(), cache.cached_response("a", HOUR).unwrap());
        assert!(Arc::ptr_eq(&one.value, &other.value));
        Arc::make_mut(&mut other.value)["list"] = json!("changed");
        assert_eq!(value(&cache, "a", HOUR), Some(json!({ "list": [1] })));
    }

    #[test]
    fn threads_may_cache_read_clear_and_sweep_at_once() {
        let clock = DrivenClock::new();
        let limits = CacheLimits { max_bytes: 20_000, max_entries: 50, max_age: Some(Duration::from_millis(10)) };
        let cache = ResponseCache::with_clock(limits, clock.shared());
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let (cache, clock) = (&cache, &clock);
                scope.spawn(move || {
                    for round in 0..500 {
                        let key = (round % 97).to_string();
                        cache.cache_response(key.clone(), json!([key, "x".repeat(round)]));
                        if let Some(cached) = cache.cached_response(&key, HOUR) {
                            assert_eq!(cached.value[0], json!(key));
                        }
                        clock.advance(Duration::from_micros(100));
                        match (thread, round % 50) {
                            (0, 49) => cache.clear_cache(),
                            (1, 49) => cache.remove_expired(),
                            _ => {}
                        }
                    }
                });
            }
        });
        cache.remove_expired();
        assert!(cache.len() <= 50 && cache.size_bytes() <= 20_000);
    }
}
