//! Limits of a cache, and the size of a value.

use serde_json::Value;
use std::time::Duration;

/// Limits of a cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheLimits {
    /// Maximum bytes; 64 MiB by default. At most 4 GiB in memory; a store counts JSON and keys.
    pub max_bytes: u64,
    /// Maximum number of entries; 10,000 by default.
    pub max_entries: u64,
    /// Maximum age of a response; one day by default. `None` keeps responses until they are evicted.
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

    /// Minimum bytes counted for an entry; so the limit in bytes limits entries.
    pub(super) fn share(&self) -> u64 {
        self.bytes().div_ceil(self.max_entries.max(1)).max(1)
    }

    pub(super) fn expired(&self, age: Duration) -> bool {
        self.max_age.is_some_and(|max_age| age > max_age)
    }
}

/// Approximate bytes in memory. Not recursive, because values may be nested deeply.
pub(super) fn size(value: &Value) -> usize {
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
