//! Saves state from which operations resume, even after a shutdown.
//!
//! A checkpoint is a JSON copy in a [`Store`]: later changes of the live value do not reach it. It stays until removed
//! or beyond its [limits](CheckpointLimits). Checksum and schema guard its restoring.

mod limits;
mod transfer;

pub use limits::CheckpointLimits;
pub use transfer::{Exported, Imported};

use crate::clock::{SharedClock, SystemClock};
use crate::store::seal::{JSON, Seal};
use crate::store::{Entry, Listed, Store, StoreError, check_key};
use limits::Cleaning;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;
use std::time::Duration;

const PREFIX: &str = "checkpoint/";
const SCHEMA: &str = "schema";

/// Checkpoints by key. Clones share them.
#[derive(Clone)]
pub struct Checkpoints {
    store: Arc<dyn Store>,
    clock: SharedClock,
    cleaning: Arc<Cleaning>,
}

/// The state under one key. Clones share it.
#[derive(Clone)]
pub struct Checkpoint {
    checkpoints: Checkpoints,
    key: Arc<str>,
    schema: u32,
    start_over: bool,
}

impl Checkpoint {
    /// The key.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Version of the state's type; default 0. Restoring another fails with [`StoreError::SchemaMismatch`]. Raise it if
    /// old state would be misread.
    pub fn schema(mut self, schema: u32) -> Self {
        self.schema = schema;
        self
    }

    /// Restores `None` from a state that is damaged, of another schema or of another type, in place of an error. Off
    /// by default.
    pub fn start_over_if_unreadable(mut self, start_over: bool) -> Self {
        self.start_over = start_over;
        self
    }

    /// Saves a copy of the state and returns its version.
    ///
    /// # Errors
    /// [`StoreError::NotSerializable`] and the store's; the old state stays.
    pub async fn save<T: Serialize + ?Sized>(&self, state: &T) -> Result<u64, StoreError> {
        let Self { checkpoints, key, schema, .. } = self;
        let (stored, json) = (stored(key)?, json(key, state)?);
        let version = checkpoints.store.put(&stored, json.clone(), &sealed(*schema, &json)).await?;
        checkpoints.saved().await;
        Ok(version)
    }

    /// A copy of the saved state; `None` if absent.
    ///
    /// # Errors
    /// [`StoreError::SchemaMismatch`]; [`StoreError::Corrupt`] for a wrong checksum or type; the store's.
    pub async fn restore<T: DeserializeOwned>(&self) -> Result<Option<T>, StoreError> {
        match self.versioned().await {
            Err(error @ (StoreError::Corrupt { .. } | StoreError::SchemaMismatch { .. })) if self.start_over => {
                tracing::warn!(target: "upright", %error, "starting over: the checkpoint cannot be read");
                Ok(None)
            }
            versioned => Ok(versioned?.map(|(state, _)| state)),
        }
    }

    /// Changes the state atomically. `change` gets `None` if absent, and runs again if another writer came between.
    /// Returns the new state.
    ///
    /// # Errors
    /// Those of [`Checkpoint::restore`] and [`Checkpoint::save`].
    pub async fn update<T: Serialize + DeserializeOwned>(&self, mut change: impl FnMut(Option<T>) -> T) -> Result<T, StoreError> {
        let Self { checkpoints, key, schema, .. } = self;
        let stored = stored(key)?;
        loop {
            let (state, version) = self.versioned().await?.unzip();
            let state = change(state);
            let json = json(key, &state)?;
            let content_type = sealed(*schema, &json);
            match checkpoints.store.compare_and_set(&stored, version, json, &content_type).await {
                Ok(_) => {
                    checkpoints.saved().await;
                    return Ok(state);
                }
                // Ends: one of several writers always succeeds.
                Err(StoreError::Conflict { .. }) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Time since the save; `None` if absent.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn age(&self) -> Result<Option<Duration>, StoreError> {
        let entry = self.checkpoints.store.get(&stored(&self.key)?).await?;
        Ok(entry.map(|entry| self.checkpoints.since(entry.modified)))
    }

    /// Removes it; returns whether it existed.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn remove(&self) -> Result<bool, StoreError> {
        self.checkpoints.store.delete(&stored(&self.key)?).await
    }

    async fn versioned<T: DeserializeOwned>(&self) -> Result<Option<(T, u64)>, StoreError> {
        let Some(entry) = self.checkpoints.store.get(&stored(&self.key)?).await? else { return Ok(None) };
        let schema = schema_of(&self.key, &entry)?;
        if schema != self.schema {
            return Err(StoreError::SchemaMismatch { key: self.key.to_string(), expected: self.schema, found: schema });
        }
        let state = serde_json::from_slice(&entry.value)
            .map_err(|error| StoreError::Corrupt { key: self.key.to_string(), source: error.into() })?;
        Ok(Some((state, entry.version)))
    }
}

impl std::fmt::Debug for Checkpoint {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Checkpoint({:?})", self.key)
    }
}

impl Checkpoints {
    /// Checkpoints in `store`.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self::with_clock(store, SystemClock::shared())
    }

