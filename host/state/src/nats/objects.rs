//! Stores values larger than a message (1 MiB by default), whole or not at all.
//!
//! Pieces count once a last message names them with their digest. The format is that of NATS object stores.

use super::bucket::Bucket;
use super::connection::unavailable;
use super::deliveries::Delivered;
use async_nats::HeaderMap;
use async_nats::header::NATS_ROLLUP;
use async_nats::jetstream::consumer::DeliverPolicy;
use async_nats::jetstream::object_store::{ObjectInfo, ObjectOptions};
use async_nats::jetstream::stream::{Config, DiscardPolicy, StorageType};
use bytes::{Bytes, BytesMut};
use sha2::{Digest, Sha256};
use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::time::SystemTime;
use upright_core::store::{StoreError, VALUE_LIMIT};

const PIECE: usize = 128 << 10;
/// Maximum number of unconfirmed pieces.
const PIECES_AHEAD: usize = 16;

pub(super) struct Objects {
    bucket: Arc<Bucket>,
    name: String,
}

pub(super) struct Listed {
    pub(super) info: ObjectInfo,
    pub(super) sequence: u64,
    pub(super) stored: SystemTime,
}

pub(super) fn config(name: &str, replicas: usize) -> Config {
    Config {
        name: format!("OBJ_{name}"),
        subjects: vec![format!("$O.{name}.C.>"), format!("$O.{name}.M.>")],
        storage: StorageType::File,
        num_replicas: replicas,
        discard: DiscardPolicy::New,
        allow_rollup: true,
        allow_direct: true,
        max_bytes: -1,
        ..Config::default()
    }
}

impl Objects {
    pub(super) fn new(bucket: Bucket, name: String) -> Self {
        Self { bucket: Arc::new(bucket), name }
    }

    fn names(&self) -> String {
        format!("$O.{}.M.>", self.name)
    }

    fn metadata_subject(&self, name: &str) -> String {
        format!("$O.{}.M.{}", self.name, base64(name.as_bytes()))
    }

    fn pieces(&self, id: &str) -> String {
        format!("$O.{}.C.{id}", self.name)
    }

    /// Returns its sequence.
    pub(super) async fn put(&self, name: &str, value: &Bytes, modified: SystemTime) -> Result<Listed, StoreError> {
        let before = self.current_metadata(name).await?;
        let id = unique(self.bucket.connection().client());
        let chunks = self.send(&id, value).await?;
        let info = ObjectInfo {
            name: name.to_owned(),
            description: None,
            metadata: HashMap::new(),
            headers: None,
            options: Some(ObjectOptions { link: None, max_chunk_size: Some(PIECE) }),
            bucket: self.name.clone(),
            nuid: id,
            size: value.len(),
            chunks,
            modified: Some(modified.into()),
            digest: Some(digest(value)),
            deleted: false,
        };
        let sequence = self.tell(&info).await?;
        if let Some(before) = before {
            // Readers of the old object notice, and begin again.
            let _ = self.bucket.purge(self.pieces(&before.info.nuid), None).await;
        }
        Ok(Listed { info, sequence, stored: modified })
    }

    async fn send(&self, id: &str, value: &Bytes) -> Result<usize, StoreError> {
        // A message to a missing stream is lost.
        self.bucket.stream().await?;
        let context = self.bucket.connection().context();
        let mut waiting = VecDeque::new();
        let mut chunks = 0;
        for start in (0..value.len()).step_by(PIECE) {
            let piece = value.slice(start..value.len().min(start + PIECE));
            waiting.push_back(context.publish(self.pieces(id), piece).await.map_err(unavailable)?);
            chunks += 1;
            if waiting.len() >= PIECES_AHEAD
                && let Some(first) = waiting.pop_front()
            {
                first.await.map_err(unavailable)?;
            }
        }
        for sent in waiting {
            sent.await.map_err(unavailable)?;
        }
        Ok(chunks)
    }

    async fn tell(&self, info: &ObjectInfo) -> Result<u64, StoreError> {
        let mut headers = HeaderMap::new();
        headers.insert(NATS_ROLLUP, "sub");
        let json = serde_json::to_vec(info).map_err(unavailable)?;
        let sequence = self.bucket.publish(self.metadata_subject(&info.name), headers, json.into()).await?;
        Ok(sequence.unwrap_or_default())
    }

    async fn current_metadata(&self, name: &str) -> Result<Option<Listed>, StoreError> {
        let Some(message) = self.bucket.last(&self.metadata_subject(name)).await? else { return Ok(None) };
        let info = parse(&message.payload).filter(|info| !info.deleted);
        Ok(info.map(|info| Listed { info, sequence: message.sequence, stored: message.time.into() }))
    }

