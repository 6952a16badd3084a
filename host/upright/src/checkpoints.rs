//! Saved state to resume from.
//!
//! A checkpoint that shares memory with the live value changes under it, and one that goes with the process or with a shutdown is not there when it
//! is needed. So a checkpoint is a copy in JSON in a [`Store`], which decides how long it lasts; only [`Checkpoints::remove`],
//! [`Checkpoints::remove_older`] and [`Checkpoints::clear`] take one away.

use crate::clock::SharedClock;
use crate::store::{Store, StoreError, check_key};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;
use std::time::Duration;

/// Before the key of each checkpoint in the store.
const PREFIX: &str = "checkpoint/";
const JSON: &str = "application/json";

/// Checkpoints by key. Cloning shares them.
#[derive(Clone)]
pub struct Checkpoints {
    store: Arc<dyn Store>,
    clock: SharedClock,
}

/// One checkpoint: the state under one key. Cloning shares it.
#[derive(Clone)]
pub struct Checkpoint {
    checkpoints: Checkpoints,
    key: Arc<str>,
}

impl Checkpoint {
    /// Its key.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// See [`Checkpoints::save`].
    ///
    /// # Errors
    /// As there.
    pub async fn save<T: Serialize + ?Sized>(&self, state: &T) -> Result<u64, StoreError> {
        self.checkpoints.save(&self.key, state).await
    }

    /// See [`Checkpoints::restore`].
    ///
    /// # Errors
    /// As there.
    pub async fn restore<T: DeserializeOwned>(&self) -> Result<Option<T>, StoreError> {
        self.checkpoints.restore(&self.key).await
    }
}

impl std::fmt::Debug for Checkpoint {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Checkpoint({:?})", self.key)
    }
}

impl Checkpoints {
    /// The checkpoint under this key, whether there is one yet or not.
    pub fn at(&self, key: impl Into<Arc<str>>) -> Checkpoint {
        Checkpoint { checkpoints: self.clone(), key: key.into() }
    }

    /// Checkpoints in this store; their ages are told by this clock.
    pub fn new(store: Arc<dyn Store>, clock: SharedClock) -> Self {
        Self { store, clock }
    }

    /// Saves a copy of the state as it is now, in place of what was saved under the key. Returns its version.
    ///
    /// # Errors
    /// [`StoreError::NotSerializable`] where the state cannot be written as JSON, and those of the store. What was saved before stays.
    pub async fn save<T: Serialize + ?Sized>(&self, key: &str, state: &T) -> Result<u64, StoreError> {
        let stored = stored(key)?;
        let json = serde_json::to_vec(state).map_err(|source| StoreError::NotSerializable { key: key.to_owned(), source })?;
        self.store.put(&stored, json.into(), JSON).await
    }

    /// The state that was saved under the key, as a value of its own; none if there is none.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] where what is stored is no `T`, and those of the store.
    pub async fn restore<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, StoreError> {
        let Some(entry) = self.store.get(&stored(key)?).await? else { return Ok(None) };
        let state =
            serde_json::from_slice(&entry.value).map_err(|error| StoreError::Corrupt { key: key.to_owned(), source: error.into() })?;
        Ok(Some(state))
    }

    /// How long ago it was saved; none if there is none.
    pub async fn age(&self, key: &str) -> Result<Option<Duration>, StoreError> {
        let entry = self.store.get(&stored(key)?).await?;
        Ok(entry.map(|entry| self.since(entry.modified)))
    }

    /// The keys under which something is saved, in order.
    pub async fn list(&self) -> Result<Vec<String>, StoreError> {
        let keys = self.store.list(PREFIX).await?;
        Ok(keys.iter().filter_map(|(key, _)| key.strip_prefix(PREFIX)).map(str::to_owned).collect())
    }

    /// Removes one. Whether it was there.
    pub async fn remove(&self, key: &str) -> Result<bool, StoreError> {
        self.store.delete(&stored(key)?).await
    }

    /// Removes all. How many there were.
    pub async fn clear(&self) -> Result<usize, StoreError> {
        let mut removed = 0;
        for (key, _) in self.store.list(PREFIX).await? {
            removed += usize::from(self.store.delete(&key).await?);
        }
        Ok(removed)
    }

    /// Removes those that were saved longer ago than this. How many there were. One that is saved anew meanwhile stays.
    pub async fn remove_older(&self, than: Duration) -> Result<usize, StoreError> {
        let mut removed = 0;
        for (key, version) in self.store.list(PREFIX).await? {
            let old = self.store.get(&key).await?.is_some_and(|entry| self.since(entry.modified) > than);
            if old {
                removed += usize::from(self.store.compare_and_delete(&key, version).await?);
            }
        }
        Ok(removed)
    }

    /// Zero where the wall clock has been set back since.
    fn since(&self, modified: std::time::SystemTime) -> Duration {
        self.clock.wall().duration_since(modified).unwrap_or_default()
    }
}

