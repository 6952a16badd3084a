//! Keeps whole answers for equal requests: in place of a call while they are fresh, and for failures after that.
//!
//! A host's bytes are kept, so a client gets the answer in its own protocol, under an identity of its own.

use super::question::Question;
use crate::config;
use crate::scan::request::canonical;
use bytes::{Bytes, BytesMut};
use http::HeaderValue;
use moka::policy::EvictionPolicy;
use sha2::{Digest, Sha256};
use std::time::{Duration, Instant};
use upright_core::types::CachedAnswer;

/// Maximum size of one answer, bytes.
const LARGEST: usize = 8 << 20;
/// Unit of weights, bytes.
const UNIT: u64 = 1 << 10;

type Key = [u8; 32];
type Answers = moka::sync::Cache<Key, Kept>;

/// The answers of one configuration.
pub(super) struct Cache {
    answers: Answers,
    fresh_for: Duration,
    kept_for: Duration,
}

/// A host's whole answer.
#[derive(Clone)]
pub(super) struct Kept {
    came: Instant,
    fresh_for: Duration,
    kept_for: Duration,
    /// Its `Content-Type`.
    pub(super) content_type: Option<HeaderValue>,
    pub(super) bytes: Bytes,
}

impl Kept {
    pub(super) fn age(&self) -> Duration {
        self.came.elapsed()
    }

    pub(super) fn is_fresh(&self) -> bool {
        self.age() < self.fresh_for
    }

    /// Facts for the policy.
    pub(super) fn facts(&self) -> CachedAnswer {
        CachedAnswer { age: self.age().as_secs_f64(), max_age: self.kept_for.as_secs_f64() }
    }
}

/// A host's answer on its way into the cache.
pub(super) struct Draft {
    answers: Answers,
    key: Key,
    fresh_for: Duration,
    kept_for: Duration,
    pub(super) content_type: Option<HeaderValue>,
    bytes: BytesMut,
}

impl Draft {
    /// Adds what came; `None` if the answer is too large to be kept.
    pub(super) fn with(mut self, bytes: &[u8]) -> Option<Self> {
        self.bytes.extend_from_slice(bytes);
        (self.bytes.len() <= LARGEST).then_some(self)
    }

    /// Keeps the answer, which is whole.
    pub(super) fn keep(self) {
        let Self { answers, key, fresh_for, kept_for, content_type, bytes } = self;
        answers.insert(key, Kept { came: Instant::now(), fresh_for, kept_for, content_type, bytes: bytes.freeze() });
    }
}

impl Cache {
    /// `None` where the cache is off.
    pub(super) fn new(settings: &config::Cache) -> Option<Self> {
        let config::Cache { enabled, fresh_for, stale_for, entries, memory } = *settings;
        let kept_for = fresh_for.saturating_add(stale_for);
        let capacity = memory / UNIT;
        // An answer weighs its share of the entries at least, so one limit bounds both.
        let share = u32::try_from(capacity.div_ceil(u64::from(entries).max(1))).unwrap_or(u32::MAX);
        let weight = move |_: &Key, kept: &Kept| u32::try_from(kept.bytes.len() as u64 / UNIT + 1).unwrap_or(u32::MAX).max(share);
        enabled.then(|| Self {
            answers: moka::sync::Cache::builder()
                .max_capacity(capacity)
                .weigher(weight)
                .eviction_policy(EvictionPolicy::lru())
                .time_to_live(kept_for)
                .build(),
            fresh_for,
            kept_for,
        })
    }

