//! Keeps cached responses in a store too, so that they outlive the process and are shared. Writes are queued and reads
//! limited in time, so no caller notices a slow or absent store.

mod cleaning;
mod label;
mod options;
mod queue;

pub use options::{CacheCounts, StoredCacheOptions};

use super::cache::{Kept, ResponseCache};
use super::limits::size;
use crate::driving::within;
use crate::store::{Entry, Store, StoreError, VALUE_LIMIT};
use cleaning::Cleaning;
use futures_util::FutureExt;
use label::{Calendar, Label, PREFIX, stored_key};
use options::Counters;
use queue::{Change, Queue, Room};
use serde_json::Value;
use std::fmt::Display;
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, Semaphore};
use upright_core::clock::{SharedClock, nanoseconds};
use upright_core::store::background;

/// Maximum time of one store access in the background.
const ASKING_LIMIT: Duration = Duration::from_secs(10);
/// Maximum number of concurrent reads; bounds memory while the store hangs.
const READS: usize = 64;
/// Minimum time between two log lines about failures.
const QUIET: Duration = Duration::from_secs(3600);

pub(super) struct WriteBehind {
    store: Arc<dyn Store>,
    options: StoredCacheOptions,
    clock: SharedClock,
    calendar: Calendar,
    queue: Mutex<Queue>,
    idle: Notify,
    reads: Semaphore,
    counts: Counters,
    next_warning: AtomicU64,
    cleaning: Cleaning,
}

impl WriteBehind {
    pub(super) fn new(store: Arc<dyn Store>, options: StoredCacheOptions, clock: SharedClock) -> Self {
        Self {
            store,
            options,
            calendar: Calendar::new(Arc::clone(&clock)),
            clock,
            queue: Mutex::default(),
            idle: Notify::new(),
            reads: Semaphore::new(READS),
            counts: Counters::default(),
            next_warning: AtomicU64::new(0),
            cleaning: Cleaning::default(),
        }
    }

    pub(super) fn counts(&self) -> CacheCounts {
        self.counts.read()
    }