    /// Checkpoints in `store`, dated by `clock`.
    pub fn with_clock(store: Arc<dyn Store>, clock: SharedClock) -> Self {
        Self { store, clock, cleaning: Arc::default() }
    }

    /// Sets [`CheckpointLimits`].
    pub fn limited(self, limits: CheckpointLimits) -> Self {
        Self { cleaning: Arc::new(Cleaning::to(limits)), ..self }
    }

    /// The checkpoint under this key, saved or not.
    pub fn at(&self, key: impl Into<Arc<str>>) -> Checkpoint {
        Checkpoint { checkpoints: self.clone(), key: key.into(), schema: 0, start_over: false }
    }

    /// Keys, versions and dates, by key.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn list(&self) -> Result<Vec<Listed>, StoreError> {
        let mut listed = self.store.list(PREFIX).await?;
        for checkpoint in &mut listed {
            checkpoint.key.drain(..PREFIX.len());
        }
        Ok(listed)
    }

    /// Removes all; returns their number.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn clear(&self) -> Result<usize, StoreError> {
        self.remove_all(self.list().await?).await
    }

    /// Removes those older than this, unless saved meanwhile. Returns their number.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn remove_older(&self, than: Duration) -> Result<usize, StoreError> {
        let mut old = self.list().await?;
        old.retain(|checkpoint| self.since(checkpoint.modified) > than);
        self.remove_all(old).await
    }

    async fn remove_all(&self, listed: Vec<Listed>) -> Result<usize, StoreError> {
        let mut removed = 0;
        for Listed { key, version, .. } in listed {
            removed += usize::from(self.store.compare_and_delete(&stored(&key)?, version).await?);
        }
        Ok(removed)
    }

    /// Zero if the wall clock was set back.
    fn since(&self, modified: std::time::SystemTime) -> Duration {
        self.clock.wall().duration_since(modified).unwrap_or_default()
    }
}

fn json<T: Serialize + ?Sized>(key: &str, state: &T) -> Result<bytes::Bytes, StoreError> {
    serde_json::to_vec(state).map(Into::into).map_err(|source| StoreError::NotSerializable { key: key.to_owned(), source })
}

fn sealed(schema: u32, json: &[u8]) -> String {
    Seal::of(schema.into(), json).content_type(SCHEMA)
}