fn stored(key: &str) -> Result<String, StoreError> {
    check_key(key)?;
    Ok(format!("{PREFIX}{key}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::MemoryStore;
    use crate::testing::DrivenClock;
    use serde::Deserialize;
    use serde_json::{Value, json};

    fn checkpoints() -> (Checkpoints, MemoryStore, DrivenClock) {
        let clock = DrivenClock::new();
        let store = MemoryStore::new(clock.shared());
        (Checkpoints::new(Arc::new(store.clone()), clock.shared()), store, clock)
    }

    #[derive(Serialize, Deserialize, Debug, PartialEq)]
    struct Import {
        current_row: u64,
        file_path: String,
        errors: Vec<String>,
    }

    #[tokio::test]
    async fn restoring_gives_back_what_was_saved() {
        let (checkpoints, ..) = checkpoints();
        let job = Import { current_row: 1000, file_path: "rows.csv".into(), errors: vec!["row 7".into()] };
        checkpoints.save("import_job", &job).await.unwrap();
        assert_eq!(checkpoints.restore::<Import>("import_job").await.unwrap(), Some(job));
        assert_eq!(checkpoints.restore::<Import>("other").await.unwrap(), None);
    }

    #[tokio::test]
    async fn what_happens_to_the_live_value_or_to_a_restored_one_does_not_reach_the_checkpoint() {
        let (checkpoints, ..) = checkpoints();
        let mut live = json!({ "data": [1, 2, 3], "nested": { "index": 0 } });
        let saved = live.clone();
        checkpoints.save("state", &live).await.unwrap();
        live["data"].as_array_mut().unwrap().push(json!(4));
        live["nested"]["index"] = json!(9);
        let mut restored: Value = checkpoints.restore("state").await.unwrap().unwrap();
        assert_eq!(restored, saved);
        restored["data"] = json!([]);
        assert_eq!(checkpoints.restore::<Value>("state").await.unwrap(), Some(saved));
    }

    #[tokio::test]
    async fn a_checkpoint_of_null_is_not_a_missing_one() {
        let (checkpoints, ..) = checkpoints();
        checkpoints.save("state", &Value::Null).await.unwrap();
        assert_eq!(checkpoints.restore::<Value>("state").await.unwrap(), Some(Value::Null));
        assert_eq!(checkpoints.restore::<Value>("missing").await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_checkpoint_outlives_those_who_saved_it() {
        let (checkpoints, store, clock) = checkpoints();
        checkpoints.save("state", &7).await.unwrap();
        drop(checkpoints);
        let later = Checkpoints::new(Arc::new(store), clock.shared());
        assert_eq!(later.restore::<u32>("state").await.unwrap(), Some(7));
    }

    #[tokio::test]
    async fn checkpoints_are_listed_removed_and_cleared_and_nothing_else_is() {
        let (checkpoints, store, _) = checkpoints();
        store.put("breaker/x", "1".into(), JSON).await.unwrap();
        for key in ["b", "a/1"] {
            checkpoints.save(key, &1).await.unwrap();
        }
        assert_eq!(checkpoints.list().await.unwrap(), ["a/1", "b"]);
        assert!(checkpoints.remove("b").await.unwrap());
        assert!(!checkpoints.remove("b").await.unwrap());
        assert_eq!(checkpoints.clear().await.unwrap(), 1);
        assert!(checkpoints.list().await.unwrap().is_empty());
        assert!(store.get("breaker/x").await.unwrap().is_some());
    }

    #[tokio::test]
    async fn old_checkpoints_can_be_removed_by_their_age() {
        let (checkpoints, _, clock) = checkpoints();
        checkpoints.save("old", &1).await.unwrap();
        clock.advance(Duration::from_secs(60));
        checkpoints.save("new", &2).await.unwrap();
        assert_eq!(checkpoints.age("old").await.unwrap(), Some(Duration::from_secs(60)));
        assert_eq!(checkpoints.age("none").await.unwrap(), None);
        assert_eq!(checkpoints.remove_older(Duration::from_secs(59)).await.unwrap(), 1);
        assert_eq!(checkpoints.list().await.unwrap(), ["new"]);
    }

    #[tokio::test]
    async fn a_checkpoint_of_another_type_is_said_to_be_so() {
        let (checkpoints, ..) = checkpoints();
        checkpoints.save("state", "text").await.unwrap();
        let error = checkpoints.restore::<Import>("state").await.unwrap_err();
        assert!(matches!(&error, StoreError::Corrupt { key, .. } if key == "state"), "{error}");
    }

    #[tokio::test]
    async fn what_cannot_be_saved_leaves_what_was_saved_before() {
        let (checkpoints, ..) = checkpoints();
        checkpoints.save("state", &1).await.unwrap();
        let unsayable = std::collections::BTreeMap::from([(vec![1], 1)]);
        assert!(matches!(checkpoints.save("state", &unsayable).await, Err(StoreError::NotSerializable { .. })));
        assert!(matches!(checkpoints.save("", &1).await, Err(StoreError::KeyInvalid { .. })));
        assert_eq!(checkpoints.restore::<u32>("state").await.unwrap(), Some(1));
    }
}
