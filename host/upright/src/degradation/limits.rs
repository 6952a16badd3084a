//! How much is cached, and what a value takes.

use serde_json::Value;
use std::time::Duration;

/// What a cache keeps at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheLimits {
    /// So many bytes; 64 MiB by default. In memory as values take them there, and at most 4 GiB; in a store as JSON, with the keys.
    pub max_bytes: u64,
    /// So many entries; 10,000 by default. In memory each takes at least its share of the bytes.
    pub max_entries: u64,
    /// No response for longer than this; a day by default, none for as long as there is room.
    pub max_age: Option<Duration>,
}

impl Default for CacheLimits {
    fn default() -> Self {
        Self { max_bytes: 64 << 20, max_entries: 10_000, max_age: Some(Duration::from_secs(86_400)) }
    }
}

impl CacheLimits {
    pub(super) fn bytes(&self) -> u64 {
        if self.max_entries == 0 { 0 } else { self.max_bytes.min(u64::from(u32::MAX)) }
    }

    /// What an entry takes at least, so that the bound in bytes is one in entries too.
    pub(super) fn share(&self) -> u64 {
        self.bytes().div_ceil(self.max_entries.max(1)).max(1)
    }

    /// Whether a response of this age is too old.
    pub(super) fn expired(&self, age: Duration) -> bool {
        self.max_age.is_some_and(|max_age| age > max_age)
    }
}

/// What a value takes in memory, in bytes, near enough. Not recursive, as values may be nested deeply.
pub(super) fn size(value: &Value) -> usize {
    /// A member's key and its place in the map's index.
    const MEMBER: usize = size_of::<String>() + 2 * size_of::<usize>();
    let mut bytes = size_of::<Value>();
    let mut pending = vec![value];
    while let Some(value) = pending.pop() {
        bytes += match value {
            Value::Null | Value::Bool(_) | Value::Number(_) => 0,
            Value::String(text) => text.capacity(),
            Value::Array(items) => {
                pending.extend(items);
                items.capacity() * size_of::<Value>()
            }
            Value::Object(object) => {
                pending.extend(object.values());
                object.keys().map(|key| MEMBER + size_of::<Value>() + key.capacity()).sum()
            }
        };
    }
    bytes
}