/// Checks the seal. Foreign JSON has schema 0.
fn schema_of(key: &str, entry: &Entry) -> Result<u32, StoreError> {
    let corrupt = |detail: String| StoreError::Corrupt { key: key.to_owned(), source: detail.into() };
    if entry.content_type == JSON {
        return Ok(0);
    }
    let seal = Seal::read(&entry.content_type, SCHEMA);
    let Some((seal, schema)) = seal.and_then(|seal| Some((seal, u32::try_from(seal.number).ok()?))) else {
        return Err(corrupt(format!("its type is {:?}; expected a checkpoint's", entry.content_type)));
    };
    match seal.broken_by(&entry.value) {
        Some(found) => Err(corrupt(format!("its checksum is {found:08x}; expected {:08x}", seal.crc32))),
        None => Ok(schema),
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
        let store = MemoryStore::with_clock(clock.shared());
        (Checkpoints::with_clock(Arc::new(store.clone()), clock.shared()), store, clock)
    }

    async fn keys(checkpoints: &Checkpoints) -> Vec<String> {
        checkpoints.list().await.unwrap().into_iter().map(|listed| listed.key).collect()
    }

    #[derive(Serialize, Deserialize, Debug, PartialEq)]
    struct Import {
        current_row: u64,
        file_path: String,
        errors: Vec<String>,
    }

    #[tokio::test]
    async fn restore_returns_the_saved_checkpoint() {
        let (checkpoints, ..) = checkpoints();
        let job = Import { current_row: 1000, file_path: "rows.csv".into(), errors: vec!["row 7".into()] };
        checkpoints.at("import_job").save(&job).await.unwrap();
        assert_eq!(checkpoints.at("import_job").restore::<Import>().await.unwrap(), Some(job));
        assert_eq!(checkpoints.at("other").restore::<Import>().await.unwrap(), None);
    }

    #[tokio::test]
    async fn changing_a_live_or_restored_value_does_not_change_its_checkpoint() {
        let (checkpoints, ..) = checkpoints();
        let mut live = json!({ "data": [1, 2, 3], "nested": { "index": 0 } });
        let saved = live.clone();
        checkpoints.at("state").save(&live).await.unwrap();
        live["data"].as_array_mut().unwrap().push(json!(4));
        live["nested"]["index"] = json!(9);
        let mut restored: Value = checkpoints.at("state").restore().await.unwrap().unwrap();
        assert_eq!(restored, saved);
        restored["data"] = json!([]);
        assert_eq!(checkpoints.at("state").restore::<Value>().await.unwrap(), Some(saved));
    }

    #[tokio::test]
    async fn a_checkpoint_of_null_is_not_a_missing_one() {
        let (checkpoints, ..) = checkpoints();
        checkpoints.at("state").save(&Value::Null).await.unwrap();
        assert_eq!(checkpoints.at("state").restore::<Value>().await.unwrap(), Some(Value::Null));
        assert_eq!(checkpoints.at("missing").restore::<Value>().await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_checkpoint_outlives_those_who_saved_it() {
        let (checkpoints, store, clock) = checkpoints();
        checkpoints.at("state").save(&7).await.unwrap();
        drop(checkpoints);
        let later = Checkpoints::with_clock(Arc::new(store), clock.shared());
        assert_eq!(later.at("state").restore::<u32>().await.unwrap(), Some(7));
    }

    #[tokio::test]
    async fn checkpoints_are_listed_removed_and_cleared_and_nothing_else_is() {
        let (checkpoints, store, _) = checkpoints();
        store.put("breaker/x", "1".into(), "application/json").await.unwrap();
        for key in ["b", "a/1"] {
            checkpoints.at(key).save(&1).await.unwrap();
        }
        assert_eq!(keys(&checkpoints).await, ["a/1", "b"]);
        assert!(checkpoints.at("b").remove().await.unwrap());
        assert!(!checkpoints.at("b").remove().await.unwrap());
        assert_eq!(checkpoints.clear().await.unwrap(), 1);
        assert!(checkpoints.list().await.unwrap().is_empty());
        assert!(store.get("breaker/x").await.unwrap().is_some());
    }

    #[tokio::test]
    async fn old_checkpoints_can_be_removed_by_their_age() {
        let (checkpoints, _, clock) = checkpoints();
        checkpoints.at("old").save(&1).await.unwrap();
        clock.advance(Duration::from_secs(60));
        checkpoints.at("new").save(&2).await.unwrap();
        assert_eq!(checkpoints.at("old").age().await.unwrap(), Some(Duration::from_secs(60)));
        assert_eq!(checkpoints.at("none").age().await.unwrap(), None);
        assert_eq!(checkpoints.remove_older(Duration::from_secs(59)).await.unwrap(), 1);
        assert_eq!(keys(&checkpoints).await, ["new"]);
    }

    #[tokio::test]
    async fn restoring_a_checkpoint_as_another_type_reports_a_corrupt_value() {
        let (checkpoints, ..) = checkpoints();
        checkpoints.at("state").save("text").await.unwrap();
        let error = checkpoints.at("state").restore::<Import>().await.unwrap_err();
        assert!(matches!(&error, StoreError::Corrupt { key, .. } if key == "state"), "{error}");
    }

    #[tokio::test]
    async fn a_failed_save_keeps_the_previous_checkpoint() {
        let (checkpoints, ..) = checkpoints();
        checkpoints.at("state").save(&1).await.unwrap();
        let unsayable = std::collections::BTreeMap::from([(vec![1], 1)]);
        assert!(matches!(checkpoints.at("state").save(&unsayable).await, Err(StoreError::NotSerializable { .. })));
        assert!(matches!(checkpoints.at("").save(&1).await, Err(StoreError::KeyInvalid { .. })));
        assert_eq!(checkpoints.at("state").restore::<u32>().await.unwrap(), Some(1));
    }

    #[tokio::test]
    async fn a_checkpoint_of_another_schema_is_not_restored_and_not_replaced_by_an_update() {
        let (checkpoints, ..) = checkpoints();
        let (old, new) = (checkpoints.at("job").schema(1), checkpoints.at("job").schema(2));
        old.save(&7).await.unwrap();
        assert_eq!(old.restore::<u32>().await.unwrap(), Some(7));
        for error in [new.restore::<u32>().await.unwrap_err(), new.update(|_: Option<u32>| 8).await.unwrap_err()] {
            assert!(matches!(error, StoreError::SchemaMismatch { expected: 2, found: 1, .. }), "{error}");
        }
        assert!(matches!(checkpoints.at("job").restore::<u32>().await, Err(StoreError::SchemaMismatch { expected: 0, found: 1, .. })));
        assert_eq!(old.restore::<u32>().await.unwrap(), Some(7));
        new.save(&8).await.unwrap();
        assert_eq!(new.restore::<u32>().await.unwrap(), Some(8));
    }

    #[tokio::test]
    async fn a_checkpoint_altered_in_the_store_is_corrupt_and_not_restored() {
        let (checkpoints, store, _) = checkpoints();
        checkpoints.at("state").save(&1234).await.unwrap();
        let entry = store.get("checkpoint/state").await.unwrap().unwrap();
        store.put("checkpoint/state", "1235".into(), &entry.content_type).await.unwrap();
        let error = checkpoints.at("state").restore::<u32>().await.unwrap_err();
        assert!(matches!(&error, StoreError::Corrupt { key, .. } if key == "state"), "{error}");
        store.put("checkpoint/state", "1235".into(), "application/json").await.unwrap();
        assert_eq!(checkpoints.at("state").restore::<u32>().await.unwrap(), Some(1235));
    }

    #[tokio::test]
    async fn updates_at_the_same_time_lose_nothing() {
        let (checkpoints, ..) = checkpoints();
        let adders: Vec<_> = (0..4)
            .map(|_| {
                let counter = checkpoints.at("counter");
                tokio::spawn(async move {
                    for _ in 0..50 {
                        let mut others = true;
                        counter
                            .update(|count: Option<u32>| {
                                if std::mem::take(&mut others) {
                                    let counter = counter.clone();
                                    futures_util::FutureExt::now_or_never(async move {
                                        counter.update(|count: Option<u32>| count.unwrap_or(0) + 1).await
                                    })
                                    .unwrap()
                                    .unwrap();
                                }
                                count.unwrap_or(0) + 1
                            })
                            .await
                            .unwrap();
                    }
                })
            })
            .collect();
        for adder in adders {
            adder.await.unwrap();
        }
        assert_eq!(checkpoints.at("counter").restore::<u32>().await.unwrap(), Some(400));
    }
}