    pub(super) fn read_limit(&self) -> Duration {
        self.options.read_limit
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn write(self: &Arc<Self>, key: &str, kept: Kept) {
        self.push(key, Change::Write(kept, self.clock.wall()));
    }

    pub(super) fn remove(self: &Arc<Self>, key: &str) {
        self.push(key, Change::Remove);
    }

    fn push(self: &Arc<Self>, key: &str, change: Change) {
        let room = Room { entries: self.options.max_waiting, bytes: self.options.max_waiting_bytes };
        let mut queue = self.queue();
        let pushed = queue.push(key, change, room);
        self.start(&mut queue);
        drop(queue);
        self.counts.coalesced(u64::from(pushed.coalesced));
        if pushed.dropped > 0 {
            self.dropped(pushed.dropped, "too much waits to be written");
        }
    }

    pub(super) fn clear(self: &Arc<Self>) {
        let mut queue = self.queue();
        queue.clear();
        self.start(&mut queue);
    }

    pub(super) async fn flush(&self) {
        loop {
            let idle = self.idle.notified();
            tokio::pin!(idle);
            // Listening must begin before looking.
            idle.as_mut().enable();
            let busy = {
                let queue = self.queue();
                queue.working || queue.cleaning
            };
            if !busy {
                return;
            }
            idle.await;
        }
    }

    fn start(self: &Arc<Self>, queue: &mut Queue) {
        if queue.working {
            return;
        }
        match background::runtime() {
            Ok(runtime) => {
                queue.working = true;
                runtime.spawn(work(Working { write_behind: Arc::clone(self), ended: false }));
            }
            Err(error) => self.failed(&error),
        }
    }

    async fn change(self: &Arc<Self>, key: &str, change: Change) {
        let stored = stored_key(key);
        let (kept, date) = match change {
            Change::Write(kept, date) => (kept, date),
            Change::Remove => return self.delete(&stored).await,
        };
        // A value always has a JSON form.
        let json = serde_json::to_vec(&*kept.value).unwrap_or_default();
        let bytes = (json.len() + stored.len()) as u64;
        if json.len() > VALUE_LIMIT || bytes > self.options.limits.max_bytes || self.options.limits.max_entries == 0 {
            self.dropped(1, "a response is larger than the limits of what is stored");
            // The stored response is no longer the latest.
            return self.delete(&stored).await;
        }
        let content_type = Label::of(date, &json).content_type();
        match self.limited(self.store.put(&stored, json.into(), &content_type)).await {
            Ok(version) => {
                self.counts.written();
                if self.cleaning.wrote(stored, version, bytes, &self.options.limits, self.clock.now()) {
                    self.start_cleaning();
                }
            }
            Err(error) => self.failed(&error),
        }
    }

    async fn delete(&self, stored: &str) {
        if let Err(error) = self.limited(self.store.delete(stored)).await {
            self.failed(&error);
        }
    }

    fn start_cleaning(self: &Arc<Self>) {
        if std::mem::replace(&mut self.queue().cleaning, true) {
            return;
        }
        // The change came from a task of that runtime.
        tokio::spawn(Arc::clone(self).clean());
    }

    async fn clear_store(&self, clears: u64) -> bool {
        let cleared = async {
            let listed = self.limited(self.store.list(PREFIX)).await?;
            self.remove_all(listed).await
        };
        if let Err(error) = cleared.await {
            self.failed(&error);
            return false;
        }
        let mut queue = self.queue();
        queue.clear_wanted &= queue.clears != clears;
        true
    }

    /// Returns the stored or queued response. A read that outlasts `limit` still fills memory.
    pub(super) async fn read(self: &Arc<Self>, memory: &ResponseCache, key: &str, limit: Duration) -> Option<Kept> {
        let clears = {
            let queue = self.queue();
            if let Some(waiting) = queue.find(key) {
                return waiting;
            }
            if queue.clear_wanted {
                return None;
            }
            queue.clears
        };
        let (write_behind, memory, key) = (Arc::clone(self), memory.clone(), key.to_owned());
        let mut reading = Box::pin(async move {
            let Ok(_room) = write_behind.reads.try_acquire() else {
                write_behind.failed(&"too many reads wait for it");
                return None;
            };
            write_behind.fetch(&memory, &key, clears).await
        });
        let runtime = match background::runtime() {
            Ok(runtime) => runtime,
            Err(error) => {
                self.failed(&error);
                return None;
            }
        };
        {
            // Timers and connections belong to the runtime that goes on with the read.
            let _on_it = runtime.enter();
            if let Some(found) = (&mut reading).now_or_never() {
                return found;
            }
        }
        match within(Some(limit), &self.clock, runtime.spawn(reading)).await {
            Ok(found) => found,
            Err(None) => {
                self.failed(&format_args!("no answer within {limit:?}"));
                None
            }
            Err(Some(panicked)) => {
                self.failed(&panicked);
                None
            }
        }
    }

    async fn fetch(&self, memory: &ResponseCache, key: &str, clears: u64) -> Option<Kept> {
        let stored = stored_key(key);
        let entry = match self.limited(self.store.get(&stored)).await {
            Ok(entry) => entry?,
            Err(error) => {
                self.failed(&error);
                return None;
            }
        };
        let Some((label, value)) = parsed(&entry) else {
            self.failed(&format_args!("what is stored as {stored:?} is no cached response"));
            return None;
        };
        let older = label.age(entry.modified, self.calendar.now())?;
        let bytes = (size(&value) + size_of::<Kept>() + key.len()) as u64;
        let kept = Kept { value: Arc::new(value), cached: self.clock.now(), older, bytes };
        let queue = self.queue();
        // Changes since the read began win.
        if let Some(waiting) = queue.find(key) {
            return waiting;
        }
        if queue.clears != clears {
            return None;
        }
        let kept = memory.keep_loaded(key, kept);
        // Counted last: whoever sees the count finds the response in memory.
        self.counts.loaded();
        Some(kept)
    }

    async fn limited<T>(&self, asked: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        within(Some(ASKING_LIMIT), &self.clock, asked).await.map_err(|error| {
            let too_slow =
                || StoreError::Unavailable { store: "store of the cache", source: format!("no answer within {ASKING_LIMIT:?}").into() };
            error.unwrap_or_else(too_slow)
        })
    }

    fn failed(&self, error: &dyn Display) {
        self.counts.failed();
        self.tell(error);
    }

    fn dropped(&self, count: u64, why: &str) {
        self.counts.dropped(count);
        self.tell(&why);
    }

    fn tell(&self, error: &dyn Display) {
        let (due, now) = (self.next_warning.load(Ordering::Relaxed), self.clock.now());
        let next = now.saturating_add(nanoseconds(QUIET));
        if now >= due && self.next_warning.compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            tracing::warn!(target: "upright", %error, "the cache's store does not do its part; answers are served without it");
        }
    }
}

fn parsed(entry: &Entry) -> Option<(Label, Value)> {
    let label = Label::read(entry)?;
    Some((label, serde_json::from_slice(&entry.value).ok()?))
}

struct Working {
    write_behind: Arc<WriteBehind>,
    ended: bool,
}

enum Job {
    Change(Arc<str>, Change),
    Clear(u64),
}

impl Working {
    fn next(&mut self) -> Option<Job> {
        let mut queue = self.write_behind.queue();
        queue.put_down();
        let job =
            if queue.clear_wanted { Some(Job::Clear(queue.clears)) } else { queue.take().map(|(key, change)| Job::Change(key, change)) };
        if job.is_none() {
            // Under the lock, so that the next push sees it and starts.
            queue.working = false;
            self.ended = true;
        }
        job
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        if !self.ended {
            // The work failed or panicked; the next push restarts it.
            let mut queue = self.write_behind.queue();
            queue.put_down();
            queue.working = false;
        }
        self.write_behind.idle.notify_waiters();
    }
}

async fn work(mut working: Working) {
    while let Some(job) = working.next() {
        let write_behind = &working.write_behind;
        match job {
            Job::Change(key, change) => write_behind.change(&key, change).await,
            // A write before the clearing would be removed by it.
            Job::Clear(clears) if !write_behind.clear_store(clears).await => return,
            Job::Clear(_) => {}
        }
        // A store that is always ready must not starve this thread.
        tokio::task::yield_now().await;
    }
}
