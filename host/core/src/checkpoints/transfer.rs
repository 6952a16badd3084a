//! Moves checkpoints between stores.

use super::{Checkpoints, schema_of, sealed, stored};
use crate::store::StoreError;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::time::{Duration, UNIX_EPOCH};

/// A checkpoint as a line of JSON.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Exported {
    /// Key.
    pub key: String,
    /// Schema.
    #[serde(default)]
    pub schema: u32,
    /// Time saved, in seconds since 1970. Informative: importing sets a new date.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub saved_at: Option<f64>,
    /// State, byte for byte.
    pub state: Box<RawValue>,
}

/// Result of an import.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Imported {
    /// New.
    New,
    /// Replaced another.
    Replaced,
    /// The existing one stays.
    Kept,
}

impl Checkpoints {
    /// Exports a checkpoint; `None` if absent.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] for a broken seal; the store's.
    pub async fn export(&self, key: &str) -> Result<Option<Exported>, StoreError> {
        let Some(entry) = self.store.get(&stored(key)?).await? else { return Ok(None) };
        let schema = schema_of(key, &entry)?;
        let state =
            serde_json::from_slice(&entry.value).map_err(|error| StoreError::Corrupt { key: key.to_owned(), source: error.into() })?;
        let saved_at = entry.modified.duration_since(UNIX_EPOCH).as_ref().map(Duration::as_secs_f64).ok();
        Ok(Some(Exported { key: key.to_owned(), schema, saved_at, state }))
    }

    /// Imports a checkpoint; an existing one stays unless `replace`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn import(&self, exported: &Exported, replace: bool) -> Result<Imported, StoreError> {
        let key = stored(&exported.key)?;
        let json = bytes::Bytes::copy_from_slice(exported.state.get().as_bytes());
        let content_type = sealed(exported.schema, &json);
        match self.store.compare_and_set(&key, None, json.clone(), &content_type).await {
            Ok(_) => Ok(Imported::New),
            Err(StoreError::Conflict { .. }) if replace => self.store.put(&key, json, &content_type).await.map(|_| Imported::Replaced),
            Err(StoreError::Conflict { .. }) => Ok(Imported::Kept),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::store::MemoryStore;
    use std::sync::Arc;

    fn checkpoints() -> Checkpoints {
        Checkpoints::new(Arc::new(MemoryStore::default()))
    }

    #[tokio::test]
    async fn an_exported_checkpoint_is_imported_byte_for_byte_with_its_schema() {
        let (from, to) = (checkpoints(), checkpoints());
        let state = (u128::MAX, 0.1_f64, "ü\n");
        from.at("a/ü").schema(3).save(&state).await.unwrap();
        let line = serde_json::to_string(&from.export("a/ü").await.unwrap().unwrap()).unwrap();
        assert!(!line.contains('\n'), "a line");
        let exported: Exported = serde_json::from_str(&line).unwrap();
        assert_eq!(to.import(&exported, false).await.unwrap(), Imported::New);
        assert_eq!(to.at("a/ü").schema(3).restore::<(u128, f64, String)>().await.unwrap(), Some((state.0, state.1, state.2.to_owned())));
        assert!(from.export("none").await.unwrap().is_none());
    }

    #[tokio::test]
    async fn an_import_replaces_an_existing_checkpoint_only_on_request() {
        let to = checkpoints();
        to.at("job").save(&1).await.unwrap();
        let exported: Exported = serde_json::from_str(r#"{"key":"job","state":2}"#).unwrap();
        assert_eq!(to.import(&exported, false).await.unwrap(), Imported::Kept);
        assert_eq!(to.at("job").restore::<u32>().await.unwrap(), Some(1));
        assert_eq!(to.import(&exported, true).await.unwrap(), Imported::Replaced);
        assert_eq!(to.at("job").restore::<u32>().await.unwrap(), Some(2));
    }
}