    /// Fails with [`StoreError::Corrupt`] if the bytes differ at a second look, too.
    pub(super) async fn get(&self, name: &str) -> Result<Option<(Listed, Bytes)>, StoreError> {
        let mut looked_at = None;
        loop {
            let Some(listed) = self.current_metadata(name).await? else { return Ok(None) };
            let value = self.receive(&listed.info).await?;
            let info = &listed.info;
            if value.len() == info.size && info.digest.as_ref().is_none_or(|expected| *expected == digest(&value)) {
                return Ok(Some((listed, value)));
            }
            // It may have been replaced.
            if looked_at.as_ref() == Some(&info.nuid) {
                let why = format!("of {} bytes {} are there, or others than were put there", info.size, value.len());
                return Err(StoreError::Corrupt { key: name.to_owned(), source: io::Error::new(io::ErrorKind::InvalidData, why).into() });
            }
            looked_at = Some(listed.info.nuid);
        }
    }

    async fn receive(&self, info: &ObjectInfo) -> Result<Bytes, StoreError> {
        // Another program may claim any size.
        let mut value = BytesMut::with_capacity(info.size.min(VALUE_LIMIT));
        if info.size > 0 {
            let each = |piece: Delivered| {
                if value.len() <= VALUE_LIMIT {
                    value.extend_from_slice(&piece.payload);
                }
            };
            self.bucket.gather(self.pieces(&info.nuid), DeliverPolicy::All, false, each).await?;
        }
        Ok(value.freeze())
    }

    /// Returns whether it existed.
    pub(super) async fn remove(&self, name: &str) -> Result<bool, StoreError> {
        let Some(listed) = self.current_metadata(name).await? else { return Ok(false) };
        self.bucket.purge(self.metadata_subject(name), None).await?;
        self.bucket.purge(self.pieces(&listed.info.nuid), None).await?;
        Ok(true)
    }

    pub(super) async fn list(&self) -> Result<Vec<Listed>, StoreError> {
        let mut found = Vec::new();
        let each = |message: Delivered| {
            if let Some(info) = parse(&message.payload).filter(|info| !info.deleted) {
                found.push(Listed { info, sequence: message.sequence, stored: message.stored });
            }
        };
        self.bucket.gather(self.names(), DeliverPolicy::LastPerSubject, false, each).await?;
        // An object replaced meanwhile comes twice.
        found.sort_by(|one, other| one.info.name.cmp(&other.info.name).then(other.sequence.cmp(&one.sequence)));
        found.dedup_by(|later, earlier| later.info.name == earlier.info.name);
        Ok(found)
    }

    /// Returns the number of their objects.
    pub(super) async fn remove_loose_pieces(&self, before: SystemTime) -> Result<usize, StoreError> {
        let mut loose = HashMap::new();
        let each = |piece: Delivered| {
            loose.insert(piece.subject, piece.stored);
        };
        self.bucket.gather(self.pieces(">"), DeliverPolicy::LastPerSubject, true, each).await?;
        for object in self.list().await? {
            loose.remove(&self.pieces(&object.info.nuid));
        }
        let mut removed = 0;
        for (subject, stored) in loose {
            if stored <= before {
                self.bucket.purge(subject, None).await?;
                removed += 1;
            }
        }
        Ok(removed)
    }
}

fn parse(message: &[u8]) -> Option<ObjectInfo> {
    serde_json::from_slice(message).ok()
}

pub(super) fn unique(client: &async_nats::Client) -> String {
    let inbox = client.new_inbox();
    inbox.rsplit('.').next().unwrap_or(&inbox).to_owned()
}

pub(super) fn digest(value: &[u8]) -> String {
    format!("SHA-256={}", base64(&Sha256::digest(value)))
}

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// URL-safe Base64 with padding.
fn base64(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let group = three.iter().fold(0, |group, byte| group << 8 | usize::from(*byte)) << (8 * (3 - three.len()));
        for digit in 0..4 {
            text.push(if digit <= three.len() { char::from(DIGITS[group >> (18 - 6 * digit) & 63]) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_64_is_that_of_the_standard() {
        let known: [(&[u8], &str); 7] = [
            (b"", ""),
            (b"f", "Zg=="),
            (b"fo", "Zm8="),
            (b"foo", "Zm9v"),
            (b"foob", "Zm9vYg=="),
            (b"foobar", "Zm9vYmFy"),
            (&[0xef, 0xbf, 0xbf], "77-_"),
        ];
        for (bytes, text) in known {
            assert_eq!(base64(bytes), text);
        }
    }
}
