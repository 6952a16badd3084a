//! Names a stored response and computes its age by wall clocks, which jump and differ between hosts. Doubts count as
//! the greater age: a needless call costs little, a stale response may be wrong.

use crate::store::Entry;
use sha2::{Digest, Sha256};
use std::fmt::Write;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use upright_core::clock::{Instant, SharedClock, between, unix_milliseconds};
use upright_core::store::seal::Seal;

pub(super) const PREFIX: &str = "cache/";
const LONGEST_TEXT: usize = 200;
/// Keys that begin with it are stored by digest too, so that no text passes for one.
const DIGEST: &str = "sha256:";
/// Maximum clock difference of hosts that share a store.
const SKEW: Duration = Duration::from_secs(10);

const CACHED: &str = "cached";

pub(super) fn stored_key(key: &str) -> String {
    if key.len() <= LONGEST_TEXT && !key.starts_with(DIGEST) {
        return format!("{PREFIX}{key}");
    }
    Sha256::digest(key).iter().fold(format!("{PREFIX}{DIGEST}"), |mut stored, byte| {
        // Writing to a string cannot fail.
        let _ = write!(stored, "{byte:02x}");
        stored
    })
}

/// Content type of a stored response: `application/json;cached=1732550000000;crc32=1c291ca3`, see [`Seal`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Label {
    /// Its number is the writer's wall clock, in milliseconds since 1970.
    seal: Seal,
}

impl Label {
    pub(super) fn of(cached: SystemTime, json: &[u8]) -> Self {
        Self { seal: Seal::of(unix_milliseconds(cached), json) }
    }

    pub(super) fn content_type(self) -> String {
        self.seal.content_type(CACHED)
    }

    pub(super) fn read(entry: &Entry) -> Option<Self> {
        let seal = Seal::read(&entry.content_type, CACHED)?;
        seal.broken_by(&entry.value).is_none().then_some(Self { seal })
    }

    /// The greater age by the writer's and the store's date. `None` if both are more than [`SKEW`] ahead.
    pub(super) fn age(self, modified: SystemTime, now: SystemTime) -> Option<Duration> {
        let cached = UNIX_EPOCH.checked_add(Duration::from_millis(self.seal.number));
        [cached, Some(modified)].into_iter().flatten().filter_map(|date| age(date, now)).max()
    }
}

fn age(date: SystemTime, now: SystemTime) -> Option<Duration> {
    match now.duration_since(date) {
        Ok(age) => Some(age),
        Err(ahead) => (ahead.duration() <= SKEW).then_some(Duration::ZERO),
    }
}

/// Wall clock that never lags the time passed since its start: setting it back makes nothing younger.
pub(super) struct Calendar {
    clock: SharedClock,
    began: (SystemTime, Instant),
}

impl Calendar {
    pub(super) fn new(clock: SharedClock) -> Self {
        let began = (clock.wall(), clock.now());
        Self { clock, began }
    }

    pub(super) fn now(&self) -> SystemTime {
        let (wall, instant) = self.began;
        let passed = wall.checked_add(between(instant, self.clock.now()));
        passed.map_or(self.clock.wall(), |passed| passed.max(self.clock.wall()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::KEY_LIMIT;
    use crate::testing::DrivenClock;
    use std::collections::BTreeSet;

    const HOUR: Duration = Duration::from_secs(3600);

    fn entry(label: Label, value: &'static str) -> Entry {
        Entry { value: value.into(), content_type: label.content_type(), version: 1, modified: UNIX_EPOCH }
    }

    #[test]
    fn each_cache_key_has_its_own_stored_key_within_the_stores_limit() {
        let long = "x".repeat(10_000);
        let digest = stored_key(&long);
        let passes_for_it = digest.strip_prefix(PREFIX).unwrap();
        let keys = ["", "a", "why is the sky blue", &long, &long[1..], passes_for_it, &"ü".repeat(100), &"ü".repeat(101)];
        let stored: BTreeSet<_> = keys.iter().map(|key| stored_key(key)).collect();
        assert_eq!(stored.len(), keys.len(), "{stored:?}");
        assert!(stored.iter().all(|key| key.len() <= KEY_LIMIT && key.starts_with(PREFIX)), "{stored:?}");
        assert!(stored.contains("cache/why is the sky blue"));
    }

    #[test]
    fn a_label_is_read_as_it_was_written_and_not_beside_another_value() {
        let label = Label::of(UNIX_EPOCH + HOUR, b"[1]");
        assert_eq!(Label::read(&entry(label, "[1]")), Some(label));
        assert_eq!(Label::read(&entry(label, "[2]")), None);
        let unlabelled = Entry { content_type: upright_core::store::seal::JSON.to_owned(), ..entry(label, "[1]") };
        assert_eq!(Label::read(&unlabelled), None);
    }

    #[test]
    fn an_age_is_the_greater_of_what_both_dates_give() {
        let now = UNIX_EPOCH + 100 * HOUR;
        let label = Label::of(now - 2 * HOUR, b"");
        assert_eq!(label.age(now - HOUR, now), Some(2 * HOUR), "it waited, or was copied");
        assert_eq!(label.age(now - 3 * HOUR, now), Some(3 * HOUR));
        assert_eq!(Label::of(now + HOUR, b"").age(now - HOUR, now), Some(HOUR), "the writer's clock was ahead");
        assert_eq!(label.age(now + HOUR, now), Some(2 * HOUR), "the store's clock is ahead");
    }

    #[test]
    fn a_date_in_the_future_gives_no_age_unless_clocks_may_differ_by_that() {
        let now = UNIX_EPOCH + 100 * HOUR;
        let at = |ahead: Duration| Label::of(now + ahead, b"").age(now + ahead, now);
        assert_eq!(at(SKEW), Some(Duration::ZERO));
        assert_eq!(at(SKEW + Duration::from_millis(1)), None);
        assert_eq!(Label { seal: Seal { number: u64::MAX, crc32: 0 } }.age(now + HOUR, now), None);
    }

    #[test]
    fn the_calendar_goes_forward_with_the_wall_clock_and_not_back() {
        let clock = DrivenClock::new();
        let calendar = Calendar::new(clock.shared());
        let began = calendar.now();
        clock.advance(HOUR);
        assert_eq!(calendar.now(), began + HOUR);
        clock.step_wall(HOUR);
        assert_eq!(calendar.now(), began + 2 * HOUR);
        let set_back = Calendar { began: (began + 9 * HOUR, 0), clock: clock.shared() };
        assert_eq!(set_back.now(), began + 10 * HOUR);
    }
}