    /// A draft of the answer to this request, and the kept answer, if any. `digest` is the model's. `None` for a
    /// request without a question: it loads or unloads a model.
    pub(super) fn find(&self, question: &Question, digest: Option<&str>) -> Option<(Draft, Option<Kept>)> {
        if !question.asked.question {
            return None;
        }
        let body = canonical(&question.body).map_or_else(|_| question.body.clone(), Bytes::from);
        let mut hash = Sha256::new();
        // No path and no digest has a line end.
        for part in [question.path.as_str().as_bytes(), digest.unwrap_or_default().as_bytes()] {
            hash.update(part);
            hash.update(b"\n");
        }
        hash.update(&body);
        let key: Key = hash.finalize().into();
        let bytes = BytesMut::new();
        let draft =
            Draft { answers: self.answers.clone(), key, fresh_for: self.fresh_for, kept_for: self.kept_for, content_type: None, bytes };
        Some((draft, self.answers.get(&key)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::question::Wishes;
    use super::*;
    use crate::hosts::names::ModelName;
    use crate::scan::request::scan;
    use upright_core::types::{ClientProtocol, Endpoint};
    use upright_protocol::{Asked, Route};

    fn cache(entries: u32, memory: u64) -> Cache {
        Cache::new(&config::Cache { enabled: true, entries, memory, ..config::Cache::default() }).unwrap()
    }

    fn question(path: &str, body: &str) -> Question {
        Question {
            id: 1,
            name: "/api/chat",
            protocol: ClientProtocol::OllamaChat,
            endpoint: Endpoint::Chat,
            path: path.parse().unwrap(),
            body: body.to_owned().into(),
            asked: Asked::read(Route::Chat, body.as_bytes()),
            model: ModelName::of("m").unwrap(),
            sent: "m".into(),
            writer: None,
            headers: Vec::new(),
            authorization: None,
            fields: scan(body.as_bytes()).ok(),
            is_plain: false,
            kind: None,
            original: None,
            wishes: Wishes::default(),
            other: None,
        }
    }

    const BODY: &str = r#"{"model":"m","messages":[{"role":"user","content":"Hello?"}]}"#;

    #[test]
    fn an_answer_is_found_by_an_equal_request_alone() {
        let cache = cache(10, 1 << 20);
        let (draft, none) = cache.find(&question("/api/chat", BODY), Some("a")).unwrap();
        assert!(none.is_none());
        draft.with(b"Hel").unwrap().with(b"lo").unwrap().keep();
        let found = |path, body: &str, digest| cache.find(&question(path, body), digest).unwrap().1.map(|kept| kept.bytes);
        assert_eq!(found("/api/chat", BODY, Some("a")).as_deref(), Some(&b"Hello"[..]));
        // Ollama reads both as the same request.
        let odd = BODY.replace("model", "Model");
        let canonical = found("/api/chat", &odd, Some("a"));
        assert_eq!(canonical.as_deref(), Some(&b"Hello"[..]));
        for (path, body, digest) in [
            ("/api/generate", BODY, Some("a")),
            ("/api/chat", &*BODY.replace("Hello", "hello"), Some("a")),
            ("/api/chat", BODY, Some("b")),
            ("/api/chat", BODY, None),
        ] {
            assert_eq!(found(path, body, digest), None, "{path} {body} {digest:?}");
        }
    }

    #[test]
    fn a_request_that_loads_or_unloads_a_model_is_not_cached() {
        let unload = question("/api/chat", r#"{"model":"m","messages":[],"keep_alive":0}"#);
        assert!(cache(10, 1 << 20).find(&unload, None).is_none());
    }

    #[test]
    fn the_cache_is_bounded_by_its_entries_and_by_its_memory_and_an_answer_by_its_size() {
        for (entries, memory, length, most) in [(4, 1 << 20, 1, 4), (1000, 1 << 20, 300 << 10, 3)] {
            let cache = cache(entries, memory);
            for number in 0..20 {
                let (draft, _) = cache.find(&question("/api/chat", &BODY.replace("Hello", &number.to_string())), None).unwrap();
                draft.with(&vec![b'x'; length]).unwrap().keep();
                cache.answers.run_pending_tasks();
            }
            assert_eq!(cache.answers.entry_count(), most, "{entries} entries of {length} bytes in {memory}");
        }
        let (draft, _) = cache(4, 1 << 20).find(&question("/api/chat", BODY), None).unwrap();
        assert!(draft.with(&vec![b'x'; LARGEST + 1]).is_none());
    }

    #[test]
    fn an_answer_is_fresh_for_a_while_and_may_be_stale_after_that() {
        let (came, hour) = (Instant::now(), Duration::from_secs(3600));
        let kept = |fresh_for| Kept { came, fresh_for, kept_for: hour, content_type: None, bytes: Bytes::new() };
        assert!(kept(hour).is_fresh() && !kept(Duration::ZERO).is_fresh());
        assert!(kept(Duration::ZERO).facts().age < kept(Duration::ZERO).facts().max_age);
    }
}
